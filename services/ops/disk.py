"""Free space on the database's disk, and the size of its write-ahead log: for the metrics and for warnings."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from database.clock import DAY_MS
from database.models import Database
from database.outbox import alert_admins
from services.common.log import event

EVERY_SECONDS = 60.0
LEAST_FREE_PERCENT = 10
# SQLite moves its log into the database every 4 MB, and the hourly copy reads for a second at most. 64 times that are
# thousands of orders that could not be moved: a program has held the file open for reading for many minutes.
MOST_WAL_BYTES = 256 * 1024 * 1024

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Room:
    """Bytes: free for this account, used on the disk, and in the write-ahead log."""

    free: int
    used: int
    wal: int

    @property
    def percent(self) -> int:
        """The free part of what this account may use, rounded down."""
        return self.free * 100 // max(1, self.free + self.used)


def measure(path: Path) -> Room:
    """Measure the disk of the database at `path`. Raises OSError."""
    usage = shutil.disk_usage(path.absolute().parent)
    try:
        wal = path.with_name(f"{path.name}-wal").stat().st_size
    except FileNotFoundError:
        wal = 0
    return Room(usage.free, usage.used, wal)


class DiskWatch:
    """Warns the admins once a day while there is too little space or the log is too large."""

    def __init__(
        self,
        db: Database,
        *,
        admins: Sequence[int] = (),
        measure: Callable[[Path], Room] = measure,
        most_wal: int = MOST_WAL_BYTES,
    ) -> None:
        self._db = db
        self._most_wal = most_wal
        self._admins = sorted(admins)
        self._measure = measure

    async def check(self) -> None:
        """The periodic task: measure, and warn when needed."""
        room = await asyncio.to_thread(self._measure, self._db.path)
        if room.percent < LEAST_FREE_PERCENT:
            await self._tell("disk", room, percent=room.percent, free=room.free >> 20)
        if room.wal > self._most_wal:
            await self._tell("wal", room, size=room.wal >> 20, file=f"{self._db.path.name}-wal")

    async def _tell(self, kind: str, room: Room, **args: object) -> None:
        event(_log, f"disk.{kind}", level=logging.WARNING, free=room.free, used=room.used, wal=room.wal)
        day = await self._db.read(lambda tx: tx.now // DAY_MS)
        await self._db.write(alert_admins, self._admins, f"{kind}:{day}", f"alert-{kind}", **args)
