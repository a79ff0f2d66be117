"""From an id of YooKassa's to what follows: somebody says that something happened to a payment or a refund."""

from __future__ import annotations

import logging

from database import differences as difference_rows
from database import payments as payment_rows
from database.differences import Found, Proposal
from database.models import Database, KeyReused, Payment, PaymentStatus
from services.common.log import event
from services.payments.alerts import AdminAlerts
from services.payments.creation import FIRST_POLL_MS, connected
from services.payments.ids import parse_card_id
from services.payments.matching import PROVIDER, ShopIdentity
from services.payments.settlement import Settlement
from services.payments.yookassa.client import ErrorKind, YooKassaError, YooKassaGateway
from services.payments.yookassa.objects import GatewayPayment

_log = logging.getLogger(__name__)


class ProviderEvents:
    """Finds the row that an id of YooKassa's belongs to and settles it. Money without a row becomes a difference."""

    def __init__(
        self,
        db: Database,
        gateway: YooKassaGateway | None,
        settlement: Settlement,
        shop: ShopIdentity,
        alerts: AdminAlerts,
    ) -> None:
        self._db = db
        self._gateway = gateway
        self._settlement = settlement
        self._shop = shop
        self._alerts = alerts

    async def on_payment_event(self, provider_payment_id: str) -> None:
        """Something happened to this payment of YooKassa's: ask, and do what follows.

        Raises YooKassaError when YooKassa can't be asked; TopUpUnavailable("off") without a shop.
        """
        payment = await self.row_of(provider_payment_id)
        if payment is None:
            return
        settled = await self._settlement.settle(payment.id)
        if settled.status is PaymentStatus.PENDING and not settled.quarantined_reason:
            # The notification was quicker than the provider's own books: ask again soon.
            await self._db.write(payment_rows.schedule_poll, payment.id, delay_ms=FIRST_POLL_MS)

    async def on_refund_event(self, refund_id: str, *, at_once: bool = False) -> None:
        """YooKassa gave money back: ask, and take it back once.

        `at_once`: the event is of this moment. YooKassa may not know its own new id yet, so that is an error then;
        later it means that there is nothing. Raises as `on_payment_event`; Undecided while it may be a refund of ours
        that is under way.
        """
        try:
            refund = await connected(self._gateway).get_refund(refund_id)
        except YooKassaError as error:
            if error.kind is ErrorKind.NOT_FOUND and not at_once:
                return
            raise
        payment = await self.row_of(refund.payment_id)
        if payment is None:
            return
        settled = await self._settlement.settle(payment.id)  # a refund seen before its payment: the credit comes first
        await self._settlement.take_back(settled, refund)

    async def row_of(self, provider_payment_id: str) -> Payment | None:
        """Our row of a payment: by the provider's id or, when our row lost that, by the id of ours that it carries.

        None when no row stands for it; where it is money, that is written down as a difference. Raises as
        `on_payment_event`.
        """
        known = await self._db.read(payment_rows.by_provider_id, provider_payment_id)
        if known is not None:
            return known
        facts = await connected(self._gateway).find_payment(provider_payment_id)
        if facts is None:
            event(_log, "notification.unknown_payment", level=logging.WARNING)
            return None
        named = await self._db.read(payment_rows.get, facts.order_id or "")
        if named is None or named.provider != PROVIDER:
            if await self._note_unknown(facts):
                event(_log, "payment.not_ours", level=logging.ERROR, provider_payment_id=facts.id)
            return None
        try:
            return await self._db.write(
                payment_rows.accepted,
                named.id,
                provider_payment_id=facts.id,
                confirmation_url=facts.confirmation_url,
                poll_in_ms=FIRST_POLL_MS,
            )
        except KeyReused:
            if self._shop.has_our_money(facts):
                await self._note_second(facts, named)
            return None

    async def _note_unknown(self, facts: GatewayPayment) -> bool:
        """A payment at YooKassa that no row of ours stands for: a person decides. True when this is new."""
        payer = self._named_in(facts)
        whole = payer is not None and facts.paid and facts.refunded_kopecks == 0
        return await self._note(difference_rows.UNKNOWN, facts, payer, whole=whole)

    async def _note_second(self, facts: GatewayPayment, payment: Payment) -> None:
        """A further payment at YooKassa for a row that has its money: a person decides."""
        await self._note(difference_rows.SECOND, facts, payment.user_id, payment_id=payment.id)

    async def _note(
        self,
        kind: str,
        facts: GatewayPayment,
        payer: int | None,
        *,
        payment_id: str | None = None,
        whole: bool = False,
    ) -> bool:
        """`payer`: whose money it is, None when nobody knows; `whole`: exactly what was asked for, nothing refunded."""
        kept = facts.amount_kopecks - facts.refunded_kopecks
        found = Found(
            kind,
            PROVIDER,
            facts.id,
            payment_id=payment_id,
            user_id=payer,
            facts={
                "theirs": facts.amount_kopecks,
                "ours": 0,
                "status": facts.status,
                "order_id": facts.order_id,
                "whole": whole,
            },
            proposal=Proposal(payer, kept) if payer is not None and kept > 0 else None,
        )
        return await self._db.write(difference_rows.note, found, admins=self._alerts.admins) is not None

    def _named_in(self, facts: GatewayPayment) -> int | None:
        """Whose lost payment this is: our ids hold the person and the sum, and the sum must be the one that came."""
        parts = parse_card_id(facts.order_id or "")
        if parts is None or parts.amount != facts.amount_kopecks or not self._shop.has_our_money(facts):
            return None
        return parts.user_id
