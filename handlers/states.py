"""What the bot may wait for in a chat. Everything else works at any time, without a state."""

from __future__ import annotations

from aiogram.fsm.state import State, StatesGroup


class Waiting(StatesGroup):
    """The next message answers a question of ours."""

    prompt = State()  # the words of a draft (data: draft)
    photo = State()  # another photo for a draft (data: draft)
    clip = State()  # what the clip should show: words or a photo
    email = State()  # where receipts go (data: amount in kopecks, 0 when nothing is being paid; order)
    amount = State()  # a sum to top up (data: draft, "" when no order waits)
