"""Giving money back through YooKassa: under the protocol of `idempotency.py`."""

from __future__ import annotations

import json
from typing import Any, Final

from database import refunds as refund_rows
from database.models import Database, IllegalMove, Payment, Refund
from services.payments.idempotency import CertainRefusal, KeyedRequest, NeverArrived
from services.payments.matching import is_our_refund
from services.payments.provider_refunds import OWN_ID
from services.payments.refunds import Pending, RefundResult, Rejected, Succeeded, Unknown
from services.payments.yookassa.client import (
    ErrorKind,
    GatewayRefund,
    Receipt,
    YooKassaError,
    YooKassaGateway,
    build_refund_body,
)

# A wrong key of the shop is for the admins to correct, and says nothing about this refund.
_UNDECIDED: Final = (ErrorKind.UNKNOWN_OUTCOME, ErrorKind.RATE_LIMITED, ErrorKind.CREDENTIALS)


class YooKassaRefunds:
    """A RefundGateway: the stored body under the stored key, and past the key's time the list first."""

    def __init__(self, db: Database, gateway: YooKassaGateway, *, receipt: Receipt | None = None) -> None:
        """`receipt` holds the shop's own terms where it sends receipts now; a refund repeats those of its payment."""
        self._db = db
        self._gateway = gateway
        self._receipt = receipt

    def body(self, payment: Payment, amount: int, refund_id: str) -> dict[str, Any]:
        """The request for `amount` kopecks. Raises IllegalMove for a part whose receipt nobody could send."""
        is_part = amount < payment.amount
        return build_refund_body(
            payment_id=payment.provider_payment_id or "",
            amount_kopecks=amount,
            description=f"Возврат пополнения {payment.id}",
            metadata={"order_id": payment.id, OWN_ID: refund_id},
            receipt=_receipt_of(payment, self._receipt) if is_part else None,  # a whole one repeats the payment's own
        )

    async def ask(self, payment: Payment, refund: Refund) -> RefundResult:
        """Make sure that YooKassa knows of the refund, and say what it says."""
        try:
            if refund.provider_refund_id is not None:
                theirs = await self._gateway.get_refund(refund.provider_refund_id)
            else:
                theirs = await self._ensure(payment, refund)
        except CertainRefusal as refusal:
            return Rejected(str(refusal))
        except YooKassaError as error:
            return Unknown(str(error))
        return _result(payment, refund, theirs)

    async def _ensure(self, payment: Payment, refund: Refund) -> GatewayRefund:
        """YooKassa's refund, made now or at an earlier attempt.

        Raises CertainRefusal when YooKassa has none and will make none; YooKassaError when nobody can tell.
        """

        async def send() -> GatewayRefund:
            try:
                return await self._gateway.create_refund(
                    json.loads(refund.request_body or "{}"), idempotency_key=refund.idempotency_key or ""
                )
            except YooKassaError as error:
                if error.kind in _UNDECIDED:
                    raise
                return await request.result_in_spite_of(error)

        async def find() -> GatewayRefund | None:
            return await self._listed(payment, refund)

        since_ms = min(refund.created_at, refund.sent_at or refund.created_at)
        request = KeyedRequest(since_ms, send, find)
        try:
            return await request.result()
        except NeverArrived:
            await self._db.write(refund_rows.ask_anew, refund.id)
            await self._db.write(refund_rows.sending, refund.id)
            return await send()

    async def _listed(self, payment: Payment, refund: Refund) -> GatewayRefund | None:
        """Our refund among those of the payment. Raises YooKassaError when the list can't be read to its end."""
        found = None
        async for listed in self._gateway.list_refunds(payment_id=payment.provider_payment_id or ""):
            if listed.metadata.get(OWN_ID) == refund.id:
                found = listed
        return found


def _result(payment: Payment, refund: Refund, theirs: GatewayRefund) -> RefundResult:
    if not is_our_refund(theirs, payment, refund):
        return Unknown(f"refund {theirs.id} at YooKassa is of another payment or sum")
    if theirs.status == "succeeded":
        return Succeeded(theirs.id)
    if theirs.status == "canceled":
        return Rejected(theirs.reason or "canceled")
    return Pending(theirs.id)


def _receipt_of(payment: Payment, terms: Receipt | None) -> Receipt | None:
    """What the payment's own receipt said, whatever the settings say by now: a refund has the rate of its sale.

    Raises IllegalMove when the shop sends receipts (`terms`) and the payment had none.
    """
    sent = json.loads(payment.request_body or "{}").get("receipt")
    if not sent:
        if terms is not None:
            raise IllegalMove(f"payment {payment.id} had no receipt, so a part of it can't be returned here")
        return None
    item = sent["items"][0]
    return Receipt(
        email=str(sent["customer"]["email"]),
        tax_system_code=sent.get("tax_system_code"),
        **{name: item[name] for name in ("vat_code", "payment_subject", "payment_mode", "measure")},
    )
