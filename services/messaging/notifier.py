"""Sends the messages of the outbox, each at least once.

Messages of one chat are sent in the order of their rows. A message that Telegram does not accept now is tried again
with growing pauses. When a person has blocked the bot, results wait until the person comes back. Sending again never
makes a result again.
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
from services.messaging.telegram import NETWORK_ERRORS, Screen, change_or_show, show

AT_ONCE: Final = 8
POLL_SECONDS: Final = 0.3
SEND_SECONDS: Final = 110.0  # less than the outbox's lease: no other process takes a row while it is being sent
DRAIN_SECONDS: Final = 20.0
FIRST_PAUSE_MS: Final = 2_000
MAX_PAUSE_MS: Final = 10 * 60 * 1000
WAITS_MS: Final = 24 * 60 * 60 * 1000  # a draft not touched for longer before a payment is not what the money is for
MAX_ATTEMPTS: Final = 30  # for everything except a result, which waits until it expires

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Facts:
    """Everything that a message may be about, read in one transaction. `balance` is in kopecks."""

    language: str
    balance: int
    job: Job | None
    asset: Asset | None
    payment: Payment | None
    draft: Draft | None


def facts_of(tx: Tx, item: OutboxItem) -> Facts:
    """What the message of this outbox item is about."""
    user = user_rows.get(tx, item.user_id)
    payment = payment_rows.get(tx, item.payment_id) if item.payment_id else None
    return Facts(
        language=(user.language if user else None) or "ru",
        balance=user_rows.balance(tx, item.user_id),
        job=job_rows.get(tx, item.job_id) if item.job_id else None,
        asset=asset_rows.result_of(tx, item.job_id) if item.job_id else None,
        payment=payment,
        draft=_waiting_draft(tx, payment) if payment else None,
    )


def _waiting_draft(tx: Tx, payment: Payment) -> Draft | None:
    """The draft that waits for this money: the one that the payment was opened for, or the one touched last."""
    own = payment.draft_id
    if own and job_rows.get(tx, own) is None and (draft := draft_rows.get(tx, own, payment.user_id)):
        return draft
    return draft_rows.newest_waiting(tx, payment.user_id, since=payment.created_at - WAITS_MS)


class Notifier:
    """The loop over the outbox. `chats` is a lock for each chat, shared with the others that edit the same messages."""

    def __init__(
        self,
        bot: Bot,
        db: Database,
        delivery: Delivery,
        renderer: MessageRenderer,
        chats: KeyedLock,
    ) -> None:
        self._bot = bot
        self._db = db
        self._delivery = delivery
        self._renderer = renderer
        self._chats = chats
        self._nudged = asyncio.Event()
        self._sending: dict[int, asyncio.Task[None]] = {}

    def nudge(self) -> None:
        """Begin the next round now: a row has become due."""
        self._nudged.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop` is set, then give what is being sent 20 s to finish."""
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
        """Take due rows, as many as there are free places, and send them in the background. Returns how many."""
        free = AT_ONCE - len(self._sending)
        if free <= 0:
            return 0
        items = await self._db.write(outbox.claim, limit=free)
        for item in items:
            if item.id not in self._sending:
                task = asyncio.create_task(self._process(item), name=f"outbox-{item.id}")
                self._sending[item.id] = task
                task.add_done_callback(partial(self._processed, item.id))
        return len(items)

    def _processed(self, item_id: int, _: asyncio.Task[None]) -> None:
        self._sending.pop(item_id, None)
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
        tasks = list(self._sending.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # --- one row -----------------------------------------------------------------------------------

    async def _process(self, item: OutboxItem) -> None:
        with log_context(outbox_id=item.id, user_id=item.user_id, job_id=item.job_id, payment_id=item.payment_id):
            try:
                await self._attempt(item)
            except Exception as error:
                # The outcome could not be written: the lease ends and the row is tried again.
                event(_log, "notifier.row_failed", level=logging.ERROR, kind=item.kind, error=str(error))

    async def _attempt(self, item: OutboxItem) -> None:
        """Send once and write the outcome: sent, to be tried again, or given up."""
        try:
            async with asyncio.timeout(SEND_SECONDS), self._chats.hold(item.user_id):
                await self._send(item)
        except TelegramRetryAfter as error:
            await self._db.write(outbox.retry, item.id, delay_ms=1000 * error.retry_after)
        except (ResultTooLarge, ResultGone) as error:
            await self._give_up(item, type(error).__name__)
        except TelegramForbiddenError:
            await self._unreachable(item, "blocked")
        except TelegramBadRequest as error:
            if "chat not found" in error.message:
                await self._unreachable(item, "chat not found")
            else:
                await self._retry(item, error)
        except TelegramUnauthorizedError as error:
            await self._db.write(outbox.retry, item.id, delay_ms=MAX_PAUSE_MS)
            event(_log, "notifier.token_refused", level=logging.CRITICAL, error=str(error))
        except NETWORK_ERRORS as error:
            await self._retry(item, error)
        except Exception as error:
            event(_log, "notifier.failed", level=logging.ERROR, kind=item.kind)
            await self._retry(item, error)
        else:
            await self._db.write(outbox.sent, item.id)

    async def _retry(self, item: OutboxItem, error: Exception) -> None:
        if item.kind != "result" and item.attempts >= MAX_ATTEMPTS:
            await self._give_up(item, "too many tries")
            return
        pause_ms = min(FIRST_PAUSE_MS * 2 ** min(item.attempts, 20), MAX_PAUSE_MS)
        event(_log, "notifier.retry", level=logging.WARNING, kind=item.kind, gap_ms=pause_ms, error=str(error))
        await self._db.write(outbox.retry, item.id, delay_ms=pause_ms)

    async def _unreachable(self, item: OutboxItem, reason: str) -> None:
        """The person has blocked the bot: stop sending; results are sent when the person comes back."""

        def give_up(tx: Tx) -> None:
            outbox.give_up(tx, item.id, reason)
            user_rows.set_unreachable(tx, item.user_id, True)

        await self._db.write(give_up)
        event(_log, "notifier.unreachable", kind=item.kind, reason=reason)

    async def _give_up(self, item: OutboxItem, reason: str) -> None:
        await self._db.write(outbox.give_up, item.id, reason)
        event(_log, "notifier.gave_up", level=logging.ERROR, kind=item.kind, reason=reason)

    # --- what is sent -------------------------------------------------------------------------------

    async def _send(self, item: OutboxItem) -> None:
        """Send the result, edit a live message or the message of a payment, or send a message of its own."""
        facts = await self._db.read(facts_of, item)
        match item.kind:
            case "result" if facts.job is not None:
                await self._send_result(item, facts.job, facts)
            case "failed" if facts.job is not None:
                await self._end_live_message(facts.job, self._renderer.failed(facts.language, facts.job))
            case "credited" if facts.payment is not None:
                screen = self._renderer.credited(facts.language, facts.payment, facts.balance, facts.draft)
                await change_or_show(self._bot, item.user_id, facts.payment.message_id, screen)
            case "payment_canceled" if facts.payment is not None:
                screen = self._renderer.payment_canceled(facts.language, facts.payment)
                await change_or_show(self._bot, item.user_id, facts.payment.message_id, screen)
            case _:
                note = self._renderer.note(facts.language, item, facts.balance, facts.job)
                if note is not None:
                    await show(self._bot, item.user_id, note)

    async def _send_result(self, item: OutboxItem, job: Job, facts: Facts) -> None:
        """Send the result, then end the live message. Raises ResultGone, ResultTooLarge, and what the bot raises."""
        chat_id, language = job.chat_id or item.user_id, facts.language
        try:
            if facts.asset is None:
                raise ResultGone(job.id)
            await self._delivery.send(self._bot, chat_id, job, facts.asset, language, resumed=item.attempts > 0)
        except ResultTooLarge:
            await self._end_live_message(job, self._renderer.too_large(language))
            raise
        except ResultGone:
            await self._end_live_message(job, self._renderer.expired(language, job))
            raise
        if job.status_message_id is not None:
            done = self._renderer.done(language, job, facts.balance)
            try:
                await change_or_show(self._bot, chat_id, job.status_message_id, done)
            except (TelegramRetryAfter, TelegramBadRequest, TelegramForbiddenError, *NETWORK_ERRORS):
                pass  # the result was sent and says the same, even if the person blocked the bot right after it

    async def _end_live_message(self, job: Job, screen: Screen) -> None:
        await change_or_show(self._bot, job.chat_id or job.user_id, job.status_message_id, screen)
