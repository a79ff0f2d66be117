"""What the bot may wait for in a chat. Everything else works at any time, without a state."""

from __future__ import annotations

from typing import Final

from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.types import Message

_ANSWERED: Final = "answered"


class Waiting(StatesGroup):
    """The next message answers a question of ours."""

    prompt = State()  # the words of a draft (data: draft)
    photo = State()  # another photo for a draft (data: draft)
    clip = State()  # what the clip should show: words or a photo
    email = State()  # where receipts go (data: amount in kopecks, 0 when nothing is being paid; order)
    amount = State()  # a sum to top up (data: draft, "" when no order waits)


async def begun(state: FSMContext, draft_id: str) -> None:
    """This draft is the last thing begun, which `/cancel` drops; nothing is waited for."""
    await state.set_state(None)
    await state.set_data({"draft": draft_id})


async def answered(state: FSMContext, message: Message) -> None:
    """The message has answered our question, and nothing is waited for any more."""
    await state.set_data({_ANSWERED: message.message_id})
    await state.set_state(None)


async def has_answered(message: Message, state: FSMContext) -> bool:
    """A filter: this very message has answered our question, and comes again after a crash."""
    return (await state.get_data()).get(_ANSWERED) == message.message_id
