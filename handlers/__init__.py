"""The bot's edges: understand an update, call one service, answer. Here alone stands the order of routers."""

from __future__ import annotations

from copy import deepcopy

from aiogram import Dispatcher, F, Router
from aiogram.types import CallbackQuery, Message, TelegramObject

from database import users as user_rows
from database.models import Database
from handlers import errors, fallback, start
from handlers.admin import money as admin_money
from handlers.admin import users as admin
from handlers.chat import ANSWER_LIMIT
from handlers.middlewares import AnswerTaps, KnownPerson, Notices
from handlers.orders import confirm as order
from handlers.orders import history, intake, result
from handlers.orders.drafts import Cards, Drafts
from handlers.payments import balance, topup
from handlers.payments import stars as star_payments
from handlers.storage import DatabaseStorage, OneAtATime
from handlers.views.messages import ChatMessages
from services.catalogue import Catalogue
from services.common.i18n import Texts, pick_language
from services.common.keyed_lock import KeyedLock
from services.jobs import Jobs
from services.messaging.delivery import Delivery
from services.messaging.notifier import Notifier
from services.messaging.photos import Photos
from services.payments.reconciliation import Reconciliation
from services.payments.refunds import Refunds
from services.payments.stars import Stars
from services.payments.topups import Payments
from services.rate_limiter import RateLimiter, RateLimitMiddleware
from services.settings import Settings
from services.storefront import Storefront


def build_dispatcher(
    *,
    settings: Settings,
    db: Database,
    catalogue: Catalogue,
    texts: Texts,
    limiter: RateLimiter,
    jobs: Jobs,
    payments: Payments,
    refunds: Refunds,
    reconciliation: Reconciliation,
    stars: Stars,
    photos: Photos,
    delivery: Delivery,
    notifier: Notifier,
    renderer: ChatMessages,
    storefront: Storefront,
    chats: KeyedLock,
) -> Dispatcher:
    """The dispatcher with everything its handlers ask for by name. May be built more than once in a process."""
    drafts = Drafts(db, storefront)
    cards = Cards(db, drafts)
    dispatcher = Dispatcher(
        storage=DatabaseStorage(db),
        events_isolation=OneAtATime(),
        db=db,
        catalogue=catalogue,
        texts=texts,
        jobs=jobs,
        payments=payments,
        refunds=refunds,
        reconciliation=reconciliation,
        stars=stars,
        photos=photos,
        delivery=delivery,
        notifier=notifier,
        renderer=renderer,
        chats=chats,
        admins=settings.admin_ids,
        drafts=drafts,
        cards=cards,
        group_notices=Notices(fallback.GROUP_NOTICE_SECONDS),
        album_notices=Notices(fallback.ALBUM_NOTICE_SECONDS),
    )
    dispatcher.update.outer_middleware(KnownPerson(db, texts, settings.admin_ids))
    limits = RateLimitMiddleware(limiter, _TellLimit(db, texts))
    dispatcher.message.middleware(limits)
    dispatcher.callback_query.middleware(limits)
    dispatcher.callback_query.middleware(AnswerTaps())
    dispatcher.include_routers(*_routers(settings.admin_ids))
    dispatcher.shutdown.register(cards.close)
    return dispatcher


def _routers(admin_ids: frozenset[int]) -> list[Router]:
    """The first that takes an update has it: groups away, what interrupts before what answers, the polite rest last.

    Whole copies, because a router that has a parent can't get another, and a process may build two bots.
    """
    administration = [deepcopy(admin.router), deepcopy(admin_money.router)]
    for router in administration:
        # What an administrator passes on was written by somebody else, who must not rule the shop by it.
        router.message.filter(F.from_user.id.in_(admin_ids), ~F.forward_origin, ~F.via_bot)
        router.callback_query.filter(F.from_user.id.in_(admin_ids))
    return [
        deepcopy(fallback.groups),
        deepcopy(errors.router),
        deepcopy(order.router),
        deepcopy(start.router),
        deepcopy(balance.router),
        deepcopy(topup.router),
        deepcopy(star_payments.router),
        deepcopy(history.router),
        deepcopy(result.router),
        *administration,
        deepcopy(intake.router),
        deepcopy(fallback.router),
    ]


class _TellLimit:
    """Says how long to wait, in the person's own language."""

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
