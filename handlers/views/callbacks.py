"""What stands behind the buttons: typed, at most 64 bytes, nothing in it is trusted but the person who taps."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from aiogram.filters.callback_data import CallbackData


class Option(StrEnum):
    """A property of a draft that a button can change."""

    MODEL = "model"
    RATIO = "ratio"
    SIZE = "size"
    DURATION = "dur"
    RESOLUTION = "res"
    AUDIO = "audio"


class CardTap(CallbackData, prefix="c"):
    """Something about a draft's card that costs nothing; each says what shall be, so that twice is as good as once."""

    draft: str
    act: Literal["show", "prompt", "photo", "clip", "picture", "drop"]


class MenuTap(CallbackData, prefix="o"):
    """Open the choices of one option."""

    draft: str
    option: Option


class ChoiceTap(CallbackData, prefix="v"):
    """Take one choice; a ratio is written 16x9 because a colon separates the fields."""

    draft: str
    option: Option
    value: str


class ConfirmTap(CallbackData, prefix="go"):
    """Start the order at the price (kopecks) that stood on the button."""

    draft: str
    price: int


class ResumeTap(ConfirmTap, prefix="on"):
    """The same from the message that tells of money that came: that message stays as it is."""


class JobTap(CallbackData, prefix="j"):
    """Something about a job."""

    job: str
    act: Literal["stop", "again", "edit", "animate", "open"]


class TopUpTap(CallbackData, prefix="t"):
    """Top up so many kopecks; 0 opens the choice, -1 asks for a sum. `draft` is the order that waits."""

    amount: int
    draft: str = ""


class StarTap(CallbackData, prefix="x"):
    """Top up so many kopecks with Telegram Stars."""

    amount: int
    draft: str = ""


class PayTap(CallbackData, prefix="p", sep="|"):
    """Ask whether a payment has arrived."""

    payment: str


class RefundTap(CallbackData, prefix="rp"):
    """Confirm or drop the partial return of a payment that `nonce` (the chat and the command's message) asked for."""

    nonce: str
    act: Literal["yes", "no"]


class PageTap(CallbackData, prefix="n"):
    """A page of the person's jobs (`at` is an offset) or of the statement (`at` is the id before which it begins)."""

    what: Literal["jobs", "ledger"]
    at: int


class GoTap(CallbackData, prefix="m"):
    """A place of the bot."""

    to: Literal["image", "video", "balance", "history", "language", "help"]


class SampleTap(CallbackData, prefix="s"):
    """A sample prompt, by its number in the texts."""

    number: int


class LanguageTap(CallbackData, prefix="l"):
    code: Literal["ru", "en"]
