"""Words and photos, at any time: each becomes a draft with its price, or answers what the bot has asked."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from typing import Any, Final

from aiogram import Bot, F, Router
from aiogram.filters import StateFilter
from aiogram.fsm.context import FSMContext
from aiogram.types import Document, Message, PhotoSize

from database.models import Asset, Draft, JobType, User
from handlers.chat import MESSAGE_LIMIT, NO_LIMIT
from handlers.orders.drafts import Cards, Drafts, Stale, token
from handlers.states import Waiting, answered, begun, has_answered
from handlers.views.callbacks import CardTap
from handlers.views.keyboards import button, keyboard
from handlers.views.localizer import Localizer
from services.catalogue import Limits
from services.errors import BadOrder
from services.jobs import prompt_limit, video_photo_fault
from services.media.inspect import MediaFault
from services.messaging.photos import Photos
from services.storefront import Storefront

router = Router(name="intake")

IS_PICTURE_FILE: Final = F.document.mime_type.startswith("image/")
BLANKS: Final = "\u2800\u3164\uffa0\u115f\u1160"  # letters by Unicode's count, and yet nothing to see
IS_PHOTO: Final = F.photo | IS_PICTURE_FILE


class PromptTooLong(Exception):
    """The words exceed what the model reads."""

    def __init__(self, limit: int, over: int) -> None:
        super().__init__(limit, over)
        self.limit = limit
        self.over = over


def check_length(storefront: Storefront, draft: Draft, prompt: str) -> None:
    """Raises PromptTooLong with how much must go."""
    limit = prompt_limit(storefront.catalogue, draft)
    if len(prompt) > limit:
        raise PromptTooLong(limit, len(prompt) - limit)


def animate_fault(photo: Asset, limits: Limits) -> str | None:
    """Why a video can't begin with this photo, as a text id; None when it can."""
    fault = video_photo_fault(photo, limits)
    if fault is None:
        return None
    return "photo-for-clip-small" if fault is MediaFault.TOO_SMALL else "photo-for-clip-narrow"


def seen(words: str | None) -> str:
    """The words without the blanks around them; empty where nothing can be seen of them (zero-width characters)."""
    shows = any(unicodedata.category(one)[0] not in "CZ" and one not in BLANKS for one in words or "")
    return (words or "").strip() if shows else ""


def _unseen(message: Message) -> bool:
    return not seen(message.text)


async def new_draft_from_words(
    message: Message,
    state: FSMContext,
    bot: Bot,
    person: User,
    localizer: Localizer,
    drafts: Drafts,
    cards: Cards,
    type: JobType,
) -> None:
    """Open a draft with the message's words and show its card; `/cancel` will find it."""
    prompt = (message.text or "").strip()
    draft_id = token(message.chat.id, message.message_id)
    blank = Draft(
        draft_id,
        person.id,
        message.chat.id,
        None,
        type,
        drafts.storefront.default_model(type),
        "",
        {},
        (),
        None,
        0,
        0,
        0,
    )
    check_length(drafts.storefront, blank, prompt)
    draft = await drafts.open(draft_id, person.id, type, chat_id=message.chat.id, prompt=prompt)
    await begun(state, draft.id)
    await cards.send(bot, localizer, draft)


@router.message(F.text, has_answered, flags=NO_LIMIT)
async def old_answer(message: Message, state: FSMContext) -> None:
    """What it answered is done, so these words are no order of their own."""
    await answered(state, message)


@router.message(F.text, _unseen, flags=MESSAGE_LIMIT)
async def nothing_to_read(message: Message, localizer: Localizer) -> None:
    """Nobody means to pay for a picture of that."""
    await message.answer(localizer.t("unsupported-other"))


@router.message(StateFilter(Waiting.prompt), F.text, ~F.text.startswith("/"), flags=MESSAGE_LIMIT)
async def words_for_draft(
    message: Message, state: FSMContext, bot: Bot, person: User, localizer: Localizer, drafts: Drafts, cards: Cards
) -> None:
    """The words that a draft waits for; when the draft is gone they begin a new one."""
    draft_id = str((await state.get_data()).get("draft", ""))
    prompt = (message.text or "").strip()
    try:
        draft = await drafts.load(draft_id, person.id)
    except Stale:
        await state.clear()
        await words(message, state, bot, person, localizer, drafts, cards)
        return
    check_length(drafts.storefront, draft, prompt)
    draft = await drafts.save(replace(draft, prompt=prompt))
    await cards.send(bot, localizer, draft)
    await answered(state, message)


@router.message(StateFilter(Waiting.photo), F.text, ~F.text.startswith("/"), flags=MESSAGE_LIMIT)
async def words_instead_of_photo(message: Message, state: FSMContext, localizer: Localizer) -> None:
    """We asked for a photo: say so again, with a way out."""
    draft_id = str((await state.get_data()).get("draft", ""))
    back = keyboard([button(localizer.plain("button-cancel"), CardTap(draft=draft_id, act="show"))])
    await message.answer(localizer.t("photo-expected"), reply_markup=back)


@router.message(StateFilter(Waiting.clip), F.text, ~F.text.startswith("/"), flags=MESSAGE_LIMIT)
async def words_for_clip(
    message: Message, state: FSMContext, bot: Bot, person: User, localizer: Localizer, drafts: Drafts, cards: Cards
) -> None:
    await new_draft_from_words(message, state, bot, person, localizer, drafts, cards, JobType.VIDEO)


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
    """A photo, alone or in an album: it joins the draft that waits for it, or begins one."""
    file = _file_of(message)
    asset = await photos.keep(
        bot, person.id, file.file_id, size=file.file_size, asset_id=token("photo", message.chat.id, message.message_id)
    )
    data, waiting = await state.get_data(), await state.get_state()
    caption = seen(message.caption)
    target = await _waiting_draft(message, waiting, data, person, drafts)
    if target is None:
        target = await _first_photo(message, waiting, person, drafts, asset)
        room = True
    else:
        target, room = await drafts.add_photo(target.id, person.id, asset)
    if caption and not target.prompt:
        check_length(drafts.storefront, target, caption)
        target = await drafts.save(replace(target, prompt=caption))
    await state.set_state(None if target.prompt else Waiting.prompt)
    await state.set_data({"draft": target.id, "album": message.media_group_id or ""})
    note = _note(localizer, drafts, target, room, asset)
    if message.media_group_id is None:
        await cards.send(bot, localizer, target, note=note)
    else:
        cards.send_soon(bot, localizer, target, note=note)


async def _waiting_draft(
    message: Message, waiting: str | None, data: dict[str, Any], person: User, drafts: Drafts
) -> Draft | None:
    """The draft that this photo belongs to, if there is one."""
    try:
        draft = await drafts.load(str(data.get("draft", "")), person.id)
    except Stale:
        return None
    same_album = message.media_group_id is not None and data.get("album") == message.media_group_id
    has_room = len(draft.inputs) < drafts.storefront.most_photos(draft.type, draft.model)
    unsaid = waiting == Waiting.prompt.state and bool(draft.inputs) and not draft.prompt and has_room
    return draft if same_album or waiting == Waiting.photo.state or unsaid else None


async def _first_photo(message: Message, waiting: str | None, person: User, drafts: Drafts, asset: Asset) -> Draft:
    clip = waiting == Waiting.clip.state or not drafts.storefront.images
    return await drafts.open(
        token(message.chat.id, message.media_group_id or message.message_id),
        person.id,
        JobType.ANIMATE if clip else JobType.EDIT,
        chat_id=message.chat.id,
        inputs=(asset.id,),
    )


def _note(localizer: Localizer, drafts: Drafts, draft: Draft, room: bool, asset: Asset) -> str | None:
    limits = drafts.storefront.catalogue.limits
    if not room:
        if not draft.type.is_image:
            return localizer.t("card-clip-one-photo")
        return localizer.t("card-too-many-photos", limit=drafts.storefront.most_photos(draft.type, draft.model))
    fault = animate_fault(asset, limits) if draft.type is JobType.ANIMATE else None
    return localizer.t(fault, pixels=limits.video_photo_min_side) if fault else None


def _file_of(message: Message) -> PhotoSize | Document:
    """Of a photo the largest size, of a document the original."""
    file = message.photo[-1] if message.photo else message.document
    if file is None:
        raise BadOrder("photo_missing")
    return file


@router.message(F.text, ~F.text.startswith("/"), flags=MESSAGE_LIMIT)
async def words(
    message: Message, state: FSMContext, bot: Bot, person: User, localizer: Localizer, drafts: Drafts, cards: Cards
) -> None:
    """Words without a question of ours: what to draw, or to film where nothing is drawn."""
    type = JobType.IMAGE if drafts.storefront.images else JobType.VIDEO
    await new_draft_from_words(message, state, bot, person, localizer, drafts, cards, type)
