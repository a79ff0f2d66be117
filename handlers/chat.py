"""What several routers share: answers to callback queries, buttons of the main menu, flags of the rate limit."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest, TelegramRetryAfter
from aiogram.filters import Filter
from aiogram.types import CallbackQuery, Message

from services.common.i18n import LANGUAGES, Texts
from services.messaging.telegram import NETWORK_ERRORS, Screen, change_or_show

MESSAGE_LIMIT: Final = {"rate_limit": "message"}
"""Flags of a handler that counts towards the person's limit of messages."""
NO_LIMIT: Final = {"rate_limit": False}
"""Flags of a handler that costs us nothing: Telegram's own limit for a chat is enough."""
ANSWER_LIMIT: Final = 200  # characters in the answer to a callback query (docs/reference/telegram.md, section 2)
ANSWER_SECONDS: Final = 5.0  # the handler's work must not wait longer for an answer that only stops the loading sign


class CallbackAnswer:
    """Answers a callback query once: the client shows a loading sign on the button until then."""

    def __init__(self, query: CallbackQuery) -> None:
        self._query = query
        self.answered = False

    async def answer(self, text: str | None = None, *, alert: bool = False) -> None:
        """Answer the callback query; `alert` shows the text in a window that the person must close.

        Does nothing the second time. An answer that Telegram does not accept in time is dropped: the work goes on.
        """
        if self.answered:
            return
        self.answered = True
        with suppress(TelegramBadRequest, TelegramRetryAfter, TimeoutError, *NETWORK_ERRORS):
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._query.answer(text and text[:ANSWER_LIMIT], show_alert=alert)


def message_ref(query: CallbackQuery) -> tuple[int, int | None]:
    """The ids of the chat and of the message with the button. For a very old message Telegram tells no more than these.

    Without a message: the person's private chat and None.
    """
    message = query.message
    return (query.from_user.id, None) if message is None else (message.chat.id, message.message_id)


async def answer_and_edit(query: CallbackQuery, callback: CallbackAnswer, bot: Bot, screen: Screen) -> int:
    """Answer the callback query, then edit its message, or send a new one where it can't be edited.

    The answer goes first, because the edit may have to wait for Telegram's pace. Returns the id of the message that
    shows `screen`.
    """
    await callback.answer()
    chat_id, message_id = message_ref(query)
    return await change_or_show(bot, chat_id, message_id, screen)


class MenuWord(Filter):
    """A filter: the message is the text of this button of the main menu, in any of our languages.

    The keyboard may have been sent before the person chose another language.
    """

    def __init__(self, key: str) -> None:
        self._key = key

    async def __call__(self, message: Message, texts: Texts) -> bool:
        return message.text in [texts.plain(language, self._key) for language in LANGUAGES]
