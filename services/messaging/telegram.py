"""The bot's line to Telegram: one pace for everything that goes out, and repeats only where a repeat is harmless."""

from __future__ import annotations

import asyncio
import functools
import html
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
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

from database import clock
from services.common.log import event
from services.settings import Settings

OVERALL_PER_SECOND: Final = 25.0  # Telegram's own limit is about 30 (docs/reference/telegram.md, section 2)
CHAT_PER_SECOND: Final = 1.0
CHAT_BURST: Final = 10
MOST_CHATS: Final = 10_000
LONGEST_WAIT: Final = 60.0  # seconds a call may stand in line before it is refused as Telegram would
TRIES: Final = 4
FIRST_PAUSE: Final = 0.5  # seconds before a repeat, doubled each time
UPLOAD_SECONDS: Final = 100

TROUBLE: Final = (TelegramNetworkError, TelegramServerError, ClientDecodeError)
"""Telegram could not be reached or did not answer as it should: what was sent may or may not have arrived."""

_UNCOUNTED = frozenset({"SendChatAction", "SendMessageDraft"})
_COUNTED = ("Send", "Edit", "Copy", "Forward")
_HARMLESS = ("Edit", "Answer", "Get", "Set", "Delete")

_TAG = re.compile(r"<[^<>]*>")

_log = logging.getLogger(__name__)
_patience: ContextVar[float] = ContextVar("patience", default=LONGEST_WAIT)


@dataclass(frozen=True)
class Screen:
    """A message as the person sees it: Telegram HTML and the keyboard under it."""

    text: str
    keyboard: InlineKeyboardMarkup | ReplyKeyboardMarkup | None = None

    @property
    def inline(self) -> InlineKeyboardMarkup | None:
        """The keyboard where an edit allows one."""
        return self.keyboard if isinstance(self.keyboard, InlineKeyboardMarkup) else None


class Pace:
    """When the next message may go: so many a second over all chats and in each chat, with short bursts."""

    def __init__(
        self,
        *,
        per_second: float = OVERALL_PER_SECOND,
        chat_per_second: float = CHAT_PER_SECOND,
        chat_burst: int = CHAT_BURST,
        clock: Callable[[], float] = clock.steady,
    ) -> None:
        self._step = 1 / per_second
        self._slack = 1.0 - self._step  # a second's worth may go at once
        self._chat_step = 1 / chat_per_second
        self._chat_slack = (chat_burst - 1) * self._chat_step
        self._clock = clock
        self._next = 0.0  # the time at which all tokens given out so far are paid for
        self._chats: OrderedDict[int, float] = OrderedDict()

    def wait(self, chat_id: int) -> float:
        """Seconds until the chat's next message may go; 0 for now."""
        now = self._clock()
        overall = self._next - self._slack - now
        chat = self._chats.get(chat_id, 0.0) - self._chat_slack - now
        return max(0.0, overall, chat)

    def take(self, chat_id: int) -> float:
        """Take the next place in line; answers the seconds to wait before sending."""
        delay, now = self.wait(chat_id), self._clock()
        self._next = max(self._next, now) + self._step
        self._chats[chat_id] = max(self._chats.get(chat_id, 0.0), now) + self._chat_step
        self._chats.move_to_end(chat_id)
        while len(self._chats) > MOST_CHATS:
            self._chats.popitem(last=False)
        return delay

    def pause(self, chat_id: int, seconds: float) -> None:
        """Telegram wants the chat left alone for so long."""
        until = self._clock() + self._chat_slack + seconds
        self._chats[chat_id] = max(self._chats.get(chat_id, 0.0), until)

    def has_room(self, chat_id: int) -> bool:
        """Whether a message may go that could as well be left out: half of each burst stays free for what matters."""
        now = self._clock()
        return self._next - now <= self._slack / 2 and self._chats.get(chat_id, 0.0) - now <= self._chat_slack / 2


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Calls inside wait at most so long for their turn; with 0 they go only when there is room, and never twice."""
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


@functools.cache
def _answer_type(method: type[TelegramMethod[Any]]) -> Any:
    """What aiogram reads the method's answers with. Held here, because pydantic forgets such a type when nobody does,
    and to make it anew at the next call keeps the bot's loop for milliseconds."""
    return Response[method.__returning__]  # type: ignore[name-defined]


class Outgoing(BaseRequestMiddleware):
    """Every call of the bot goes through here.

    429 is obeyed and the same call sent again. What a server error or a broken line swallowed is sent again only where
    a second time changes nothing (edits, answers, questions) or where the connection was never made. Words whose marks
    Telegram can't parse are sent again without any.
    """

    def __init__(self, pace: Pace | None = None, *, first_pause: float = FIRST_PAUSE) -> None:
        self.pace = pace or Pace()
        self._first_pause = first_pause

    async def __call__(
        self, make_request: NextRequestMiddlewareType[TelegramType], bot: Bot, method: TelegramMethod[TelegramType]
    ) -> Response[TelegramType]:
        _answer_type(type(method))
        if method.__api_method__ == "getUpdates":  # polling has its own patience
            return await make_request(bot, method)
        chat_id = _counted_chat(method)
        for attempt in range(TRIES):
            last = attempt == TRIES - 1
            if chat_id is not None:
                await self._turn(method, chat_id)
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
                words = _plain_words(method, error)
                if last or not words:
                    raise
                event(_log, "telegram.bad_markup", level=logging.ERROR, method=method.__api_method__, error=str(error))
                method = method.model_copy(update={**words, "parse_mode": None})
            except TROUBLE as error:
                if last or not _harmless(method, error) or _patience.get() <= 0:
                    raise
                await asyncio.sleep(self._first_pause * 2**attempt)
        raise AssertionError("the last try returns or raises")

    async def _turn(self, method: TelegramMethod[Any], chat_id: int) -> None:
        wait, limit = self.pace.wait(chat_id), _patience.get()
        if wait > limit or (limit <= 0 and not self.pace.has_room(chat_id)):
            raise TelegramRetryAfter(method=method, message="our own pace", retry_after=max(1, round(wait)))
        delay = self.pace.take(chat_id)
        if delay > 0:
            await asyncio.sleep(delay)


def make_bot(settings: Settings, *, pace: Pace | None = None, session: BaseSession | None = None) -> Bot:
    """The bot of these settings. Nothing is sent yet; close it with `await bot.session.close()`."""
    session = session or AiohttpSession(api=TelegramAPIServer.from_base(settings.telegram_api_url))
    session.middleware(Outgoing(pace))
    defaults = DefaultBotProperties(parse_mode=ParseMode.HTML, link_preview_is_disabled=True)
    return Bot(settings.bot_token.get_secret_value(), session=session, default=defaults)


async def show(bot: Bot, chat_id: int, screen: Screen, *, quietly: bool = False) -> Message:
    """Send a new message."""
    return await bot.send_message(
        chat_id, screen.text, reply_markup=screen.keyboard, disable_notification=quietly or None
    )


async def change(bot: Bot, chat_id: int, message_id: int, screen: Screen) -> bool:
    """Edit a message of ours; False when it can't be edited (gone, or of another kind) and must be sent anew."""
    try:
        await bot.edit_message_text(screen.text, chat_id=chat_id, message_id=message_id, reply_markup=screen.inline)
    except TelegramBadRequest as error:
        return "message is not modified" in error.message
    return True


async def change_or_show(bot: Bot, chat_id: int, message_id: int | None, screen: Screen) -> int:
    """Edit the message where that works, else send a new one; answers the id of the message that shows it."""
    if message_id is not None and await change(bot, chat_id, message_id, screen):
        return message_id
    return (await show(bot, chat_id, screen)).message_id


async def remove(bot: Bot, chat_id: int, message_id: int | None) -> None:
    """Take a message of ours away if that is still possible; it is only tidiness."""
    if message_id is not None:
        with suppress(TelegramBadRequest, TelegramRetryAfter, *TROUBLE):
            await bot.delete_message(chat_id, message_id)


def telegram_fault(error: Exception) -> str:
    """What to do about Telegram's answer, in a sentence."""
    if type(error).__name__ in ("TelegramUnauthorizedError", "TelegramNotFound"):
        return "the token is refused; take a new BOT_TOKEN from @BotFather"
    return f"no usable answer ({type(error).__name__}); check TELEGRAM_API_URL and the firewall"


def cut(text: str, limit: int) -> str:
    """At most `limit` UTF-16 units, as Telegram counts, never half a character; an ellipsis says that it was longer."""
    if len(text.encode("utf-16-le")) // 2 <= limit:
        return text
    kept = text.encode("utf-16-le")[: 2 * (limit - 1)].decode("utf-16-le", "ignore")
    return kept.rstrip() + "…"


def _counted_chat(method: TelegramMethod[Any]) -> int | None:
    """The chat whose pace the call counts for, if it is a message."""
    name, chat_id = type(method).__name__, getattr(method, "chat_id", None)
    if not isinstance(chat_id, int) or name in _UNCOUNTED or not name.startswith(_COUNTED):
        return None
    return chat_id


def _plain_words(method: TelegramMethod[Any], error: TelegramBadRequest) -> dict[str, str]:
    """The call's words without tags, by the name of their field, when it was for these that Telegram refused them."""
    if "can't parse entities" not in error.message or getattr(method, "parse_mode", None) is None:
        return {}
    marked = {name: words for name in ("text", "caption") if (words := getattr(method, name, None))}
    return {name: html.unescape(_TAG.sub("", words)) or words for name, words in marked.items()}


def _harmless(method: TelegramMethod[Any], error: Exception) -> bool:
    if isinstance(error, TelegramEntityTooLarge):
        return False
    return type(method).__name__.startswith(_HARMLESS) or isinstance(error.__cause__, ClientConnectorError)
