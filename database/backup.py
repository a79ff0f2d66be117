"""Copies of the whole database file: made while it is in use, checked, and restored only to an empty place."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from database.errors import DatabaseUnavailable
from database.sqlite_library import sqlite

UNREADABLE = (sqlite.Error, OSError, UnicodeDecodeError)  # the last: SQLite's message quotes damaged bytes


class BackupFailed(DatabaseUnavailable):
    """The copy was not made, or is damaged. The source is unchanged and no incomplete copy is left."""


def copy(source: Path, target: Path) -> None:
    """Copy a database, which may be in use, in one step of SQLite's backup API. Check the copy, then name it `target`.

    In one step, because a copy in small steps starts again each time another process writes. Raises BackupFailed.
    """
    if target.exists():
        raise BackupFailed(f"{target} exists; a backup never overwrites")
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        duplicate(source, scratch)
        if (verdict := damage(scratch)) is not None:
            raise BackupFailed(f"the copy of {source} is damaged: {verdict}")
        os.link(scratch, target)  # fails if the name exists, where a rename would replace the file
        sync(target.parent)
    except OSError as error:
        raise BackupFailed(f"{source} was not copied: {error}") from error
    finally:
        scratch.unlink(missing_ok=True)


def restore(source: Path, target: Path) -> None:
    """`copy`, with a mark file beside it: what happened after the copy was made is not known yet. Raises BackupFailed.

    A write-ahead log of the lost database must not be there: SQLite would take it for the copy's own and apply it.
    """
    for name in (target.name, f"{target.name}-wal", f"{target.name}-journal"):
        if (there := target.with_name(name)).exists():
            raise BackupFailed(f"{there} exists; a restore never overwrites: move {target}* away first")
    mark = mark_of(target)
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        sync(mark.parent)
        copy(source, target)
    except OSError as error:
        raise BackupFailed(f"{source} was not restored: {error}") from error
    finally:
        if not target.exists():
            mark.unlink(missing_ok=True)


def undo_restore(target: Path) -> None:
    """Remove what `restore` put there: no program can open it, and another copy needs the place.

    The log is removed first: if it was left, SQLite would apply it to the next copy.
    """
    for name in (f"{target.name}-wal", f"{target.name}-shm", target.name):
        target.with_name(name).unlink(missing_ok=True)
    mark_of(target).unlink(missing_ok=True)


def mark_of(path: Path) -> Path:
    """The mark beside a restored database. It is removed after the comparison with the providers' books."""
    return path.with_name(f"{path.name}.restored")


def duplicate(source: Path, target: Path) -> None:
    """Copy all pages of a database as they are at one moment; they are on disk when this returns, but not checked.

    Other processes may write meanwhile. Raises BackupFailed; an incomplete copy is removed.
    """
    if not source.exists():
        raise BackupFailed(f"{source} does not exist")
    try:
        with _opened(source) as origin, _opened(target) as made:
            origin.backup(made, pages=-1)
            made.execute("PRAGMA journal_mode=DELETE")
        sync(target)
    except UNREADABLE as error:
        for leftover in (target, target.with_name(f"{target.name}-journal")):
            leftover.unlink(missing_ok=True)
        raise BackupFailed(f"{source} was not copied: {error}") from error


def damage(path: Path) -> str | None:
    """The first error that SQLite finds in the pages of a file; None when there is none."""
    try:
        with _opened(path) as connection:
            verdict = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except UNREADABLE as error:
        return str(error)
    return None if verdict == "ok" else verdict


def holds_a_shop(path: Path) -> bool:
    """Whether the file is a database of this program, of version 1.3 or later. Raises BackupFailed when unreadable."""
    try:
        with _opened(path) as connection:
            names = {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except UNREADABLE as error:
        raise BackupFailed(f"{path} can't be read: {error}") from error
    return bool(names & {"ledger", "wallets"})


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite.Connection]:
    connection = sqlite.connect(str(path), timeout=10.0, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
