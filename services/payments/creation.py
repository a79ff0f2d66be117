"""Making sure that YooKassa has a payment whose row is written: under the protocol of `idempotency.py`."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Final

from database import payments as payment_rows
from database.models import Database, Payment, PaymentStatus
from services.common.log import event
from services.errors import TopUpUnavailable
from services.payments.alerts import AdminAlerts
from services.payments.delays import pause_seconds
from services.payments.idempotency import KeyedRequest, NeverArrived, listed_between
from services.payments.yookassa.client import ErrorKind, YooKassaError, YooKassaGateway
from services.payments.yookassa.objects import GatewayPayment, moment

TRIES: Final = 2
LONGEST_PAUSE_SECONDS: Final = 5.0  # between two tries, while a person waits for their link
FIRST_POLL_MS: Final = 10_000

_UNDECIDED: Final = (ErrorKind.UNKNOWN_OUTCOME, ErrorKind.RATE_LIMITED)
_log = logging.getLogger(__name__)


def connected(gateway: YooKassaGateway | None) -> YooKassaGateway:
    """The shop's gateway. Raises TopUpUnavailable("off") without a shop."""
    if gateway is None:
        raise TopUpUnavailable("off")
    return gateway


class PaymentCreation:
    """Creates payments at YooKassa. Its callers hold the payment's lock."""

    def __init__(self, db: Database, gateway: YooKassaGateway | None, alerts: AdminAlerts) -> None:
        self._db = db
        self._gateway = gateway
        self._alerts = alerts

    async def ensure(self, payment_id: str, *, wanted: bool = False) -> Payment:
        """Make sure that YooKassa has the payment: the stored body under the stored key, however often.

        A payment that never arrived and whose key is forgotten gets a new key when a person waits for it (`wanted`),
        else it is closed: nobody has its link. Raises NotFound; TopUpUnavailable: "off" without a shop, "refused" when
        YooKassa refuses or the payment is closed, "try_later" when YooKassa does not answer or it never arrived.
        """
        payment = await self._db.read(payment_rows.get_or_raise, payment_id)
        if payment.status is PaymentStatus.CANCELED:
            raise TopUpUnavailable("refused")
        tries = 0
        while payment.provider_payment_id is None:
            tries += 1
            try:
                payment = await self._create(payment)
            except NeverArrived as error:
                if not wanted:
                    await self._db.write(payment_rows.close_unsent, payment.id, "never_created")
                    raise TopUpUnavailable("try_later") from error
                await self._db.write(payment_rows.ask_anew, payment.id)
            except YooKassaError as error:
                event(_log, "payment.create_failed", level=logging.WARNING, payment_id=payment.id, error=str(error))
                if error.kind not in _UNDECIDED:
                    await self._close_refused(payment, error)
                    raise TopUpUnavailable("refused") from error
                pause = pause_seconds(error)
                if tries >= TRIES or pause > LONGEST_PAUSE_SECONDS:
                    raise TopUpUnavailable("try_later") from error
                await asyncio.sleep(pause)
        return payment

    async def _create(self, payment: Payment) -> Payment:
        """One try; the row with YooKassa's id. Raises NeverArrived, YooKassaError, TopUpUnavailable("off")."""
        gateway = connected(self._gateway)
        payment = await self._db.write(payment_rows.sending, payment.id)
        body = payment.request_body
        if body is None:
            raise YooKassaError(ErrorKind.UNKNOWN_OUTCOME, "an order of version 1.3 has nothing to send")
        since_ms = payment.sent_at or payment.created_at

        async def send() -> GatewayPayment:
            return await gateway.create_payment(json.loads(body), idempotency_key=payment.idempotency_key)

        async def find() -> GatewayPayment | None:
            return await _listed(gateway, payment.id, since_ms)

        created = await KeyedRequest(since_ms, send, find).result()
        return await self._db.write(
            payment_rows.accepted,
            payment.id,
            provider_payment_id=created.id,
            confirmation_url=created.confirmation_url,
            poll_in_ms=FIRST_POLL_MS,
        )

    async def _close_refused(self, payment: Payment, error: YooKassaError) -> None:
        """Close what YooKassa refuses to create, and tell the admins why.

        No list needs to be read here: nobody has the link of an earlier attempt whose answer was lost, so nobody pays
        by it. Should money come all the same, it is credited.
        """
        await self._db.write(payment_rows.close_unsent, payment.id, error.kind.value)
        await self._alerts.owe_refusal(error)


async def _listed(gateway: YooKassaGateway, payment_id: str, since_ms: int) -> GatewayPayment | None:
    """The payment in YooKassa's list of the time in question, one that succeeded before all others.

    Raises YooKassaError when the list can't be read to its end.
    """
    begin, end = listed_between(since_ms)
    found = None
    async for listed in gateway.list_payments(created_at__gte=moment(begin), created_at__lte=moment(end)):
        if listed.order_id == payment_id and (found is None or listed.status == "succeeded"):
            found = listed
    return found
