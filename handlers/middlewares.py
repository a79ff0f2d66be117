"""What every update passes before its handler: who sent it, in which language, and the answer to a callback query."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from aiogram import BaseMiddleware, Bot
from aiogram.enums import ChatType
from aiogram.exceptions import TelegramBadRequest
from aiogram.types import CallbackQuery, Chat, Message, TelegramObject, Update, User

from database import outbox
from database import users as user_rows
from database.clock import HOUR_SECONDS
from database.models import Database, Tx
from database.models import User as Person
from handlers.chat import ANSWER_LIMIT, CallbackAnswer
from handlers.notices import Notices
from handlers.views.localizer import Localizer
from services.common.i18n import Texts, pick_language
from services.common.log import log_context

Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]

BAN_NOTICE_SECONDS: Final = float(HOUR_SECONDS)


class AnswerCallbacks(BaseMiddleware):
    """Gives handlers their `callback` and answers the queries that a handler has not answered.

    When a handler raises, `handlers/errors.py` answers.
    """

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        if not isinstance(event, CallbackQuery):
            return await handler(event, data)
        callback = data["callback"] = CallbackAnswer(event)
        result = await handler(event, data)
        await callback.answer()
        return result


class LoadPerson(BaseMiddleware):
    """Loads the sender's row and gives handlers `person` and `localizer`; stops updates of banned people.

    In groups there is no `person`, and nothing is written.
    """

    def __init__(self, db: Database, texts: Texts, admin_ids: frozenset[int]) -> None:
        self._db = db
        self._texts = texts
        self._admin_ids = admin_ids
        self._ban_notices = Notices(BAN_NOTICE_SECONDS)

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        sender, chat = data.get("event_from_user"), data.get("event_chat")
        if not isinstance(event, Update) or not isinstance(sender, User):
            return None  # channels and anonymous admins of groups: there is nobody to answer
        language = pick_language(sender.language_code)
        data["localizer"] = Localizer(self._texts, language)
        with log_context(update_id=event.update_id, user_id=sender.id):
            if isinstance(chat, Chat) and chat.type != ChatType.PRIVATE:
                return await handler(event, data)
            person = data["person"] = await self._load(sender, language)
            data["localizer"] = Localizer(self._texts, person.language or language)
            if person.is_banned and sender.id not in self._admin_ids and event.my_chat_member is None:
                await self._refuse_banned(event, data["bot"], data["localizer"])
                return None
            return await handler(event, data)

    async def _load(self, sender: User, language: str) -> Person:
        known = await self._db.read(user_rows.get, sender.id)
        if known is not None and _is_up_to_date(known, sender, language):
            return known
        return await self._db.write(_remember, sender, language)

    async def _refuse_banned(self, event: Update, bot: Bot, localizer: Localizer) -> None:
        query = event.callback_query
        if query is not None:
            with suppress(TelegramBadRequest):
                await query.answer(localizer.plain("banned")[:ANSWER_LIMIT], show_alert=True)
        elif isinstance(event.message, Message) and self._ban_notices.due(event.message.chat.id):
            await bot.send_message(event.message.chat.id, localizer.t("banned"))


class RateLimitNotice:
    """Tells a person how many seconds to wait, in their language: the `on_limited` of RateLimitMiddleware."""

    def __init__(self, db: Database, texts: Texts) -> None:
        self._db = db
        self._texts = texts

    async def __call__(self, event: TelegramObject, seconds: int) -> None:
        if not isinstance(event, (Message, CallbackQuery)) or event.from_user is None:
            return
        known = await self._db.read(user_rows.get, event.from_user.id)
        language = (known.language if known else None) or pick_language(event.from_user.language_code)
        text = self._texts.plain(language, "error-rate-limited", seconds=seconds)
        if isinstance(event, CallbackQuery):
            await event.answer(text[:ANSWER_LIMIT], show_alert=True)
        else:
            await event.answer(text)


def _is_up_to_date(known: Person, sender: User, language: str) -> bool:
    """Whether the row says what the update says. A person who writes is reachable."""
    spoken = known.language if known.language_chosen else language
    return (known.language, known.name, known.username, known.is_unreachable) == (
        spoken,
        sender.full_name[:128],
        sender.username,
        0,
    )


def _remember(tx: Tx, sender: User, language: str) -> Person:
    """Write what has changed. A person who was unreachable gets the results that could not be delivered."""
    before = user_rows.get(tx, sender.id)
    known = user_rows.remember(tx, sender.id, language=language, name=sender.full_name, username=sender.username)
    if before is not None and before.is_unreachable:
        outbox.revive_results(tx, sender.id)
    return known
