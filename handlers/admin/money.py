"""What administrators do about money that went through a provider. Every act leaves an audit row."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from aiogram import Bot, Router
from aiogram.exceptions import ClientDecodeError, TelegramAPIError
from aiogram.filters import Command, CommandObject
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, FSInputFile, InlineKeyboardMarkup, Message

from database import admin, clock
from database import differences as difference_rows
from database.models import Database, Difference, IllegalMove, KeyReused, NotFound, Refund, RefundStatus, User
from handlers.chat import NO_LIMIT, CallbackAnswer, answer_and_edit
from handlers.views import keyboards
from handlers.views.callbacks import RefundTap
from handlers.views.localizer import Localizer
from services.catalogue import Catalogue, UnknownModel
from services.common.i18n import Safe
from services.messaging.notifier import Notifier
from services.messaging.telegram import Screen
from services.ops.export import BadPeriod, Period
from services.ops.margin import BOOKS, Margin, added_up, last_days, margins, write_book
from services.payments.reconciliation import MOST_DAYS, Reconciliation
from services.payments.refunds import Offer, Refunds
from services.payments.yookassa.client import YooKassaError
from services.pricing import BadSum, parse_rubles

router = Router(name="admin money")

LARGEST_SUM: Final = 10_000_000_000
LONGEST_ID: Final = 200  # as long as a second charge of an invoice makes it
MOST_SHOWN: Final = 10
MOST_SENT_BYTES: Final = 45_000_000  # a bot may send files of up to 50 MB
USUAL_DAYS: Final = 7
MOST_MARGIN_DAYS: Final = 31
_REFUND: Final = {
    RefundStatus.TAKEN: "refund-waiting",
    RefundStatus.SENT: "refund-waiting",
    RefundStatus.SUCCEEDED: "refund-done",
    RefundStatus.CANCELED: "refund-canceled",
}


@router.message(Command("refund_payment"), flags=NO_LIMIT)
async def refund_payment(
    message: Message,
    command: CommandObject,
    state: FSMContext,
    person: User,
    localizer: Localizer,
    refunds: Refunds,
    notifier: Notifier,
) -> None:
    """Give all that is left of a payment back, once; a part, which could be meant twice, is confirmed by a button."""
    payment_id, _, rest = (command.args or "").strip().partition(" ")
    amount = None
    try:
        if rest.strip():
            amount = parse_rubles(rest.strip(), minimum=1, maximum=LARGEST_SUM)
    except BadSum:
        payment_id = ""
    if not 0 < len(payment_id) <= LONGEST_ID:
        await message.answer(localizer.t("refund-usage"))
        return
    nonce = f"{message.chat.id}-{message.message_id}"
    try:
        if amount is None:
            await message.answer(
                _outcome(localizer, await refunds.refund(person.id, payment_id, refund_id=f"r-{nonce}"))
            )
        else:
            offer = await refunds.offer(payment_id, amount)
            asked = {"nonce": nonce, "payment": payment_id, "amount": amount, "left": offer.left}
            await state.update_data(refund=asked)
            await message.answer(_offered(localizer, offer), reply_markup=_confirmation(localizer, nonce, amount))
    except NotFound:
        await message.answer(localizer.t("admin-not-found"))
    except (IllegalMove, KeyReused):
        await message.answer(localizer.t("refund-impossible"))
    notifier.nudge()


@router.callback_query(RefundTap.filter(), flags=NO_LIMIT)
async def confirm_refund(
    query: CallbackQuery,
    callback_data: RefundTap,
    callback: CallbackAnswer,
    bot: Bot,
    state: FSMContext,
    person: User,
    localizer: Localizer,
    refunds: Refunds,
    notifier: Notifier,
) -> None:
    """Return what the card says, once however often it is tapped, and only while nothing else was returned since."""
    asked = (await state.get_data()).get("refund") or {}
    refund_id = f"r-{callback_data.nonce}"
    if asked.get("nonce") != callback_data.nonce:
        await answer_and_edit(query, callback, bot, Screen(await _reached(localizer, refunds, refund_id)))
        return
    if callback_data.act == "no":
        await state.update_data(refund=None)
        await answer_and_edit(query, callback, bot, Screen(localizer.t("refund-dropped")))
        return
    try:
        refund = await refunds.refund(
            person.id, asked["payment"], asked["amount"], refund_id=refund_id, seen_left=asked["left"]
        )
    except IllegalMove:
        text = localizer.t("refund-overtaken", id=asked["payment"])
    else:
        text = _outcome(localizer, refund)
    await state.update_data(refund=None)
    await answer_and_edit(query, callback, bot, Screen(text))
    notifier.nudge()


async def _reached(localizer: Localizer, refunds: Refunds, refund_id: str) -> str:
    """How far the return of an older card has come; a card that was replaced or dropped can't start one any more."""
    try:
        return _outcome(localizer, await refunds.carry_on(refund_id))
    except NotFound:
        return localizer.t("refund-stale")


def _confirmation(localizer: Localizer, nonce: str, amount: int) -> InlineKeyboardMarkup:
    label = localizer.plain("refund-yes", amount=localizer.rubles(amount))
    yes = keyboards.button(label, RefundTap(nonce=nonce, act="yes"), style="danger")
    return keyboards.keyboard([yes], [keyboards.button(localizer.plain("refund-no"), RefundTap(nonce=nonce, act="no"))])


def _offered(localizer: Localizer, offer: Offer) -> str:
    lines = [
        localizer.t(
            "refund-ask",
            amount=localizer.rubles(offer.amount),
            id=offer.payment.id,
            user=str(offer.payment.user_id),
            left=localizer.rubles(offer.left),
            rest=localizer.rubles(offer.left - offer.amount),
        )
    ]
    for one in offer.earlier[-MOST_SHOWN:]:
        key = "refund-earlier-same" if one.amount == offer.amount else "refund-earlier"
        lines.append(localizer.t(key, amount=localizer.rubles(one.amount), when=localizer.when(one.created_at)))
    return "\n".join(lines)


@router.message(Command("reconcile"), flags=NO_LIMIT)
async def reconcile(
    message: Message,
    command: CommandObject,
    person: User,
    localizer: Localizer,
    db: Database,
    reconciliation: Reconciliation,
    notifier: Notifier,
) -> None:
    """Compare with the provider's books now: since the last time, or so many days back."""
    wanted = (command.args or "").strip()
    if wanted and not (wanted.isascii() and wanted.isdigit() and 0 < int(wanted[:6]) <= MOST_DAYS):
        await message.answer(localizer.t("reconcile-usage", days=MOST_DAYS))
        return
    await db.write(lambda tx: admin.log(tx, person.id, "reconcile", "shop", days=wanted))
    try:
        report = await reconciliation.run(int(wanted) if wanted else None)
    except (YooKassaError, TelegramAPIError, ClientDecodeError):
        await message.answer(localizer.t("reconcile-incomplete"))
        return
    count, _ = await db.read(difference_rows.still_open)
    await message.answer(
        localizer.t(
            "reconcile-done",
            payments=report.payments,
            refunds=report.refunds,
            settled=report.settled,
            open=count,
            failed=report.failed,
        )
    )
    notifier.nudge()


@router.message(Command("fix"), flags=NO_LIMIT)
async def fix(
    message: Message,
    command: CommandObject,
    person: User,
    localizer: Localizer,
    db: Database,
    reconciliation: Reconciliation,
    notifier: Notifier,
) -> None:
    """List what waits for a decision, or decide: book the proposed entry or dismiss it, once."""
    number, _, verdict = (command.args or "").strip().partition(" ")
    verdict = verdict.strip().lower()
    if not number:
        await message.answer(_waiting(localizer, *await db.read(difference_rows.still_open, limit=MOST_SHOWN)))
        return
    if verdict not in ("apply", "dismiss") or not (number.isascii() and number.isdigit() and len(number) <= 12):
        await message.answer(localizer.t("fix-usage"))
        return
    try:
        if verdict == "apply":
            decided = await reconciliation.apply(person.id, int(number))
        else:
            decided = await db.write(difference_rows.dismiss, person.id, int(number))
    except NotFound:
        await message.answer(localizer.t("admin-not-found"))
    except IllegalMove:
        await message.answer(localizer.t("fix-impossible", id=number))
    except YooKassaError:
        await message.answer(localizer.t("reconcile-unreachable"))
    else:
        await message.answer(localizer.t(f"fix-{decided.state}", id=number, what=Safe(_proposal(localizer, decided))))
    notifier.nudge()


@router.message(Command("export"), flags=NO_LIMIT)
async def export(
    message: Message, command: CommandObject, person: User, localizer: Localizer, db: Database, catalogue: Catalogue
) -> None:
    """A period of the books as a file in the chat."""
    words = (command.args or "").split()
    try:
        if len(words) != 3 or words[0] not in BOOKS:
            raise BadPeriod
        what, period = words[0], Period.parse(words[1], words[2])
    except BadPeriod:
        await message.answer(localizer.t("export-usage"))
        return
    await db.write(lambda tx: admin.log(tx, person.id, "export", what, first=words[1], last=words[2]))
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / f"{what}_{period.first}_{period.last}.csv"
        written = await write_book(db, what, period, target, rubles_per_dollar=catalogue.rubles_per_dollar)
        if target.stat().st_size > MOST_SENT_BYTES:
            await message.answer(localizer.t("export-too-big"))
            return
        caption = localizer.t("export-done", count=written)
        await message.answer_document(FSInputFile(target, filename=target.name), caption=caption)


@router.message(Command("margin"), flags=NO_LIMIT)
async def margin(
    message: Message, command: CommandObject, person: User, localizer: Localizer, db: Database, catalogue: Catalogue
) -> None:
    """What orders of the last days brought, less what providers took for them."""
    wanted = (command.args or "").strip() or str(USUAL_DAYS)
    if not (wanted.isascii() and wanted.isdigit() and 0 < int(wanted[:3]) <= MOST_MARGIN_DAYS):
        await message.answer(localizer.t("margin-usage", days=MOST_MARGIN_DAYS))
        return
    await db.write(lambda tx: admin.log(tx, person.id, "margin", "shop", days=wanted))
    period = last_days(int(wanted), clock.now_ms())
    lines = [line async for line in margins(db, period, catalogue.rubles_per_dollar)]
    await message.answer(_margin_screen(localizer, catalogue, int(wanted), lines))


def _margin_screen(localizer: Localizer, catalogue: Catalogue, days: int, lines: list[Margin]) -> str:
    if not lines:
        return localizer.t("margin-none", days=days)
    by_model = added_up(lines, lambda line: line.model)
    by_day = added_up(lines, lambda line: line.day)
    (total,) = added_up(lines, lambda line: "").values()
    rate = localizer.rubles(round(catalogue.rubles_per_dollar * 100))
    return "\n".join([
        localizer.t("margin", days=days, rate=rate), _margin_line(localizer, localizer.plain("margin-total"), total),
        *([localizer.t("margin-lost", count=total.lost)] if total.lost else []),
        *([localizer.t("margin-open", count=total.open)] if total.open else []),
        localizer.t("margin-by-model"),
        *(_margin_line(localizer, _title(catalogue, model, localizer), one) for model, one in sorted(by_model.items())),
        localizer.t("margin-by-day"),
        *(_margin_line(localizer, day.strftime("%d.%m"), one) for day, one in reversed(by_day.items())),
    ])  # fmt: skip


def _margin_line(localizer: Localizer, name: str, one: Margin) -> str:
    share = "" if one.percent is None else localizer.plain("margin-share", percent=one.percent)
    return localizer.t(
        "margin-line",
        name=name,
        orders=one.orders,
        charged=localizer.rubles(one.charged),
        cost=localizer.rubles(one.cost),
        margin=localizer.rubles(one.margin),
        share=share,
    )


def _title(catalogue: Catalogue, key: str, localizer: Localizer) -> str:
    """The model's title; the key of one that is not in the catalogue any more."""
    for find in (catalogue.image, catalogue.video):
        with suppress(UnknownModel):
            return find(key).title.in_language(localizer.language)
    return key


def _waiting(localizer: Localizer, count: int, waiting: list[Difference]) -> str:
    if not waiting:
        return localizer.t("fix-none")
    lines = [localizer.t("fix-list", count=count)]
    for one in waiting:
        facts = dict(one.details)
        lines += [
            "",
            localizer.t(
                "fix-line",
                id=str(one.id),
                when=localizer.when(one.created_at),
                what=Safe(localizer.t(f"difference-{one.kind}")),
                payment=one.payment_id or str(facts.get("about", "–")),
                theirs=localizer.rubles(int(facts.get("theirs") or 0)),
                user=str(one.user_id or "–"),
            ),
            localizer.t("fix-proposal", what=Safe(_proposal(localizer, one))),
        ]
    return "\n".join(lines)


def _proposal(localizer: Localizer, one: Difference) -> str:
    """The entry that would settle it, in words (HTML)."""
    amount = int(one.proposal.get("amount", 0))
    if not amount:
        return localizer.t("fix-propose-nothing")
    key = "fix-propose-credit" if amount > 0 else "fix-propose-take"
    if one.details.get("whole"):
        key = "fix-propose-settle"
    return localizer.t(key, amount=localizer.rubles(abs(amount)), user=str(one.proposal["user_id"]))


def _outcome(localizer: Localizer, refund: Refund) -> str:
    amount, reason = localizer.rubles(refund.amount), refund.cancel_reason or "–"
    return localizer.t(_REFUND[refund.status], amount=amount, id=refund.payment_id, reason=reason)
