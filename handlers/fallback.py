"""Answers what no other router handles, in private chats and in groups, and notes when a person blocks the bot."""

from __future__ import annotations

from typing import Final

from aiogram import Bot, F, Router
from aiogram.enums import ChatMemberStatus, ChatType, ContentType
from aiogram.types import CallbackQuery, ChatMemberUpdated, InlineKeyboardButton, Message

from database import outbox
from database import users as user_rows
from database.models import Database, Tx, User
from handlers.chat import MESSAGE_LIMIT, NO_LIMIT, CallbackAnswer
from handlers.notices import Notices
from handlers.views.keyboards import keyboard
from handlers.views.localizer import Localizer
from services.messaging.notifier import Notifier

router = Router(name="fallback")
groups = Router(name="groups")

GROUP_NOTICE_SECONDS: Final = 600.0
ALBUM_NOTICE_SECONDS: Final = 600.0

_UNSUPPORTED: Final = {
    ContentType.STICKER: "unsupported-sticker",
    ContentType.DICE: "unsupported-sticker",
    ContentType.VOICE: "unsupported-voice",
    ContentType.VIDEO_NOTE: "unsupported-voice",
    ContentType.VIDEO: "unsupported-video",
    ContentType.ANIMATION: "unsupported-video",
    ContentType.AUDIO: "unsupported-audio",
    ContentType.LOCATION: "unsupported-location",
    ContentType.VENUE: "unsupported-location",
    ContentType.CONTACT: "unsupported-contact",
    ContentType.DOCUMENT: "unsupported-file",
    ContentType.POLL: "unsupported-other",
    ContentType.STORY: "unsupported-other",
    ContentType.GAME: "unsupported-other",
    ContentType.PAID_MEDIA: "unsupported-other",
    ContentType.CHECKLIST: "unsupported-other",
}


@groups.message(F.chat.type != ChatType.PRIVATE, flags=NO_LIMIT)
async def group(message: Message, bot: Bot, localizer: Localizer, group_notices: Notices) -> None:
    """Answer a command in a group with a link to the private chat, once in ten minutes; ignore everything else."""
    if not (message.text or "").startswith("/") or not group_notices.due(message.chat.id):
        return
    me = await bot.me()
    link = InlineKeyboardButton(
        text=localizer.plain("private-only-button"), url=f"https://t.me/{me.username}?start=group"
    )
    await message.answer(localizer.t("private-only"), reply_markup=keyboard([link]))


@groups.callback_query(F.message.chat.type != ChatType.PRIVATE, flags=NO_LIMIT)
async def group_tap(query: CallbackQuery, callback: CallbackAnswer, localizer: Localizer) -> None:
    """The same for a button in a group, every time."""
    await callback.answer(localizer.plain("private-only"), alert=True)


@router.message(F.text.startswith("/"), flags=MESSAGE_LIMIT)
async def unknown_command(message: Message, localizer: Localizer) -> None:
    """A command that does not exist, or that only admins may use."""
    await message.answer(localizer.t("unknown-command"))


@router.message(F.content_type.in_(set(_UNSUPPORTED)), flags=MESSAGE_LIMIT)
async def unsupported(message: Message, localizer: Localizer, album_notices: Notices) -> None:
    """Content that a person may try and the bot can't use, an album answered once. Service messages get no answer."""
    text = localizer.t(_UNSUPPORTED[ContentType(message.content_type)])
    if message.media_group_id is None or album_notices.due(f"{message.media_group_id}:{text}"):
        await message.answer(text)


@router.callback_query(flags=NO_LIMIT)
async def stale_button(query: CallbackQuery, callback: CallbackAnswer, localizer: Localizer) -> None:
    """A button of an older version, or forged callback data."""
    await callback.answer(localizer.plain("error-stale-button"), alert=True)


@router.my_chat_member(F.chat.type == ChatType.PRIVATE)
async def chat_changed(change: ChatMemberUpdated, person: User, db: Database, notifier: Notifier) -> None:
    """Blocked: the person counts as unreachable, and results wait. Unblocked: results that wait are sent."""
    blocked = change.new_chat_member.status == ChatMemberStatus.KICKED

    def note(tx: Tx) -> int:
        user_rows.set_unreachable(tx, person.id, blocked)
        return 0 if blocked else outbox.revive_results(tx, person.id)

    if await db.write(note):
        notifier.nudge()
