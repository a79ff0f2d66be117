"""What admins do about payments: refund them, compare them with the providers, decide about differences.

Every act writes a row into the admin log.
"""

from __future__ import annotations

from typing import Final

from aiogram import Bot, Router
from aiogram.exceptions import ClientDecodeError, TelegramAPIError
from aiogram.filters import Command, CommandObject
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message

from database import admin
from database import differences as difference_rows
from database.models import Database, Difference, IllegalMove, KeyReused, NotFound, Refund, RefundStatus, User
from handlers.admin.arguments import number_of_days
from handlers.chat import NO_LIMIT, CallbackAnswer, answer_and_edit
from handlers.views import keyboards
from handlers.views.callbacks import RefundTap
from handlers.views.localizer import Localizer
from services.common.i18n import Safe
from services.messaging.notifier import Notifier
from services.messaging.telegram import Screen
from services.payments.reconciliation import MOST_DAYS, Reconciliation
from services.payments.refunds import Offer, Refunds
from services.payments.yookassa.client import YooKassaError
from services.pricing import BadSum, parse_rubles

router = Router(name="money")

MAX_REFUND: Final = 10_000_000_000  # kopecks
MAX_ID_LENGTH: Final = 200  # of a payment; the second charge of one invoice has the longest id
MAX_SHOWN: Final = 10
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
    """Refund all that is left of a payment, once. A part of it must be confirmed by a button.

    Two commands for the same part may be meant as two refunds or be one command typed twice.
    """
    payment_id, _, rest = (command.args or "").strip().partition(" ")
    amount = None
    try:
        if rest.strip():
            amount = parse_rubles(rest.strip(), minimum=1, maximum=MAX_REFUND)
    except BadSum:
        payment_id = ""
    if not 0 < len(payment_id) <= MAX_ID_LENGTH:
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
    """Refund what the message says, once, however often its button is tapped.

    Refused when something else of the payment was refunded since the question.
    """
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
    """How far the refund of an older question has come. A question that was replaced or dropped can't start one."""
    try:
        return _outcome(localizer, await refunds.carry_on(refund_id))
    except NotFound:
        return localizer.t("refund-stale")


def _confirmation(localizer: Localizer, nonce: str, amount: int) -> InlineKeyboardMarkup:
    label = localizer.plain("refund-yes", amount=localizer.rubles(amount))
    yes = keyboards.button(label, RefundTap(nonce=nonce, act="yes"), style="danger")
    return keyboards.keyboard([yes], [keyboards.button(localizer.plain("refund-no"), RefundTap(nonce=nonce, act="no"))])


def _offered(localizer: Localizer, offer: Offer) -> str:
    """The question before a partial refund, with the earlier refunds of the payment (HTML)."""
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
    for one in offer.earlier[-MAX_SHOWN:]:
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
    """Compare our payments with the providers' now: since the last comparison, or this many days back."""
    wanted = (command.args or "").strip()
    days = number_of_days(wanted, MOST_DAYS)
    if wanted and days is None:
        await message.answer(localizer.t("reconcile-usage", days=MOST_DAYS))
        return
    await db.write(lambda tx: admin.log(tx, person.id, "reconcile", "shop", days=wanted))
    try:
        report = await reconciliation.run(days)
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
    """List the differences that wait for a decision, or decide about one: apply its proposed entry or dismiss it."""
    number, _, verdict = (command.args or "").strip().partition(" ")
    verdict = verdict.strip().lower()
    if not number:
        await message.answer(_waiting(localizer, *await db.read(difference_rows.still_open, limit=MAX_SHOWN)))
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


def _waiting(localizer: Localizer, count: int, waiting: list[Difference]) -> str:
    """The first of `count` differences that wait for a decision (HTML)."""
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
    """The ledger entry that would settle the difference, in words (HTML)."""
    amount = int(one.proposal.get("amount", 0))
    if not amount:
        return localizer.t("fix-propose-nothing")
    key = "fix-propose-credit" if amount > 0 else "fix-propose-take"
    if one.details.get("whole"):
        key = "fix-propose-settle"
    return localizer.t(key, amount=localizer.rubles(abs(amount)), user=str(one.proposal["user_id"]))


def _outcome(localizer: Localizer, refund: Refund) -> str:
    """How far a refund is (HTML)."""
    amount, reason = localizer.rubles(refund.amount), refund.cancel_reason or "–"
    return localizer.t(_REFUND[refund.status], amount=amount, id=refund.payment_id, reason=reason)
