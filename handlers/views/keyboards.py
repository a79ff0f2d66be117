"""Keyboards, built from what they are given and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup, KeyboardButton, ReplyKeyboardMarkup

from handlers.views.callbacks import (
    CardTap,
    ConfirmTap,
    GoTap,
    JobTap,
    LanguageTap,
    PageTap,
    ResumeTap,
    SampleTap,
    StarTap,
    TopUpTap,
)
from handlers.views.localizer import Localizer

MENU: Final = (("menu-image", "menu-video"), ("menu-balance", "menu-history", "menu-help"))
SAMPLES: Final = (1, 2, 3)


def button(text: str, data: CallbackData, *, style: str | None = None) -> InlineKeyboardButton:
    """A button of ours; `style` is success, primary or danger (old clients show it plain)."""
    return InlineKeyboardButton(text=text, callback_data=data.pack(), style=style)


def keyboard(*rows: Sequence[InlineKeyboardButton]) -> InlineKeyboardMarkup:
    """Rows of buttons; empty rows are left out."""
    return InlineKeyboardMarkup(inline_keyboard=[list(row) for row in rows if row])


def in_rows(buttons: Iterable[InlineKeyboardButton], width: int) -> list[list[InlineKeyboardButton]]:
    line = list(buttons)
    return [line[start : start + width] for start in range(0, len(line), width)]


def main_menu(localizer: Localizer) -> ReplyKeyboardMarkup:
    """The short menu under the field."""
    return ReplyKeyboardMarkup(
        keyboard=[[KeyboardButton(text=localizer.plain(key)) for key in row] for row in MENU],
        resize_keyboard=True,
        is_persistent=True,
        input_field_placeholder=localizer.plain("menu-placeholder"),
    )


def start(localizer: Localizer, *, images: bool, videos: bool) -> InlineKeyboardMarkup:
    """The two big actions and, where pictures are drawn, samples to try with one tap."""
    actions = []
    if images:
        actions.append(button(localizer.plain("button-image"), GoTap(to="image"), style="primary"))
    if videos:
        actions.append(button(localizer.plain("button-video"), GoTap(to="video"), style="primary"))
    samples = [[button(localizer.plain(f"sample-{n}-title"), SampleTap(number=n))] for n in SAMPLES] if images else []
    return keyboard(actions, *samples)


def languages() -> InlineKeyboardMarkup:
    return keyboard([button("Русский", LanguageTap(code="ru")), button("English", LanguageTap(code="en"))])


def top_up(
    localizer: Localizer,
    packs: Iterable[int],
    *,
    exact: int | None = None,
    draft: str = "",
    star_packs: Iterable[tuple[int, int]] = (),
) -> InlineKeyboardMarkup:
    """Sums in kopecks to choose from; `exact` is what an order lacks and stands first; then what Stars can buy."""
    first = []
    if exact is not None:
        label = localizer.plain("button-topup-exact", price=localizer.rubles(exact))
        first.append(button(label, TopUpTap(amount=exact, draft=draft), style="success"))
    rest = [button(localizer.rubles(pack), TopUpTap(amount=pack, draft=draft)) for pack in packs if pack != exact]
    other = [button(localizer.plain("topup-other"), TopUpTap(amount=-1, draft=draft))]
    return keyboard(
        first, *in_rows(rest, 3), other, *stars(localizer, star_packs, draft=draft), back_to_card(localizer, draft)
    )


def top_up_in_stars(localizer: Localizer, packs: Iterable[tuple[int, int]], *, draft: str = "") -> InlineKeyboardMarkup:
    """The packs in Stars alone, where no card is taken."""
    return keyboard(*stars(localizer, packs, draft=draft), back_to_card(localizer, draft))


def back_to_card(localizer: Localizer, draft: str) -> list[InlineKeyboardButton]:
    """Back to the order that waits for the money; nothing where none does."""
    return [button(localizer.plain("button-back"), CardTap(draft=draft, act="show"))] if draft else []


def stars(
    localizer: Localizer, packs: Iterable[tuple[int, int]], *, draft: str = ""
) -> list[list[InlineKeyboardButton]]:
    """Two packs a row: what is credited and how many Stars it costs."""
    buttons = []
    for amount, price in packs:
        label = localizer.plain("button-stars", amount=localizer.rubles(amount), stars=price)
        buttons.append(button(label, StarTap(amount=amount, draft=draft)))
    return in_rows(buttons, 2)


def balance(localizer: Localizer, *, payments: bool) -> InlineKeyboardMarkup:
    statement = button(localizer.plain("button-statement"), PageTap(what="ledger", at=0))
    pay = [button(localizer.plain("button-topup"), TopUpTap(amount=0), style="success")] if payments else []
    return keyboard(pay, [statement])


def pages(
    localizer: Localizer, what: Literal["jobs", "ledger"], *, newer: int | None, older: int | None
) -> list[InlineKeyboardButton]:
    """Buttons to leaf through; None where there is nothing more."""
    row = []
    if newer is not None:
        row.append(button(localizer.plain("button-newer"), PageTap(what=what, at=newer)))
    if older is not None:
        row.append(button(localizer.plain("button-older"), PageTap(what=what, at=older)))
    return row


def create(localizer: Localizer, draft_id: str, price: int) -> InlineKeyboardButton:
    """The main button; the price in kopecks travels with it, so that no other sum can be taken."""
    label = localizer.plain("button-create", price=localizer.rubles(price))
    return button(label, ConfirmTap(draft=draft_id, price=price), style="success")


def resume(localizer: Localizer, draft_id: str, price: int) -> InlineKeyboardMarkup:
    label = localizer.plain("button-continue", price=localizer.rubles(price))
    return keyboard([button(label, ResumeTap(draft=draft_id, price=price), style="success")])


def stop(localizer: Localizer, job_id: str) -> InlineKeyboardMarkup:
    return keyboard([button(localizer.plain("button-stop"), JobTap(job=job_id, act="stop"), style="danger")])


def after(localizer: Localizer, job_id: str, *, price: int | None, image: bool, videos: bool) -> InlineKeyboardMarkup:
    """Under a result: repeat at its present price, and for a picture edit and animate."""
    more = []
    if image:
        more.append(button(localizer.plain("button-edit-result"), JobTap(job=job_id, act="edit")))
        if videos:
            more.append(button(localizer.plain("button-animate-result"), JobTap(job=job_id, act="animate")))
    return keyboard([_again(localizer, job_id, price)], more)


def again(localizer: Localizer, job_id: str, price: int | None) -> InlineKeyboardMarkup:
    """The same order anew, with its present price in kopecks where it is still sold."""
    return keyboard([_again(localizer, job_id, price)])


def _again(localizer: Localizer, job_id: str, price: int | None) -> InlineKeyboardButton:
    label = (
        localizer.plain("button-try-again")
        if price is None
        else localizer.plain("button-again", price=localizer.rubles(price))
    )
    return button(label, JobTap(job=job_id, act="again"))


def try_again(localizer: Localizer, job_id: str) -> InlineKeyboardMarkup:
    return keyboard([button(localizer.plain("button-try-again"), JobTap(job=job_id, act="again"))])
