"""The scheduler: of all bots that run, the one that leads starts each periodic task when its time comes.

Every timer of the product is a due time in a row (docs/decisions/0006-due-times-in-rows.md); the tasks look for rows
that are due. Leadership is a lease in the database, so any number of bots may run and any of them may die.
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
    """Something done every so many seconds; a round that fails is tried again and stops no other task."""

    name: str
    every: float
    work: Callable[[], Awaitable[None]]
    limit: float = ROUND_SECONDS  # one round may take so long
    due: float = 0.0
    round: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return self.round is not None and not self.round.done()


class Scheduler:
    """Runs its tasks while it holds the lease."""

    def __init__(self, db: Database, tasks: Sequence[PeriodicTask]) -> None:
        self.tasks = list(tasks)
        self.trouble: str | None = None  # why the last try to write to the database failed
        self._db = db
        self._holder = f"{os.getpid()}-{clock.token(4)}"

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; gives the lease back at the end so that another can go on at once."""
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
            self.trouble = f"nothing can be written: {type(error).__name__}"
            event(_log, "sweeper.no_database", level=logging.ERROR, error=type(error).__name__, detail=str(error))
            return False
        self.trouble = None
        return leads

    def _start_due_tasks(self) -> None:
        """Each round is an asyncio task of its own: a provider that hangs must not keep payments waiting."""
        now = clock.steady()
        for task in self.tasks:
            if not task.is_running and task.due <= now:
                task.due = now + task.every
                task.round = asyncio.create_task(self._do(task), name=f"scheduler: {task.name}")

    async def _do(self, task: PeriodicTask) -> None:
        try:
            async with asyncio.timeout(task.limit):
                await task.work()
        except Exception as error:  # trouble of one task must not stop the others, nor its own next round
            event(_log, "sweeper.duty_failed", level=logging.ERROR, duty=task.name, error=type(error).__name__)

    async def _end_rounds(self) -> None:
        running = [task.round for task in self.tasks if task.round is not None and task.is_running]
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)
