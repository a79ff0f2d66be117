"""The balance and every operation on it, each saying what it was for."""

from __future__ import annotations

from typing import Final

from aiogram import Bot, F, Router
from aiogram.filters import Command
from aiogram.types import CallbackQuery, Message

from database import admin, ledger
from database import jobs as job_rows
from database.models import Database, Entry, Job, Reason, Tx, User
from handlers.chat import MESSAGE_LIMIT, NO_LIMIT, CallbackAnswer, MenuWord, answer_and_edit
from handlers.views import keyboards
from handlers.views.callbacks import GoTap, PageTap
from handlers.views.localizer import Localizer
from handlers.views.messages import title_of
from services.common.i18n import Safe
from services.messaging.telegram import Screen, show
from services.payments.payments import Payments
from services.payments.stars import Stars

router = Router(name="balance")

PAGE: Final = 10


async def balance_screen(localizer: Localizer, db: Database, payments: Payments, stars: Stars, user_id: int) -> Screen:
    """What is there, what is held for orders, what is owed."""
    card = await db.read(admin.user_card, str(user_id))
    lines = [localizer.t("balance", balance=localizer.rubles(card.balance))]
    if card.held:
        lines.append(localizer.t("balance-held", held=localizer.rubles(card.held)))
    if card.debt:
        lines.append(localizer.t("balance-debt", debt=localizer.rubles(card.debt)))
    can_pay = payments.offered or stars.enabled
    if not can_pay:
        lines += ["", localizer.t("topup-none")]
    return Screen("\n".join(lines), keyboards.balance(localizer, payments=can_pay))


@router.message(Command("balance"), flags=MESSAGE_LIMIT)
@router.message(MenuWord("menu-balance"), flags=MESSAGE_LIMIT)
async def balance(
    message: Message, bot: Bot, person: User, localizer: Localizer, db: Database, payments: Payments, stars: Stars
) -> None:
    await show(bot, message.chat.id, await balance_screen(localizer, db, payments, stars, person.id))


@router.callback_query(GoTap.filter(F.to == "balance"), flags=NO_LIMIT)
async def go_balance(
    query: CallbackQuery,
    callback: CallbackAnswer,
    bot: Bot,
    person: User,
    localizer: Localizer,
    db: Database,
    payments: Payments,
    stars: Stars,
) -> None:
    await answer_and_edit(query, callback, bot, await balance_screen(localizer, db, payments, stars, person.id))


@router.callback_query(PageTap.filter(F.what == "ledger"), flags=NO_LIMIT)
async def statement(
    query: CallbackQuery,
    callback_data: PageTap,
    callback: CallbackAnswer,
    bot: Bot,
    person: User,
    localizer: Localizer,
    db: Database,
) -> None:
    """A page of the statement; `at` is the id before which it begins, 0 for the newest."""
    balance, entries, jobs = await db.read(_page, person.id, callback_data.at)
    shown = entries[:PAGE]
    lines = [localizer.t("statement-title", balance=localizer.rubles(balance)), ""]
    lines += [_line(localizer, entry, jobs.get(entry.job_id or "")) for entry in shown]
    if not shown:
        lines.append(localizer.t("statement-empty"))
    older = shown[-1].id if len(entries) > PAGE else None
    leaf = keyboards.pages(localizer, "ledger", newer=0 if callback_data.at else None, older=older)
    back = [keyboards.button(localizer.plain("button-back"), GoTap(to="balance"))]
    await answer_and_edit(query, callback, bot, Screen("\n".join(lines), keyboards.keyboard(leaf, back)))


def _page(tx: Tx, user_id: int, before_id: int) -> tuple[int, list[Entry], dict[str, Job]]:
    entries = ledger.history(tx, user_id, limit=PAGE + 1, before_id=before_id or None)
    found = (job_rows.get(tx, job_id) for job_id in {entry.job_id for entry in entries if entry.job_id})
    return ledger.get_balance(tx, user_id), entries, {job.id: job for job in found if job is not None}


def _line(localizer: Localizer, entry: Entry, job: Job | None) -> str:
    amount = f"{'+' if entry.amount > 0 else ''}{localizer.rubles(entry.amount)}"
    what = Safe(_what(localizer, entry, job))
    return localizer.t("statement-line", when=localizer.when(entry.created_at), amount=amount, what=what)


def _what(localizer: Localizer, entry: Entry, job: Job | None) -> str:
    """What an entry was for, in the person's words where there are any (HTML)."""
    known = {reason.value for reason in Reason}
    if entry.reason == Reason.RESERVE and job is not None:
        words = localizer.t(f"entry-reserve-{job.type}")
    elif entry.reason in known and entry.reason != Reason.RESERVE:
        words = localizer.t(f"entry-{entry.reason}")
    else:
        words = localizer.t("entry-other-in" if entry.amount > 0 else "entry-other-out")
    if job is None or not job.prompt:
        return words
    return localizer.t("entry-with-prompt", what=Safe(words), prompt=title_of(localizer, job))
