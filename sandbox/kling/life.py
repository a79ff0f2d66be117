"""The life of a task: its states in time, and the callbacks and answers that show them.

Facts: docs/reference/kling.md, sections 3, 4, 6.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

from sandbox.kling import files, scenarios
from sandbox.kling.callbacks import MODES, Sender
from sandbox.kling.settings import Settings
from sandbox.kling.tasks import Store, Task, units
from sandbox.scenario import Scenario
from sandbox.world import World

QUEUED_SECONDS = 4.0


def chosen_number(chosen: dict[str, Scenario], name: str, default: float, *, given: float) -> float:
    """The scenario's number, `given` if it has none, `default` without the scenario."""
    return chosen[name].number(given) if name in chosen else default


class Life:
    """Moves tasks along and sends their callbacks, each after the one before it."""

    def __init__(self, world: World, store: Store, settings: Settings) -> None:
        self._world = world
        self._store = store
        self.settings = settings
        self.sender = Sender(world)
        self.base = ""
        self._told: dict[str, asyncio.Task[Any]] = {}

    def clear(self, store: Store, settings: Settings) -> None:
        self._store, self.settings = store, settings
        self.sender.clear()
        self._told.clear()

    async def run(self, task: Task, chosen: dict[str, Scenario]) -> None:
        """submitted → processing → succeeded or failed, each sent to the callback address."""
        order = task.order
        median = order.model.latency(order.resolution, order.seconds, order.audio)
        total = self._world.random.lognormvariate(math.log(median), 0.25) * self.settings.delay_scale
        total = chosen_number(chosen, "slow", total, given=1_800)
        queued = min(QUEUED_SECONDS, total * 0.1)
        self.tell(task)
        await self._world.clock.sleep(queued)
        if self._store.move(task, "queued" if "unknown_status" in chosen else "processing"):
            self.tell(task)
        await self._world.clock.sleep(total - queued)
        if "stuck" in chosen:
            return
        reason = scenarios.RISK_CONTROL if "late_moderation" in chosen else None
        if "fail" in chosen:
            reason = chosen["fail"].value.replace("_", " ") or "Generation failed"
        self.finish(task, reason)

    def finish(self, task: Task, failure: str | None = None) -> bool:
        """End a task now; False if it has ended already."""
        status = "succeeded" if failure is None else "failed"
        moved = self._store.move(task, status, failure or "", bill_failures=self.settings.bill_failures)
        if moved:
            self.tell(task)
        return moved

    def tell(self, task: Task, mode: str | None = None) -> None:
        """Send the callback of the current state, after the earlier ones."""
        url = task.order.callback_url
        if url is None:
            return
        mode = mode or task.scenarios.get("callbacks") or self.settings.callbacks
        used = mode if mode in MODES else "normal"
        shown = self.shown(task, self.base)
        before = self._told.get(task.id)

        async def send() -> None:
            if before is not None:
                await asyncio.wait([before])
            await self.sender.send(url, shown, used, self.settings.secrets, self.settings.callback_retries)

        self._told[task.id] = sending = self._world.spawn(send())
        if task.final:
            sending.add_done_callback(lambda _: self._told.pop(task.id, None))

    def shown(self, task: Task, base: str, *, asked: bool = False) -> dict[str, Any]:
        """The task as `/tasks` and callbacks show it; `asked`: by a query, which renews the addresses of results."""
        body: dict[str, Any] = {
            "id": task.id,
            "status": task.status,
            "message": task.message,
            "create_time": int(task.created * 1000),
            "update_time": int(task.updated * 1000),
            "billing": [],
        }
        if task.order.external_id is not None:
            body["external_id"] = task.order.external_id
        if task.final:
            body["billing"] = [{"charge_type": "unit", "amount": units(task.billed), "package_type": "video"}]
        if task.status == "succeeded" and "no_outputs" not in task.scenarios:
            body["outputs"] = [self._output(task, base, asked)]
        return body

    def _output(self, task: Task, base: str, asked: bool) -> dict[str, Any]:
        expires = int(self._world.clock.now() + self.settings.url_ttl)
        if task.stale_urls > 0:
            expires = int(self._world.clock.now()) - 1
            task.stale_urls -= asked
        output = {
            "type": "video",
            "id": task.id,
            "url": files.address(base, task.id, expires),
            "duration": f"{task.order.seconds}.041",
        }
        if task.order.watermark:
            output["watermark_url"] = files.address(base, task.id, expires, "w")
        return output
