"""Another program at the file, which takes the guards of the schema away."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator

from database.models import Database


@contextlib.asynccontextmanager
async def intruder(db: Database) -> AsyncIterator[sqlite3.Connection]:
    """Another program with its own SQLite: takes the triggers away, does as it likes, puts them back as they were."""
    async with other_program(db) as connection:
        guards = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        for _, sql in guards:
            connection.execute(sql)


@contextlib.asynccontextmanager
async def other_program(db: Database) -> AsyncIterator[sqlite3.Connection]:
    """A connection of another SQLite library. In one process two of them would break each other's locks."""
    await db.close()
    with contextlib.closing(sqlite3.connect(db.path, isolation_level=None)) as connection:
        yield connection
