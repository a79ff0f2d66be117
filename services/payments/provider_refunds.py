"""Money that YooKassa gave back: whatever tells of it, it is taken from the customer's balance once."""

from __future__ import annotations

import logging
from typing import Final

from database import payments as payment_rows
from database import refunds as refund_rows
from database.models import Database, IllegalMove, KeyReused, Payment, Refund
from database.refunds import RefundFacts
from services.common.log import event
from services.payments.alerts import AdminAlerts
from services.payments.matching import CURRENCY, is_refund_of
from services.payments.yookassa.client import ErrorKind, GatewayPayment, GatewayRefund, YooKassaError, YooKassaGateway
from services.pricing import format_rubles

OWN_ID: Final = "refund_id"  # where our id of a refund travels in YooKassa's metadata

_log = logging.getLogger(__name__)


class ProviderRefunds:
    """Puts into our books what YooKassa says of refunds."""

    def __init__(self, db: Database, alerts: AdminAlerts) -> None:
        self._db = db
        self._alerts = alerts

    async def take_back(self, payment: Payment, refund: GatewayRefund) -> bool:
        """Book one refund that succeeded; True if it is in the books now. The admins are told of what does not fit.

        Raises Undecided while it may be one of ours that is under way: ask again later.
        """
        if not is_refund_of(refund, payment):
            return False
        if refund.currency != CURRENCY or refund.amount_kopecks <= 0:
            reason = f"refund {refund.id}: odd sum"
            await self._db.write(payment_rows.quarantine, payment.id, reason, admins=self._alerts.admins)
            return False
        try:
            row, new = await self._db.write(refund_rows.take_back, payment.id, **vars(as_row(refund)))
        except (IllegalMove, KeyReused) as error:
            event(_log, "refund.not_taken_back", level=logging.ERROR, refund_id=refund.id, error=str(error))
            await self._alerts.owe(f"refund:{refund.id}", "alert-refund", payment=payment.id, refund=refund.id)
            return False
        if new:
            await self.announce(payment, row)
        return True

    async def announce(self, payment: Payment, refund: Refund) -> None:
        """Tell the admins of a refund, once: one that they asked for is done, or one was made without us."""
        event(_log, "refund.taken_back", refund_id=refund.id, amount=refund.amount)
        await self._alerts.owe(
            f"refund:{refund.id}",
            "alert-refund-seen" if refund.requested_by is None else "alert-refund-done",
            payment=payment.id,
            sum=format_rubles(refund.amount, "ru"),
            user=str(payment.user_id),
        )


async def refunded_before_credit(
    gateway: YooKassaGateway, payment: Payment, facts: GatewayPayment
) -> list[GatewayRefund]:
    """What YooKassa gave back of a payment before it was credited here. All of it: nobody would ask for the rest later.

    Raises YooKassaError while the list does not hold all of it.
    """
    if facts.refunded_kopecks == 0:
        return []
    listed = [one async for one in gateway.list_refunds(payment_id=facts.id)]
    refunds = [one for one in listed if is_refund_of(one, payment) and one.currency == CURRENCY]
    if sum(one.amount_kopecks for one in refunds) != facts.refunded_kopecks:
        raise YooKassaError(ErrorKind.UNKNOWN_OUTCOME, f"the returns of {facts.id} do not add up yet")
    return refunds


def as_row(refund: GatewayRefund) -> RefundFacts:
    """What our books keep of YooKassa's refund."""
    return RefundFacts(f"yk-{refund.id}", refund.id, refund.amount_kopecks, refund.metadata.get(OWN_ID))
