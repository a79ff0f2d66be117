"""The scheduler: of all running bots, the leader starts each periodic task when it is due.

Every timer of the product is a due time in a row (docs/decisions/0006-due-times-in-rows.md); the tasks read rows that
are due. The leader has a lease in the database, so any number of bots may run and any of them may die.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from database import clock
from database import flags as flag_rows
from database.models import Database, DatabaseError
from services.common.log import event

LEASE = "sweeper"
LEASE_MS = 10_000
TICK_SECONDS = 0.5
ROUND_SECONDS = 120.0

_log = logging.getLogger(__name__)


@dataclass
class PeriodicTask:
    """Work that is done every `every` seconds. A round that fails is repeated later and stops no other task."""

    name: str
    every: float
    work: Callable[[], Awaitable[None]]
    limit: float = ROUND_SECONDS  # seconds that one round may take
    due: float = 0.0
    round: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return self.round is not None and not self.round.done()


class Scheduler:
    """Runs its tasks while it holds the lease."""

    def __init__(self, db: Database, tasks: Sequence[PeriodicTask]) -> None:
        self.tasks = list(tasks)
        self.write_fault: str | None = None  # why the last attempt to write to the database failed
        self._db = db
        self._holder = f"{os.getpid()}-{clock.token(4)}"

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set. At the end the lease is given back, so that another bot can lead at once."""
        try:
            while not stop.is_set():
                if await self._leads():
                    self._start_due_tasks()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), timeout=TICK_SECONDS)
        finally:
            await self._end_rounds()
        try:
            await self._db.write(flag_rows.drop_lease, LEASE, self._holder)
        except DatabaseError as error:
            event(_log, "sweeper.lease_kept", level=logging.WARNING, error=type(error).__name__)

    async def _leads(self) -> bool:
        try:
            leads = await self._db.write(flag_rows.take_lease, LEASE, self._holder, ttl_ms=LEASE_MS)
        except DatabaseError as error:
            self.write_fault = f"nothing can be written: {type(error).__name__}"
            event(_log, "sweeper.no_database", level=logging.ERROR, error=type(error).__name__, detail=str(error))
            return False
        self.write_fault = None
        return leads

    def _start_due_tasks(self) -> None:
        """Each round is an asyncio task of its own, so that payments need not wait for a provider that hangs."""
        now = clock.steady()
        for task in self.tasks:
            if not task.is_running and task.due <= now:
                task.due = now + task.every
                task.round = asyncio.create_task(self._do(task), name=f"scheduler: {task.name}")

    async def _do(self, task: PeriodicTask) -> None:
        try:
            async with asyncio.timeout(task.limit):
                await task.work()
        except Exception as error:  # one failure must stop neither the other tasks nor the next round of this one
            event(_log, "sweeper.duty_failed", level=logging.ERROR, duty=task.name, error=type(error).__name__)

    async def _end_rounds(self) -> None:
        running = [task.round for task in self.tasks if task.round is not None and task.is_running]
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)
