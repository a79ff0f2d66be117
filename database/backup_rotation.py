"""The hourly copies of the database. Each copy is restored as a test and audited before it counts; a few are kept.

    python -m database.backup_rotation data/bot.db data/backups 1763848800000

is one round, in a process of its own. No other process waits for it, and it may be killed or run out of disk at any
line. Unfinished files are in one folder, which the next round clears. A copy gets its name only when it is verified.
The process prints one line of JSON.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from database import backup
from database.audit import run as audit
from database.backup import BackupFailed
from database.engine import SqliteFile
from database.errors import DatabaseError

FOLDER = "backups"  # beside the database
UNFINISHED = ".unfinished"
LOCK = ".lock"
HOURLY, DAILY, WEEKLY = 24, 7, 4
SET_ASIDE = 2  # how many damaged or faulty copies are kept
ROOM_TO_SPARE = 64 * 1024 * 1024  # the database that is copied needs room to grow
_NAME = re.compile(r"(\d{8}-\d{6})\.db")
_DOUBTFUL = re.compile(r"(\d{8}-\d{6})-(?:damaged|faulty)\.db")


class Outcome(StrEnum):
    """How a round ended."""

    VERIFIED = "verified"  # restored as a test, and its books are sound
    DAMAGED = "damaged"  # a copy was made, and it can't be read as a database; set aside
    FAULTY = "faulty"  # a copy was made, and its books or its schema are wrong; set aside
    FAILED = "failed"  # no copy could be made
    BUSY = "busy"  # another process is making a copy


@dataclass(frozen=True)
class Round:
    """The result of a round: name and size (bytes) of the copy, if there is one, and what was wrong."""

    outcome: Outcome
    name: str = ""
    size: int = 0
    detail: str = ""


def make(source: Path, folder: Path, *, now_ms: int) -> Round:
    """Copy `source` into `folder`, verify the copy, and only then delete older ones."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder) as alone:
            return _round(source, folder, now_ms) if alone else Round(Outcome.BUSY)
    except (OSError, BackupFailed) as error:
        return Round(Outcome.FAILED, detail=str(error))


def _round(source: Path, folder: Path, now_ms: int) -> Round:
    moment = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%d-%H%M%S")
    scratch = folder / UNFINISHED
    shutil.rmtree(scratch, ignore_errors=True)  # left by a round that was killed
    scratch.mkdir()
    try:
        _require_room(source, folder)
        made = scratch / f"{moment}.db"
        backup.duplicate(source, made)
        outcome, detail = _verify(made, scratch / "restored.db")
        name = made.name if outcome is Outcome.VERIFIED else f"{moment}-{outcome}.db"
        if (folder / name).exists():
            raise BackupFailed(f"{folder / name} exists; a backup never overwrites")
        size = made.stat().st_size
        made.rename(folder / name)
        backup.sync(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _delete_old(folder, verified=outcome is Outcome.VERIFIED)
    return Round(outcome, name, size, detail)


def _verify(made: Path, restored: Path) -> tuple[Outcome, str]:
    """Restore the copy as an admin would, and audit the result. Raises BackupFailed when there is no room for it."""
    if (fault := backup.damage(made)) is not None:
        return Outcome.DAMAGED, fault
    backup.copy(made, restored)
    try:
        faults = _audit(restored)
    except DatabaseError as error:
        return Outcome.DAMAGED, str(error)
    return (Outcome.FAULTY, "; ".join(faults)) if faults else (Outcome.VERIFIED, "")


def _audit(path: Path) -> list[str]:
    from database.migrate import current_revision, newest_revision  # imports Alembic, which the bot does not need here

    file = SqliteFile.open(path)
    try:
        with file.reading() as connection:
            revision, newest = current_revision(connection), newest_revision()
            if revision != newest:
                return [f"its schema is {revision}, the program's {newest}"]
    finally:
        file.close()
    return [f"{one.check}: {one}" for one in audit.run(path, threads=1, deep=True).findings]


def _require_room(source: Path, folder: Path) -> None:
    """Two copies are made, one to keep and one to test. They must leave room for the database itself."""
    wal = source.with_name(f"{source.name}-wal")
    size = source.stat().st_size + (wal.stat().st_size if wal.exists() else 0)
    needed, free = 2 * size + ROOM_TO_SPARE, shutil.disk_usage(folder).free
    if free < needed:
        raise BackupFailed(f"the disk is nearly full: {needed >> 20} MB are needed, {free >> 20} MB are free")


# --- what is kept ---------------------------------------------------------------------------------


def verified(folder: Path) -> list[str]:
    """Names of the verified copies, oldest first."""
    return sorted(one.name for one in folder.iterdir() if _NAME.fullmatch(one.name))


def kept(names: list[str]) -> set[str]:
    """The verified copies to keep: the newest of each of the last 24 hours, 7 days and 4 weeks that have a copy.

    Only hours, days and weeks with a copy count, so newer copies replace an old one, never time alone.
    """
    keep: set[str] = set()
    for pattern, most in (("%Y%m%d%H", HOURLY), ("%Y%m%d", DAILY), ("%G%V", WEEKLY)):
        newest: dict[str, str] = {}
        for name in sorted(names):
            newest[_moment(name).strftime(pattern)] = name
        keep.update(sorted(newest.values())[-most:])
    return keep


def _moment(name: str) -> datetime:
    return datetime.strptime(name[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)


def _delete_old(folder: Path, *, verified: bool) -> None:
    """Delete what newer copies replace: older verified ones only after a verified round, older doubtful ones always."""
    names = sorted(one.name for one in folder.iterdir())
    proven = [name for name in names if _NAME.fullmatch(name)]
    old = set(proven) - kept(proven) if verified else set()
    old.update([name for name in names if _DOUBTFUL.fullmatch(name)][:-SET_ASIDE])
    for name in old:
        (folder / name).unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """True inside when no other process makes a copy here. The kernel frees the lock when the process dies."""
    with (folder / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def main(arguments: list[str]) -> int:
    """One round as a process. The exit status is always 0: the printed line says how the round ended."""
    source, folder, now_ms = arguments
    os.umask(0o077)  # only this account may read the copies
    os.nice(10)
    print(json.dumps(dataclasses.asdict(make(Path(source), Path(folder), now_ms=int(now_ms)))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
