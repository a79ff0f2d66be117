"""What the database layer costs: holds and charges, and reading a balance with a long history."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pysqlite3 import dbapi2 as sqlite

from benchmarks.machine import side_by_side
from database.models import Database

PRICE = 1_200
PLENTY = 10**11
AT_ONCE = 10
SHORT, LONG = 10, 100_000


async def shop(path: Path) -> Database:
    db = Database(f"sqlite:///{path}")
    await db.init_db()
    for user_id in range(1, AT_ONCE + 1):
        await db.add_balance(user_id, PLENTY, key=f"start-{user_id}", reason="benchmark")
    return db


@contextmanager
def bare(path: Path) -> Iterator[sqlite.Connection]:
    """A plain connection that is as durable as ours, with the same schema, triggers and constraints."""
    with closing(sqlite.connect(str(path), isolation_level=None)) as connection:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "recursive_triggers=ON"):
            connection.execute(f"PRAGMA {pragma}")
        yield connection


def hold_and_charge(connection: sqlite.Connection, user_id: int, job_id: str) -> None:
    """Only the statements of a reserve and a charge, in the same two commits."""
    now = time.time_ns() // 1_000_000
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("SELECT balance FROM balances WHERE user_id = ?", (user_id,)).fetchone()
    connection.execute(
        "INSERT INTO ledger (user_id, kind, amount, reason, job_id, key, created_at)"
        " VALUES (?, 'debit', ?, 'reserve', ?, ?, ?)",
        (user_id, -PRICE, job_id, f"reserve:{job_id}", now),
    )
    connection.execute(
        "INSERT INTO reservations (job_id, user_id, amount, hold_until, created_at) VALUES (?, ?, ?, ?, ?)",
        (job_id, user_id, PRICE, now + 900_000, now),
    )
    connection.execute("COMMIT")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        "UPDATE reservations SET state = 'charged', charged = amount, closed_at = ?"
        " WHERE job_id = ? AND state = 'reserved'",
        (now, job_id),
    )
    connection.execute("COMMIT")


async def holds(folder: Path) -> list[str]:
    """Reserve and charge by `Database`, one caller and ten, compared with the bare statements in the same commits."""
    db = await shop(folder / "ours.db")
    await (await _closed(folder / "bare.db")).close()
    numbers = itertools.count()
    with bare(folder / "bare.db") as connection:

        async def ours(user_id: int = 1) -> int:
            job_id = f"job-{next(numbers)}"
            await db.reserve_balance(user_id, PRICE, job_id)
            await db.charge_reserved_balance(job_id)
            return 1

        async def ours_at_once() -> int:
            return sum(await asyncio.gather(*(ours(user_id) for user_id in range(1, AT_ONCE + 1))))

        async def plain() -> int:
            hold_and_charge(connection, 1, f"job-{next(numbers)}")
            return 1

        alone, bare_alone = await side_by_side(ours, plain)
        crowd, bare_again = await side_by_side(ours_at_once, plain, seconds=1.0)
    await db.close()
    return [
        _line("reserve + charge, one caller", alone, "bare statements", bare_alone),
        _line("reserve + charge, ten callers", crowd, "bare statements", bare_again),
    ]


def _line(subject: str, ours: float, against: str, theirs: float) -> str:
    return f"{subject}: {ours:.0f}/s, {against} {theirs:.0f}/s, ratio {ours / theirs:.2f}"


async def _closed(path: Path) -> Database:
    db = await shop(path)
    await db.close()
    return db


async def balances(folder: Path) -> list[str]:
    """Read the balance of a user with few entries and of one with very many."""
    db = await shop(folder / "long.db")
    await db.close()
    with bare(folder / "long.db") as connection:
        _fill(connection, 1, SHORT - 1)
        _fill(connection, 2, LONG - 1)

    async def read(user_id: int) -> int:
        await asyncio.gather(*(db.get_balance(user_id) for _ in range(20)))
        return 20

    short, long = await side_by_side(lambda: read(1), lambda: read(2), seconds=1.0)
    await db.close()
    return [_line(f"balance of {LONG} entries", long, f"of {SHORT} entries", short)]


def _fill(connection: sqlite.Connection, user_id: int, count: int) -> None:
    now = time.time_ns() // 1_000_000
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(
        "INSERT INTO ledger (user_id, kind, amount, reason, key, created_at)"
        " VALUES (?, 'debit', -1, 'benchmark', ?, ?)",
        ((user_id, f"fill-{user_id}-{number}", now) for number in range(count)),
    )
    connection.execute("COMMIT")
