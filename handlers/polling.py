"""Long polling: asks Telegram for updates and confirms an update only after it is in the inbox."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable
from typing import TypeVar

from aiogram import Bot
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramConflictError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.types import Update

from database.models import DatabaseError
from handlers.updates import Updates
from services.common.log import event

T = TypeVar("T")

POLL_SECONDS = 25
PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0)  # seconds after the first, second … failure in a row

_log = logging.getLogger(__name__)


class Polling:
    """Receives the updates of one bot until it is stopped."""

    def __init__(self, bot: Bot, updates: Updates) -> None:
        self._bot = bot
        self._updates = updates

    async def run(self, stop: asyncio.Event) -> None:
        """Ask for updates and handle them until `stop` is set. Raises TelegramUnauthorizedError for a bad token."""
        offset: int | None = None
        failures = 0
        while not stop.is_set():
            try:
                updates = await _unless(stop, self._ask(offset))
            except TelegramUnauthorizedError:
                raise
            except (TelegramAPIError, ClientDecodeError) as error:
                failures += 1
                await _pause(stop, _seconds_after(error, failures))
                continue
            if not updates:
                # Everything below the offset is confirmed. After a week without updates Telegram numbers them from the
                # beginning (docs/reference/telegram.md, section 4): an old offset would confirm new ones unread.
                offset = None
            for update_id, raw in updates or []:
                if not await self._receive(update_id, raw):
                    failures += 1
                    await _pause(stop, PAUSES[min(failures, len(PAUSES)) - 1])
                    break
                offset, failures = update_id + 1, 0

    async def _ask(self, offset: int | None) -> list[tuple[int, str]]:
        """Id and JSON of each new update. One that aiogram can't parse must not keep the others from coming."""
        try:
            updates = await self._bot.get_updates(
                offset=offset,
                timeout=POLL_SECONDS,
                allowed_updates=self._updates.kinds,
                request_timeout=POLL_SECONDS + 15,
            )
        except ClientDecodeError as error:
            return _unparsed(error)
        return [(update.update_id, _json_of(update)) for update in updates]

    async def _receive(self, update_id: int, raw: str) -> bool:
        """Write an update down and handle it; False when it could not be written, so that it is asked for again."""
        try:
            item = await self._updates.write_down(raw, update_id)
        except DatabaseError as error:
            event(_log, "update.not_written", level=logging.ERROR, error=type(error).__name__, detail=str(error))
            return False
        if item is not None:
            await self._updates.take(item)
        return True


def _json_of(update: Update) -> str:
    """The fields that Telegram has sent. aiogram fills others with defaults that JSON can't express."""
    try:
        return update.model_dump_json(exclude_unset=True)
    except ValueError:  # for example half of a surrogate pair: no handler could answer it either
        return json.dumps({"update_id": update.update_id})


def _unparsed(error: ClientDecodeError) -> list[tuple[int, str]]:
    """Id and JSON of the updates in an answer that aiogram can't parse. Raises `error` when there are none."""
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


def _seconds_after(error: Exception, failures: int) -> float:
    """How long to wait after a failed call."""
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
    """The result of the call, or None when `stop` is set first."""
    calling = asyncio.ensure_future(call)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({calling, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return calling.result() if calling.done() else None
    finally:
        for task in (calling, stopping):
            task.cancel()
        await asyncio.gather(calling, stopping, return_exceptions=True)
