"""Keyboards, built from arguments alone. Amounts are in kopecks; `draft` is the id of a draft that waits for money."""

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
    """A button with callback data; `style` is success, primary or danger (old clients ignore it)."""
    return InlineKeyboardButton(text=text, callback_data=data.pack(), style=style)


def keyboard(*rows: Sequence[InlineKeyboardButton]) -> InlineKeyboardMarkup:
    """An inline keyboard of these rows; empty rows are left out."""
    return InlineKeyboardMarkup(inline_keyboard=[list(row) for row in rows if row])


def in_rows(buttons: Iterable[InlineKeyboardButton], width: int) -> list[list[InlineKeyboardButton]]:
    """The buttons in rows of `width`."""
    line = list(buttons)
    return [line[start : start + width] for start in range(0, len(line), width)]


def main_menu(localizer: Localizer) -> ReplyKeyboardMarkup:
    """The main menu, a reply keyboard under the input field."""
    return ReplyKeyboardMarkup(
        keyboard=[[KeyboardButton(text=localizer.plain(key)) for key in row] for row in MENU],
        resize_keyboard=True,
        is_persistent=True,
        input_field_placeholder=localizer.plain("menu-placeholder"),
    )


def start(localizer: Localizer, *, images: bool, videos: bool) -> InlineKeyboardMarkup:
    """Under the greeting: a button for each kind that is sold, and samples where images are sold."""
    actions = []
    if images:
        actions.append(button(localizer.plain("button-image"), GoTap(to="image"), style="primary"))
    if videos:
        actions.append(button(localizer.plain("button-video"), GoTap(to="video"), style="primary"))
    samples = [[button(localizer.plain(f"sample-{n}-title"), SampleTap(number=n))] for n in SAMPLES] if images else []
    return keyboard(actions, *samples)


def languages() -> InlineKeyboardMarkup:
    """A button for each language, in that language."""
    return keyboard([button("Русский", LanguageTap(code="ru")), button("English", LanguageTap(code="en"))])


def top_up(
    localizer: Localizer,
    packs: Iterable[int],
    *,
    exact: int | None = None,
    draft: str = "",
    star_packs: Iterable[tuple[int, int]] = (),
) -> InlineKeyboardMarkup:
    """Amounts to choose from: first `exact`, the amount that a draft is short of, then packs, then packs in Stars.

    A pack in Stars is (kopecks, Stars).
    """
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
    """Only packs in Stars (kopecks, Stars), where cards are not accepted."""
    return keyboard(*stars(localizer, packs, draft=draft), back_to_card(localizer, draft))


def back_to_card(localizer: Localizer, draft: str) -> list[InlineKeyboardButton]:
    """A row that leads back to the draft's card; empty without a draft."""
    return [button(localizer.plain("button-back"), CardTap(draft=draft, act="show"))] if draft else []


def stars(
    localizer: Localizer, packs: Iterable[tuple[int, int]], *, draft: str = ""
) -> list[list[InlineKeyboardButton]]:
    """Rows of two packs (kopecks, Stars): what is credited, and the price in Stars."""
    buttons = []
    for amount, price in packs:
        label = localizer.plain("button-stars", amount=localizer.rubles(amount), stars=price)
        buttons.append(button(label, StarTap(amount=amount, draft=draft)))
    return in_rows(buttons, 2)


def balance(localizer: Localizer, *, payments: bool) -> InlineKeyboardMarkup:
    """Under the balance: the statement and, where `payments` are accepted, a top-up."""
    statement = button(localizer.plain("button-statement"), PageTap(what="ledger", at=0))
    pay = [button(localizer.plain("button-topup"), TopUpTap(amount=0), style="success")] if payments else []
    return keyboard(pay, [statement])


def pages(
    localizer: Localizer, what: Literal["jobs", "ledger"], *, newer: int | None, older: int | None
) -> list[InlineKeyboardButton]:
    """A row of buttons to newer and older pages (PageTap.at); None where there are no more."""
    row = []
    if newer is not None:
        row.append(button(localizer.plain("button-newer"), PageTap(what=what, at=newer)))
    if older is not None:
        row.append(button(localizer.plain("button-older"), PageTap(what=what, at=older)))
    return row


def create(localizer: Localizer, draft_id: str, price: int) -> InlineKeyboardButton:
    """The main button of a card. The price is part of its data, so no other price can be taken."""
    label = localizer.plain("button-create", price=localizer.rubles(price))
    return button(label, ConfirmTap(draft=draft_id, price=price), style="success")


def resume(localizer: Localizer, draft_id: str, price: int) -> InlineKeyboardMarkup:
    """Under the message about a credited payment: start the draft that waited for it."""
    label = localizer.plain("button-continue", price=localizer.rubles(price))
    return keyboard([button(label, ResumeTap(draft=draft_id, price=price), style="success")])


def stop(localizer: Localizer, job_id: str) -> InlineKeyboardMarkup:
    """Under the live message of a job that can still be cancelled."""
    return keyboard([button(localizer.plain("button-stop"), JobTap(job=job_id, act="stop"), style="danger")])


def after(localizer: Localizer, job_id: str, *, price: int | None, image: bool, videos: bool) -> InlineKeyboardMarkup:
    """Under a result: repeat at today's price; for an image also edit and animate."""
    more = []
    if image:
        more.append(button(localizer.plain("button-edit-result"), JobTap(job=job_id, act="edit")))
        if videos:
            more.append(button(localizer.plain("button-animate-result"), JobTap(job=job_id, act="animate")))
    return keyboard([_again(localizer, job_id, price)], more)


def again(localizer: Localizer, job_id: str, price: int | None) -> InlineKeyboardMarkup:
    """Repeat a job, with today's price on the button; None when it is no longer sold."""
    return keyboard([_again(localizer, job_id, price)])


def try_again(localizer: Localizer, job_id: str) -> InlineKeyboardMarkup:
    """Repeat a job that has no result; the price is shown on the card."""
    return again(localizer, job_id, None)


def _again(localizer: Localizer, job_id: str, price: int | None) -> InlineKeyboardButton:
    label = (
        localizer.plain("button-try-again")
        if price is None
        else localizer.plain("button-again", price=localizer.rubles(price))
    )
    return button(label, JobTap(job=job_id, act="again"))
