"""Turns errors into texts for people.

An unexpected error is answered with an apology and a number, never with its own text.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Final

from aiogram import Bot, Router
from aiogram.enums import ChatType
from aiogram.exceptions import TelegramAPIError, TelegramBadRequest, TelegramForbiddenError, TelegramRetryAfter
from aiogram.types import CallbackQuery, ErrorEvent, Message

from database import clock
from database import users as user_rows
from database.models import (
    Banned,
    Database,
    DatabaseUnavailable,
    IllegalMove,
    InsufficientFunds,
    NotFound,
    SpendLimitReached,
    TooManyJobs,
    UnderMaintenance,
)
from handlers.chat import ANSWER_LIMIT
from handlers.notices import Notices
from handlers.orders.drafts import Stale
from handlers.orders.prompts import PromptTooLong
from handlers.views.localizer import Localizer
from services.catalogue import Catalogue, UnknownModel
from services.common.keyed_lock import TooManyWaiting
from services.common.log import event
from services.errors import BadDraft, TopUpUnavailable
from services.media.inspect import MediaFault
from services.messaging.photos import PhotoGone, PhotoRefused, PhotoUnavailable
from services.messaging.telegram import NETWORK_ERRORS
from services.rate_limiter import RateLimited

router = Router(name="errors")
_log = logging.getLogger(__name__)

_TOP_UP: Final = {
    "off": "topup-off",
    "stars_off": "topup-stars-off",
    "try_later": "topup-try-later",
    "refused": "topup-refused",
    "email": "email-needed",
}
_PHOTO: Final = {MediaFault.EMPTY: "photo-broken", MediaFault.TOO_LONG: "photo-broken"}


def text_for(localizer: Localizer, error: Exception, catalogue: Catalogue) -> str | None:
    """The text (plain) about a refusal that we expect; None for every other error."""
    match error:
        case Stale():
            return localizer.plain(error.code)
        case PromptTooLong() | BadDraft() | UnknownModel() | PhotoRefused() | PhotoUnavailable() | PhotoGone():
            return _text_for_draft(localizer, error, catalogue)
        case TopUpUnavailable(code="off") if not catalogue.top_ups.star_packs:
            return localizer.plain("topup-none")
        case TopUpUnavailable():
            return localizer.plain(_TOP_UP[error.code])
        case TooManyJobs():
            return localizer.plain("error-too-many-jobs", count=error.limit)
        case RateLimited():
            return localizer.plain("error-rate-limited", seconds=error.retry_after)
        case SpendLimitReached():
            return localizer.plain("error-enough-for-today")
        case UnderMaintenance():
            return localizer.plain("error-maintenance")
        case Banned():
            return localizer.plain("banned")
        case InsufficientFunds():
            return localizer.plain(
                "card-money-short", balance=localizer.rubles(error.balance), missing=localizer.rubles(error.missing)
            )
        case NotFound() | IllegalMove():
            return localizer.plain("order-stale")
        case DatabaseUnavailable():
            return localizer.plain("error-try-again")
        case _:
            return None


def _text_for_draft(
    localizer: Localizer,
    error: PromptTooLong | BadDraft | UnknownModel | PhotoRefused | PhotoUnavailable | PhotoGone,
    catalogue: Catalogue,
) -> str:
    """What is wrong with a draft, its prompt or a photo for it."""
    match error:
        case PromptTooLong():
            return localizer.plain("prompt-too-long", limit=error.limit, over=error.over)
        case BadDraft():
            return localizer.plain(error.code.replace("_", "-"))
        case UnknownModel():
            return localizer.plain("unknown-model")
        case PhotoRefused():
            megabytes = catalogue.limits.photo_bytes // 1_000_000
            return localizer.plain(_PHOTO.get(error.code, f"photo-{error.code}"), megabytes=megabytes)
        case PhotoUnavailable():
            return localizer.plain("photo-unavailable")
        case PhotoGone():
            return localizer.plain("photo-gone")


@router.errors()
async def tell(
    failure: ErrorEvent,
    bot: Bot,
    db: Database,
    catalogue: Catalogue,
    album_notices: Notices,
    localizer: Localizer | None = None,
) -> bool:
    """Answer the person whose update failed. An error of ours is logged with the number that the person reads."""
    error, update = failure.exception, failure.update
    if isinstance(error, TooManyWaiting):
        return True  # a flood of updates: answers would double it
    if isinstance(error, TelegramForbiddenError):
        if (sender := getattr(update.event, "from_user", None)) is not None:
            await db.write(user_rows.set_unreachable, sender.id, True)
        return True
    if localizer is None:
        event(_log, "update.failed", level=logging.ERROR)
        return True
    text = _logged_text(localizer, error, catalogue)
    chat = getattr(update.event, "chat", None) or getattr(getattr(update.event, "message", None), "chat", None)
    if chat is not None and chat.type != ChatType.PRIVATE:
        return True  # others in a group must not read about it
    album = getattr(update.event, "media_group_id", None)
    if album is not None and not album_notices.due(f"{album}:{text}"):
        return True  # another photo of the same album was answered with this
    with suppress(TelegramAPIError, *NETWORK_ERRORS):
        await _answer(bot, update.event, text)
    return True


def _logged_text(localizer: Localizer, error: Exception, catalogue: Catalogue) -> str:
    """The text for the person; what is not a refusal is logged."""
    if isinstance(error, (TelegramRetryAfter, *NETWORK_ERRORS)):
        event(_log, "telegram.trouble", level=logging.WARNING, error=str(error))
        return localizer.plain("error-try-again")
    if isinstance(error, DatabaseUnavailable):
        event(_log, "database.unavailable", level=logging.ERROR)
    text = text_for(localizer, error, catalogue)
    if text is None:
        incident = clock.token(3)
        event(_log, "update.failed", level=logging.ERROR, incident=incident, error=type(error).__name__)
        text = localizer.plain("error-incident-plain", incident=incident)
    return text


async def _answer(bot: Bot, failed: object, text: str) -> None:
    """Answer a callback query in its alert, where the text is short enough, and everything else with a message."""
    if isinstance(failed, CallbackQuery):
        if len(text) <= ANSWER_LIMIT:
            try:
                await failed.answer(text, show_alert=True)
                return
            except TelegramBadRequest:
                pass  # it was answered before, or it is too old
        else:
            with suppress(TelegramBadRequest):
                await failed.answer()
        await bot.send_message(failed.from_user.id, text, parse_mode=None)
    elif isinstance(failed, Message):
        await failed.answer(text, parse_mode=None)
