"""Whole copies of the database file: taken while in use, checked before they count, put back only where nothing is."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from pysqlite3 import dbapi2 as sqlite

from database.errors import DatabaseUnavailable


class BackupFailed(DatabaseUnavailable):
    """The copy was not made, or is not sound; the source is untouched and no half copy is left behind."""


def copy(source: Path, target: Path) -> None:
    """Copy a database, open or not, in one step of SQLite's backup API; check the copy, then give it its name.

    In one step, because a copy in small steps begins anew whenever another process writes. Raises BackupFailed.
    """
    if target.exists():
        raise BackupFailed(f"{target} exists; a backup never overwrites")
    if not source.exists():
        raise BackupFailed(f"{source} does not exist")
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with _opened(source) as origin, _opened(scratch) as made:
            origin.backup(made, pages=-1)
            made.execute("PRAGMA journal_mode=DELETE")
            verdict = made.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if verdict != "ok":
            raise BackupFailed(f"the copy of {source} is damaged: {verdict}")
        _sync(scratch)
        os.link(scratch, target)  # fails where a rename would silently replace
        _sync(target.parent)
    except (sqlite.Error, OSError, UnicodeDecodeError) as error:  # the last: its damage reached SQLite's own words
        raise BackupFailed(f"{source} was not copied: {error}") from error
    finally:
        scratch.unlink(missing_ok=True)


def holds_a_shop(path: Path) -> bool:
    """Whether the file is a database of this program, of version 1.3 or later. Raises BackupFailed when unreadable."""
    try:
        with _opened(path) as connection:
            names = {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except (sqlite.Error, OSError, UnicodeDecodeError) as error:
        raise BackupFailed(f"{path} can't be read: {error}") from error
    return bool(names & {"ledger", "wallets"})


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite.Connection]:
    connection = sqlite.connect(str(path), timeout=10.0, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
