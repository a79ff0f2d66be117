"""The conversation states: which question of ours the next message answers. Everything else works without a state.

The names of the states and the keys of their data are stored in the database, so they stay as they are.
"""

from __future__ import annotations

from typing import Final

from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.types import Message

_ANSWERED: Final = "answered"


class Waiting(StatesGroup):
    """The next message answers a question of ours."""

    prompt = State()  # the prompt of a draft (data: draft)
    photo = State()  # another photo for a draft (data: draft)
    clip = State()  # what a new video should show: a prompt or a photo
    email = State()  # where receipts go (data: amount in kopecks, 0 without a payment; order: the draft that waits)
    amount = State()  # the amount of a top-up (data: order, the draft that waits for the money, "" without one)


async def remember_draft(state: FSMContext, draft_id: str, waiting: State | None = None) -> None:
    """Remember this draft as the last thing begun, which /cancel drops. `waiting`: what the next message answers."""
    await state.set_state(waiting)
    await state.set_data({"draft": draft_id})


async def answered(state: FSMContext, message: Message) -> None:
    """Remember that this message has answered our question; no state waits any more."""
    await state.set_data({_ANSWERED: message.message_id})
    await state.set_state(None)


async def has_answered(message: Message, state: FSMContext) -> bool:
    """A filter: this message has answered our question already, and its update came again after a crash."""
    return (await state.get_data()).get(_ANSWERED) == message.message_id
