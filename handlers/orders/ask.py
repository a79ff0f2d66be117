"""The commands and buttons that ask for a prompt: for an image or for a video."""

from __future__ import annotations

from aiogram import Bot, F, Router
from aiogram.filters import Command
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message

from database.models import JobType
from handlers.chat import MESSAGE_LIMIT, NO_LIMIT, MenuWord, message_ref
from handlers.orders.drafts import Drafts
from handlers.states import Waiting
from handlers.views.callbacks import GoTap
from handlers.views.localizer import Localizer
from services.messaging.telegram import Screen, show

router = Router(name="ask")


async def _question(type: JobType, state: FSMContext, localizer: Localizer, drafts: Drafts) -> str:
    """Wait for the prompt; return the text (HTML) that asks for it. Raises BadDraft when this is not sold here.

    An image needs no state: every text without a state is the prompt of an image.
    """
    drafts.storefront.require(type)
    await state.set_state(None if type.is_image else Waiting.clip)
    await state.set_data({})
    return localizer.t("ask-image") if type.is_image else localizer.t("ask-video")


@router.message(Command("image"), flags=MESSAGE_LIMIT)
@router.message(MenuWord("menu-image"), flags=MESSAGE_LIMIT)
async def ask_image(message: Message, state: FSMContext, localizer: Localizer, drafts: Drafts) -> None:
    """Ask what the image should show."""
    await message.answer(await _question(JobType.IMAGE, state, localizer, drafts))


@router.message(Command("video"), flags=MESSAGE_LIMIT)
@router.message(MenuWord("menu-video"), flags=MESSAGE_LIMIT)
async def ask_video(message: Message, state: FSMContext, localizer: Localizer, drafts: Drafts) -> None:
    """Ask what the video should show."""
    await message.answer(await _question(JobType.VIDEO, state, localizer, drafts))


@router.callback_query(GoTap.filter(F.to.in_({"image", "video"})), flags=NO_LIMIT)
async def ask_by_button(
    query: CallbackQuery, callback_data: GoTap, state: FSMContext, bot: Bot, localizer: Localizer, drafts: Drafts
) -> None:
    """The same for the buttons under the greeting, which stays."""
    type = JobType.IMAGE if callback_data.to == "image" else JobType.VIDEO
    await show(bot, message_ref(query)[0], Screen(await _question(type, state, localizer, drafts)))
