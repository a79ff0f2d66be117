"""/language: the person chooses the language in which the bot writes."""

from __future__ import annotations

from aiogram import Bot, Router
from aiogram.filters import Command
from aiogram.types import CallbackQuery, Message

from database import users as user_rows
from database.models import Database, User
from handlers.chat import MESSAGE_LIMIT, NO_LIMIT, CallbackAnswer, answer_and_edit, message_ref
from handlers.views import keyboards
from handlers.views.callbacks import LanguageTap
from handlers.views.localizer import Localizer
from services.common.i18n import Texts
from services.messaging.telegram import Screen, show

router = Router(name="language")


@router.message(Command("language"), flags=MESSAGE_LIMIT)
async def ask_language(message: Message, localizer: Localizer) -> None:
    """Ask, with a button for each language."""
    await message.answer(localizer.t("language-ask"), reply_markup=keyboards.languages())


@router.callback_query(LanguageTap.filter(), flags=NO_LIMIT)
async def choose_language(
    query: CallbackQuery,
    callback_data: LanguageTap,
    bot: Bot,
    person: User,
    texts: Texts,
    db: Database,
    callback: CallbackAnswer,
) -> None:
    """Save the choice and send the main menu again in that language."""
    await db.write(user_rows.choose_language, person.id, callback_data.code)
    localizer = Localizer(texts, callback_data.code)
    await answer_and_edit(query, callback, bot, Screen(localizer.t("language-ask"), keyboards.languages()))
    await show(bot, message_ref(query)[0], Screen(localizer.t("language-chosen"), keyboards.main_menu(localizer)))
