"""Where a story is played: a sandbox, a database file, and a shop whose processes die and are started again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pysqlite3 import dbapi2 as sqlite

from tests.faults.instrument import AFTER, SharedClock, Trap
from tests.support.bot_env import ANYA, BOT_ID, Person
from tests.support.database_fixture import ROOT
from tests.support.process_env import free_port
from tests.support.sandbox_fixture import ADMIN, Sandbox

SPEED = 5.0  # simulated seconds a real second, outside; the shop's own clock jumps where nothing happens
PATIENCE = 60.0  # real seconds for a story, whatever the machine does beside it
START_SECONDS = 120.0  # for the zygote, which imports everything and rehearses, beside others on a busy machine
IDLE = 0.15  # real seconds for which nothing moved: what waits, waits for its time
STOP_SECONDS = 40.0
DEATH_SECONDS = 200.0  # after a death: every lease of the dead is over, what it had in hand is due


async def until(condition: Callable[[], Any]) -> Any:
    """Wait for something true and give it; a story's limit is its patience as a whole."""
    while not (found := condition()):  # noqa: ASYNC110 - any condition, most of them are no event of ours
        await asyncio.sleep(0.03)
    return found


class Violation(AssertionError):
    """The end is not the one that the person, the owner and the books were promised."""


class Zygote:
    """The process that forks lives; used by one stage after another."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._births: asyncio.Queue[Life] = asyncio.Queue()
        self._deaths: dict[int, asyncio.Future[int]] = {}
        self._ready = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls) -> Zygote:
        # Nothing of the surrounding test run goes along, coverage's hooks least of all.
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.faults.fork_server",
            cwd=ROOT,
            env=kept,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        zygote = cls(process)
        async with asyncio.timeout(START_SECONDS):
            await zygote._ready.wait()
        return zygote

    async def fork(self, order: dict[str, Any]) -> Life:
        assert self._process.stdin is not None
        self._process.stdin.write((json.dumps(order) + "\n").encode())
        async with asyncio.timeout(PATIENCE):
            return await self._births.get()

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            word = json.loads(line)
            if "born" in word:
                life = Life(word["born"], asyncio.get_running_loop().create_future())
                self._deaths[life.pid] = life.ended  # it may be dead before anybody has asked for it
                self._births.put_nowait(life)
            elif "died" in word:
                self._deaths.pop(word["died"]).set_result(word["status"])
            else:
                self._ready.set()


@dataclass
class Life:
    """One process of the shop."""

    pid: int
    ended: asyncio.Future[int]

    def signal(self, number: signal.Signals) -> None:
        if not self.ended.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def end(self, number: signal.Signals) -> int:
        """Send the signal and wait for the end; its status."""
        self.signal(number)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                return await asyncio.shield(self.ended)
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self.ended
            raise Violation(f"the shop did not stop on {number.name} within {STOP_SECONDS:g} s") from None


@dataclass
class Stage:
    """One story's world. `lives` counts the processes; `rows` reads the database as it is now."""

    zygote: Zygote
    sandbox: Sandbox
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    trap: Trap | None = None
    plant: str = ""
    what: str = "bot"
    lives: int = 0
    deaths: int = 0
    shots: Callable[[], float] | None = None
    with_worker: bool = False
    polls: bool = False  # time jumps to the next look at an unpaid payment as well
    flush: Callable[[], object] = field(default=lambda: None)
    verbs: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = SharedClock(self.folder / "clock")
        self.port = free_port()
        self.anya, self.admin = Person(ANYA, self.sandbox), Person(ADMIN, self.sandbox)
        self.life: Life | None = None
        self.worker: Life | None = None
        self._succession: asyncio.Task[None] | None = None
        self._connection: sqlite.Connection | None = None
        self._moved = (0, time.monotonic())

    @property
    def path(self) -> Path:
        return self.folder / "bot.db"

    @property
    def passed(self) -> list[tuple[str, str]]:
        """(edge, point) of everything passed so far, in order, over all lives."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.folder / "trace").read_text(encoding="utf-8").splitlines()
            return [(edge, point) for edge, _, point in (line.partition(" ") for line in lines)]
        return []

    # --- lives --------------------------------------------------------------------------------------

    def order(self, what: str, **more: Any) -> dict[str, Any]:
        address = f"http://127.0.0.1:{self.port}"
        settings = {
            "HTTP_PORT": str(self.port),
            "PUBLIC_URL": address,
            "RATE_LIMIT_PER_MINUTE": "1000",
            "CATALOGUE_PATH": str(self.folder / "catalogue.toml"),
            **self.settings,
        }
        environment = self.sandbox.environment(self.folder, **settings)
        return {"what": what, "folder": str(self.folder), "environment": environment, "plant": self.plant, **more}

    async def begin(self) -> None:
        """Start the next life; the first one walks into the trap."""
        trap = self.trap if self.lives == 0 else None
        self.lives += 1
        start = _size(self.folder / "trace")
        self.life = await self.zygote.fork(self.order(self.what, trap=trap, verbs=self.verbs))
        if self.with_worker and (self.worker is None or self.worker.ended.done()):
            self.worker = await self.zygote.fork(self.order("worker", trap=trap))
        life = self.life
        await until(lambda: _size(self.folder / "trace") > start or life.ended.done())

    async def keep(self) -> None:
        """Start the shop again whenever it was killed, as an operator's supervisor does; anything else is wrong."""
        while True:
            assert self.life is not None
            status = await asyncio.shield(self.life.ended)
            if self.what != "bot" and status == 0:
                return
            if status != -signal.SIGKILL:
                raise Violation(f"the shop ended by itself with status {status}")
            # Once begun it goes on, whatever becomes of who waits here: no birth is lost.
            self._succession = asyncio.create_task(self.succeed())
            await asyncio.shield(self._succession)

    async def settled(self) -> None:
        """Wait for a succession that is under way."""
        if self._succession is not None:
            await self._succession

    async def succeed(self) -> None:
        """The next life takes over, when all that the dead one held has run out."""
        self.disconnect()
        self.deaths += 1
        with (self.folder / "trace").open("a", encoding="utf-8") as trace:
            trace.write("died\n")
        self.clock.forward(DEATH_SECONDS)
        await self.begin()

    async def keep_worker(self) -> None:
        while self.worker is not None:
            await asyncio.shield(self.worker.ended)
            self.worker = await self.zygote.fork(self.order("worker"))

    async def shoot(self) -> None:
        """Kills from outside, at moments that have nothing to do with what the process does."""
        assert self.shots is not None
        while (pause := self.shots()) > 0:
            await asyncio.sleep(pause)
            if self.life is not None:
                self.life.signal(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM to what runs, as a deploy does; the bot's exit status."""
        assert self.life is not None
        if self.worker is not None:
            await self.worker.end(signal.SIGTERM)
        return await self.life.end(signal.SIGTERM)

    async def kill(self) -> None:
        with contextlib.suppress(AssertionError, TimeoutError):
            await self.settled()
        for life in (self.life, self.worker):
            if life is not None:
                await life.end(signal.SIGKILL)

    # --- time ---------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Move the shop's clock to the next due time whenever all it does is wait for it."""
        while True:
            await asyncio.sleep(0.05)
            size = _size(self.folder / "trace", IDLING)
            if size != self._moved[0] or self._connection is None or self.life is None or self.life.ended.done():
                self._moved = (size, time.monotonic())
                self._connect()
                continue
            if time.monotonic() - self._moved[1] > IDLE and (wait := self._next_due()) is not None:
                self.clock.forward(max(wait, 0.0) + 0.01)
                self._moved = (size, time.monotonic())

    def _next_due(self) -> float | None:
        """Seconds until the next thing that waits for its time alone; None while somebody holds a lease."""
        now = int(self.clock.now() * 1000)
        held = self.now_rows(
            "SELECT 1 FROM jobs WHERE lease_until > ? UNION SELECT 1 FROM outbox WHERE lease_until > ?", now, now
        )
        if held:
            return None
        due = _DUE + _LOOKS if self.polls else _DUE
        times = [row[0] for row in self.now_rows(due) if row[0] is not None and row[0] > now]
        return (min(times) - now) / 1000 if times else None

    # --- looking ------------------------------------------------------------------------------------

    def _connect(self) -> None:
        # Opened only beside a living shop: the first to open a file after a death mends it, and that is the shop's.
        if self._connection is None and self.life is not None and not self.life.ended.done() and self.path.exists():
            self._connection = sqlite.connect(str(self.path), timeout=10, isolation_level=None)

    def disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def now_rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        self._connect()
        if self._connection is None:
            return []
        try:
            return list(self._connection.execute(query, values).fetchall())
        except sqlite.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise

    async def until(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Wait for rows."""
        found: list[tuple[Any, ...]] = await until(lambda: self.now_rows(query, *values))
        return found

    async def saw(self, point: str) -> None:
        """Wait until some life has passed this point."""
        wanted = (AFTER, point)
        await until(lambda: wanted in self.passed)

    def write(self, statement: str) -> None:
        """Change rows behind the shop's back, as time would."""
        self._connect()
        assert self._connection is not None
        self._connection.execute(statement)

    def answers(self) -> int:
        """How many taps were answered so far."""
        return self.sandbox.calls("telegram", "answerCallbackQuery")

    async def job(self, number: int = 1) -> tuple[str, str]:
        """Id and status of the n-th job once it is final."""
        rows = await self.until("SELECT id, status FROM jobs ORDER BY created_at, id LIMIT 1 OFFSET ?", number - 1)
        done = "SELECT id, status FROM jobs WHERE id = ? AND status NOT IN ('pending', 'processing')"
        return (await self.until(done, rows[0][0]))[0][:2]  # type: ignore[return-value]

    async def post(self, path: str, body: Any = None) -> Any:
        async with self.sandbox.http.post(f"{self.sandbox.url}{path}", json=body or {}) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    def is_quiet(self) -> bool:
        """Nothing is open: no job, no message that is owed, no notification, no return, no update."""
        telegram = self.sandbox.world.faces["telegram"]
        self._connect()
        return self._connection is not None and not self.open_rows() and not len(telegram.bot(BOT_ID).updates)

    def open_rows(self) -> dict[str, list[Any]]:
        """What is under way, by kind."""
        found = {kind: [row[0] for row in self.now_rows(query)] for kind, query in _OPEN.items()}
        return {kind: rows for kind, rows in found.items() if rows}

    def after(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows once everything has ended."""
        connection = sqlite.connect(str(self.path))
        try:
            return list(connection.execute(query, values).fetchall())
        finally:
            connection.close()


# What passes again and again while nothing happens.
IDLING = re.compile(
    rb"(before|after) (commit database\.(outbox\.claim|flags\.take_lease|inbox\.due|payments\.take_due|refunds\.due"
    rb"|inbox\.forget_old|drafts\.forget_old|drafts\.forget_conversations|outbox\.forget_old)"
    rb"|commit services\.ops\.backups\._claim|commit database\.audit\.schedule\.due|telegram (GetUpdates|GetMe))\n"
)
_DUE = """
    SELECT due_at FROM jobs WHERE due_at IS NOT NULL UNION ALL
    SELECT due_at FROM outbox WHERE due_at IS NOT NULL UNION ALL
    SELECT next_look_at FROM refunds WHERE next_look_at IS NOT NULL UNION ALL
    SELECT due_at FROM inbox WHERE due_at IS NOT NULL AND error IS NOT NULL
"""
_LOOKS = " UNION ALL SELECT next_look_at FROM payments WHERE next_look_at IS NOT NULL AND status = 'pending'"

_OPEN = {
    "jobs": "SELECT id FROM jobs WHERE step IS NOT NULL",
    "outbox": "SELECT key FROM outbox WHERE due_at IS NOT NULL",
    "inbox": "SELECT key FROM inbox WHERE due_at IS NOT NULL",
    "refunds": "SELECT id FROM refunds WHERE next_look_at IS NOT NULL",
}


def _size(trace: Path, less: re.Pattern[bytes] | None = None) -> int:
    """How much was written, without what says nothing."""
    try:
        data = trace.read_bytes()
    except FileNotFoundError:
        return 0
    return len(data) if less is None else len(less.sub(b"", data))
