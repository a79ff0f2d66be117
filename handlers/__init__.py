"""Handlers for updates of Telegram and for HTTP requests: each reads the request, calls one service and answers.

This module puts the dispatcher together. It is the only place that decides the order of the routers.
"""

from __future__ import annotations

from copy import deepcopy

from aiogram import Dispatcher, F, Router

from database.models import Database
from handlers import errors, fallback, language, start
from handlers.admin import jobs as admin_jobs
from handlers.admin import money as admin_money
from handlers.admin import reports as admin_reports
from handlers.admin import users as admin_users
from handlers.middlewares import AnswerCallbacks, LoadPerson, RateLimitNotice
from handlers.notices import Notices
from handlers.orders import ask, cancel, card_buttons, confirm, history, intake, result
from handlers.orders.cards import Cards
from handlers.orders.drafts import Drafts
from handlers.payments import balance, topup
from handlers.payments import stars as star_payments
from handlers.storage import DatabaseStorage, OneAtATime
from handlers.views.messages import ChatMessages
from services.catalogue import Catalogue
from services.common.i18n import Texts
from services.common.keyed_lock import KeyedLock
from services.jobs import Jobs
from services.messaging.delivery import Delivery
from services.messaging.notifier import Notifier
from services.messaging.photos import Photos
from services.payments.payments import Payments
from services.payments.reconciliation import Reconciliation
from services.payments.refunds import Refunds
from services.payments.stars import Stars
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
    """A dispatcher with all routers. The names given to it are the parameters that handlers may ask for.

    A process may build several. `chats`: a lock for each chat, shared with the notifier and the live messages.
    """
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
    dispatcher.update.outer_middleware(LoadPerson(db, texts, settings.admin_ids))
    limits = RateLimitMiddleware(limiter, RateLimitNotice(db, texts))
    dispatcher.message.middleware(limits)
    dispatcher.callback_query.middleware(limits)
    dispatcher.callback_query.middleware(AnswerCallbacks())
    dispatcher.include_routers(*_routers(settings.admin_ids))
    dispatcher.shutdown.register(cards.close)
    return dispatcher


def _routers(admin_ids: frozenset[int]) -> list[Router]:
    """All routers; the first one with a handler for an update gets it.

    Groups come first and are answered by nobody else. Buttons and commands come before texts and photos, which answer
    to almost everything; the fallback is last. These are copies, because a router can have only one parent.
    """
    for_admins = [deepcopy(module.router) for module in (admin_users, admin_jobs, admin_money, admin_reports)]
    for router in for_admins:
        # A forwarded message was written by somebody else: it must not act with the rights of the admin.
        router.message.filter(F.from_user.id.in_(admin_ids), ~F.forward_origin, ~F.via_bot)
        router.callback_query.filter(F.from_user.id.in_(admin_ids))
    return [
        deepcopy(fallback.groups),
        deepcopy(errors.router),
        deepcopy(card_buttons.router),
        deepcopy(confirm.router),
        deepcopy(start.router),
        deepcopy(language.router),
        deepcopy(ask.router),
        deepcopy(cancel.router),
        deepcopy(balance.router),
        deepcopy(topup.router),
        deepcopy(star_payments.router),
        deepcopy(history.router),
        deepcopy(result.router),
        *for_admins,
        deepcopy(intake.router),
        deepcopy(fallback.router),
    ]
