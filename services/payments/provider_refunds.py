"""Money that YooKassa gave back: whoever tells of it, it is taken from the customer's balance once."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from database import outbox
from database import payments as payment_rows
from database import refunds as refund_rows
from database.models import Database, IllegalMove, KeyReused, Payment, Refund
from database.refunds import Returned
from services.common.log import event
from services.payments.yookassa.client import ErrorKind, GatewayPayment, GatewayRefund, YooKassaError, YooKassaGateway
from services.pricing import format_rubles

OWN_ID = "refund_id"  # where our id of a return travels in YooKassa's metadata

_log = logging.getLogger(__name__)


class ProviderRefunds:
    """What YooKassa says of returned money, put into our books."""

    def __init__(self, db: Database, gateway: YooKassaGateway, admins: Sequence[int]) -> None:
        self._db = db
        self._gateway = gateway
        self._admins = admins

    async def of(self, payment: Payment, facts: GatewayPayment) -> list[GatewayRefund]:
        """What YooKassa gave back of it already. All of it, or nothing is credited yet: the rest would be forgotten.

        Raises YooKassaError while the list does not hold all of it.
        """
        if facts.refunded_kopecks == 0:
            return []
        listed = [one async for one in self._gateway.list_refunds(payment_id=facts.id)]
        returns = [one for one in listed if is_of(one, payment) and one.currency == "RUB"]
        if sum(one.amount_kopecks for one in returns) != facts.refunded_kopecks:
            raise YooKassaError(ErrorKind.UNKNOWN_OUTCOME, f"the returns of {facts.id} do not add up yet")
        return returns

    async def take_back(self, payment: Payment, refund: GatewayRefund) -> bool:
        """Book one return that succeeded; True if it is in the books now. What does not fit is the owner's to see.

        Raises Undecided while it may be one of ours that is under way: ask again later.
        """
        if not is_of(refund, payment):
            return False
        if refund.currency != "RUB" or refund.amount_kopecks <= 0:
            await self._db.write(
                payment_rows.quarantine, payment.id, f"refund {refund.id}: odd sum", admins=self._admins
            )
            return False
        try:
            row, new = await self._db.write(refund_rows.take_back, payment.id, **vars(returned(refund)))
        except (IllegalMove, KeyReused) as error:
            event(_log, "refund.not_taken_back", level=logging.ERROR, refund_id=refund.id, error=str(error))
            await self._alert(f"refund:{refund.id}", "alert-refund", payment=payment.id, refund=refund.id)
            return False
        if new:
            await self.tell(payment, row)
        return True

    async def tell(self, payment: Payment, refund: Refund) -> None:
        """Admins hear of each return once: one of theirs is done, or one was made behind our back."""
        event(_log, "refund.taken_back", refund_id=refund.id, amount=refund.amount)
        await self._alert(
            f"refund:{refund.id}",
            "alert-refund-seen" if refund.requested_by is None else "alert-refund-done",
            payment=payment.id,
            sum=format_rubles(refund.amount, "ru"),
            user=str(payment.user_id),
        )

    async def _alert(self, key: str, text: str, **args: str) -> None:
        await self._db.write(outbox.alert_admins, self._admins, key, text, **args)


def is_of(refund: GatewayRefund, payment: Payment) -> bool:
    """A return of this payment that really happened."""
    return refund.status == "succeeded" and refund.payment_id == payment.provider_payment_id


def returned(refund: GatewayRefund) -> Returned:
    return Returned(f"yk-{refund.id}", refund.id, refund.amount_kopecks, refund.metadata.get(OWN_ID))
