"""Texts and photos that people send at any time: each opens a draft, or answers a question of the bot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from aiogram import Bot, F, Router
from aiogram.filters import StateFilter
from aiogram.fsm.context import FSMContext
from aiogram.types import Document, Message, PhotoSize

from database.models import Asset, Draft, JobType, User
from handlers.chat import MESSAGE_LIMIT, NO_LIMIT
from handlers.orders.cards import Cards
from handlers.orders.drafts import Drafts, Stale, stable_id
from handlers.orders.prompts import check_length, visible
from handlers.orders.video_photo import video_fault_text
from handlers.states import Waiting, answered, has_answered
from handlers.views.callbacks import CardTap
from handlers.views.keyboards import button, keyboard
from handlers.views.localizer import Localizer
from services.errors import BadDraft
from services.messaging.photos import Photos

router = Router(name="intake")

IS_IMAGE_FILE: Final = F.document.mime_type.startswith("image/")
IS_PHOTO: Final = F.photo | IS_IMAGE_FILE


def _is_invisible(message: Message) -> bool:
    return not visible(message.text)


async def _open_from_text(
    type: JobType,
    message: Message,
    state: FSMContext,
    bot: Bot,
    person: User,
    localizer: Localizer,
    drafts: Drafts,
    cards: Cards,
) -> None:
    """Open a draft with the message's text as its prompt and show its card."""
    prompt = (message.text or "").strip()
    storefront = drafts.storefront
    check_length(storefront.catalogue, type, storefront.default_model(type), prompt)
    draft_id = stable_id(message.chat.id, message.message_id)
    draft = await drafts.open(draft_id, person.id, type, chat_id=message.chat.id, prompt=prompt)
    await cards.send_new(bot, localizer, draft, state)


@router.message(F.text, has_answered, flags=NO_LIMIT)
async def old_answer(message: Message, state: FSMContext) -> None:
    """This text has done its work before a crash: it must not open another draft."""
    await answered(state, message)


@router.message(F.text, _is_invisible, flags=MESSAGE_LIMIT)
async def nothing_to_read(message: Message, localizer: Localizer) -> None:
    """A text of which nothing can be seen is no prompt."""
    await message.answer(localizer.t("unsupported-other"))


@router.message(StateFilter(Waiting.prompt), F.text, ~F.text.startswith("/"), flags=MESSAGE_LIMIT)
async def words_for_draft(
    message: Message, state: FSMContext, bot: Bot, person: User, localizer: Localizer, drafts: Drafts, cards: Cards
) -> None:
    """The prompt that a draft waits for; when that draft is gone, the text opens a new one."""
    draft_id = str((await state.get_data()).get("draft", ""))
    prompt = (message.text or "").strip()
    try:
        draft = await drafts.load(draft_id, person.id)
    except Stale:
        await state.clear()
        await words(message, state, bot, person, localizer, drafts, cards)
        return
    check_length(drafts.storefront.catalogue, draft.type, draft.model, prompt)
    draft = await drafts.save(replace(draft, prompt=prompt))
    await cards.send(bot, localizer, draft)
    await answered(state, message)


@router.message(StateFilter(Waiting.photo), F.text, ~F.text.startswith("/"), flags=MESSAGE_LIMIT)
async def words_instead_of_photo(message: Message, state: FSMContext, localizer: Localizer) -> None:
    """The bot asked for a photo: ask again, with a button that leads back to the card."""
    draft_id = str((await state.get_data()).get("draft", ""))
    back = keyboard([button(localizer.plain("button-cancel"), CardTap(draft=draft_id, act="show"))])
    await message.answer(localizer.t("photo-expected"), reply_markup=back)


@router.message(StateFilter(Waiting.clip), F.text, ~F.text.startswith("/"), flags=MESSAGE_LIMIT)
async def words_for_video(
    message: Message, state: FSMContext, bot: Bot, person: User, localizer: Localizer, drafts: Drafts, cards: Cards
) -> None:
    """The prompt of a video, after /video."""
    await _open_from_text(JobType.VIDEO, message, state, bot, person, localizer, drafts, cards)


@router.message(IS_PHOTO, flags=MESSAGE_LIMIT)
async def photo(
    message: Message,
    state: FSMContext,
    bot: Bot,
    person: User,
    localizer: Localizer,
    drafts: Drafts,
    cards: Cards,
    photos: Photos,
) -> None:
    """A photo, alone or in an album: it is added to the draft that waits for it, or opens one."""
    file = _file_of(message)
    asset = await photos.keep(
        bot,
        person.id,
        file.file_id,
        size=file.file_size,
        asset_id=stable_id("photo", message.chat.id, message.message_id),
    )
    data, waiting = await state.get_data(), await state.get_state()
    caption = visible(message.caption)
    draft = await _waiting_draft(message, waiting, data, person, drafts)
    if draft is None:
        draft, has_room = await _open_from_photo(message, waiting, person, drafts, asset), True
    else:
        draft, has_room = await drafts.add_photo(draft.id, person.id, asset)
    if caption and not draft.prompt:
        check_length(drafts.storefront.catalogue, draft.type, draft.model, caption)
        draft = await drafts.save(replace(draft, prompt=caption))
    await state.set_state(None if draft.prompt else Waiting.prompt)
    await state.set_data({"draft": draft.id, "album": message.media_group_id or ""})
    note = _photo_note(localizer, drafts, draft, has_room, asset)
    if message.media_group_id is None:
        await cards.send(bot, localizer, draft, note=note)
    else:
        cards.send_soon(bot, localizer, draft, note=note)


async def _waiting_draft(
    message: Message, waiting: str | None, data: dict[str, Any], person: User, drafts: Drafts
) -> Draft | None:
    """The draft that this photo belongs to, None when there is none.

    It belongs to the last draft when it is of the same album, when the bot asked for a photo, or when the draft has
    photos, waits for its prompt and has room for one more.
    """
    try:
        draft = await drafts.load(str(data.get("draft", "")), person.id)
    except Stale:
        return None
    same_album = message.media_group_id is not None and data.get("album") == message.media_group_id
    has_room = len(draft.inputs) < drafts.storefront.max_photos(draft.type, draft.model)
    without_prompt = waiting == Waiting.prompt.state and bool(draft.inputs) and not draft.prompt and has_room
    return draft if same_album or waiting == Waiting.photo.state or without_prompt else None


async def _open_from_photo(message: Message, waiting: str | None, person: User, drafts: Drafts, asset: Asset) -> Draft:
    is_video = waiting == Waiting.clip.state or not drafts.storefront.images
    return await drafts.open(
        stable_id(message.chat.id, message.media_group_id or message.message_id),
        person.id,
        JobType.ANIMATE if is_video else JobType.EDIT,
        chat_id=message.chat.id,
        inputs=(asset.id,),
    )


def _photo_note(localizer: Localizer, drafts: Drafts, draft: Draft, has_room: bool, asset: Asset) -> str | None:
    """What the card must say about the photo that came: left out, or not good for a video."""
    if not has_room:
        if not draft.type.is_image:
            return localizer.t("card-clip-one-photo")
        return localizer.t("card-too-many-photos", limit=drafts.storefront.max_photos(draft.type, draft.model))
    if draft.type is not JobType.ANIMATE:
        return None
    limits = drafts.storefront.catalogue.limits
    fault = video_fault_text(asset, limits)
    return localizer.t(fault, pixels=limits.video_photo_min_side) if fault else None


def _file_of(message: Message) -> PhotoSize | Document:
    """Of a photo the largest size, of a document the original. Raises BadDraft when the message has neither."""
    file = message.photo[-1] if message.photo else message.document
    if file is None:
        raise BadDraft("photo_missing")
    return file


@router.message(F.text, ~F.text.startswith("/"), flags=MESSAGE_LIMIT)
async def words(
    message: Message, state: FSMContext, bot: Bot, person: User, localizer: Localizer, drafts: Drafts, cards: Cards
) -> None:
    """A text without a question of ours is the prompt of an image, or of a video where only videos are sold."""
    type = JobType.IMAGE if drafts.storefront.images else JobType.VIDEO
    await _open_from_text(type, message, state, bot, person, localizer, drafts, cards)
