"""Edits the live message of every open job, at most every 3 s and only when its text has changed.

These edits have the lowest priority: they are made only when the pace leaves room for them.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from aiogram import Bot
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)

from database import clock
from database import flags as flag_rows
from database import jobs as job_rows
from database import users as user_rows
from database.models import Database, DatabaseError, Job, JobStatus, Tx
from services.common.keyed_lock import KeyedLock, TooManyWaiting
from services.common.log import event
from services.messaging.renderer import MessageRenderer
from services.messaging.telegram import NETWORK_ERRORS, Screen, change, patience

ROUND_SECONDS: Final = 1.0
EDIT_PAUSE_MS: Final = 3_000
MAX_JOBS: Final = 500
AT_ONCE: Final = 6
LEASE: Final = "live"
LEASE_MS: Final = 10_000

_log = logging.getLogger(__name__)


@dataclass
class _Shown:
    """What a live message shows since when (UTC, ms). `can_edit` is False after Telegram has refused an edit."""

    text: str
    at_ms: int
    can_edit: bool = True


@dataclass(frozen=True)
class WatchedJob:
    """An open job with a live message, the person's language, and how many jobs wait before this one."""

    job: Job
    language: str
    ahead: int


def watched_jobs(tx: Tx) -> tuple[int, list[WatchedJob]]:
    """The time (UTC, ms) and the open jobs that have a live message."""
    found = job_rows.open_with_status_message(tx, limit=MAX_JOBS)
    languages = user_rows.languages(tx, {job.user_id for job in found})
    queue = job_rows.pending_times(tx)
    return tx.now, [
        WatchedJob(
            job,
            languages.get(job.user_id) or "ru",
            bisect_left(queue, job.created_at) if job.status is JobStatus.PENDING else 0,
        )
        for job in found
    ]


class LiveMessages:
    """The loop over open jobs. Of several bot processes the one with the lease does it."""

    def __init__(self, bot: Bot, db: Database, renderer: MessageRenderer, chats: KeyedLock) -> None:
        self._bot = bot
        self._db = db
        self._renderer = renderer
        self._chats = chats
        self._shown: dict[str, _Shown] = {}
        self._holder = clock.token(8)
        self._leader_until = 0.0
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(self, stop: asyncio.Event) -> None:
        """Edit until `stop` is set."""
        while not stop.is_set():
            try:
                if await self._leads():
                    await self.round()
            except DatabaseError as error:
                event(_log, "live.no_database", level=logging.ERROR, error=str(error))
            try:
                await asyncio.wait_for(stop.wait(), ROUND_SECONDS)
            except TimeoutError:
                pass
        if self._leader_until:
            with suppress(DatabaseError):  # the lease ends by itself
                await self._db.write(flag_rows.drop_lease, LEASE, self._holder)

    async def round(self) -> None:
        """Read all open jobs once and edit the messages that have changed."""
        now_ms, watched = await self._db.read(watched_jobs)
        ids = {one.job.id for one in watched}
        self._shown = {job_id: shown for job_id, shown in self._shown.items() if job_id in ids}
        due = [one for one in watched if self._is_due(one, now_ms)]
        await asyncio.gather(*(self._refresh(one, now_ms) for one in due))

    def _screen(self, one: WatchedJob, now_ms: int) -> Screen:
        return self._renderer.progress(one.language, one.job, ahead=one.ahead, now_ms=now_ms)

    def _is_due(self, one: WatchedJob, now_ms: int) -> bool:
        shown = self._shown.get(one.job.id)
        if shown is None:
            # The handler that started the job has shown its message at that time.
            shown = self._shown[one.job.id] = _Shown("", one.job.created_at)
        return (
            shown.can_edit and now_ms - shown.at_ms >= EDIT_PAUSE_MS and (self._screen(one, now_ms).text != shown.text)
        )

    async def _refresh(self, one: WatchedJob, now_ms: int) -> None:
        """Edit the message, unless the job has ended: then the notifier writes the last text."""
        job, shown = one.job, self._shown[one.job.id]
        chat_id, message_id = job.chat_id or job.user_id, job.status_message_id
        if message_id is None:
            return
        try:
            async with self._slots, self._chats.hold(chat_id):
                fresh = await self._db.read(job_rows.get, job.id)
                if fresh is None or not fresh.is_open:
                    return
                screen = self._screen(one, now_ms)
                with patience(0):
                    possible = await change(self._bot, chat_id, message_id, screen)
        except TelegramRetryAfter:
            return  # no room now: the next round tries again
        except (TelegramForbiddenError, TelegramBadRequest):
            possible = False
        except TooManyWaiting:
            return
        except TelegramUnauthorizedError:
            raise  # the token is revoked: the bot stops
        except (TelegramAPIError, *NETWORK_ERRORS) as error:
            event(_log, "live.edit_failed", level=logging.WARNING, job_id=job.id, error=str(error))
            shown.at_ms = now_ms
            return
        shown.text, shown.at_ms, shown.can_edit = screen.text if possible else "", now_ms, possible

    async def _leads(self) -> bool:
        """Whether this process has the lease. It is taken or renewed here, at the latest when half of it has passed."""
        now = asyncio.get_running_loop().time()
        if now < self._leader_until - LEASE_MS / 2000:
            return True
        won = await self._db.write(flag_rows.take_lease, LEASE, self._holder, ttl_ms=LEASE_MS)
        self._leader_until = now + LEASE_MS / 1000 if won else 0.0
        return won
