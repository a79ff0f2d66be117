"""Settling a payment: YooKassa is asked, its answer compared with our row, and one transaction does the rest.

Whoever says that something happened, only YooKassa's answer to our own question moves money.
"""

from __future__ import annotations

import logging

from database import payments as payment_rows
from database import refunds as refund_rows
from database.models import Database, IllegalMove, KeyReused, NotFound, Payment, PaymentStatus
from services.common.keyed_lock import KeyedLock
from services.common.log import event, log_context
from services.errors import TopUpUnavailable
from services.payments.alerts import AdminAlerts
from services.payments.creation import PaymentCreation, connected
from services.payments.matching import PROVIDER, ShopIdentity
from services.payments.provider_refunds import ProviderRefunds, as_row, refunded_before_credit
from services.payments.yookassa.client import YooKassaError, YooKassaGateway
from services.payments.yookassa.objects import GatewayPayment, GatewayRefund

_log = logging.getLogger(__name__)


class Settlement:
    """One shop's payments, one question about each at a time."""

    def __init__(
        self,
        db: Database,
        gateway: YooKassaGateway | None,
        creation: PaymentCreation,
        shop: ShopIdentity,
        alerts: AdminAlerts,
        locks: KeyedLock,
    ) -> None:
        """`locks` has a lock for each payment's id, the same as of those who begin payments."""
        self._db = db
        self._gateway = gateway
        self._creation = creation
        self._shop = shop
        self._alerts = alerts
        self._locks = locks
        self._refunds = ProviderRefunds(db, alerts)

    async def settle(self, payment_id: str) -> Payment:
        """Ask YooKassa about the payment and do what follows; answers the row as it is then.

        Raises NotFound; YooKassaError when YooKassa can't be asked; TopUpUnavailable("off") without a shop.
        """
        with log_context(payment_id=payment_id):
            async with self._locks.hold(payment_id):
                payment = await self._row(payment_id)
                if payment.provider != PROVIDER or payment.status in payment_rows.CREDITED:
                    return payment
                if payment.provider_payment_id is None:
                    try:
                        payment = await self._creation.ensure(payment_id)
                    except TopUpUnavailable:
                        return await self._row(payment_id)
                gateway = connected(self._gateway)
                facts = await gateway.get_payment(payment.provider_payment_id or "")
                await self._follow(gateway, payment, facts)
                return await self._row(payment_id)

    async def check(self, payment_id: str, user_id: int) -> Payment:
        """The person asks whether the money came: ask YooKassa now.

        Raises NotFound, also for another person's payment; TopUpUnavailable("try_later") when YooKassa can't be asked.
        """
        payment = await self._row(payment_id)
        if payment.user_id != user_id:
            raise NotFound(f"payment {payment_id}")
        if payment.status is not PaymentStatus.PENDING:
            return payment
        try:
            return await self.settle(payment_id)
        except YooKassaError as error:
            raise TopUpUnavailable("try_later") from error

    async def take_back(self, payment: Payment, refund: GatewayRefund) -> None:
        """Book a refund of a credited payment, once; the admins are told of what does not fit.

        Raises Undecided while it may be one of ours that is under way: ask again later.
        """
        async with self._locks.hold(payment.id):
            await self._refunds.take_back(payment, refund)

    async def _follow(self, gateway: YooKassaGateway, payment: Payment, facts: GatewayPayment) -> None:
        """What follows from YooKassa's answer. Raises YooKassaError while not all of its refunds are known."""
        if fault := self._shop.mismatch(payment, facts):
            event(_log, "payment.quarantined", level=logging.ERROR, reason=fault)
            await self._quarantine(payment, fault)
        elif facts.status == "succeeded" and facts.paid:
            await self._credit(payment, await refunded_before_credit(gateway, payment, facts))
        elif facts.status == "canceled" and await self._db.write(
            payment_rows.cancel, payment.id, facts.cancel_reason or "unknown"
        ):
            event(_log, "payment.canceled", reason=facts.cancel_reason)

    async def _credit(self, payment: Payment, refunds: list[GatewayRefund]) -> None:
        """Credit the payment and take back what was refunded already, in one transaction."""
        try:
            _, credited = await self._db.write(payment_rows.settle, payment.id, [as_row(one) for one in refunds])
        except (IllegalMove, KeyReused) as error:
            # In quarantine already, or about to be: a person decides.
            await self._quarantine(payment, str(error))
            return
        if credited:
            event(_log, "payment.credited", amount=payment.amount, user_id=payment.user_id)
            for one in await self._db.read(refund_rows.of_payment, payment.id):
                await self._refunds.announce(payment, one)

    async def _quarantine(self, payment: Payment, reason: str) -> None:
        await self._db.write(payment_rows.quarantine, payment.id, reason, admins=self._alerts.admins)

    async def _row(self, payment_id: str) -> Payment:
        return await self._db.read(payment_rows.get_or_raise, payment_id)
