"""Calls to Telegram: at a limited pace, repeated only where a repeat does no harm; and messages as people see them."""

from __future__ import annotations

import asyncio
import functools
import html
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from aiogram import Bot
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.session.base import BaseSession
from aiogram.client.session.middlewares.base import BaseRequestMiddleware, NextRequestMiddlewareType
from aiogram.client.telegram import TelegramAPIServer
from aiogram.enums import ParseMode
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramBadRequest,
    TelegramEntityTooLarge,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.methods import Response, TelegramMethod
from aiogram.methods.base import TelegramType
from aiogram.types import InlineKeyboardMarkup, Message, ReplyKeyboardMarkup
from aiohttp import ClientConnectorError

from services.common.log import event
from services.messaging.pace import Pace
from services.settings import Settings

MAX_WAIT: Final = 60.0  # seconds that a call may wait for the pace; a longer wait is refused as Telegram would
TRIES: Final = 4
FIRST_PAUSE: Final = 0.5  # seconds before a repeat, doubled each time
UPLOAD_SECONDS: Final = 100

NETWORK_ERRORS: Final = (TelegramNetworkError, TelegramServerError, ClientDecodeError)
"""Telegram could not be reached, or its answer can't be used: what was sent may or may not have arrived."""

# Methods of the Bot API by the beginnings of their names.
_UNCOUNTED = frozenset({"SendChatAction", "SendMessageDraft"})
_COUNTED = ("Send", "Edit", "Copy", "Forward")
_REPEATABLE = ("Edit", "Answer", "Get", "Set", "Delete")

_TAG = re.compile(r"<[^<>]*>")

_log = logging.getLogger(__name__)
_patience: ContextVar[float] = ContextVar("patience", default=MAX_WAIT)


@dataclass(frozen=True)
class Screen:
    """A message as the person sees it: Telegram HTML and the keyboard under it."""

    text: str
    keyboard: InlineKeyboardMarkup | ReplyKeyboardMarkup | None = None

    @property
    def inline(self) -> InlineKeyboardMarkup | None:
        """The keyboard, if an edit may have it: an edit can't have a reply keyboard."""
        return self.keyboard if isinstance(self.keyboard, InlineKeyboardMarkup) else None


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Calls inside wait at most so many seconds for the pace. With 0 they go only when there is room, and only once.

    A call that would have to wait longer raises TelegramRetryAfter.
    """
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


@functools.cache
def _answer_type(method: type[TelegramMethod[Any]]) -> Any:
    """The type that aiogram parses the method's answers with.

    Kept here, because pydantic drops a type that nothing refers to. Making it again at the next call would block the
    event loop for milliseconds.
    """
    return Response[method.__returning__]  # type: ignore[name-defined]


class Outgoing(BaseRequestMiddleware):
    """A middleware for every call of the bot.

    After an answer 429 the call waits and is sent again. After a server error or a lost connection it is sent again
    only when a second time changes nothing (edits, answers, reads), or when the connection was never made. A text whose
    markup Telegram can't parse is sent again as plain text.
    """

    def __init__(self, pace: Pace | None = None) -> None:
        self.pace = pace or Pace()

    async def __call__(
        self, make_request: NextRequestMiddlewareType[TelegramType], bot: Bot, method: TelegramMethod[TelegramType]
    ) -> Response[TelegramType]:
        _answer_type(type(method))
        if method.__api_method__ == "getUpdates":  # polling repeats its calls itself
            return await make_request(bot, method)
        chat_id = _counted_chat(method)
        for attempt in range(TRIES):
            last = attempt == TRIES - 1
            if chat_id is not None:
                await self._wait_for_pace(method, chat_id)
            try:
                return await make_request(bot, method)
            except TelegramRetryAfter as error:
                if chat_id is not None:
                    self.pace.pause(chat_id, error.retry_after)
                if last or error.retry_after > _patience.get():
                    raise
                if chat_id is None:
                    await asyncio.sleep(error.retry_after)
            except TelegramBadRequest as error:
                plain = _plain_texts(method, error)
                if last or not plain:
                    raise
                event(_log, "telegram.bad_markup", level=logging.ERROR, method=method.__api_method__, error=str(error))
                method = method.model_copy(update={**plain, "parse_mode": None})
            except NETWORK_ERRORS as error:
                if last or not _is_repeatable(method, error) or _patience.get() <= 0:
                    raise
                await asyncio.sleep(FIRST_PAUSE * 2**attempt)
        raise AssertionError("the last try returns or raises")

    async def _wait_for_pace(self, method: TelegramMethod[Any], chat_id: int) -> None:
        """Wait until the message may go. Raises TelegramRetryAfter when that takes longer than `patience` allows."""
        wait, limit = self.pace.wait(chat_id), _patience.get()
        if wait > limit or (limit <= 0 and not self.pace.has_room(chat_id)):
            raise TelegramRetryAfter(method=method, message="our own pace", retry_after=max(1, round(wait)))
        delay = self.pace.take(chat_id)
        if delay > 0:
            await asyncio.sleep(delay)


def make_bot(settings: Settings, *, pace: Pace | None = None, session: BaseSession | None = None) -> Bot:
    """The bot of these settings. Nothing is sent. Close it with `await bot.session.close()`."""
    session = session or AiohttpSession(api=TelegramAPIServer.from_base(settings.telegram_api_url))
    session.middleware(Outgoing(pace))
    defaults = DefaultBotProperties(parse_mode=ParseMode.HTML, link_preview_is_disabled=True)
    return Bot(settings.bot_token.get_secret_value(), session=session, default=defaults)


async def show(bot: Bot, chat_id: int, screen: Screen) -> Message:
    """Send a new message."""
    return await bot.send_message(chat_id, screen.text, reply_markup=screen.keyboard)


async def change(bot: Bot, chat_id: int, message_id: int, screen: Screen) -> bool:
    """Edit a message of the bot; False when it can't be edited (deleted, or of another kind)."""
    try:
        await bot.edit_message_text(screen.text, chat_id=chat_id, message_id=message_id, reply_markup=screen.inline)
    except TelegramBadRequest as error:
        return "message is not modified" in error.message
    return True


async def change_or_show(bot: Bot, chat_id: int, message_id: int | None, screen: Screen) -> int:
    """Edit the message, or send a new one where it can't be edited; return the id of its message."""
    if message_id is not None and await change(bot, chat_id, message_id, screen):
        return message_id
    return (await show(bot, chat_id, screen)).message_id


async def remove(bot: Bot, chat_id: int, message_id: int | None) -> None:
    """Delete a message of the bot, if that is still possible. Nothing depends on it."""
    if message_id is not None:
        with suppress(TelegramBadRequest, TelegramRetryAfter, *NETWORK_ERRORS):
            await bot.delete_message(chat_id, message_id)


def telegram_fault(error: Exception) -> str:
    """A sentence for the admin: what is wrong with Telegram's answer and what to do about it."""
    if type(error).__name__ in ("TelegramUnauthorizedError", "TelegramNotFound"):
        return "the token is refused; take a new BOT_TOKEN from @BotFather"
    return f"no usable answer ({type(error).__name__}); check TELEGRAM_API_URL and the firewall"


def cut(text: str, limit: int) -> str:
    """The text, cut to at most `limit` UTF-16 units (Telegram counts in these) with an ellipsis at the end."""
    if len(text.encode("utf-16-le")) // 2 <= limit:
        return text
    kept = text.encode("utf-16-le")[: 2 * (limit - 1)].decode("utf-16-le", "ignore")
    return kept.rstrip() + "…"


def _counted_chat(method: TelegramMethod[Any]) -> int | None:
    """The chat in which the call counts as a message; None when it does not count."""
    name, chat_id = type(method).__name__, getattr(method, "chat_id", None)
    if not isinstance(chat_id, int) or name in _UNCOUNTED or not name.startswith(_COUNTED):
        return None
    return chat_id


def _plain_texts(method: TelegramMethod[Any], error: TelegramBadRequest) -> dict[str, str]:
    """Field → its text without tags, when the call was refused because of its markup; else empty."""
    if "can't parse entities" not in error.message or getattr(method, "parse_mode", None) is None:
        return {}
    marked = {name: text for name in ("text", "caption") if (text := getattr(method, name, None))}
    return {name: html.unescape(_TAG.sub("", text)) or text for name, text in marked.items()}


def _is_repeatable(method: TelegramMethod[Any], error: Exception) -> bool:
    """Whether a second call does no harm, or the first one can't have arrived."""
    if isinstance(error, TelegramEntityTooLarge):
        return False
    return type(method).__name__.startswith(_REPEATABLE) or isinstance(error.__cause__, ClientConnectorError)
