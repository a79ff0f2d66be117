"""Tells people what they are owed: takes due rows of the outbox and sees each through to the chat, at least once.

A chat's messages go in the order they were owed. What Telegram could not take now is tried again with growing gaps; a
chat that is closed keeps its results for the day the person comes back. Nothing is ever generated again.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiogram import Bot
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)

from database import assets as asset_rows
from database import drafts as draft_rows
from database import jobs as job_rows
from database import outbox
from database import payments as payment_rows
from database import users as user_rows
from database.models import Asset, Database, DatabaseError, Draft, Job, OutboxItem, Payment, Tx
from services.common.keyed_lock import KeyedLock
from services.common.log import event, log_context
from services.messaging.delivery import Delivery, ResultGone, ResultTooLarge
from services.messaging.renderer import MessageRenderer
from services.messaging.telegram import TROUBLE, Screen, change_or_show, show

AT_ONCE: Final = 8
POLL_SECONDS: Final = 0.3
SEND_SECONDS: Final = 110.0  # below the outbox's lease, so that nobody else takes a row that is being sent
DRAIN_SECONDS: Final = 20.0
FIRST_GAP_MS: Final = 2_000
LONGEST_GAP_MS: Final = 10 * 60 * 1000
WAITS_MS: Final = 24 * 60 * 60 * 1000  # an order left alone for longer before a payment was begun is not its purpose
MOST_TRIES: Final = 30  # of anything but a result, which stays owed until it expires

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Facts:
    """Everything a message may have to say, read on one snapshot."""

    language: str
    balance: int
    job: Job | None
    asset: Asset | None
    payment: Payment | None
    draft: Draft | None


def facts_of(tx: Tx, item: OutboxItem) -> Facts:
    user = user_rows.get(tx, item.user_id)
    payment = payment_rows.get(tx, item.payment_id) if item.payment_id else None
    return Facts(
        language=(user.language if user else None) or "ru",
        balance=user_rows.balance(tx, item.user_id),
        job=job_rows.get(tx, item.job_id) if item.job_id else None,
        asset=asset_rows.result_of(tx, item.job_id) if item.job_id else None,
        payment=payment,
        draft=_waiting(tx, payment) if payment else None,
    )


def _waiting(tx: Tx, payment: Payment) -> Draft | None:
    """The order that waits for this money: the one it was begun for, else the one the person touched last."""
    own = payment.draft_id
    if own and job_rows.get(tx, own) is None and (draft := draft_rows.get(tx, own, payment.user_id)):
        return draft
    return draft_rows.newest_waiting(tx, payment.user_id, since=payment.created_at - WAITS_MS)


class Notifier:
    """The loop over the outbox. `chats` is shared with whoever edits the same messages, so that edits never cross."""

    def __init__(
        self,
        bot: Bot,
        db: Database,
        delivery: Delivery,
        renderer: MessageRenderer,
        chats: KeyedLock,
        *,
        at_once: int = AT_ONCE,
        first_gap_ms: int = FIRST_GAP_MS,
    ) -> None:
        self._bot = bot
        self._db = db
        self._delivery = delivery
        self._renderer = renderer
        self._chats = chats
        self._at_once = at_once
        self._first_gap_ms = first_gap_ms
        self._nudged = asyncio.Event()
        self._flying: dict[int, asyncio.Task[None]] = {}

    def nudge(self) -> None:
        """Something has become due: look now instead of at the next round."""
        self._nudged.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set, then finish what is in hand within 20 s."""
        try:
            while not stop.is_set():
                try:
                    await self.round()
                except DatabaseError as error:
                    event(_log, "notifier.no_database", level=logging.ERROR, error=str(error))
                await self._pause(stop)
        finally:
            await self._drain()

    async def round(self) -> int:
        """Take what is due, as much as fits; answers how many rows were taken. Their sending goes on by itself."""
        free = self._at_once - len(self._flying)
        if free <= 0:
            return 0
        items = await self._db.write(outbox.claim, limit=free)
        for item in items:
            if item.id not in self._flying:
                task = asyncio.create_task(self._see_through(item), name=f"outbox-{item.id}")
                self._flying[item.id] = task
                task.add_done_callback(partial(self._landed, item.id))
        return len(items)

    async def settle(self) -> None:
        """Deliver everything that is due now and wait for it."""
        while await self.round() or self._flying:
            if self._flying:
                await asyncio.wait(list(self._flying.values()), return_when=asyncio.FIRST_COMPLETED)

    def _landed(self, number: int, _: asyncio.Task[None]) -> None:
        self._flying.pop(number, None)
        self._nudged.set()

    async def _pause(self, stop: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(self._nudged.wait()), asyncio.ensure_future(stop.wait())]
        try:
            await asyncio.wait(waits, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self._nudged.clear()

    async def _drain(self) -> None:
        tasks = list(self._flying.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # --- one row -----------------------------------------------------------------------------------

    async def _see_through(self, item: OutboxItem) -> None:
        with log_context(outbox_id=item.id, user_id=item.user_id, job_id=item.job_id, payment_id=item.payment_id):
            try:
                await self._attempt(item)
            except Exception as error:
                # Not even the outcome could be written down: the lease runs out and somebody tries again.
                event(_log, "notifier.row_failed", level=logging.ERROR, kind=item.kind, error=str(error))

    async def _attempt(self, item: OutboxItem) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS), self._chats.hold(item.user_id):
                await self._send(item)
        except TelegramRetryAfter as error:
            await self._db.write(outbox.retry, item.id, delay_ms=1000 * error.retry_after)
        except (ResultTooLarge, ResultGone) as error:
            await self._give_up(item, type(error).__name__)
        except TelegramForbiddenError:
            await self._closed(item, "blocked")
        except TelegramBadRequest as error:
            if "chat not found" in error.message:
                await self._closed(item, "chat not found")
            else:
                await self._later(item, error)
        except TelegramUnauthorizedError as error:
            await self._db.write(outbox.retry, item.id, delay_ms=LONGEST_GAP_MS)
            event(_log, "notifier.token_refused", level=logging.CRITICAL, error=str(error))
        except TROUBLE as error:
            await self._later(item, error)
        except Exception as error:
            event(_log, "notifier.failed", level=logging.ERROR, kind=item.kind)
            await self._later(item, error)
        else:
            await self._db.write(outbox.sent, item.id)

    async def _later(self, item: OutboxItem, error: Exception) -> None:
        if item.kind != "result" and item.attempts >= MOST_TRIES:
            await self._give_up(item, "too many tries")
            return
        gap = min(self._first_gap_ms * 2 ** min(item.attempts, 20), LONGEST_GAP_MS)
        event(_log, "notifier.retry", level=logging.WARNING, kind=item.kind, gap_ms=gap, error=str(error))
        await self._db.write(outbox.retry, item.id, delay_ms=gap)

    async def _closed(self, item: OutboxItem, reason: str) -> None:
        """The person has shut the chat: keep the result for them."""

        def close(tx: Tx) -> None:
            outbox.give_up(tx, item.id, reason)
            user_rows.set_unreachable(tx, item.user_id, True)

        await self._db.write(close)
        event(_log, "notifier.unreachable", kind=item.kind, reason=reason)

    async def _give_up(self, item: OutboxItem, reason: str) -> None:
        await self._db.write(outbox.give_up, item.id, reason)
        event(_log, "notifier.gave_up", level=logging.ERROR, kind=item.kind, reason=reason)

    # --- what is sent -------------------------------------------------------------------------------

    async def _send(self, item: OutboxItem) -> None:
        facts = await self._db.read(facts_of, item)
        match item.kind:
            case "result" if facts.job is not None:
                await self._send_result(item, facts.job, facts)
            case "failed" if facts.job is not None:
                await self._replace_status(facts.job, self._renderer.failed(facts.language, facts.job))
            case "credited" if facts.payment is not None:
                screen = self._renderer.credited(facts.language, facts.payment, facts.balance, facts.draft)
                await self._replace(item.user_id, facts.payment.message_id, screen)
            case "payment_canceled" if facts.payment is not None:
                screen = self._renderer.payment_canceled(facts.language, facts.payment)
                await self._replace(item.user_id, facts.payment.message_id, screen)
            case _:
                note = self._renderer.note(facts.language, item, facts.balance, facts.job)
                if note is not None:
                    await show(self._bot, item.user_id, note)

    async def _send_result(self, item: OutboxItem, job: Job, facts: Facts) -> None:
        chat_id, language = job.chat_id or item.user_id, facts.language
        try:
            if facts.asset is None:
                raise ResultGone(job.id)
            await self._delivery.send(self._bot, chat_id, job, facts.asset, language, resumed=item.attempts > 0)
        except ResultTooLarge:
            await self._replace_status(job, self._renderer.too_large(language, job))
            raise
        except ResultGone:
            await self._replace_status(job, self._renderer.expired(language, job))
            raise
        if job.status_message_id is not None:
            done = self._renderer.done(language, job, facts.balance)
            try:
                await change_or_show(self._bot, chat_id, job.status_message_id, done)
            except (TelegramRetryAfter, TelegramBadRequest, TelegramForbiddenError, *TROUBLE):
                pass  # the result is there and says all of it, even if the chat was shut right behind it

    async def _replace_status(self, job: Job, screen: Screen) -> None:
        await self._replace(job.chat_id or job.user_id, job.status_message_id, screen)

    async def _replace(self, chat_id: int, message_id: int | None, screen: Screen) -> None:
        await change_or_show(self._bot, chat_id, message_id, screen)
