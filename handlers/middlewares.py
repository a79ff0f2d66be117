"""What every update passes on its way to a handler: who it is, in which language, and whether the tap was answered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from aiogram import BaseMiddleware, Bot
from aiogram.enums import ChatType
from aiogram.exceptions import TelegramBadRequest
from aiogram.types import CallbackQuery, Chat, Message, TelegramObject, Update, User

from database import clock, outbox
from database import users as user_rows
from database.models import Database, Tx
from database.models import User as Person
from handlers.chat import ANSWER_LIMIT, CallbackAnswer
from handlers.views.localizer import Localizer
from services.common.i18n import Texts, pick_language
from services.common.log import log_context

Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]

BAN_NOTICE_SECONDS: Final = 3600.0
MOST_NOTICES: Final = 10_000


class AnswerTaps(BaseMiddleware):
    """Gives handlers their `callback` and answers what they left open; when they fail, the error's text answers."""

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        if not isinstance(event, CallbackQuery):
            return await handler(event, data)
        callback = data["callback"] = CallbackAnswer(event)
        result = await handler(event, data)
        await callback.answer()
        return result


class Notices:
    """Remembers for a while whom something was told, so that it is not told again at every message."""

    def __init__(self, seconds: float = BAN_NOTICE_SECONDS) -> None:
        self._seconds = seconds
        self._until: OrderedDict[int | str, float] = OrderedDict()

    def due(self, key: int | str) -> bool:
        now = clock.steady()
        if self._until.get(key, 0.0) > now:
            return False
        self._until[key] = now + self._seconds
        self._until.move_to_end(key)
        while len(self._until) > MOST_NOTICES:
            self._until.popitem(last=False)
        return True


class KnownPerson(BaseMiddleware):
    """Looks the sender up: row, language, ban; gives handlers `person` and `localizer`, and the log the ids."""

    def __init__(self, db: Database, texts: Texts, admin_ids: frozenset[int]) -> None:
        self._db = db
        self._texts = texts
        self._admin_ids = admin_ids
        self._told_banned = Notices()

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        sender, chat = data.get("event_from_user"), data.get("event_chat")
        if not isinstance(event, Update) or not isinstance(sender, User):
            return None  # channels, anonymous admins: nobody to talk to
        language = pick_language(sender.language_code)
        data["localizer"] = Localizer(self._texts, language)
        with log_context(update_id=event.update_id, user_id=sender.id):
            if isinstance(chat, Chat) and chat.type != ChatType.PRIVATE:
                return await handler(event, data)
            person = data["person"] = await self._remembered(sender, language)
            data["localizer"] = Localizer(self._texts, person.language or language)
            if person.is_banned and sender.id not in self._admin_ids and event.my_chat_member is None:
                await self._turn_away(event, data["bot"], data["localizer"])
                return None
            return await handler(event, data)

    async def _remembered(self, sender: User, language: str) -> Person:
        known = await self._db.read(user_rows.get, sender.id)
        if known is not None and _is_fresh(known, sender, language):
            return known
        return await self._db.write(_remember, sender, language)

    async def _turn_away(self, event: Update, bot: Bot, localizer: Localizer) -> None:
        query = event.callback_query
        if query is not None:
            with suppress(TelegramBadRequest):
                await query.answer(localizer.plain("banned")[:ANSWER_LIMIT], show_alert=True)
        elif isinstance(event.message, Message) and self._told_banned.due(event.message.chat.id):
            await bot.send_message(event.message.chat.id, localizer.t("banned"))


def _is_fresh(known: Person, sender: User, language: str) -> bool:
    spoken = known.language if known.language_chosen else language
    return (known.language, known.name, known.username, known.is_unreachable) == (
        spoken,
        sender.full_name[:128],
        sender.username,
        0,
    )


def _remember(tx: Tx, sender: User, language: str) -> Person:
    """Keep what changed; someone who comes back gets the results that could not be delivered."""
    before = user_rows.get(tx, sender.id)
    known = user_rows.remember(tx, sender.id, language=language, name=sender.full_name, username=sender.username)
    if before is not None and before.is_unreachable:
        outbox.revive_results(tx, sender.id)
    return known
