"""What several routers share: how a tap is answered, the buttons of the main menu, the flags of the rate limit."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest, TelegramRetryAfter
from aiogram.filters import Filter
from aiogram.types import CallbackQuery, Message

from services.common.i18n import LANGUAGES, Texts
from services.messaging.telegram import TROUBLE, Screen, change_or_show

MESSAGE_LIMIT: Final = {"rate_limit": "message"}
"""Flags of a handler that is counted with all the messages of its person."""
NO_LIMIT: Final = {"rate_limit": False}
"""Flags of a handler that costs us nothing: Telegram's own pace for a chat is limit enough."""
ANSWER_LIMIT: Final = 200  # characters of a tap's answer (docs/reference/telegram.md, section 2)
ANSWER_SECONDS: Final = 5.0  # an order must not wait longer for a wheel to stop


class CallbackAnswer:
    """A tapped button: answered once, whatever happens, because the client spins until then."""

    def __init__(self, query: CallbackQuery) -> None:
        self._query = query
        self.answered = False

    async def answer(self, text: str | None = None, *, alert: bool = False) -> None:
        """Answer the tap; a second answer, or one that Telegram does not take in time, is dropped: the work goes on."""
        if self.answered:
            return
        self.answered = True
        with suppress(TelegramBadRequest, TelegramRetryAfter, TimeoutError, *TROUBLE):
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._query.answer(text and text[:ANSWER_LIMIT], show_alert=alert)


def message_ref(query: CallbackQuery) -> tuple[int, int | None]:
    """The chat and the message that was tapped; a very old message has no more than these either."""
    message = query.message
    return (query.from_user.id, None) if message is None else (message.chat.id, message.message_id)


async def answer_and_edit(query: CallbackQuery, callback: CallbackAnswer, bot: Bot, screen: Screen) -> int:
    """Answer the tap, then make its message show this; the edit may have to wait for its turn, the person must not."""
    await callback.answer()
    chat_id, message_id = message_ref(query)
    return await change_or_show(bot, chat_id, message_id, screen)


class MenuWord(Filter):
    """A filter: the message is this button of the main menu, in whichever language the keyboard was sent."""

    def __init__(self, key: str) -> None:
        self._key = key

    async def __call__(self, message: Message, texts: Texts) -> bool:
        return message.text in [texts.plain(language, self._key) for language in LANGUAGES]
