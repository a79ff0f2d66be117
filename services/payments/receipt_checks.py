"""Receipts compared: was each registered, as the law 54-FZ wants it?

No notification tells of that, and no entry of ours could settle it: a person sees to it, or time does.
"""

from __future__ import annotations

import logging

from database import clock
from database import differences as difference_rows
from database import payments as payment_rows
from database.differences import Found
from database.models import Database, Difference, Payment
from services.common.log import event
from services.payments.comparison import Findings
from services.payments.yookassa.client import GatewayPayment, GatewayRefund, YooKassaGateway
from services.payments.yookassa.objects import seconds_of

RECEIPT_SECONDS = 3 * clock.DAY_SECONDS  # then a receipt is one for the support (docs/reference/yookassa.md, section 6)

_log = logging.getLogger(__name__)


async def check_receipt(
    findings: Findings, payment: Payment, theirs: GatewayPayment | GatewayRefund, at: str | None
) -> None:
    """The receipt of a payment, or of a refund of it, that is of the time `at` as YooKassa writes it."""
    if theirs.receipt_registration == "canceled":
        await findings.note(payment, "receipt-refused", theirs.id, theirs.amount_kopecks, 0)
    elif theirs.receipt_registration == "pending" and at is not None:
        since = seconds_of(at)
        if since is not None and clock.now() - since > RECEIPT_SECONDS:
            await findings.note(payment, difference_rows.RECEIPT_LATE, theirs.id, theirs.amount_kopecks, 0)


async def check_late_receipts(db: Database, gateway: YooKassaGateway, findings: Findings) -> None:
    """Receipts that were late: they may be registered, or refused, when no list reaches back to them any more."""
    for late in await db.read(difference_rows.open_of_kind, difference_rows.RECEIPT_LATE):
        try:
            await _check_late(db, gateway, findings, late)
        except Exception as error:
            findings.failed(late.key, error)


async def _check_late(db: Database, gateway: YooKassaGateway, findings: Findings, late: Difference) -> None:
    about = str(late.details["about"])
    payment = await db.read(payment_rows.get, late.payment_id or "")
    if payment is None:
        return
    theirs: GatewayPayment | GatewayRefund | None
    if about == payment.provider_payment_id:
        theirs = await gateway.find_payment(about)
    else:
        theirs = await gateway.find_refund(about)
    if theirs is None:
        return  # a person has to look for it
    if theirs.receipt_registration == "canceled":
        await check_receipt(findings, payment, theirs, None)
        why = "the receipt is refused"
    elif theirs.receipt_registration == "succeeded":
        why = "the receipt is registered"
    else:
        return
    event(_log, "difference.over", kind=late.kind, about=about, why=why)
    await findings.write(Found(late.kind, late.provider, about, over=why))
