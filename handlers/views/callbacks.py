"""The callback data of all buttons: typed and at most 64 bytes. Of a tap only the sender is trusted, never the data.

Prefixes and values are in the buttons of messages sent long ago, so they stay as they are.
"""

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
    """A button of a card that costs nothing. It names the state wanted, so two taps do the same as one."""

    draft: str
    act: Literal["show", "prompt", "photo", "clip", "picture", "drop"]


class MenuTap(CallbackData, prefix="o"):
    """Show the choices of one option."""

    draft: str
    option: Option


class ChoiceTap(CallbackData, prefix="v"):
    """Take one choice. A ratio is written 16x9, because a colon separates the fields."""

    draft: str
    option: Option
    value: str


class ConfirmTap(CallbackData, prefix="go"):
    """Start the job at the price (kopecks) that the button shows."""

    draft: str
    price: int


class ResumeTap(ConfirmTap, prefix="on"):
    """The same under the message about a credited payment, which stays as it is."""


class JobTap(CallbackData, prefix="j"):
    """A button about a job."""

    job: str
    act: Literal["stop", "again", "edit", "animate", "open"]


class TopUpTap(CallbackData, prefix="t"):
    """Top up this many kopecks; 0 shows the packs, -1 asks for an amount. `draft` waits for the money."""

    amount: int
    draft: str = ""


class StarTap(CallbackData, prefix="x"):
    """Top up this many kopecks with Telegram Stars."""

    amount: int
    draft: str = ""


class PayTap(CallbackData, prefix="p", sep="|"):
    """Check whether a payment has arrived."""

    payment: str


class RefundTap(CallbackData, prefix="rp"):
    """Confirm or drop a partial refund. `nonce` names the command that asked for it: its chat and its message."""

    nonce: str
    act: Literal["yes", "no"]


class PageTap(CallbackData, prefix="n"):
    """A page of the history (`at` is an offset) or of the statement (`at` is the entry id below which it begins)."""

    what: Literal["jobs", "ledger"]
    at: int


class GoTap(CallbackData, prefix="m"):
    """Ask for the prompt of an image or a video, or show the balance."""

    to: Literal["image", "video", "balance"]


class SampleTap(CallbackData, prefix="s"):
    """Open a draft with a sample prompt. `number` is part of the text's id."""

    number: int


class LanguageTap(CallbackData, prefix="l"):
    """Choose a language."""

    code: Literal["ru", "en"]
