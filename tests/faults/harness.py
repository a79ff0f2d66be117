"""Plays a story with a death in it, sees the shop through to quiet, and checks everything that was promised."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp

from database.audit.checks import check_file, run_checks
from database.engine import SqliteFile
from database.models import Database
from sandbox.app import serve
from sandbox.kling import files
from sandbox.kling.tasks import Task
from sandbox.world import World
from tests.faults import points
from tests.faults.instrument import AFTER, BEFORE, Trap
from tests.faults.scenario_env import PATIENCE, SPEED, Stage, Violation, Zygote, until
from tests.support.bot_env import ANYA
from tests.support.job_env import impatient_catalogue
from tests.support.redis_fixture import RedisServer
from tests.support.sandbox_fixture import Sandbox

GIFT = 100_000  # kopecks that Anya has when a story begins
SETTINGS = {"gemini": {"pixel_scale": 0.1, "delay_scale": 0.01}, "kling": {"delay_scale": 0.01}}

Act = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True)
class Story:
    """What people do, and what must be true when all is quiet: Anya's entries, each job's and payment's end.

    `entries` are (reason, kopecks) beside the first gift; `jobs` and `payments` the final states, oldest first.
    """

    name: str
    act: Act
    entries: tuple[tuple[str, int], ...] = ()
    jobs: tuple[str, ...] = ()
    payments: tuple[str, ...] | None = ()  # None: it depends on where the death was
    settings: tuple[tuple[str, str], ...] = ()
    what: str = "bot"
    redis: bool = False
    worker: bool = False
    prepare: Callable[[Stage], None] | None = None
    check: Callable[[Stage], None] | None = None
    clips: int | None = None  # tasks at Kling; None: as many as there are clip jobs
    undelivered: int = 0
    shown_again: int = 0  # results that the person asks to see once more
    extra_pictures: int = 0  # drawings whose answers the story itself loses
    or_given_back: bool = False  # its only job, when a death loses the second drawing, which is the last, too
    expects: frozenset[str] = frozenset()  # errors that belong into the log
    plant: str = ""


@dataclass
class Outcome:
    """How a run ended: every point it passed, and what broke."""

    story: str
    trap: Trap | None
    passed: list[tuple[str, str]] = field(default_factory=list)
    deaths: int = 0
    seconds: float = 0.0
    violation: str = ""


class House:
    """What all stories of one test process share: the zygote, a fresh database to copy, a queue server."""

    def __init__(self, zygote: Zygote, folder: Path) -> None:
        self.zygote = zygote
        self.folder = folder
        self.template = folder / "template.db"
        self._redis: RedisServer | None = None
        self._runs = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls) -> AsyncIterator[House]:
        folder = Path(tempfile.mkdtemp(prefix="faults-"))
        zygote = await Zygote.start()
        house = cls(zygote, folder)
        try:
            _one_film()
            db = Database(f"sqlite:///{house.template}")
            await db.init_db()
            await db.add_balance(ANYA, GIFT, key="gift", reason="topup")
            await db.close()
            impatient_catalogue(folder)
            yield house
        finally:
            await zygote.close()
            if house._redis is not None:
                house._redis.remove()
            shutil.rmtree(folder, ignore_errors=True)

    def redis(self) -> RedisServer:
        if self._redis is None:
            self._redis = RedisServer()
            self._redis.start()
        self._redis.flush()
        return self._redis

    def room(self) -> Path:
        self._runs += 1
        room = self.folder / f"run-{self._runs}"
        room.mkdir()
        return room

    async def run(
        self, story: Story, trap: Trap | None = None, *, plant: str = "", shots: Callable[[], float] | None = None
    ) -> Outcome:
        """Play the story once. What it breaks is in the outcome, with the log's last words."""
        began, outcome, room = time.monotonic(), Outcome(story.name, trap), self.room()
        world = World(speed=SPEED, seed=1, settings=SETTINGS)
        runner, url = await serve(world)
        try:
            async with aiohttp.ClientSession() as http:
                stage = self._stage(story, Sandbox(world, url, http), room, trap, plant, shots)
                try:
                    await _play(stage, story)
                    check(stage, story)
                except (AssertionError, TimeoutError) as error:
                    outcome.violation = f"{type(error).__name__}: {error}\n{_last_words(room)}"
                outcome.passed, outcome.deaths = stage.passed, stage.deaths
        finally:
            await runner.cleanup()
            shutil.rmtree(room, ignore_errors=True)
        outcome.seconds = time.monotonic() - began
        return outcome

    def _stage(
        self,
        story: Story,
        sandbox: Sandbox,
        room: Path,
        trap: Trap | None,
        plant: str,
        shots: Callable[[], float] | None,
    ) -> Stage:
        shutil.copy(self.folder / "catalogue.toml", room)
        sandbox.world.faces["telegram"].pace.enabled = False
        settings = dict(story.settings)
        if story.redis or story.worker:
            settings["REDIS_URL"] = self.redis().url
        stage = Stage(
            self.zygote,
            sandbox,
            room,
            settings=settings,
            trap=trap,
            plant=plant or story.plant,
            what=story.what,
            shots=shots,
        )
        stage.with_worker = story.worker
        stage.flush = lambda: self.redis()
        if story.what == "bot":
            shutil.copy(self.template, stage.path)
        if story.prepare is not None:
            story.prepare(stage)
        return stage


async def _play(stage: Stage, story: Story) -> None:
    """Act, wait for quiet, stop in order; whoever breaks first ends it."""
    try:
        async with asyncio.timeout(PATIENCE):
            await stage.begin()
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(work()) for work in (stage.keep, stage.keep_worker, stage.tick)]
                if stage.shots is not None:
                    beside.append(group.create_task(stage.shoot()))
                await group.create_task(_act(stage, story))
                for task in beside:
                    task.cancel()
            if story.what == "bot":
                await _stop(stage, story)
    except* (AssertionError, TimeoutError) as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, TimeoutError):
            raise Violation(f"not over after {PATIENCE:g} s; open: {stage.open_rows()}") from None
        raise error from None
    finally:
        stage.disconnect()
        await stage.kill()


async def _stop(stage: Stage, story: Story) -> None:
    """Stop in order. A death in the last moment, or in the stop itself, has its successor as any other."""
    await stage.settled()
    status = await _quiet_end(stage, story)
    if status == -signal.SIGKILL:
        await stage.succeed()
        status = await _quiet_end(stage, story)
    if status != 0:
        raise Violation(f"the orderly stop ended with status {status}")


async def _quiet_end(stage: Stage, story: Story) -> int:
    ticking = asyncio.create_task(stage.tick())
    try:
        await until(lambda: stage.is_quiet() or stage.life is None or stage.life.ended.done())
    finally:
        ticking.cancel()
    return await stage.stop()


async def _act(stage: Stage, story: Story) -> None:
    await story.act(stage)
    if story.what == "bot":
        await until(stage.is_quiet)


# --- what was promised ------------------------------------------------------------------------------


def check(stage: Stage, story: Story) -> None:
    """Raises Violation, naming everything that is wrong."""
    wrong = [
        *_unknown(stage),
        *_books(stage),
        *_ends(stage, story),
        *_providers(stage, story),
        *_deliveries(stage, story),
        *_log(stage, story),
    ]
    if story.check is not None:
        try:
            story.check(stage)
        except AssertionError as error:
            wrong.append(str(error))
    if wrong:
        raise Violation("; ".join(wrong))


@functools.cache
def _points() -> frozenset[str]:
    return frozenset(points.find())


def _unknown(stage: Stage) -> Iterable[str]:
    """The list of points is whole: what is passed at run time was found in the code."""
    strange = {point for _, point in stage.passed if point} - _points()
    return [f"passed, and not found in the code: {one}" for one in sorted(strange) if ".patches." not in one]


def _books(stage: Stage) -> Iterable[str]:
    """I1 to I8 by the same checks as `audit`, and the file's own."""
    file = SqliteFile.open(stage.path, lambda: int(stage.clock.now() * 1000))
    try:
        found = [*file.read(run_checks), *file.read(check_file)]
    finally:
        file.close()
    return [f"{one.check}: {one.sentence} ({', '.join(one.ids)})" for one in found]


def _ends(stage: Stage, story: Story) -> Iterable[str]:
    if story.what != "bot":
        return
    entries = stage.after("SELECT reason, amount FROM ledger WHERE user_id = ? AND id > 1 ORDER BY id", ANYA)
    jobs = [row[0] for row in stage.after("SELECT status FROM jobs ORDER BY created_at, id")]
    spent = stage.after("SELECT 1 FROM provider_calls WHERE outcome IS NULL OR outcome <> 'refused'")
    if story.or_given_back and stage.deaths and jobs == ["failed"] and len(spent) == 2:
        story = replace(story, jobs=("failed",), entries=(*story.entries, ("refund", -story.entries[0][1])))
    if sorted(entries) != sorted(story.entries):
        yield f"Anya's entries are {entries}, not {list(story.entries)}"
    if sorted(jobs) != sorted(story.jobs):
        yield f"the jobs ended {jobs}, not {list(story.jobs)}"
    payments = [row[0] for row in stage.after("SELECT status FROM payments ORDER BY created_at, id")]
    if story.payments is not None and sorted(payments) != sorted(story.payments):
        yield f"the payments ended {payments}, not {list(story.payments)}"
    open_refunds = stage.after("SELECT id, status FROM refunds WHERE status IN ('taken', 'sent')")
    if open_refunds:
        yield f"returns without an end: {open_refunds}"
    held = stage.after("SELECT job_id FROM reservations WHERE state = 'reserved'")
    if held:
        yield f"money is still held for {held}"


def _providers(stage: Stage, story: Story) -> Iterable[str]:
    """One paid task an order; a picture once more for each death that may have lost its answer."""
    if story.what != "bot":
        return
    counts = dict(stage.after("SELECT type IN ('image', 'edit'), COUNT(*) FROM jobs GROUP BY 1"))
    tasks = [task.order.external_id for task in stage.sandbox.world.faces["kling"].store.tasks.values()]
    clips = counts.get(0, 0) if story.clips is None else story.clips
    if len(tasks) != len(set(tasks)) or len(tasks) > clips:
        yield f"Kling was asked for {tasks} though {clips} clips were ordered"
    drawn = stage.sandbox.world.faces["gemini"].ledger.report()["billed_calls"]
    lost = in_doubt(
        stage.passed, "http services.providers.nano_banana.NanoBanana.generate", {"commit database.jobs.finish"}
    )
    if drawn > counts.get(1, 0) + lost + story.extra_pictures:
        yield f"{drawn} pictures were billed for {counts.get(1, 0)} orders and {lost} answers that may be lost"


def _deliveries(stage: Stage, story: Story) -> Iterable[str]:
    """Every completed job's result is in the chat once; a copy only where Telegram's answer was lost."""
    if story.what != "bot":
        return
    telegram = stage.sandbox.world.faces["telegram"]
    chats = [chat for bot in telegram.bots.values() for chat in bot.chats.values() if chat.person.id == ANYA]
    there = Counter(
        _kind_of(message.data) for chat in chats for message in chat.messages.values() if not message.outgoing
    )
    more = story.undelivered + story.shown_again * (1 + stage.deaths)  # what a tap asks for is begun anew after a death
    done = dict(stage.after("SELECT type IN ('image', 'edit'), COUNT(*) FROM jobs WHERE delivered_at > 0 GROUP BY 1"))
    told = {"commit database.assets.remember_file_ids"}
    for kind, wanted in {"document": done.get(1, 0), "photo": done.get(1, 0), "video": done.get(0, 0)}.items():
        lost = in_doubt(stage.passed, f"telegram Send{kind.capitalize()}", told)
        if not wanted <= there[kind] <= wanted + lost + more:
            yield f"{there[kind]} of {kind} for {wanted} delivered results and {lost} lost answers"
    missing = stage.after("SELECT id FROM jobs WHERE status = 'completed' AND delivered_at IS NULL")
    if len(missing) != story.undelivered:
        yield f"not delivered: {missing}"


def _kind_of(message: dict[str, Any]) -> str:
    """A clip without sound comes as an animation, which carries a document as well (telegram sheet, section 5)."""
    kinds = {"animation": "video", "video": "video", "photo": "photo", "document": "document"}
    return next((kind for name, kind in kinds.items() if name in message), "")


def in_doubt(passed: list[tuple[str, str]], call: str, settled: set[str]) -> int:
    """How many deaths fell between a call's beginning and the commit that remembers its answer."""
    begun = lost = 0
    for edge, point in passed:
        if edge == "died":
            lost, begun = lost + begun, 0
        elif (edge, point) == (BEFORE, call):
            begun = 1
        elif edge == AFTER and point in settled:
            begun = 0
    return lost


def _log(stage: Stage, story: Story) -> Iterable[str]:
    """An error in the log is trouble that nobody planned: a death leaves none behind."""
    for line in (stage.folder / "log").read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if record.get("level") in ("ERROR", "CRITICAL") and record.get("event") not in story.expects:
                yield f"the log says {line[:1500]}"


def _last_words(room: Path) -> str:
    try:
        trace = (room / "trace").read_text().splitlines()[-25:]
        log = (room / "log").read_text(errors="replace").splitlines()[-25:]
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(["--- passed last:", *trace, "--- logged last:", *(line[:600] for line in log)])


def _one_film() -> None:
    """The simulated clips of one length are one film: what is in them is nobody's matter here, and filming is slow."""
    if getattr(files.make, "of_faults", False):
        return
    make, made = files.make, dict[tuple[str, int], bytes]()

    def once(task: Task, kind: str, real: bool) -> bytes:
        key = (kind, task.order.seconds)
        if key not in made:
            made[key] = make(task, kind, real)
        return made[key]

    once.of_faults = True  # type: ignore[attr-defined]
    files.make = once
