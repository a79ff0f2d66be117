"""Notifications: what the shop sends, how often it repeats it, and every way in which this may go wrong.

After no answer, or one other than 200, a notification is sent again with growing gaps during 24 h of the world's clock
(docs/reference/yookassa.md, section 9; the gaps themselves are not published).
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from sandbox.world import World
from sandbox.yookassa.objects import merge_patch
from sandbox.yookassa.settings import ShopSettings

FIRST_GAP = 10.0
RETRY_FOR = 24 * 3600.0
HELD_AT_MOST = 60.0
LOG_LIMIT = 2_000
IN_FLIGHT_LIMIT = 5_000
AT_ONCE = 32
STRANGE_EVENT = "payment.sent_to_the_moon"


@dataclass
class Delivery:
    """One notification on its way; `state` is `waiting`, `delivered`, `given_up` or `refused` (too many at once)."""

    id: int
    event: str
    object_id: str
    body: bytes
    at: float
    headers: dict[str, str] = field(default_factory=dict)
    state: str = "waiting"
    attempts: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        shown = {name: getattr(self, name) for name in ("id", "event", "object_id", "at", "state", "attempts")}
        return {**shown, "body": self.body.decode("utf-8", "replace")}


class Notifier:
    """Sends notifications in the background; keeps a bounded log of them."""

    def __init__(self, world: World, settings: ShopSettings) -> None:
        self._world = world
        self.settings = settings
        self.log: deque[Delivery] = deque(maxlen=LOG_LIMIT)
        self._ids = itertools.count(1)
        self._in_flight: set[asyncio.Task[None]] = set()
        self._held: tuple[Delivery, ...] = ()
        self._slots = asyncio.Semaphore(AT_ONCE)

    def reset(self) -> None:
        self.log.clear()
        self._held = ()
        for task in list(self._in_flight):
            task.cancel()

    def emit(self, event: str, item: dict[str, Any]) -> None:
        """Send what happened to `item`, a snapshot, to the notification URL; returns at once.

        A planned fault with the tag `notification` whose `match` is in `notification:<event>` overrides the settings
        for one event by its `options`, named as the settings are.
        """
        modes = self._modes(event)
        if not modes.notification_url or modes.notifications_never or event not in modes.notification_events:
            self._world.record("yookassa", f"notification-unsent:{event}", id=item.get("id"))
            return
        name, told = _distorted(event, item, modes)
        body = json.dumps({"type": "notification", "event": name, "object": told}, ensure_ascii=False).encode(
            "utf-8", "replace"
        )
        copies = tuple(
            self.delivery(name, str(item.get("id")), body) for _ in range(1 + modes.notifications_duplicates)
        )
        if modes.notifications_reordered and not self._held:
            self._held = copies
            self._start(self._release_later(copies))
            return
        late, self._held = self._held, ()
        self._start(self._send_in_turn(copies + late, modes.notifications_delay))

    def _modes(self, event: str) -> ShopSettings:
        """The settings; options of a fault planned for this event replace them."""
        fault = self._world.faults.take("yookassa", f"notification:{event}", tagged=True)
        if fault is None:
            return self.settings
        modes = ShopSettings()
        try:
            modes.update({**self.settings.public(), **fault.options})
        except ValueError as error:
            self._world.record("yookassa", "bad-fault-options", error=str(error))
            return self.settings
        return modes

    def delivery(self, event: str, object_id: str, body: bytes, headers: dict[str, str] | None = None) -> Delivery:
        """A new entry of the log, not yet sent."""
        made = Delivery(next(self._ids), event, object_id, body, self._world.clock.now(), headers or {})
        self.log.append(made)
        return made

    async def attempt(self, delivery: Delivery, url: str = "") -> bool:
        """One POST; returns whether it was accepted (HTTP 200). Never raises for errors of the network."""
        settings = self.settings
        headers = {"Content-Type": "application/json", **settings.notification_headers, **delivery.headers}
        entry: dict[str, Any] = {"at": self._world.clock.now()}
        delivery.attempts.append(entry)
        source = (settings.notification_source, 0) if settings.notification_source else None
        timeout = aiohttp.ClientTimeout(total=settings.notification_timeout or 0.001)
        try:
            async with (
                self._slots,
                # Any certificate will do, even a self-signed one (docs/reference/yookassa.md, section 9).
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=source, ssl=False)) as session,
                session.post(
                    url or settings.notification_url,
                    data=delivery.body,
                    headers=headers,
                    timeout=timeout,
                    allow_redirects=False,
                ) as answer,
            ):
                entry["status"] = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            entry["error"] = type(error).__name__
        taken = entry.get("status") == 200
        delivery.state = "delivered" if taken else delivery.state
        self._world.record("yookassa", f"notification:{delivery.event}", id=delivery.object_id, **entry)
        return taken

    async def settle(self, timeout: float) -> None:
        """Wait until all notifications so far were attempted once, `timeout` real seconds at most."""
        deadline = asyncio.get_running_loop().time() + timeout
        while any(one.state == "waiting" and not _tried(one) for one in self.log):
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(0.005)

    async def _send_in_turn(self, deliveries: tuple[Delivery, ...], delay: float = 0.0) -> None:
        """First attempts go one after the other, which keeps the wanted order; repeats do not wait for each other."""
        if delay:
            await self._world.clock.sleep(delay)
        for delivery in deliveries:
            if not await self.attempt(delivery):
                self._start(self._repeat(delivery))

    async def _repeat(self, delivery: Delivery) -> None:
        gap = FIRST_GAP
        while self._world.clock.now() + gap <= delivery.at + RETRY_FOR:
            await self._world.clock.sleep(gap)
            if await self.attempt(delivery):
                return
            gap *= 2
        delivery.state = "given_up"

    async def _release_later(self, copies: tuple[Delivery, ...]) -> None:
        """A held notification is sent after that of the next event, or alone if there is none."""
        await self._world.clock.sleep(HELD_AT_MOST)
        if self._held is copies:
            self._held = ()
            await self._send_in_turn(copies)

    def _start(self, work: Any) -> None:
        if len(self._in_flight) >= IN_FLIGHT_LIMIT:
            work.close()
            self._world.record("yookassa", "notification-refused")
            return
        task = self._world.spawn(work)
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)


def _tried(delivery: Delivery) -> bool:
    return bool(delivery.attempts) and not delivery.attempts[-1].keys().isdisjoint({"status", "error"})


def _distorted(event: str, item: dict[str, Any], modes: ShopSettings) -> tuple[str, dict[str, Any]]:
    """The event and the object as they are sent, with the forgeries that are switched on."""
    told: dict[str, Any] = merge_patch(item, modes.notifications_forged)
    if modes.notifications_wrong_recipient:
        told["recipient"] = {"account_id": "999999", "gateway_id": "999999"}
    if modes.notifications_test_flipped:
        told["test"] = not modes.test
    return (STRANGE_EVENT if modes.notifications_unknown_event else event), told
