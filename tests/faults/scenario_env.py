"""The environment of one scenario: the sandbox, a database file, and processes that are killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pysqlite3 import dbapi2 as sqlite

from tests.faults import points
from tests.faults.instrument import AFTER, KILLED, KillPoint
from tests.faults.processes import Child, ForkServer, Violation, until
from tests.faults.shared_clock import SharedClock
from tests.support.bot_env import ANYA, BOT_ID, Person
from tests.support.process_env import free_port
from tests.support.sandbox_fixture import ADMIN, Sandbox

SPEED = 5.0  # simulated seconds a real second, outside; the product's own clock jumps where nothing happens
IDLE_SECONDS = 0.15  # real seconds without a pass: what still waits, waits for its time
AFTER_A_KILL_SECONDS = 200.0  # every lease of the killed process has ended, and what it was doing is due

IDLE_POINTS = (
    "commit database.audit.schedule.due",
    "commit database.drafts.forget_conversations",
    "commit database.drafts.forget_old",
    "commit database.flags.take_lease",
    "commit database.inbox.due",
    "commit database.inbox.forget_old",
    "commit database.outbox.claim",
    "commit database.outbox.forget_old",
    "commit database.payments.take_due",
    "commit database.refunds.due",
    "commit services.ops.backups._claim",
    "telegram GetMe",
    "telegram GetUpdates",
)
"""What is passed again and again while nothing happens."""

_idle_lines = re.compile(rf"(before|after) ({'|'.join(map(re.escape, IDLE_POINTS))})\n".encode())

_DUE = """
    SELECT due_at FROM jobs WHERE due_at IS NOT NULL UNION ALL
    SELECT due_at FROM outbox WHERE due_at IS NOT NULL UNION ALL
    SELECT next_look_at FROM refunds WHERE next_look_at IS NOT NULL UNION ALL
    SELECT due_at FROM inbox WHERE due_at IS NOT NULL AND error IS NOT NULL
"""
_PAYMENTS_DUE = " UNION ALL SELECT next_look_at FROM payments WHERE next_look_at IS NOT NULL AND status = 'pending'"

_OPEN = {
    "jobs": "SELECT id FROM jobs WHERE step IS NOT NULL",
    "outbox": "SELECT key FROM outbox WHERE due_at IS NOT NULL",
    "inbox": "SELECT key FROM inbox WHERE due_at IS NOT NULL",
    "refunds": "SELECT id FROM refunds WHERE next_look_at IS NOT NULL",
}

Rows = list[tuple[Any, ...]]


@dataclass
class ScenarioEnv:
    """`program` is what runs (bot, migrate, calls); `kill_point` and `pauses` say when it is killed."""

    fork_server: ForkServer
    sandbox: Sandbox
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    kill_point: KillPoint | None = None
    patch: str = ""  # the dotted name of a function that changes the process before it begins
    program: str = "bot"
    starts: int = 0
    kills: int = 0
    pauses: Callable[[], float] | None = None  # seconds before each kill from outside; 0 ends them
    with_worker: bool = False
    polls: bool = False  # the clock jumps to the next poll of an unpaid payment as well
    flush_redis: Callable[[], object] = field(default=lambda: None)
    calls: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = SharedClock(self.folder / "clock")
        self.port = free_port()
        self.anya, self.admin = Person(ANYA, self.sandbox), Person(ADMIN, self.sandbox)
        self.process: Child | None = None
        self.worker: Child | None = None
        self._restarting: asyncio.Task[None] | None = None
        self._connection: sqlite.Connection | None = None
        self._last_pass = (0, time.monotonic())

    @property
    def path(self) -> Path:
        return self.folder / "bot.db"

    @property
    def trace(self) -> Path:
        return self.folder / "trace"

    @property
    def passed(self) -> list[tuple[str, str]]:
        """(edge, point) of everything passed so far, in order, by all processes."""
        with contextlib.suppress(FileNotFoundError):
            lines = self.trace.read_text(encoding="utf-8").splitlines()
            return [(edge, point) for edge, _, point in (line.partition(" ") for line in lines)]
        return []

    # --- processes ----------------------------------------------------------------------------------

    def order(self, program: str, kill_point: KillPoint | None = None) -> dict[str, Any]:
        """What the fork server is told to start."""
        settings = {
            "HTTP_PORT": str(self.port),
            "PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            "RATE_LIMIT_PER_MINUTE": "1000",
            "CATALOGUE_PATH": str(self.folder / "catalogue.toml"),
            **self.settings,
        }
        return {
            "program": program,
            "folder": str(self.folder),
            "environment": self.sandbox.environment(self.folder, **settings),
            "patch": self.patch,
            "kill_point": kill_point,
            "calls": self.calls,
        }

    async def start(self) -> None:
        """Start the next process; only the first one is killed at the kill point."""
        kill_point = self.kill_point if self.starts == 0 else None
        self.starts += 1
        size = _size(self.trace)
        process = self.process = await self.fork_server.fork(self.order(self.program, kill_point))
        if self.with_worker and (self.worker is None or not self.worker.runs):
            self.worker = await self.fork_server.fork(self.order("worker", kill_point))
        await until(lambda: _size(self.trace) > size or not process.runs)

    async def keep_running(self) -> None:
        """Start the program again whenever it was killed, as an operator's supervisor does. Other ends are wrong."""
        while True:
            assert self.process is not None
            status = await asyncio.shield(self.process.ended)
            if self.program != "bot" and status == 0:
                return
            if status != -signal.SIGKILL:
                raise Violation(f"the program ended by itself with status {status}")
            # It goes on, whatever becomes of this task: no process that was forked is forgotten.
            self._restarting = asyncio.create_task(self.restart())
            await asyncio.shield(self._restarting)

    async def restart_done(self) -> None:
        """Wait for a restart that is under way."""
        if self._restarting is not None:
            await self._restarting

    async def restart(self) -> None:
        """The next process takes over, when all that the killed one held has ended."""
        self.disconnect()
        self.kills += 1
        with self.trace.open("a", encoding="utf-8") as trace:
            trace.write(f"{KILLED}\n")
        self.clock.forward(AFTER_A_KILL_SECONDS)
        await self.start()

    async def keep_worker_running(self) -> None:
        while self.worker is not None:
            await asyncio.shield(self.worker.ended)
            self.worker = await self.fork_server.fork(self.order("worker"))

    async def kill_from_outside(self) -> None:
        """Kill at moments that have nothing to do with what the process does."""
        assert self.pauses is not None
        while (pause := self.pauses()) > 0:
            await asyncio.sleep(pause)
            if self.process is not None:
                self.process.send(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM to what runs, as a deploy does; the program's exit status."""
        assert self.process is not None
        if self.worker is not None:
            await self.worker.end(signal.SIGTERM)
        return await self.process.end(signal.SIGTERM)

    async def kill_all(self) -> None:
        with contextlib.suppress(AssertionError, TimeoutError):
            await self.restart_done()
        for process in (self.process, self.worker):
            if process is not None:
                await process.end(signal.SIGKILL)

    # --- time ---------------------------------------------------------------------------------------

    async def move_clock(self) -> None:
        """Move the product's clock to the next due time whenever all it does is wait for it."""
        while True:
            await asyncio.sleep(0.05)
            size = _size(self.trace, without=_idle_lines)
            if size != self._last_pass[0] or self._connection is None or not self._runs:
                self._last_pass = (size, time.monotonic())
                self._connect()
                continue
            if time.monotonic() - self._last_pass[1] > IDLE_SECONDS and (wait := self._next_due()) is not None:
                self.clock.forward(max(wait, 0.0) + 0.01)
                self._last_pass = (size, time.monotonic())

    def _next_due(self) -> float | None:
        """Seconds until the next thing that waits for nothing but its time; None while somebody holds a lease."""
        now = int(self.clock.now() * 1000)
        held = self.rows(
            "SELECT 1 FROM jobs WHERE lease_until > ? UNION SELECT 1 FROM outbox WHERE lease_until > ?", now, now
        )
        if held:
            return None
        due = _DUE + _PAYMENTS_DUE if self.polls else _DUE
        times = [row[0] for row in self.rows(due) if row[0] is not None and row[0] > now]
        return (min(times) - now) / 1000 if times else None

    # --- reading ------------------------------------------------------------------------------------

    @property
    def _runs(self) -> bool:
        return self.process is not None and self.process.runs

    def _connect(self) -> None:
        # Only beside a running process: who opens a file first after a kill repairs it, and that is the product's task.
        if self._connection is None and self._runs and self.path.exists():
            self._connection = sqlite.connect(str(self.path), timeout=10, isolation_level=None)

    def disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def rows(self, query: str, *values: Any) -> Rows:
        """What the database holds now; nothing while no process runs."""
        self._connect()
        if self._connection is None:
            return []
        try:
            return list(self._connection.execute(query, values).fetchall())
        except sqlite.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise

    def final_rows(self, query: str, *values: Any) -> Rows:
        """What the database holds once every process has ended."""
        with contextlib.closing(sqlite.connect(str(self.path))) as connection:
            return list(connection.execute(query, values).fetchall())

    def write(self, statement: str) -> None:
        """Change rows without the product, as the passing of time would."""
        self._connect()
        assert self._connection is not None
        self._connection.execute(statement)

    def answered_taps(self) -> int:
        return self.sandbox.calls("telegram", "answerCallbackQuery")

    def open_rows(self) -> dict[str, list[Any]]:
        """What is under way, by kind."""
        found = {kind: [row[0] for row in self.rows(query)] for kind, query in _OPEN.items()}
        return {kind: rows for kind, rows in found.items() if rows}

    def is_quiet(self) -> bool:
        """Nothing is open: no job, no message to be sent, no notification, no refund, no update."""
        telegram = self.sandbox.world.faces["telegram"]
        self._connect()
        return self._connection is not None and not self.open_rows() and not len(telegram.bot(BOT_ID).updates)

    # --- waiting ------------------------------------------------------------------------------------

    async def until_rows(self, query: str, *values: Any) -> Rows:
        """Wait until the query finds rows, and answer them."""
        found: Rows = await until(lambda: self.rows(query, *values))
        return found

    async def until_passed(self, point: str) -> None:
        """Wait until some process has passed this point."""
        assert point in points.names(), f"the code has no {point}"
        await until(lambda: (AFTER, point) in self.passed)

    async def finished_job(self, number: int = 1) -> str:
        """The id of the job of this number, once it is final."""
        query = "SELECT id FROM jobs ORDER BY created_at, id LIMIT 1 OFFSET ?"
        ((job,), *_) = await self.until_rows(query, number - 1)
        await self.until_rows("SELECT 1 FROM jobs WHERE id = ? AND status NOT IN ('pending', 'processing')", job)
        return str(job)

    async def post(self, path: str, body: Any = None) -> Any:
        """Ask the sandbox for something that happens outside."""
        async with self.sandbox.http.post(f"{self.sandbox.url}{path}", json=body or {}) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


def _size(trace: Path, without: re.Pattern[bytes] | None = None) -> int:
    """How much was written."""
    try:
        data = trace.read_bytes()
    except FileNotFoundError:
        return 0
    return len(data) if without is None else len(without.sub(b"", data))
