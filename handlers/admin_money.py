"""What administrators do about money that went through a provider. Every act leaves an audit row."""

from __future__ import annotations

from typing import Final

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import Message

from database.models import IllegalMove, KeyReused, NotFound, Refund, RefundStatus, User
from handlers.voice import Voice
from services.notifier import Notifier
from services.pricing import BadSum, parse_rubles
from services.refunds import Refunds

router = Router(name="admin money")

FREE: Final = {"rate_limit": False}
LARGEST_SUM: Final = 10_000_000_000
LONGEST_ID: Final = 100
_REFUND: Final = {
    RefundStatus.TAKEN: "refund-waiting",
    RefundStatus.SENT: "refund-waiting",
    RefundStatus.SUCCEEDED: "refund-done",
    RefundStatus.CANCELED: "refund-canceled",
}


@router.message(Command("refund_payment"), flags=FREE)
async def refund_payment(
    message: Message, command: CommandObject, person: User, voice: Voice, refunds: Refunds, notifier: Notifier
) -> None:
    """Give a payment back, or a part of it, once per message of the admin's, however often the update comes."""
    payment_id, _, rest = (command.args or "").strip().partition(" ")
    amount = None
    try:
        if rest.strip():
            amount = parse_rubles(rest.strip(), minimum=1, maximum=LARGEST_SUM)
    except BadSum:
        payment_id = ""
    if not 0 < len(payment_id) <= LONGEST_ID:
        await message.answer(voice.t("refund-usage"))
        return
    refund_id = f"r-{message.chat.id}-{message.message_id}"
    try:
        refund = await refunds.refund(person.id, payment_id, amount, refund_id=refund_id)
    except NotFound:
        await message.answer(voice.t("admin-not-found"))
    except (IllegalMove, KeyReused):
        await message.answer(voice.t("refund-impossible"))
    else:
        await message.answer(_outcome(voice, refund))
    notifier.nudge()


def _outcome(voice: Voice, refund: Refund) -> str:
    amount, reason = voice.rubles(refund.amount), refund.cancel_reason or "–"
    return voice.t(_REFUND[refund.status], amount=amount, id=refund.payment_id, reason=reason)
