"""The command lists in Telegram's menu: one for each language, longer for admins, sent only after a change."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from aiogram import Bot
from aiogram.exceptions import ClientDecodeError, TelegramAPIError, TelegramBadRequest, TelegramForbiddenError
from aiogram.types import BotCommand, BotCommandScopeAllPrivateChats, BotCommandScopeChat

from database import flags as flag_rows
from database.models import Database
from services.common.i18n import LANGUAGES, Texts
from services.common.log import event

PEOPLE: Final = (
    "start",
    "image",
    "video",
    "balance",
    "topup",
    "history",
    "language",
    "cancel",
    "paysupport",
    "terms",
    "help",
)
ADMINS: Final = (
    "admin",
    "stats",
    "user",
    "grant",
    "ban",
    "unban",
    "job",
    "refund",
    "refund_payment",
    "reconcile",
    "fix",
    "margin",
    "export",
    "maintenance",
)
FLAG: Final = "commands"

_log = logging.getLogger(__name__)


async def set_commands(bot: Bot, admin_ids: Iterable[int], *, db: Database, texts: Texts) -> bool:
    """Send the command lists when they have changed; return whether they were sent. Errors of Telegram are logged."""
    admins = sorted(admin_ids)
    wanted = _described(texts)
    digest = _digest([bot.id, admins, wanted])
    if await db.read(flag_rows.get, FLAG) == digest:
        return False
    try:
        for language, described in wanted.items():
            await _set_lists(bot, _commands(described), admins, _code(language))
    except TelegramAPIError as error:
        event(_log, "commands.not_set", level=logging.WARNING, error=str(error))
        return False
    await db.write(flag_rows.put, FLAG, digest)
    return True


async def greet_admin(bot: Bot, admin: int, *, db: Database, texts: Texts) -> None:
    """Send the longer list to one admin, unless this list was sent before. Errors of Telegram are logged.

    `set_commands` fails for an admin who has not started the bot yet.
    """
    wanted, flag = _described(texts), f"{FLAG}:{admin}"
    digest = _digest([bot.id, wanted])
    if await db.read(flag_rows.get, flag) == digest:
        return
    try:
        for language, described in wanted.items():
            scope = BotCommandScopeChat(chat_id=admin)
            await bot.set_my_commands(_commands(described), scope=scope, language_code=_code(language))
    except (TelegramAPIError, ClientDecodeError) as error:
        event(_log, "commands.not_set", level=logging.WARNING, error=type(error).__name__)
        return
    await db.write(flag_rows.put, flag, digest)


def _digest(wanted: object) -> str:
    """A hash of what is sent, kept in the database to see a change."""
    return hashlib.sha256(json.dumps(wanted, ensure_ascii=False).encode()).hexdigest()


def _described(texts: Texts) -> dict[str, list[tuple[str, str]]]:
    """Language → (command, description), first the commands for people, then those for admins."""
    return {
        language: [(name, texts.plain(language, f"command-{name}")) for name in PEOPLE + ADMINS]
        for language in LANGUAGES
    }


def _commands(described: list[tuple[str, str]]) -> list[BotCommand]:
    return [BotCommand(command=name, description=text) for name, text in described]


def _code(language: str) -> str | None:
    """Telegram's language code. The list without one is for people whose language has no list of its own.

    How Telegram chooses a list: docs/reference/telegram.md, section 6.
    """
    return None if language == "en" else language


async def _set_lists(bot: Bot, commands: list[BotCommand], admins: list[int], language: str | None) -> None:
    for_people = commands[: len(PEOPLE)]
    await bot.set_my_commands(for_people, scope=BotCommandScopeAllPrivateChats(), language_code=language)
    for admin in admins:
        # An admin who has never started the bot has no chat yet. `greet_admin` sends the list at /start.
        with suppress(TelegramBadRequest, TelegramForbiddenError):
            await bot.set_my_commands(commands, scope=BotCommandScopeChat(chat_id=admin), language_code=language)
