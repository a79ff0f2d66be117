"""Updates from Telegram: each is written into the inbox before it counts as received, then given to the handlers.

aiogram's own polling confirms updates before their handlers end, so a killed process loses them
(docs/reference/telegram.md, section 9). Here the next process handles again what a killed one has left in the inbox.
Handlers must give the same result when they run twice.
"""

from __future__ import annotations

import asyncio
import json
import logging
from functools import partial
from typing import Protocol

from aiogram import Bot, Dispatcher
from aiogram.types import Update

from database import inbox
from database.models import Database, DatabaseError, InboxItem
from services.common.log import event, log_context

SOURCE = "telegram"
CHECKOUT = "pre_checkout_query"
PAID = ("successful_payment", "refunded_payment")
HANDLING_MS = 180_000  # a handler that downloads an album of photos may take minutes
MAX_RUNNING = 200
MAX_WAITING = 1_000  # beside those that run. More stay in the inbox: this limits memory only
MAX_ATTEMPTS = 5  # for one update: it may be the one that makes every process fail

_log = logging.getLogger(__name__)


class UpdateInterceptor(Protocol):
    """Gets every update before the handlers do."""

    async def take(self, update: Update) -> bool:
        """Handle an update; False when it is for the handlers. Raises DatabaseError: the update is tried again."""


class Updates:
    """Writes updates into the inbox and runs the handlers.

    `max_running`, `max_waiting`: how many updates are handled at a time and how many more wait in memory.
    """

    def __init__(
        self,
        bot: Bot,
        dispatcher: Dispatcher,
        db: Database,
        interceptor: UpdateInterceptor | None = None,
        *,
        max_running: int = MAX_RUNNING,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._bot = bot
        self._dispatcher = dispatcher
        self._db = db
        self._interceptor = interceptor
        self._places = asyncio.Semaphore(max_running + max_waiting)
        self._slots = asyncio.Semaphore(max_running)
        self._tasks: set[asyncio.Task[None]] = set()
        self._taken: set[int] = set()  # ids of inbox rows

    @property
    def kinds(self) -> list[str]:
        """The kinds of update that we handle, for Telegram's `allowed_updates`."""
        kinds = self._dispatcher.resolve_used_update_types()
        return kinds if self._interceptor is None else [*kinds, CHECKOUT]

    async def write_down(self, raw: str, update_id: int) -> InboxItem | None:
        """Write an update (JSON) into the inbox; None when it was handled before. Raises DatabaseError."""
        return await self._db.write(inbox.receive_once, SOURCE, str(update_id), raw, handling_ms=HANDLING_MS)

    async def take(self, item: InboxItem) -> None:
        """Handle an update in the background. Updates begin in the order of the calls; one that is taken is skipped.

        Waits while `max_waiting` updates wait. Updates about money never wait.
        """
        if item.id in self._taken:
            return
        self._taken.add(item.id)
        must_wait = not is_about_money(item)
        try:
            if must_wait:
                await self._places.acquire()
        except asyncio.CancelledError:
            self._taken.discard(item.id)
            raise
        task = asyncio.create_task(self._handle_in_slot(item) if must_wait else self._handle(item))
        self._tasks.add(task)
        task.add_done_callback(partial(self._handled, item.id, must_wait))

    def _handled(self, item_id: int, had_place: bool, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._taken.discard(item_id)
        if had_place:
            self._places.release()

    async def take_due(self) -> None:
        """Handle what another process has written into the inbox and not finished."""
        taken = frozenset(self._taken)
        for item in await self._db.write(inbox.due, source=SOURCE, handling_ms=HANDLING_MS, in_hand=taken):
            await self.take(item)

    async def _handle_in_slot(self, item: InboxItem) -> None:
        async with self._slots:
            await self._handle(item)

    async def _handle(self, item: InboxItem) -> None:
        try:
            with log_context(update_id=item.key):
                if item.attempts + 1 < MAX_ATTEMPTS:
                    await self._feed(item.body)
                else:
                    event(_log, "update.given_up", level=logging.ERROR)
            await self._db.write(inbox.done, item.id)
        except DatabaseError as error:
            event(_log, "update.not_finished", level=logging.ERROR, update_id=item.key, error=type(error).__name__)

    async def _feed(self, body: str) -> None:
        """Give an update (JSON) to the interceptor, then to the handlers. Raises only DatabaseError.

        An update that its handler can't handle is done, so that it does not come again.
        """
        try:
            update = Update.model_validate(json.loads(body), context={"bot": self._bot})
        except ValueError as error:
            event(_log, "update.unreadable", level=logging.WARNING, error=type(error).__name__)
            return
        try:
            if self._interceptor is None or not await self._interceptor.take(update):
                await self._dispatcher.feed_update(self._bot, update)
        except DatabaseError:
            raise
        except Exception as error:
            event(_log, "update.failed", level=logging.ERROR, error=type(error).__name__)

    async def drain(self, grace_seconds: float) -> None:
        """Give running handlers so many seconds to end. What does not end stays in the inbox."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._dispatcher.emit_shutdown()


def is_about_money(item: InboxItem) -> bool:
    """Whether the update is a pre-checkout query, which Telegram waits ten seconds for, or says that money has moved.

    Only fields in their right place count: every person can write these words, or answer to a message with them.
    """
    if not any(f'"{field}"' in item.body for field in (CHECKOUT, *PAID)):
        return False
    try:
        update = json.loads(item.body)
    except ValueError:
        return False
    if not isinstance(update, dict):
        return False
    message = update.get("message")
    return CHECKOUT in update or (isinstance(message, dict) and any(field in message for field in PAID))
