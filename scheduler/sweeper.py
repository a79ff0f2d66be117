"""Cleans up what no other code comes back to: lost steps, overdue holds, old files and rows."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from database import assets as asset_rows
from database import clock, inbox, ledger, outbox
from database import drafts as draft_rows
from database import jobs as job_rows
from database.clock import DAY_MS, DAY_SECONDS
from database.models import Asset, Job, Reservation, Tx
from services.common.log import event
from services.job_context import JobContext
from services.jobs import message_of
from services.queue import Queue

DRAFTS_KEPT_MS = 14 * DAY_MS
CONVERSATIONS_KEPT_MS = 7 * DAY_MS
MESSAGES_KEPT_MS = 60 * DAY_MS
# Telegram repeats an update for a day at most; what users wrote is kept no longer than that requires.
INBOX_KEPT_MS = {"telegram": 2 * DAY_MS, "kling": DAY_MS, "yookassa": 60 * DAY_MS}
ORPHAN_SECONDS = float(DAY_SECONDS)  # a stored file without a row is this old: its process died between file and row

_log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


class Sweeper:
    """Cleans up after jobs; each method is one round of a periodic task."""

    def __init__(self, ctx: JobContext, queue: Queue) -> None:
        self._ctx = ctx
        self._queue = queue

    async def resend_lost_steps(self) -> None:
        """Send the steps of open jobs again whose due time has passed: their message, worker or lease was lost."""
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

    async def release_overdue_holds(self) -> None:
        """Give back money that is held too long. A result that comes later is not charged."""

        async def release(held: Reservation) -> None:
            if await self._ctx.db.write(job_rows.expire_hold, held.job_id):
                event(_log, "hold.released", job_id=held.job_id, user_id=held.user_id, amount=held.amount)

        await _each(await self._ctx.db.read(ledger.expired_holds, limit=1000), release)

    async def delete_expired_assets(self) -> None:
        """Delete old files. The row is changed first: after a crash in between a file has no row, and no row lacks its
        file."""

        async def delete(asset: Asset) -> None:
            if await self._ctx.db.write(job_rows.asset_deleted, asset.id, end=asset.expires_at):
                await self._ctx.assets.delete(asset.store_key)

        over = await self._ctx.db.read(asset_rows.expired_assets, keep_ms=self._ctx.keep_ms, limit=1000)
        await _each(over, delete)

    async def delete_orphans(self) -> None:
        async def known(keys: Sequence[str]) -> set[str]:
            return await self._ctx.db.read(asset_rows.known_store_keys, keys)

        await self._ctx.assets.sweep(known, ORPHAN_SECONDS)

    async def forget_old_rows(self) -> None:
        """Delete old rows of tables that grow with every user: drafts, conversations, messages, notifications."""
        now = clock.now_ms()
        await self._all_of(draft_rows.forget_old, before=now - DRAFTS_KEPT_MS)
        await self._all_of(draft_rows.forget_conversations, before=now - CONVERSATIONS_KEPT_MS)
        await self._all_of(outbox.forget_old, before=now - MESSAGES_KEPT_MS)
        for source, kept in INBOX_KEPT_MS.items():
            await self._all_of(inbox.forget_old, source=source, before=now - kept)

    async def _all_of(self, forget: Callable[Concatenate[Tx, P], int], *args: P.args, **kwargs: P.kwargs) -> None:
        """Delete a few rows per transaction, so that other writers wait only briefly, until none are left."""
        forgotten = 1
        while forgotten:
            forgotten = await self._ctx.db.write(forget, *args, **kwargs)


async def _each(items: Sequence[T], act: Callable[[T], Awaitable[None]]) -> None:
    """Act on each item. An error with one is logged and does not stop the others."""
    for item in items:
        try:
            await act(item)
        except Exception as error:
            name = getattr(item, "job_id", None) or getattr(item, "id", "")
            event(_log, "sweeper.item_failed", level=logging.ERROR, item=name, error=type(error).__name__)
