"""Automatic copies of the database, every hour: when one is due, how it ended, and the message to admins.

The work is done by a process of its own (`database/backup_rotation.py`). The time of the next copy is a row. It is
moved forward before the work begins, so that a restart neither repeats nor skips a copy.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from database import flags as flag_rows
from database.backup_rotation import FOLDER, Outcome, Round
from database.clock import HOUR_MS, HOUR_SECONDS
from database.models import Database, Tx
from database.outbox import alert_admins
from services.common.log import event

EVERY_MS = HOUR_MS
AGAIN_MS = 600 * 1000  # after a copy that failed, or whose process died
FIRST_MS = 300 * 1000  # after the first start, when the bot has other things to do
LIMIT_SECONDS = float(HOUR_SECONDS)
DUE = "backup_due_ms"
LAST = "backup_last"  # how the last one ended
GOOD = "backup_verified"  # the last verified one
ROOT = Path(__file__).resolve().parents[2]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ended:
    """A round and when it began (UTC milliseconds)."""

    at: int
    outcome: Outcome
    name: str
    size: int
    detail: str = ""


@dataclass(frozen=True)
class State:
    """The last round, the last verified one, and the time of this reading (UTC milliseconds)."""

    last: Ended | None
    good: Ended | None
    now: int

    @property
    def age_seconds(self) -> float:
        """Seconds since the last verified copy; infinite while there is none."""
        return float("inf") if self.good is None else max(0.0, (self.now - self.good.at) / 1000)


def state(tx: Tx) -> State:
    """The state of the copies, from their rows."""
    return State(_ended(flag_rows.get(tx, LAST)), _ended(flag_rows.get(tx, GOOD)), tx.now)


def _ended(value: str) -> Ended | None:
    if not value:
        return None
    told = json.loads(value)
    return Ended(**{**told, "outcome": Outcome(told["outcome"])})


class Backups:
    """Makes copies beside the database. The scheduler calls it often; a row says when a copy is due."""

    def __init__(self, db: Database, *, admins: Sequence[int] = ()) -> None:
        self._db = db
        self._admins = sorted(admins)

    @property
    def folder(self) -> Path:
        return self._db.path.absolute().parent / FOLDER

    async def work(self) -> None:
        """Make a copy if one is due."""
        began = await self._db.write(_claim)
        if began is None:
            return
        ended = await self._round(began)
        if ended.outcome is Outcome.BUSY:
            return
        event(
            _log,
            "backup.ended",
            level=logging.INFO if ended.outcome is Outcome.VERIFIED else logging.ERROR,
            outcome=ended.outcome,
            name=ended.name,
            bytes=ended.size,
            detail=ended.detail[:500],
        )
        await self._db.write(self._note, ended)

    async def _round(self, began: int) -> Ended:
        command = (
            sys.executable,
            "-m",
            "database.backup_rotation",
            str(self._db.path.absolute()),
            str(self.folder),
            str(began),
        )
        child = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            said, complained = await child.communicate()
        finally:
            if child.returncode is None:  # the bot stops; the next round clears unfinished files
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
        if child.returncode:
            last = complained.decode(errors="replace").strip().rpartition("\n")[2]
            return _of(began, Round(Outcome.FAILED, detail=f"the process ended with {child.returncode}: {last}"))
        told = json.loads(said)
        return _of(began, Round(**{**told, "outcome": Outcome(told["outcome"])}))

    def _note(self, tx: Tx, ended: Ended) -> None:
        """Write the outcome down. Of several bad outcomes in a row, admins get a message about the first of a kind."""
        good = flag_rows.get(tx, GOOD)
        told = json.dumps(dataclasses.asdict(ended), ensure_ascii=False)
        flag_rows.put(tx, LAST, told)
        if ended.outcome is Outcome.VERIFIED:
            flag_rows.put(tx, GOOD, told)
            flag_rows.put(tx, DUE, str(ended.at + EVERY_MS))
            return
        since = json.loads(good)["at"] if good else 0
        alert_admins(
            tx,
            self._admins,
            f"backup:{ended.outcome}:{since}",
            f"alert-backup-{ended.outcome}",
            name=ended.name or "–",
            folder=str(self.folder),
            detail=ended.detail[:300] or "–",
        )


def _claim(tx: Tx) -> int | None:
    """Now (UTC milliseconds) if a copy is due, else None. The next one is planned as if this one failed."""
    due = int(flag_rows.get(tx, DUE) or 0)
    if due == 0:
        flag_rows.put(tx, DUE, str(tx.now + FIRST_MS))
        return None
    if tx.now < due <= tx.now + 2 * EVERY_MS:  # a time further ahead was written under a wrong clock
        return None
    flag_rows.put(tx, DUE, str(tx.now + AGAIN_MS))
    return tx.now


def _of(began: int, round_: Round) -> Ended:
    return Ended(began, round_.outcome, round_.name, round_.size, round_.detail)
