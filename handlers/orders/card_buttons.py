"""The buttons of a card that change its draft: options, prompt, photos, image or video. None of them costs anything."""

from __future__ import annotations

from aiogram import Bot, Router
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery

from database.models import Draft, JobType, User
from handlers.chat import NO_LIMIT, CallbackAnswer, answer_and_edit, message_ref
from handlers.orders.cards import Cards
from handlers.orders.drafts import Drafts
from handlers.orders.video_photo import first_photo_fault
from handlers.states import Waiting, remember_draft
from handlers.views.callbacks import CardTap, ChoiceTap, MenuTap
from handlers.views.localizer import Localizer
from handlers.views.option_menu import menu, with_choice
from services.messaging.telegram import Screen

router = Router(name="card_buttons")


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
    """Show the choices of one option in place of the card."""
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
    """Take a choice and show the card with its new price."""
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
    """Go back to the card, ask for a prompt or a photo, switch between image and video, or drop the draft."""
    message_id = message_ref(query)[1]
    draft = await drafts.load(callback_data.draft, person.id)
    match callback_data.act:
        case "drop":
            await drafts.drop(draft.id, person.id)
            await state.clear()
            await answer_and_edit(query, callback, bot, Screen(localizer.t("order-dropped")))
        case "prompt":
            await remember_draft(state, draft.id, Waiting.prompt)
            if not draft.prompt:
                await callback.answer(localizer.plain("card-no-prompt-edit"))  # the card asks for it already
                return
            await callback.answer()
            await cards.edit(bot, localizer, draft, message_id, note=localizer.t("ask-prompt"))
        case "photo":
            if len(draft.inputs) >= drafts.storefront.max_photos(draft.type, draft.model):
                await callback.answer(localizer.plain("photo-full"), alert=True)
                return
            await remember_draft(state, draft.id, Waiting.photo)
            await callback.answer()
            await cards.edit(bot, localizer, draft, message_id, note=localizer.t("ask-photo"))
        case "clip" | "picture" as wanted:
            await _switch_kind(wanted == "clip", draft, state, callback, bot, localizer, drafts, cards, message_id)
        case "show":
            if draft.prompt or not draft.inputs:
                await state.clear()
            await callback.answer()
            await cards.edit(bot, localizer, draft, message_id)


async def _switch_kind(
    to_video: bool,
    draft: Draft,
    state: FSMContext,
    callback: CallbackAnswer,
    bot: Bot,
    localizer: Localizer,
    drafts: Drafts,
    cards: Cards,
    message_id: int | None,
) -> None:
    """Make the draft a video or an image with the same prompt and photos, if its first photo allows that."""
    storefront = drafts.storefront
    storefront.require(JobType.VIDEO if to_video else JobType.IMAGE)
    if to_video and draft.inputs and (fault := await first_photo_fault(draft, drafts)):
        pixels = storefront.catalogue.limits.video_photo_min_side
        await callback.answer(localizer.plain(fault, pixels=pixels), alert=True)
        return
    note = localizer.t("card-clip-one-photo") if to_video and len(draft.inputs) > 1 else None
    draft = await drafts.save(storefront.as_video(draft) if to_video else storefront.as_image(draft))
    if draft.inputs and not draft.prompt:
        await remember_draft(state, draft.id, Waiting.prompt)
    await callback.answer()
    await cards.edit(bot, localizer, draft, message_id, note=note)
