"""The button with the price: starts the job for exactly that price, or offers a top-up when money is missing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from aiogram import Bot, Router
from aiogram.exceptions import TelegramBadRequest, TelegramRetryAfter
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery

from database import jobs as job_rows
from database.models import Database, InsufficientFunds, Job, JobType, User
from handlers.chat import CallbackAnswer, answer_and_edit, message_ref
from handlers.orders.cards import Cards
from handlers.orders.drafts import Drafts
from handlers.orders.video_photo import first_photo_fault
from handlers.views import keyboards
from handlers.views.callbacks import ConfirmTap, ResumeTap
from handlers.views.localizer import Localizer
from handlers.views.messages import ChatMessages
from services.catalogue import TopUps
from services.common.keyed_lock import KeyedLock
from services.jobs import Jobs
from services.messaging.telegram import NETWORK_ERRORS, Screen, change_or_show, remove
from services.payments.payments import Payments

router = Router(name="confirm")

CONFIRM: Final = {"rate_limit": "confirm"}


@router.callback_query(ConfirmTap.filter(), flags=CONFIRM)
@router.callback_query(ResumeTap.filter(), flags=CONFIRM)
async def confirm(
    query: CallbackQuery,
    callback_data: ConfirmTap,
    state: FSMContext,
    callback: CallbackAnswer,
    bot: Bot,
    person: User,
    localizer: Localizer,
    drafts: Drafts,
    cards: Cards,
    jobs: Jobs,
    payments: Payments,
    renderer: ChatMessages,
    db: Database,
    chats: KeyedLock,
) -> None:
    """Start the job once, however often the button is tapped.

    The card becomes the live message of the job. A ResumeTap is under a message about money that came: that message
    stays, and the live message is a new one.
    """
    chat_id, tapped = message_ref(query)
    message_id = None if isinstance(callback_data, ResumeTap) else tapped
    draft = await drafts.load(callback_data.draft, person.id)
    limits, top_ups = drafts.storefront.catalogue.limits, drafts.storefront.catalogue.top_ups
    price = jobs.quote(draft).price
    if price != callback_data.price:
        # The button showed another price: ask again before money is taken.
        await callback.answer(localizer.plain("card-price-changed"), alert=True)
        await cards.edit(bot, localizer, draft, message_id, note=localizer.t("card-price-changed"))
        return
    if draft.type is JobType.ANIMATE and (fault := await first_photo_fault(draft, drafts)):
        await callback.answer(localizer.plain(fault, pixels=limits.video_photo_min_side), alert=True)
        return
    async with chats.hold(chat_id):
        # Held until the live message is shown: the notifier waits, so the text it writes at the end is not overwritten.
        try:
            job = await jobs.start(draft, chat_id=chat_id, status_message_id=message_id)
        except InsufficientFunds:
            balance = await db.get_balance(draft.user_id)
            screen = _missing_money(localizer, draft.id, price, balance, top_ups, by_card=payments.offered)
            await answer_and_edit(query, callback, bot, screen)
            return
        await callback.answer()
        with suppress(TelegramRetryAfter, *NETWORK_ERRORS):  # the job has started; its message is edited again later
            await _show_job(bot, chat_id, message_id, tapped, localizer, job, renderer, db)
    if draft.message_id not in (None, tapped):
        await remove(bot, chat_id, draft.message_id)  # the draft's card in another place still has its button
    if (await state.get_data()).get("draft") == draft.id:
        await state.clear()


async def _show_job(
    bot: Bot,
    chat_id: int,
    message_id: int | None,
    tapped: int | None,
    localizer: Localizer,
    job: Job,
    renderer: ChatMessages,
    db: Database,
) -> None:
    """Show the live message in place of the card `message_id`; without one send it and clear the tapped message."""
    ahead = await db.read(job_rows.ahead_in_queue, job)
    screen = renderer.progress(localizer.language, job, ahead=ahead, now_ms=job.created_at)
    shown = await change_or_show(bot, chat_id, message_id, screen)
    if shown != message_id:
        await db.write(job_rows.set_status_message, job.id, chat_id, shown)
    if message_id is None and tapped is not None:
        with suppress(TelegramBadRequest):
            await bot.edit_message_reply_markup(chat_id=chat_id, message_id=tapped)


def _missing_money(
    localizer: Localizer, draft_id: str, price: int, balance: int, top_ups: TopUps, *, by_card: bool
) -> Screen:
    """How much is missing, with buttons for exactly that amount (at least the minimum) and for more. All in kopecks."""
    missing = max(price - balance, 1)
    text = localizer.t(
        "topup-missing",
        missing=localizer.rubles(missing),
        price=localizer.rubles(price),
        balance=localizer.rubles(balance),
    )
    star_packs = _large_enough(top_ups.star_packs, missing)
    if not by_card:
        shown = text if star_packs else f"{text}\n\n{localizer.t('topup-none')}"
        return Screen(shown, keyboards.top_up_in_stars(localizer, star_packs, draft=draft_id))
    exact = min(max(top_ups.minimum, -(-missing // 100) * 100), top_ups.maximum)  # whole rubles, rounded up
    if missing < top_ups.minimum:
        text += " " + localizer.t("topup-minimum", minimum=localizer.rubles(top_ups.minimum))
    packs = [pack for pack in top_ups.packs if pack > exact]
    return Screen(text, keyboards.top_up(localizer, packs, exact=exact, draft=draft_id, star_packs=star_packs))


def _large_enough(packs: Sequence[tuple[int, int]], missing: int) -> list[tuple[int, int]]:
    """Packs in Stars (kopecks, Stars) that bring at least `missing` kopecks; all packs when none is large enough."""
    return [pack for pack in packs if pack[0] >= missing] or list(packs)
