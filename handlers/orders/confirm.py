"""The card's buttons: change an option, change words or photos, and start the order at exactly the price shown."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from aiogram import Bot, Router
from aiogram.exceptions import TelegramBadRequest, TelegramRetryAfter
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State
from aiogram.types import CallbackQuery

from database import jobs as job_rows
from database.models import Database, Draft, InsufficientFunds, JobType, User
from handlers.chat import NO_LIMIT, CallbackAnswer, answer_and_edit, message_ref
from handlers.orders.drafts import Cards, Drafts
from handlers.orders.intake import animate_fault
from handlers.states import Waiting
from handlers.views import keyboards
from handlers.views.callbacks import CardTap, ChoiceTap, ConfirmTap, MenuTap, ResumeTap
from handlers.views.draft_card import menu, with_choice, with_kind
from handlers.views.localizer import Localizer
from handlers.views.messages import ChatMessages
from services.catalogue import TopUps
from services.common.keyed_lock import KeyedLock
from services.errors import BadOrder
from services.jobs import Jobs
from services.messaging.telegram import TROUBLE, Screen, change_or_show, remove
from services.payments.topups import Payments

router = Router(name="order")

CONFIRM: Final = {"rate_limit": "confirm"}


@router.callback_query(MenuTap.filter(), flags=NO_LIMIT)
async def open_menu(
    query: CallbackQuery,
    callback_data: MenuTap,
    callback: CallbackAnswer,
    bot: Bot,
    person: User,
    localizer: Localizer,
    drafts: Drafts,
) -> None:
    draft = await drafts.load(callback_data.draft, person.id)
    await answer_and_edit(query, callback, bot, menu(localizer, drafts.storefront, draft, callback_data.option))


@router.callback_query(ChoiceTap.filter(), flags=NO_LIMIT)
async def choose(
    query: CallbackQuery,
    callback_data: ChoiceTap,
    callback: CallbackAnswer,
    bot: Bot,
    person: User,
    localizer: Localizer,
    drafts: Drafts,
    cards: Cards,
) -> None:
    draft = await drafts.load(callback_data.draft, person.id)
    draft = await drafts.save(with_choice(drafts.storefront, draft, callback_data.option, callback_data.value))
    await callback.answer()
    await cards.edit(bot, localizer, draft, message_ref(query)[1])


@router.callback_query(CardTap.filter(), flags=NO_LIMIT)
async def card_tap(
    query: CallbackQuery,
    callback_data: CardTap,
    state: FSMContext,
    callback: CallbackAnswer,
    bot: Bot,
    person: User,
    localizer: Localizer,
    drafts: Drafts,
    cards: Cards,
) -> None:
    """Back to the card, new words, another photo, picture or clip, or no order at all."""
    message_id = message_ref(query)[1]
    draft = await drafts.load(callback_data.draft, person.id)
    match callback_data.act:
        case "drop":
            await drafts.drop(draft.id, person.id)
            await state.clear()
            await answer_and_edit(query, callback, bot, Screen(localizer.t("order-dropped")))
        case "prompt":
            await _wait(state, Waiting.prompt, draft)
            if not draft.prompt:
                await callback.answer(localizer.plain("card-no-prompt-edit"))  # the card asks for it already
                return
            await callback.answer()
            await cards.edit(bot, localizer, draft, message_id, note=localizer.t("ask-prompt"))
        case "photo":
            if len(draft.inputs) >= drafts.storefront.most_photos(draft.type, draft.model):
                await callback.answer(localizer.plain("photo-full"), alert=True)
                return
            await _wait(state, Waiting.photo, draft)
            await callback.answer()
            await cards.edit(bot, localizer, draft, message_id, note=localizer.t("ask-photo"))
        case "clip" | "picture" as wanted:
            await _switch_kind(wanted == "clip", draft, state, callback, bot, localizer, drafts, cards, message_id)
        case "show":
            if draft.prompt or not draft.inputs:
                await state.clear()
            await callback.answer()
            await cards.edit(bot, localizer, draft, message_id)


async def _wait(state: FSMContext, waiting: State, draft: Draft) -> None:
    await state.set_state(waiting)
    await state.set_data({"draft": draft.id})


async def _switch_kind(
    video: bool,
    draft: Draft,
    state: FSMContext,
    callback: CallbackAnswer,
    bot: Bot,
    localizer: Localizer,
    drafts: Drafts,
    cards: Cards,
    message_id: int | None,
) -> None:
    """A clip, or a picture, with the same words and photos, where the photo allows it."""
    if not drafts.storefront.offers(JobType.VIDEO if video else JobType.IMAGE):
        raise BadOrder("provider_off")
    limits = drafts.storefront.catalogue.limits
    if video and draft.inputs:
        photos = await drafts.photos(draft)
        if not photos or photos[0].id != draft.inputs[0]:
            raise BadOrder("photo_gone")
        if fault := animate_fault(photos[0], limits):
            await callback.answer(localizer.plain(fault, pixels=limits.video_photo_min_side), alert=True)
            return
    note = localizer.t("card-clip-one-photo") if video and len(draft.inputs) > 1 else None
    draft = await drafts.save(with_kind(drafts.storefront, draft, video=video))
    if draft.inputs and not draft.prompt:
        await _wait(state, Waiting.prompt, draft)
    await callback.answer()
    await cards.edit(bot, localizer, draft, message_id, note=note)


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
    """Start the job once, whatever the number of taps; the card becomes its live message, a receipt stays a receipt."""
    chat_id, tapped = message_ref(query)
    message_id = None if isinstance(callback_data, ResumeTap) else tapped
    draft = await drafts.load(callback_data.draft, person.id)
    price = jobs.quote(draft).price
    if price != callback_data.price:
        # Another price than the button said: never take it without asking again.
        await callback.answer(localizer.plain("card-price-changed"), alert=True)
        await cards.edit(bot, localizer, draft, message_id, note=localizer.t("card-price-changed"))
        return
    if fault := await _photo_fault(draft, drafts):
        limits = drafts.storefront.catalogue.limits
        await callback.answer(localizer.plain(fault, pixels=limits.video_photo_min_side), alert=True)
        return
    async with chats.hold(chat_id):
        # Held until the message shows the order: who finishes the job waits, so its last word stays the last.
        try:
            job = await jobs.start(draft, chat_id=chat_id, status_message_id=message_id)
        except InsufficientFunds:
            screen = await _short_of_money(localizer, draft, price, db, drafts.storefront.catalogue.top_ups, payments)
            await answer_and_edit(query, callback, bot, screen)
            return
        await callback.answer()
        ahead = await db.read(job_rows.ahead_in_queue, job)
        screen = renderer.progress(localizer.language, job, ahead=ahead, now_ms=job.created_at)
        with suppress(TelegramRetryAfter, *TROUBLE):  # the order stands; its message is brought up to date later
            shown = await change_or_show(bot, chat_id, message_id, screen)
            if shown != message_id:
                await db.write(job_rows.set_status_message, job.id, chat_id, shown)
            if message_id is None and tapped is not None:
                with suppress(TelegramBadRequest):
                    await bot.edit_message_reply_markup(chat_id=chat_id, message_id=tapped)
    if draft.message_id not in (None, tapped):
        await remove(bot, chat_id, draft.message_id)  # its card stands elsewhere and would offer the order once more
    if (await state.get_data()).get("draft") == draft.id:
        await state.clear()


async def _photo_fault(draft: Draft, drafts: Drafts) -> str | None:
    """Why the clip's photo can't be filmed, as a text id: better said now than after the provider's refusal."""
    if draft.type is not JobType.ANIMATE:
        return None
    photos = await drafts.photos(draft)
    return animate_fault(photos[0], drafts.storefront.catalogue.limits) if photos else "photo-gone"


async def _short_of_money(
    localizer: Localizer, draft: Draft, price: int, db: Database, top_ups: TopUps, payments: Payments
) -> Screen:
    """What is missing, and buttons for exactly that sum (at least the minimum) and for more."""
    balance = await db.get_balance(draft.user_id)
    missing = max(price - balance, 1)
    text = localizer.t(
        "topup-missing",
        missing=localizer.rubles(missing),
        price=localizer.rubles(price),
        balance=localizer.rubles(balance),
    )
    stars = _enough(top_ups.star_packs, missing)
    if not payments.offered:
        words = text if stars else f"{text}\n\n{localizer.t('topup-none')}"
        return Screen(words, keyboards.top_up_in_stars(localizer, stars, draft=draft.id))
    exact = min(max(top_ups.minimum, -(-missing // 100) * 100), top_ups.maximum)
    if missing < top_ups.minimum:
        text += " " + localizer.t("topup-minimum", minimum=localizer.rubles(top_ups.minimum))
    packs = [pack for pack in top_ups.packs if pack > exact]
    return Screen(text, keyboards.top_up(localizer, packs, exact=exact, draft=draft.id, star_packs=stars))


def _enough(packs: Sequence[tuple[int, int]], missing: int) -> list[tuple[int, int]]:
    """Packs in Stars that bring at least `missing` kopecks; all of them where none does."""
    return [pack for pack in packs if pack[0] >= missing] or list(packs)
