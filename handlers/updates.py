"""Updates from Telegram, each written down before it counts as received, then given to the handlers.

aiogram's own polling confirms updates before their handlers end, so a kill loses what was in hand
(docs/reference/telegram.md, section 9). Here an update is a row of the inbox first: what a dead process left is handled
again by the next one. Handlers bear repeats.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable
from functools import partial
from typing import Protocol, TypeVar

from aiogram import Bot, Dispatcher
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramConflictError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.types import Update

from database import inbox
from database.models import Database, DatabaseError, InboxItem
from services.common.log import event, log_context

T = TypeVar("T")

SOURCE = "telegram"
CHECKOUT = "pre_checkout_query"
PAID = ("successful_payment", "refunded_payment")
HANDLING_MS = 180_000  # a handler that fetches an album of photos may take its time
MOST_AT_ONCE = 200
MOST_WAITING = 1_000  # behind those; they stand in the inbox as well, so this bounds memory and nothing else
MOST_TRIES = 5  # of one update: a fault that is always there, or that kills the process, must not come for ever
POLL_SECONDS = 25
PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0)

_log = logging.getLogger(__name__)


class UpdateInterceptor(Protocol):
    """Who takes updates about money before anybody else; answers whether this was one."""

    async def take(self, update: Update) -> bool: ...


class Updates:
    """Takes updates in, runs the handlers, and remembers which are in hand."""

    def __init__(
        self,
        bot: Bot,
        dispatcher: Dispatcher,
        db: Database,
        interceptor: UpdateInterceptor | None = None,
        *,
        at_once: int = MOST_AT_ONCE,
        waiting: int = MOST_WAITING,
    ) -> None:
        self._bot = bot
        self._dispatcher = dispatcher
        self._db = db
        self._interceptor = interceptor
        self._places = asyncio.Semaphore(at_once + waiting)
        self._slots = asyncio.Semaphore(at_once)
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_hand: set[int] = set()

    @property
    def kinds(self) -> list[str]:
        """The kinds of update that some handler waits for; Telegram need not send others."""
        kinds = self._dispatcher.resolve_used_update_types()
        return kinds if self._interceptor is None else [*kinds, CHECKOUT]

    async def write_down(self, raw: str, update_id: int) -> InboxItem | None:
        """The update's row; None when it was handled already. Raises DatabaseError."""
        return await self._db.write(inbox.receive_once, SOURCE, str(update_id), raw, handling_ms=HANDLING_MS)

    async def take(self, item: InboxItem) -> None:
        """Handle an update in the background, in the order of calls; waits only while the whole line is full.

        What is about money stands in no line.
        """
        if item.id in self._in_hand:
            return
        self._in_hand.add(item.id)
        in_line = not is_about_money(item)
        try:
            if in_line:
                await self._places.acquire()
        except asyncio.CancelledError:
            self._in_hand.discard(item.id)
            raise
        task = asyncio.create_task(self._in_turn(item) if in_line else self._handle(item))
        self._tasks.add(task)
        task.add_done_callback(partial(self._over, item.id, in_line))

    def _over(self, item_id: int, in_line: bool, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._in_hand.discard(item_id)
        if in_line:
            self._places.release()

    async def take_due(self) -> None:
        """What another process wrote down and did not finish."""
        mine = frozenset(self._in_hand)
        for item in await self._db.write(inbox.due, source=SOURCE, handling_ms=HANDLING_MS, in_hand=mine):
            await self.take(item)

    async def _in_turn(self, item: InboxItem) -> None:
        async with self._slots:
            await self._handle(item)

    async def _handle(self, item: InboxItem) -> None:
        try:
            with log_context(update_id=item.key):
                if item.attempts + 1 < MOST_TRIES:
                    await self._feed(item.body)
                else:
                    event(_log, "update.given_up", level=logging.ERROR)
            await self._db.write(inbox.done, item.id)
        except DatabaseError as error:
            event(_log, "update.not_finished", level=logging.ERROR, update_id=item.key, error=type(error).__name__)

    async def _feed(self, body: str) -> None:
        """Whatever a handler does, the update is over: one that breaks the handlers must not come for ever."""
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
        """Let the handlers in hand end; what does not stays in the inbox."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._dispatcher.emit_shutdown()

    async def poll(self, stop: asyncio.Event) -> None:
        """Long polling until `stop`: ask, write down, confirm by asking on. Raises when the token is refused."""
        offset: int | None = None
        failures = 0
        while not stop.is_set():
            try:
                updates = await _unless(stop, self._ask(offset))
            except TelegramUnauthorizedError:
                raise
            except (TelegramAPIError, ClientDecodeError) as error:
                failures += 1
                await _pause(stop, _wait_after(error, failures))
                continue
            if not updates:
                # All below the offset is confirmed. Kept on, it would confirm unread what comes after a week without
                # updates, when Telegram's numbers begin anew (docs/reference/telegram.md, section 4).
                offset = None
            for update_id, raw in updates or []:
                if not await self._received(update_id, raw):
                    failures += 1
                    await _pause(stop, PAUSES[min(failures, len(PAUSES)) - 1])
                    break
                offset, failures = update_id + 1, 0

    async def _ask(self, offset: int | None) -> list[tuple[int, str]]:
        """Number and JSON of each update that waits. One that aiogram can't read must not hold up all others."""
        try:
            updates = await self._bot.get_updates(
                offset=offset,
                timeout=POLL_SECONDS,
                allowed_updates=self.kinds,
                request_timeout=POLL_SECONDS + 15,
            )
        except ClientDecodeError as error:
            return _as_sent(error)
        return [(update.update_id, _json_of(update)) for update in updates]

    async def _received(self, update_id: int, raw: str) -> bool:
        """Write it down; False when that failed, so that it is asked for again."""
        try:
            item = await self.write_down(raw, update_id)
        except DatabaseError as error:
            event(_log, "update.not_written", level=logging.ERROR, error=type(error).__name__, detail=str(error))
            return False
        if item is not None:
            await self.take(item)
        return True


def is_about_money(item: InboxItem) -> bool:
    """Whether somebody stands at the counter, where Telegram waits for ten seconds only, or has paid.

    Looked for in its place: anybody may write such a word, or answer to a message that holds one.
    """
    if not any(f'"{word}"' in item.body for word in (CHECKOUT, *PAID)):
        return False
    try:
        update = json.loads(item.body)
    except ValueError:
        return False
    if not isinstance(update, dict):
        return False
    message = update.get("message")
    return CHECKOUT in update or (isinstance(message, dict) and any(word in message for word in PAID))


def _json_of(update: Update) -> str:
    """Only what Telegram sent: aiogram fills fields it did not with defaults that are no JSON."""
    try:
        return update.model_dump_json(exclude_unset=True)
    except ValueError:  # half a surrogate pair, say: nobody could answer it either
        return json.dumps({"update_id": update.update_id})


def _as_sent(error: ClientDecodeError) -> list[tuple[int, str]]:
    """The updates of an answer that could not be read as a whole. Raises the error when there are none in it."""
    listed = error.data.get("result") if isinstance(error.data, dict) else None
    updates = [
        (one["update_id"], json.dumps(one))
        for one in (listed if isinstance(listed, list) else [])
        if isinstance(one, dict) and type(one.get("update_id")) is int
    ]
    if not updates:
        raise error
    event(_log, "polling.odd_update", level=logging.WARNING, updates=len(updates))
    return updates


def _wait_after(error: Exception, failures: int) -> float:
    if isinstance(error, TelegramRetryAfter):
        return float(error.retry_after)
    level = logging.WARNING if failures > 1 or not isinstance(error, TelegramNetworkError) else logging.DEBUG
    hint = "another bot polls with this token" if isinstance(error, TelegramConflictError) else ""
    event(_log, "polling.failed", level=level, error=type(error).__name__, hint=hint)
    return PAUSES[min(failures, len(PAUSES)) - 1]


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), timeout=seconds)
    except TimeoutError:
        return


async def _unless(stop: asyncio.Event, call: Awaitable[T]) -> T | None:
    """The call's answer, or None when `stop` is set first."""
    asking = asyncio.ensure_future(call)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({asking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return asking.result() if asking.done() else None
    finally:
        for task in (asking, stopping):
            task.cancel()
        await asyncio.gather(asking, stopping, return_exceptions=True)
