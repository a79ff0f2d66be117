"""One world from start to end: first with faults, then without, and at the end everything is checked."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from database import ledger
from database.engine import SqliteFile, Tx
from tests.faults.sim import checks
from tests.faults.sim.deployment import Deployment, intervals_restored, slow_down_loops
from tests.faults.sim.loop import SimLoop
from tests.faults.sim.people import Admin, Customer
from tests.faults.sim.world import ADMIN, EPOCH, World, process_of

MEMORY = Path("/dev/shm")
CROWD = 150  # customers in one world of thirty
ROUND = 25.0  # seconds between two checks whether everything has ended
ROUNDS = 300  # so two hours after the last fault; by then everything must have ended


@dataclass
class Outcome:
    """How the world of a seed ended."""

    seed: int
    bad: list[str]
    digest: str
    steps: int
    seconds: float  # simulated
    kills: int = 0
    jobs: dict[str, int] = field(default_factory=dict)
    trace: list[str] = field(default_factory=list)


def run(seed: int, templates: Path, *, keep_trace: bool = False, rounds: int = ROUNDS) -> Outcome:
    """Run the world of `seed`. `templates` is a folder for what all worlds begin with; after the last fault everything
    must end within `rounds` checks."""
    folder = Path(tempfile.mkdtemp(prefix="world-", dir=MEMORY if MEMORY.is_dir() else None))
    world = World(seed, folder, keep_trace=keep_trace)
    loop = SimLoop(process_of, world.duration)
    loop.set_exception_handler(lambda *_: None)
    simulation = Simulation(world, templates, rounds)
    logging.disable(logging.CRITICAL)
    gc_was = gc.isenabled()
    gc.disable()  # what is collected when must not decide what happens
    try:
        with world.time_and_ids(), intervals_restored():
            asyncio.set_event_loop(loop)
            bad = loop.run_until_complete(simulation.run())
        return Outcome(seed, bad, world.digest, loop.steps, loop.time(), simulation.kills, simulation.jobs, world.trace)
    finally:
        logging.disable(logging.NOTSET)
        if gc_was:
            gc.enable()
        asyncio.set_event_loop(None)
        loop.close()
        shutil.rmtree(folder, ignore_errors=True)


class Simulation:
    """Who acts in the world, and what happens to them."""

    def __init__(self, world: World, templates: Path, rounds: int) -> None:
        self.world = world
        self.templates = templates
        self._rounds = rounds
        self._notifications: set[asyncio.Task[None]] = set()
        self.broken: BaseException | None = None
        self.kills = 0
        self.jobs: dict[str, int] = {}

    async def run(self) -> list[str]:
        deployment = Deployment(self.world, self.templates)
        try:
            return await self._run(deployment)
        finally:
            await deployment.close()
            rest = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

    async def _run(self, deployment: Deployment) -> list[str]:
        chance = self.world.chance
        crowd = self.world.seed % 30 == 29
        number = CROWD if crowd else chance.randint(2, 4)
        customers = [Customer(deployment, 1001 + n, chance.choice((0, 5_000, 50_000))) for n in range(number)]
        _give(deployment, customers)
        names = ["bot1", *chance.sample(["worker1", "worker2", "bot2"], chance.randint(0, 3))]
        deployment.redis.away = not _workers(names)  # without workers there is no Redis, and the bot does everything
        for name in names:
            deployment.start(name)
        people = [asyncio.create_task(one.act(2 if crowd else chance.randint(3, 7))) for one in customers]
        people.append(asyncio.create_task(Admin(deployment, customers).act(chance.choice((0, 4, 10)))))
        around = [asyncio.create_task(self._notify(deployment)), asyncio.create_task(self._send_forged(deployment))]
        bad = await self._run_with_faults(deployment, names, people)
        await self._end(around)
        bad = bad or await self._run_to_the_end(deployment, names)
        if self.broken is not None:
            raise self.broken
        return bad

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        """End the tasks that act from outside; an error in one is an error of the simulation itself."""
        for task in tasks:
            if task.done():
                task.result()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run_with_faults(
        self, deployment: Deployment, names: list[str], people: list[asyncio.Task[None]]
    ) -> list[str]:
        """Kills, deploys, a Redis that is lost and found, until the people have done what they wanted."""
        chance = self.world.chance
        kill_often = chance.choice((0.0, 0.3, 0.8))
        while not all(task.done() for task in people):
            await asyncio.sleep(chance.uniform(0.1, 8.0))
            deployment.supervise()
            killed = chance.random() < kill_often
            if killed:
                name = chance.choice(names)
                if name in deployment.running:
                    await self._kill_or_deploy(deployment, name)
            self._disturb_redis(deployment, names)
            if (killed or chance.random() < 0.1) and (bad := checks.books(deployment)):
                return bad
        for task in people:
            task.result()
        return []

    async def _kill_or_deploy(self, deployment: Deployment, name: str) -> None:
        self.kills += 1
        if self.world.chance.random() < 0.25:
            await deployment.deploy(name)
            return
        await deployment.kill(name)
        await asyncio.sleep(self.world.chance.choice((0.0, 1.0, 45.0)))
        deployment.start(name)

    def _disturb_redis(self, deployment: Deployment, names: list[str]) -> None:
        roll = self.world.chance.random()
        if not _workers(names):
            return
        if roll < 0.05:
            deployment.redis.flush()
        elif roll < 0.10:
            deployment.redis.away = not deployment.redis.away

    async def _run_to_the_end(self, deployment: Deployment, names: list[str]) -> list[str]:
        """No fault happens any more, people unblock the bot, unpaid payments expire: everything under way must end."""
        world = self.world
        world.faults_over = True
        slow_down_loops(6.0)
        deployment.redis.away = not _workers(names)
        for process, _, _ in deployment.running.values():
            process.skew = 0.0
        for user_id, chat in deployment.telegram.chats.items():
            if chat.blocked:
                deployment.telegram.block(user_id, False)
        for name in names:
            deployment.start(name)
        told = asyncio.create_task(self._notify(deployment))
        bad = ["not checked yet"]
        for _ in range(self._rounds):
            for number in list(deployment.yookassa.payments):
                deployment.yookassa.decline(number, "expired_on_confirmation")
            for number in list(deployment.yookassa.refunds):
                deployment.yookassa.finish_refund(number)
            # What no notification reports is found by the reconciliation, every hour or when the admin asks for it.
            deployment.telegram.say(ADMIN, text="/reconcile 3")
            await asyncio.sleep(ROUND)
            deployment.supervise()
            if broken := checks.books(deployment):
                return broken
            bad = [f"unfinished: {one}" for one in checks.unfinished(deployment)] or checks.at_the_end(deployment)
            if not bad:
                break
        await self._end([told])
        self.jobs = checks.counts(deployment)
        return bad

    # --- what comes in from outside -------------------------------------------------------------------

    async def _notify(self, deployment: Deployment) -> None:
        """YooKassa's notifications: late, twice, out of order, sometimes never; repeated while no bot answers."""
        world, heard = self.world, deployment.yookassa.notifications
        seen = 0
        while True:
            await asyncio.sleep(world.chance.choice((0.1, 1.0)))
            while seen < len(heard):
                name, number = heard[seen]
                seen += 1
                if world.fails(0.2):
                    continue
                for _ in range(world.chance.choice((1, 1, 2, 5)) if not world.faults_over else 1):
                    notification = asyncio.create_task(self._deliver(deployment, name, number))
                    self._notifications.add(notification)
                    notification.add_done_callback(self._arrived)

    def _arrived(self, notification: asyncio.Task[None]) -> None:
        self._notifications.discard(notification)
        if not notification.cancelled() and (error := notification.exception()) is not None:
            self.broken = error

    async def _deliver(self, deployment: Deployment, name: str, number: str) -> None:
        body = json.dumps({"type": "notification", "event": name, "object": {"id": number}}).encode()
        for pause in (self.world.chance.choice((0.0, 0.2, 20.0)), 10.0, 60.0, 300.0):
            await asyncio.sleep(pause)
            if await deployment.post("/webhooks/yookassa", body) == 200:
                return

    async def _send_forged(self, deployment: Deployment) -> None:
        """Forged and malformed requests from the internet."""
        chance = self.world.chance
        while True:
            await asyncio.sleep(chance.uniform(1.0, 10.0))
            number = self._wanted_payment(deployment)
            forged: list[tuple[str, bytes, str]] = [
                (
                    "/webhooks/yookassa",
                    _notification("payment.succeeded", number, amount={"value": "99999.00"}),
                    "10.1.1.1",
                ),
                ("/webhooks/yookassa", _notification("payment.canceled", number), "10.1.1.1"),
                ("/webhooks/yookassa", _notification("refund.succeeded", number), "10.1.1.1"),
                ("/webhooks/yookassa", _notification("payment.succeeded", number), "203.0.113.7"),
                ("/webhooks/yookassa", b"{" * 100, "10.1.1.1"),
                ("/webhooks/kling", json.dumps(self._forged_task(deployment)).encode(), "203.0.113.7"),
                ("/webhooks/telegram", b"{}", "203.0.113.7"),
            ]
            path, body, sender = chance.choice(forged)
            await deployment.post(path, body, sender=sender)

    def _wanted_payment(self, deployment: Deployment) -> str:
        """What a forger would like to have credited: mostly a payment that nobody has paid."""
        chance, payments = self.world.chance, deployment.yookassa.payments
        unpaid = [number for number, one in payments.items() if one["status"] == "pending"]
        if unpaid and chance.random() < 0.7:
            return unpaid[-1]
        return chance.choice(sorted(payments)) if payments and chance.random() < 0.7 else "pay-999999"

    def _forged_task(self, deployment: Deployment) -> dict[str, Any]:
        task = {
            "id": "912345",
            "status": "succeeded",
            "message": "",
            "outputs": [{"type": "video", "url": "https://clips.sim/not-yours.mp4"}],
        }
        if deployment.kling.tasks:
            one = self.world.chance.choice(sorted(deployment.kling.tasks))
            task |= {"id": one, "external_id": deployment.kling.tasks[one]["external_id"]}
        return task


def _workers(names: list[str]) -> bool:
    return any(name.startswith("worker") for name in names)


def _notification(event: str, number: str, **more: Any) -> bytes:
    subject = {"id": number, "status": "succeeded", **more}
    return json.dumps({"type": "notification", "event": event, "object": subject}).encode()


def _give_to(tx: Tx, customer: Customer) -> None:
    ledger.add_balance(tx, customer.id, customer.gift, key=f"gift-{customer.id}", reason="gift")


def _give(deployment: Deployment, customers: list[Customer]) -> None:
    """Some have money from before."""
    file = SqliteFile.open(deployment.path, lambda: int(EPOCH * 1000))
    try:
        for one in customers:
            if one.gift:
                file.write(partial(_give_to, customer=one))
    finally:
        with suppress(OSError):
            file.close()
