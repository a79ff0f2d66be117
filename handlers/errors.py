"""Here errors become sentences. What nobody foresaw gets an apology and a number, never its own words."""

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
from handlers.middlewares import Notices
from handlers.orders.drafts import Stale
from handlers.orders.intake import PromptTooLong
from handlers.views.localizer import Localizer
from services.catalogue import Catalogue, UnknownModel
from services.common.keyed_lock import TooManyWaiting
from services.common.log import event
from services.errors import BadOrder, TopUpUnavailable
from services.media.inspect import MediaFault
from services.messaging.photos import PhotoGone, PhotoRefused, PhotoUnavailable
from services.messaging.telegram import TROUBLE
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


def sentence(localizer: Localizer, error: Exception, catalogue: Catalogue) -> str | None:
    """What the person reads about a refusal, plain text; None for what is no refusal."""
    match error:
        case Stale():
            return localizer.plain(error.code)
        case PromptTooLong():
            return localizer.plain("prompt-too-long", limit=error.limit, over=error.over)
        case BadOrder():
            return localizer.plain(error.code.replace("_", "-"))
        case UnknownModel():
            return localizer.plain("unknown-model")
        case TopUpUnavailable(code="off") if not catalogue.top_ups.star_packs:
            return localizer.plain("topup-none")
        case TopUpUnavailable():
            return localizer.plain(_TOP_UP[error.code])
        case PhotoRefused():
            megabytes = catalogue.limits.photo_bytes // 1_000_000
            return localizer.plain(_PHOTO.get(error.code, f"photo-{error.code}"), megabytes=megabytes)
        case PhotoUnavailable():
            return localizer.plain("photo-unavailable")
        case PhotoGone():
            return localizer.plain("photo-gone")
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


@router.errors()
async def tell(
    failure: ErrorEvent,
    bot: Bot,
    db: Database,
    catalogue: Catalogue,
    album_notices: Notices,
    localizer: Localizer | None = None,
) -> bool:
    """Answer the person whose update failed; a fault of ours is logged under the number they see."""
    error, update = failure.exception, failure.update
    if isinstance(error, TooManyWaiting):
        return True  # a flood: answering each message of it would make two
    if isinstance(error, TelegramForbiddenError):
        if (sender := getattr(update.event, "from_user", None)) is not None:
            await db.write(user_rows.set_unreachable, sender.id, True)
        return True
    if localizer is None:
        event(_log, "update.failed", level=logging.ERROR)
        return True
    text = sentence(localizer, error, catalogue)
    if isinstance(error, (TelegramRetryAfter, *TROUBLE)):
        event(_log, "telegram.trouble", level=logging.WARNING, error=str(error))
        text = localizer.plain("error-try-again")
    if isinstance(error, DatabaseUnavailable):
        event(_log, "database.unavailable", level=logging.ERROR)
    if text is None:
        incident = clock.token(3)
        event(_log, "update.failed", level=logging.ERROR, incident=incident, error=type(error).__name__)
        text = localizer.plain("error-incident-plain", incident=incident)
    chat = getattr(update.event, "chat", None) or getattr(getattr(update.event, "message", None), "chat", None)
    if chat is not None and chat.type != ChatType.PRIVATE:
        return True  # what goes wrong in a group is nobody else's to read
    album = getattr(update.event, "media_group_id", None)
    if album is not None and not album_notices.due(f"{album}:{text}"):
        return True  # said of another photo of the same album
    with suppress(TelegramAPIError, *TROUBLE):
        await _answer(bot, update.event, text)
    return True


async def _answer(bot: Bot, what: object, text: str) -> None:
    """A tap gets its answer on the button where it fits; everything else a message."""
    if isinstance(what, CallbackQuery):
        if len(text) <= ANSWER_LIMIT:
            try:
                await what.answer(text, show_alert=True)
                return
            except TelegramBadRequest:
                pass  # answered already, or too late for that
        else:
            with suppress(TelegramBadRequest):
                await what.answer()
        await bot.send_message(what.from_user.id, text, parse_mode=None)
    elif isinstance(what, Message):
        await what.answer(text, parse_mode=None)
