"""A fresh database for each test, a clock that tests move by hand, and the books checked when the test is over."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import pytest_asyncio
from sqlalchemy import event, text

from database.audit.checks import check_file, run_checks
from database.models import Database, Tx
from tests.support.empty_database import lay_out

ROOT = Path(__file__).resolve().parents[2]
MINUTE = 60_000
HOUR = 60 * MINUTE


class Clock:
    """UTC milliseconds that only move when told."""

    def __init__(self) -> None:
        self.now = time.time_ns() // 1_000_000

    def __call__(self) -> int:
        return self.now

    def forward(self, milliseconds: int) -> None:
        self.now += milliseconds


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


class HasDatabase(Protocol):
    """Any environment of tests."""

    @property
    def db(self) -> Database: ...


async def change(env: HasDatabase, statement: str, **values: object) -> None:
    """What passing time, another program or an older version would have left in the file."""

    def run(tx: Tx) -> None:
        tx.execute(text(statement), values)

    await env.db.write(run)


async def assert_books(db: Database) -> None:
    """Every invariant that rows can show holds, and the file itself is sound."""
    assert await db.read(run_checks) == []
    assert await db.read(check_file) == []


async def snapshot(db: Database, *tables: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of some tables, to see that nothing was written."""

    def read(tx: Tx) -> dict[str, list[tuple[Any, ...]]]:
        names = tables or ("ledger", "balances", "reservations", "debts", "jobs", "payments", "refunds", "outbox")
        return {name: [tuple(row) for row in tx.execute(text(f"SELECT * FROM {name}"))] for name in names}

    return await db.read(read)


def plan_of(tx: Tx, look: Callable[..., object], *args: Any, **kwargs: Any) -> list[str]:
    """How SQLite finds the rows that `query` reads: a line for each table of each statement."""
    ran: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *others: Any) -> None:
        ran.append((statement, parameters))

    event.listen(tx.connection, "before_cursor_execute", note)
    look(tx, *args, **kwargs)
    event.remove(tx.connection, "before_cursor_execute", note)
    return [
        str(row[3])
        for statement, parameters in ran
        for row in tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
    ]


@contextlib.asynccontextmanager
async def busy(db: Database) -> AsyncIterator[None]:
    """While this process's own database thread has other work to do."""
    begun, go_on = threading.Event(), threading.Event()

    def work(tx: Tx) -> None:
        begun.set()
        assert go_on.wait(60)

    working = asyncio.create_task(db.read(work))
    assert await asyncio.to_thread(begun.wait, 30)
    try:
        async with asyncio.timeout(20):
            yield
    finally:
        go_on.set()
        await working


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database_path(tmp_path: Path) -> Path:
    return tmp_path / "bot.db"


@pytest_asyncio.fixture
async def empty_db(database_path: Path, clock: Clock) -> AsyncIterator[Database]:
    """A fresh database whose books the test may break on purpose."""
    lay_out(database_path)
    db = Database(url_of(database_path), clock=clock)
    await db.init_db()
    yield db
    await db.close()


@pytest_asyncio.fixture
async def db(empty_db: Database) -> AsyncIterator[Database]:
    """A fresh database; when the test is over its books must hold."""
    yield empty_db
    await assert_books(empty_db)


@contextlib.contextmanager
def program(code: str, *args: object, seconds: float = 30, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A Python process of its own that runs `code` from the project's root; killed when the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=seconds)


def run_program(code: str, *args: object, seconds: float = 30, **options: Any) -> str:
    """Run a program to its end within `seconds`; answers what it printed. Raises when it fails."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
