"""One world from first to last: a storm in which everything goes wrong, then calm, then the reckoning."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from database import ledger
from database.engine import SqliteFile
from tests.faults.sim import checks as truth
from tests.faults.sim.loop import SimLoop
from tests.faults.sim.people import Customer, Owner
from tests.faults.sim.processes import Company, own_pace, slow_down
from tests.faults.sim.world import ADMIN, EPOCH, World, owner_of

MEMORY = Path("/dev/shm")
CROWD = 150  # people of one world in thirty
ROUND = 25.0  # seconds between two looks at whether all is done
ROUNDS = 300  # so two hours after the storm; by then everything must have come to its end


@dataclass
class Outcome:
    """What came of a seed."""

    seed: int
    bad: list[str]
    digest: str
    steps: int
    seconds: float  # simulated
    kills: int = 0
    jobs: dict[str, int] = field(default_factory=dict)
    trace: list[str] = field(default_factory=list)


def run(seed: int, templates: Path, *, keep_trace: bool = False, rounds: int = ROUNDS) -> Outcome:
    """Live through the world of `seed`; `templates` is a folder for what all worlds begin with. After the storm it has
    `rounds` looks to come to its end."""
    folder = Path(tempfile.mkdtemp(prefix="world-", dir=MEMORY if MEMORY.is_dir() else None))
    world = World(seed, folder, keep_trace=keep_trace)
    loop = SimLoop(owner_of, world.width)
    loop.set_exception_handler(lambda *_: None)
    story = Story(world, templates, rounds)
    logging.disable(logging.CRITICAL)
    gc_was = gc.isenabled()
    gc.disable()  # what is collected when must not decide what happens
    try:
        with world.nature(), own_pace():
            asyncio.set_event_loop(loop)
            bad = loop.run_until_complete(story.tell())
        return Outcome(seed, bad, world.digest, loop.steps, loop.time(), story.kills, story.jobs, world.trace)
    finally:
        logging.disable(logging.NOTSET)
        if gc_was:
            gc.enable()
        asyncio.set_event_loop(None)
        loop.close()
        shutil.rmtree(folder, ignore_errors=True)


class Story:
    """Who lives in the world and what befalls them."""

    def __init__(self, world: World, templates: Path, rounds: int) -> None:
        self.world = world
        self.templates = templates
        self._rounds = rounds
        self._renderer: set[asyncio.Task[None]] = set()
        self.broken: BaseException | None = None
        self.kills = 0
        self.jobs: dict[str, int] = {}

    async def tell(self) -> list[str]:
        company = Company(self.world, self.templates)
        try:
            return await self._tell(company)
        finally:
            await company.close()
            rest = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

    async def _tell(self, company: Company) -> list[str]:
        chance = self.world.chance
        crowd = self.world.seed % 30 == 29
        number = CROWD if crowd else chance.randint(2, 4)
        customers = [Customer(company, 1001 + n, chance.choice((0, 5_000, 50_000))) for n in range(number)]
        _give(company, customers)
        names = ["bot1", *chance.sample(["worker1", "worker2", "bot2"], chance.randint(0, 3))]
        company.redis.away = not _workers(names)  # a shop without workers has no Redis: the bot does it all
        for name in names:
            company.start(name)
        people = [asyncio.create_task(one.live(2 if crowd else chance.randint(3, 7))) for one in customers]
        people.append(asyncio.create_task(Owner(company, customers).live(chance.choice((0, 4, 10)))))
        around = [asyncio.create_task(self._notify(company)), asyncio.create_task(self._strangers(company))]
        bad = await self._storm(company, names, people)
        await self._dismiss(around)
        bad = bad or await self._settle(company, names)
        if self.broken is not None:
            raise self.broken
        return bad

    async def _dismiss(self, tasks: list[asyncio.Task[None]]) -> None:
        """End those who act from outside; one that broke is a fault of the world itself."""
        for task in tasks:
            if task.done():
                task.result()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _storm(self, company: Company, names: list[str], people: list[asyncio.Task[None]]) -> list[str]:
        """Kills, deploys, a Redis that goes and comes, until the people have done what they wanted."""
        chance = self.world.chance
        fierce = chance.choice((0.0, 0.3, 0.8))
        while not all(task.done() for task in people):
            await asyncio.sleep(chance.uniform(0.1, 8.0))
            company.supervise()
            struck = chance.random() < fierce
            if struck:
                name = chance.choice(names)
                if name in company.alive:
                    await self._strike(company, name)
            self._redis(company, names)
            if (struck or chance.random() < 0.1) and (bad := truth.books(company)):
                return bad
        for task in people:
            task.result()
        return []

    async def _strike(self, company: Company, name: str) -> None:
        self.kills += 1
        if self.world.chance.random() < 0.25:
            await company.deploy(name)
            return
        await company.kill(name)
        await asyncio.sleep(self.world.chance.choice((0.0, 1.0, 45.0)))
        company.start(name)

    def _redis(self, company: Company, names: list[str]) -> None:
        roll = self.world.chance.random()
        if not _workers(names):
            return
        if roll < 0.05:
            company.redis.flush()
        elif roll < 0.10:
            company.redis.away = not company.redis.away

    async def _settle(self, company: Company, names: list[str]) -> list[str]:
        """Nothing goes wrong any more; people unblock the bot, unpaid orders end, and so must all that is under way."""
        world = self.world
        world.calm = True
        slow_down(6.0)
        company.redis.away = not _workers(names)
        for machine, _, _ in company.alive.values():
            machine.skew = 0.0
        for user_id, chat in company.telegram.chats.items():
            if chat.blocked:
                company.telegram.block(user_id, False)
        for name in names:
            company.start(name)
        told = asyncio.create_task(self._notify(company))
        bad = ["not looked at yet"]
        for _ in range(self._rounds):
            for number in list(company.yookassa.payments):
                company.yookassa.decline(number, "expired_on_confirmation")
            for number in list(company.yookassa.refunds):
                company.yookassa.finish_refund(number)
            # What no notification told of is found by comparing the books, every hour or when the owner asks.
            company.telegram.say(ADMIN, text="/reconcile 3")
            await asyncio.sleep(ROUND)
            company.supervise()
            if broken := truth.books(company):
                return broken
            bad = [f"unfinished: {one}" for one in truth.unfinished(company)] or truth.ending(company)
            if not bad:
                break
        await self._dismiss([told])
        self.jobs = truth.tally(company)
        return bad

    # --- what comes in from outside -------------------------------------------------------------------

    async def _notify(self, company: Company) -> None:
        """YooKassa's notifications: late, twice, out of order, sometimes never; again when we were not there."""
        world, heard = self.world, company.yookassa.heard
        seen = 0
        while True:
            await asyncio.sleep(world.chance.choice((0.1, 1.0)))
            while seen < len(heard):
                name, number = heard[seen]
                seen += 1
                if world.hits(0.2):
                    continue
                for _ in range(world.chance.choice((1, 1, 2, 5)) if not world.calm else 1):
                    letter = asyncio.create_task(self._deliver(company, name, number))
                    self._renderer.add(letter)
                    letter.add_done_callback(self._arrived)

    def _arrived(self, letter: asyncio.Task[None]) -> None:
        self._renderer.discard(letter)
        if not letter.cancelled() and (error := letter.exception()) is not None:
            self.broken = error

    async def _deliver(self, company: Company, name: str, number: str) -> None:
        body = json.dumps({"type": "notification", "event": name, "object": {"id": number}}).encode()
        for pause in (self.world.chance.choice((0.0, 0.2, 20.0)), 10.0, 60.0, 300.0):
            await asyncio.sleep(pause)
            if await company.post("/webhooks/yookassa", body) == 200:
                return

    async def _strangers(self, company: Company) -> None:
        """Forged, odd and oversized words from the internet."""
        chance = self.world.chance
        while True:
            await asyncio.sleep(chance.uniform(1.0, 10.0))
            number = self._coveted(company)
            forged: list[tuple[str, bytes, str]] = [
                ("/webhooks/yookassa", _word("payment.succeeded", number, amount={"value": "99999.00"}), "10.1.1.1"),
                ("/webhooks/yookassa", _word("payment.canceled", number), "10.1.1.1"),
                ("/webhooks/yookassa", _word("refund.succeeded", number), "10.1.1.1"),
                ("/webhooks/yookassa", _word("payment.succeeded", number), "203.0.113.7"),
                ("/webhooks/yookassa", b"{" * 100, "10.1.1.1"),
                ("/webhooks/kling", json.dumps(self._forged_task(company)).encode(), "203.0.113.7"),
                ("/webhooks/telegram", b"{}", "203.0.113.7"),
            ]
            path, body, sender = chance.choice(forged)
            await company.post(path, body, sender=sender)

    def _coveted(self, company: Company) -> str:
        """What a forger would like to have paid: mostly an order that nobody has paid for."""
        chance, payments = self.world.chance, company.yookassa.payments
        unpaid = [number for number, one in payments.items() if one["status"] == "pending"]
        if unpaid and chance.random() < 0.7:
            return unpaid[-1]
        return chance.choice(sorted(payments)) if payments and chance.random() < 0.7 else "pay-999999"

    def _forged_task(self, company: Company) -> dict[str, Any]:
        task = {
            "id": "912345",
            "status": "succeeded",
            "message": "",
            "outputs": [{"type": "video", "url": "https://clips.sim/not-yours.mp4"}],
        }
        if company.kling.tasks:
            one = self.world.chance.choice(sorted(company.kling.tasks))
            task |= {"id": one, "external_id": company.kling.tasks[one]["external_id"]}
        return task


def _workers(names: list[str]) -> bool:
    return any(name.startswith("worker") for name in names)


def _word(event: str, number: str, **more: Any) -> bytes:
    subject = {"id": number, "status": "succeeded", **more}
    return json.dumps({"type": "notification", "event": event, "object": subject}).encode()


def _give(company: Company, customers: list[Customer]) -> None:
    """Some have money from before."""
    file = SqliteFile.open(company.path, lambda: int(EPOCH * 1000))
    try:
        for one in customers:
            if one.gift:
                file.write(
                    lambda tx, one=one: ledger.add_balance(  # type: ignore[misc]
                        tx, one.id, one.gift, key=f"gift-{one.id}", reason="gift"
                    )
                )
    finally:
        with suppress(OSError):
            file.close()
