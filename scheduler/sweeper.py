"""The one leader that looks after every row that waits: lost steps, clips in flight, overdue holds, unsettled
payments, notifications not yet acted upon, files past their time.

Every timer of the shop is a due time in a row; this loop is what makes them ring. Leadership is a lease in the
database, so any number of bots may run and any of them may die.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, TypeVar

from database import assets as asset_rows
from database import clock, inbox, ledger, outbox
from database import drafts as draft_rows
from database import flags as flag_rows
from database import jobs as job_rows
from database.models import Asset, DatabaseError, Job, Reservation, Tx
from scheduler.video_poller import poll_videos
from services.common.log import event
from services.job_context import JobContext
from services.jobs import message_of
from services.payments.payments import Payments
from services.queue import Queue

LEASE = "sweeper"
LEASE_MS = 10_000
TICK_SECONDS = 0.5
DUTY_SECONDS = 120.0
DAY_MS = 24 * 3600 * 1000
DRAFTS_KEPT_MS = 14 * DAY_MS
CONVERSATIONS_KEPT_MS = 7 * DAY_MS
MESSAGES_KEPT_MS = 60 * DAY_MS
# Telegram repeats an update for a day at most; what people wrote is kept no longer than that needs.
INBOX_KEPT_MS = {"telegram": 2 * DAY_MS, "kling": DAY_MS, "yookassa": 60 * DAY_MS}
ORPHAN_SECONDS = 24 * 3600.0  # a stored file that no row names after so long was cut off by a crash

_log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class PeriodicTask:
    """Something done every so many seconds; one that fails is tried again and stops no other."""

    name: str
    every: float
    work: Callable[[], Awaitable[None]]
    limit: float = DUTY_SECONDS  # one round may take so long
    due: float = 0.0
    task: asyncio.Task[None] | None = None


class Sweeper:
    """Runs the duties while it holds the lease."""

    def __init__(self, ctx: JobContext, queue: Queue, payments: Payments, more: Sequence[PeriodicTask] = ()) -> None:
        """`more` are duties of services that only the composition root knows."""
        self._ctx = ctx
        self._queue = queue
        self._payments = payments
        self._holder = f"{os.getpid()}-{clock.token(4)}"
        self.trouble: str | None = None  # why the last try to write to the database failed
        self._tasks = [
            PeriodicTask("steps", 1.0, self.resend_lost_steps),
            PeriodicTask("clips", 1.0, self._poll_videos),
            PeriodicTask("holds", 5.0, self.release_overdue_holds),
            PeriodicTask("notifications", 2.0, payments.handle_due_notifications),
            PeriodicTask("payments", 2.0, payments.poll_due),
            PeriodicTask("expired files", 60.0, self.delete_expired_assets),
            PeriodicTask("old rows", 600.0, self.forget_old_rows),
            PeriodicTask("orphans", 3600.0, self._delete_orphans),
            *more,
        ]

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; gives the lease back at the end so that another can go on at once."""
        try:
            while not stop.is_set():
                if await self._leads():
                    self._start_due_duties()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), timeout=TICK_SECONDS)
        finally:
            await self._end_duties()
        try:
            await self._ctx.db.write(flag_rows.drop_lease, LEASE, self._holder)
        except DatabaseError as error:
            event(_log, "sweeper.lease_kept", level=logging.WARNING, error=type(error).__name__)

    async def _leads(self) -> bool:
        try:
            leads = await self._ctx.db.write(flag_rows.take_lease, LEASE, self._holder, ttl_ms=LEASE_MS)
        except DatabaseError as error:
            self.trouble = f"nothing can be written: {type(error).__name__}"
            event(_log, "sweeper.no_database", level=logging.ERROR, error=type(error).__name__, detail=str(error))
            return False
        self.trouble = None
        return leads

    def _start_due_duties(self) -> None:
        """Each duty is a task of its own: a provider that hangs must not keep payments waiting."""
        now = clock.steady()
        for periodic in self._tasks:
            running = periodic.task is not None and not periodic.task.done()
            if not running and periodic.due <= now:
                periodic.due = now + periodic.every
                periodic.task = asyncio.create_task(self._do(periodic), name=f"sweeper: {periodic.name}")

    async def _do(self, periodic: PeriodicTask) -> None:
        try:
            async with asyncio.timeout(periodic.limit):
                await periodic.work()
        except Exception as error:  # one duty's trouble must not stop the others, nor its own next round
            event(_log, "sweeper.duty_failed", level=logging.ERROR, periodic=periodic.name, error=type(error).__name__)

    async def _end_duties(self) -> None:
        running = [periodic.task for periodic in self._tasks if periodic.task is not None and not periodic.task.done()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def resend_lost_steps(self) -> None:
        """Open jobs whose due time passed: their message, worker or lease was lost, so send the step again."""
        due = await self._ctx.db.read(job_rows.due)
        if not due:
            return
        waiting = await self._queue.waiting() or set()

        async def send(job: Job) -> None:
            if message_of(job).message_id in waiting:
                await self._ctx.db.write(job_rows.still_waiting, job)
                return
            again = await self._ctx.db.write(job_rows.redispatch, job)
            if again is not None:
                place = await self._queue.submit(message_of(again))
                event(_log, "step.sent_again", job_id=job.id, step=job.step, place=place, dispatches=again.dispatches)

        await _each(due, send)

    async def _poll_videos(self) -> None:
        await poll_videos(self._ctx, self._queue)

    async def release_overdue_holds(self) -> None:
        """Money held past its time goes back; a result that comes later is the owner's loss."""

        async def release(held: Reservation) -> None:
            if await self._ctx.db.write(job_rows.expire_hold, held.job_id):
                event(_log, "hold.released", job_id=held.job_id, user_id=held.user_id, amount=held.amount)

        await _each(await self._ctx.db.read(ledger.expired_holds, limit=1000), release)

    async def delete_expired_assets(self) -> None:
        """Files past their time; the row goes first, so that a crash in between leaves an orphan and no dead link."""

        async def delete(asset: Asset) -> None:
            if await self._ctx.db.write(job_rows.asset_deleted, asset.id, end=asset.expires_at):
                await self._ctx.assets.delete(asset.store_key)

        over = await self._ctx.db.read(asset_rows.expired_assets, keep_ms=self._ctx.keep_ms, limit=1000)
        await _each(over, delete)

    async def _delete_orphans(self) -> None:
        async def known(keys: Sequence[str]) -> set[str]:
            return await self._ctx.db.read(asset_rows.known_store_keys, keys)

        await self._ctx.assets.sweep(known, ORPHAN_SECONDS)

    async def forget_old_rows(self) -> None:
        """Bound what grows with every visitor: drafts, conversations, told messages, handled notifications."""
        now = clock.now_ms()
        await self._all_of(draft_rows.forget_old, before=now - DRAFTS_KEPT_MS)
        await self._all_of(draft_rows.forget_conversations, before=now - CONVERSATIONS_KEPT_MS)
        await self._all_of(outbox.forget_old, before=now - MESSAGES_KEPT_MS)
        for source, kept in INBOX_KEPT_MS.items():
            await self._all_of(inbox.forget_old, source=source, before=now - kept)

    async def _all_of(self, forget: Callable[Concatenate[Tx, P], int], *args: P.args, **kwargs: P.kwargs) -> None:
        """A little at a time, so that nobody waits long for the database; but until nothing is left."""
        forgotten = 1
        while forgotten:
            forgotten = await self._ctx.db.write(forget, *args, **kwargs)


async def _each(items: Sequence[T], act: Callable[[T], Awaitable[None]]) -> None:
    """Act on each; trouble with one is logged and never keeps the others waiting."""
    for item in items:
        try:
            await act(item)
        except Exception as error:
            name = getattr(item, "job_id", None) or getattr(item, "id", "")
            event(_log, "sweeper.item_failed", level=logging.ERROR, item=name, error=type(error).__name__)
