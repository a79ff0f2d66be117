"""What a payment is at YooKassa and what it is with us, brought together: created once, credited once, taken back once.

Whoever hints at a change, the provider is asked, its answer compared with our row, and one transaction does the rest.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Sequence

from database import clock, outbox
from database import differences as difference_rows
from database import payments as payment_rows
from database import refunds as refund_rows
from database.differences import Found, Proposal
from database.models import Database, IllegalMove, KeyReused, NotFound, Payment, PaymentStatus
from services.common.keyed_lock import KeyedLock
from services.common.log import event, log_context
from services.errors import TopUpUnavailable
from services.payments.provider_refunds import ProviderRefunds, returned
from services.payments.yookassa.client import ErrorKind, YooKassaError, YooKassaGateway
from services.payments.yookassa.objects import GatewayPayment, GatewayRefund, moment

PROVIDER = "yookassa"
# After 24 h YooKassa forgets the key and would create a second payment (docs/reference/yookassa.md, section 1).
KEY_LIVES_SECONDS = 23 * 3600
CLOCK_SLACK_SECONDS = 60.0
UNDATED_SECONDS = 90 * 24 * 3600  # so far back an order of a wrong clock is looked for: as long as it is asked about
CREATE_TRIES = 2
LONGEST_PAUSE = 5.0  # seconds between two tries, while a person waits for their link
FIRST_POLL_MS = 10_000
MOST_WAITING = 1_000  # questions about one payment that may stand in line; what is true is decided in the database

# As handlers/payments/topup.py makes them: the person's own chat, the message, the sum in kopecks, a repetition.
_ORDER_ID = re.compile(r"(?P<user>[1-9][0-9]{0,15})-[0-9]{1,15}-(?P<amount>[1-9][0-9]{0,11})(?:-[0-9]{1,3})?")
_UNSURE = (ErrorKind.UNKNOWN_OUTCOME, ErrorKind.RATE_LIMITED)
_OWNERS = (ErrorKind.CREDENTIALS, ErrorKind.FORBIDDEN)
_log = logging.getLogger(__name__)


class _NeverArrived(Exception):
    """YooKassa has nothing of an order."""


class Settlement:
    """One shop's payments, one question about each at a time."""

    def __init__(
        self,
        db: Database,
        gateway: YooKassaGateway | None,
        *,
        shop_id: str,
        test_mode: bool | None,
        admins: Sequence[int],
    ) -> None:
        self._db = db
        self._gateway = gateway
        self._shop_id = shop_id
        self._test_mode = test_mode
        self._admins = sorted(admins)
        self._locks = KeyedLock(MOST_WAITING)

    @property
    def gateway(self) -> YooKassaGateway:
        """Raises TopUpUnavailable("off") without a shop."""
        if self._gateway is None:
            raise TopUpUnavailable("off")
        return self._gateway

    # --- creating -----------------------------------------------------------------------------------

    async def create(self, payment: Payment) -> Payment:
        """Make sure that YooKassa has the payment. Raises TopUpUnavailable."""
        async with self._locks.hold(payment.id):
            return await self._created(payment, wanted=True)

    async def _created(self, payment: Payment, *, wanted: bool = False) -> Payment:
        """Make sure that YooKassa has the payment: the stored body under the stored key, however often.

        An order that never arrived and whose key is forgotten gets a new key when the person waits for it (`wanted`),
        else it is closed: nobody has its link.
        """
        payment = await self.fresh(payment.id)
        if payment.status is PaymentStatus.CANCELED:
            raise TopUpUnavailable("refused")
        tries = 0
        while payment.provider_payment_id is None:
            tries += 1
            try:
                payment = await self._send(payment)
            except _NeverArrived as error:
                if not wanted:
                    await self._db.write(payment_rows.close_unsent, payment.id, "never_created")
                    raise TopUpUnavailable("try_later") from error
                await self._db.write(payment_rows.ask_anew, payment.id)
            except YooKassaError as error:
                event(_log, "payment.create_failed", level=logging.WARNING, payment_id=payment.id, error=str(error))
                if error.kind not in _UNSURE:
                    await self._refused(payment, error)
                    raise TopUpUnavailable("refused") from error
                pause = _pause(error)
                if tries >= CREATE_TRIES or pause > LONGEST_PAUSE:
                    raise TopUpUnavailable("try_later") from error
                await asyncio.sleep(pause)
        return payment

    async def _send(self, payment: Payment) -> Payment:
        gateway = self.gateway
        payment = await self._db.write(payment_rows.sending, payment.id)
        if payment.request_body is None:
            raise YooKassaError(ErrorKind.UNKNOWN_OUTCOME, "an order of version 1.3 has nothing to send")
        if not -CLOCK_SLACK_SECONDS <= age(payment.sent_at) <= KEY_LIVES_SECONDS:
            answer = await self._look_up(gateway, payment)
        else:
            answer = await gateway.create_payment(
                json.loads(payment.request_body), idempotency_key=payment.idempotency_key
            )
        return await self._db.write(
            payment_rows.accepted,
            payment.id,
            provider_payment_id=answer.id,
            confirmation_url=answer.confirmation_url,
            poll_in_ms=FIRST_POLL_MS,
        )

    async def _look_up(self, gateway: YooKassaGateway, payment: Payment) -> GatewayPayment:
        """The payment of an order whose key is forgotten by now: sent again it would be a second one.

        An order of tomorrow was written under a wrong clock: nobody knows its age, so all of the time comes into
        question. Raises _NeverArrived when the list of the time in question does not hold it, YooKassaError when that
        can't be read to its end.
        """
        now, sent = clock.now(), (payment.sent_at or payment.created_at) / 1000
        begin, end = (sent - 3600, sent + 26 * 3600) if sent <= now else (now - UNDATED_SECONDS, now + 3600)
        found = None
        async for listed in gateway.list_payments(created_at__gte=moment(begin), created_at__lte=moment(end)):
            if listed.order_id == payment.id and (found is None or listed.status == "succeeded"):
                found = listed
        if found is None:
            raise _NeverArrived
        return found

    async def _refused(self, payment: Payment, error: YooKassaError) -> None:
        """A certain no: nothing exists at YooKassa, so the order is closed and the owner hears why."""
        await self._db.write(payment_rows.close_unsent, payment.id, error.kind.value)
        await self._alert_of(error)

    async def tell_if_refused(self, error: Exception) -> None:
        """Whatever asked: where YooKassa refuses our key, or what we may do with it, the owner hears of it."""
        if isinstance(error, YooKassaError) and error.kind in _OWNERS:
            await self._alert_of(error)

    async def _alert_of(self, error: YooKassaError) -> None:
        """One alert an hour for each kind of refusal."""
        hour = clock.now_ms() // 3_600_000
        await self._db.write(
            outbox.alert_admins,
            self._admins,
            f"yookassa:{error.kind}:{hour}",
            "alert-yookassa",
            code=error.kind.value,
            detail=str(error)[:300],
        )

    # --- settling -----------------------------------------------------------------------------------

    async def settle(self, payment_id: str) -> Payment:
        """Ask YooKassa about the payment and do what follows. Raises YooKassaError when it can't be asked."""
        with log_context(payment_id=payment_id):
            async with self._locks.hold(payment_id):
                payment = await self.fresh(payment_id)
                if payment.provider != PROVIDER or payment.status in (PaymentStatus.PAID, PaymentStatus.REFUNDED):
                    return payment
                if payment.provider_payment_id is None:
                    try:
                        payment = await self._created(payment)
                    except TopUpUnavailable:
                        return await self.fresh(payment_id)
                facts = await self.gateway.get_payment(payment.provider_payment_id or "")
                await self._apply(payment, facts)
                return await self.fresh(payment_id)

    async def _apply(self, payment: Payment, facts: GatewayPayment) -> None:
        if fault := self.mismatch(payment, facts):
            event(_log, "payment.quarantined", level=logging.ERROR, reason=fault)
            await self._db.write(payment_rows.quarantine, payment.id, fault, admins=self._admins)
        elif facts.status == "succeeded" and facts.paid:
            returns = await self._provider_refunds().of(payment, facts)
            try:
                _, credited = await self._db.write(payment_rows.settle, payment.id, [returned(one) for one in returns])
            except (IllegalMove, KeyReused) as error:
                # In quarantine already, or about to be: a person decides.
                await self._db.write(payment_rows.quarantine, payment.id, str(error), admins=self._admins)
                return
            if credited:
                event(_log, "payment.credited", amount=payment.amount, user_id=payment.user_id)
                for one in await self._db.read(refund_rows.of_payment, payment.id):
                    await self._provider_refunds().tell(payment, one)
        elif facts.status == "canceled" and await self._db.write(
            payment_rows.cancel, payment.id, facts.cancel_reason or "unknown"
        ):
            event(_log, "payment.canceled", reason=facts.cancel_reason)

    def mismatch(self, payment: Payment, facts: GatewayPayment) -> str | None:
        """What does not fit between our row and YooKassa's word; None when all does."""
        checks = {
            "id": facts.id == payment.provider_payment_id,
            "amount": facts.amount_kopecks == payment.amount,
            "currency": facts.currency == "RUB",
            # A payment of version 1.3 was not made by us; the provider's own id is what it is known by.
            "order": payment.request_body is None or facts.order_id == payment.id,
            "shop": facts.account_id in (None, self._shop_id),
            "test mode": self._test_mode is None or facts.test is self._test_mode,
        }
        wrong = [name for name, fits in checks.items() if not fits]
        return f"mismatch: {', '.join(wrong)}" if wrong else None

    async def take_back(self, payment: Payment, refund: GatewayRefund) -> None:
        """Book a return of a credited payment, once; what does not fit is given to the owner.

        Raises Undecided while it may be one of ours that is under way: ask again later.
        """
        async with self._locks.hold(payment.id):
            await self._provider_refunds().take_back(payment, refund)

    def _provider_refunds(self) -> ProviderRefunds:
        return ProviderRefunds(self._db, self.gateway, self._admins)

    # --- finding ------------------------------------------------------------------------------------

    async def ours(self, provider_payment_id: str) -> Payment | None:
        """Our row of a payment, found by the provider's id or, when that was lost, by the order id it carries."""
        known = await self._db.read(payment_rows.by_provider_id, provider_payment_id)
        if known is not None:
            return known
        try:
            facts = await self.gateway.get_payment(provider_payment_id)
        except YooKassaError as error:
            if error.kind is ErrorKind.NOT_FOUND:
                event(_log, "notification.unknown_payment", level=logging.WARNING)
                return None
            raise
        order = await self._db.read(payment_rows.get, facts.order_id or "")
        if order is None or order.provider != PROVIDER:
            if await self._difference(difference_rows.UNKNOWN, facts):
                event(_log, "payment.not_ours", level=logging.ERROR, provider_payment_id=facts.id)
            return None
        try:
            return await self._db.write(
                payment_rows.accepted,
                order.id,
                provider_payment_id=facts.id,
                confirmation_url=facts.confirmation_url,
                poll_in_ms=FIRST_POLL_MS,
            )
        except KeyReused:
            if facts.status == "succeeded" and facts.currency == "RUB" and self.is_of_our_shop(facts):
                await self._difference("second-payment", facts, order)
            return None

    async def _difference(self, kind: str, facts: GatewayPayment, order: Payment | None = None) -> bool:
        """Money at YooKassa that stands for none of our orders, or for one that has its money: a person decides.

        True when this is news.
        """
        owner = order.user_id if order else self._named_in(facts)
        kept = facts.amount_kopecks - facts.refunded_kopecks
        whole = order is None and owner is not None and facts.paid and facts.refunded_kopecks == 0
        found = Found(
            kind,
            PROVIDER,
            facts.id,
            payment_id=order.id if order else None,
            user_id=owner,
            facts={
                "theirs": facts.amount_kopecks,
                "ours": 0,
                "status": facts.status,
                "order_id": facts.order_id,
                "whole": whole,
            },
            proposal=Proposal(owner, kept) if owner is not None and kept > 0 else None,
        )
        return await self._db.write(difference_rows.note, found, admins=self._admins) is not None

    def _named_in(self, facts: GatewayPayment) -> int | None:
        """Whose lost order this money is: our order ids hold the person and the sum, and both must stand there."""
        parts = _ORDER_ID.fullmatch(facts.order_id or "")
        if parts is None or int(parts["amount"]) != facts.amount_kopecks or not self.is_of_our_shop(facts):
            return None
        return int(parts["user"]) if (facts.status, facts.currency) == ("succeeded", "RUB") else None

    def is_of_our_shop(self, facts: GatewayPayment) -> bool:
        """Our shop and our mode: a test shop's payments are no money."""
        return facts.account_id in (None, self._shop_id) and self._test_mode in (None, facts.test)

    # --- small parts --------------------------------------------------------------------------------

    async def fresh(self, payment_id: str) -> Payment:
        payment = await self._db.read(payment_rows.get, payment_id)
        if payment is None:
            raise NotFound(f"payment {payment_id}")
        return payment

    async def alert(self, key: str, text: str, **args: str) -> None:
        await self._db.write(outbox.alert_admins, self._admins, key, text, **args)


def _pause(error: YooKassaError) -> float:
    """Seconds before the same request may go again: what YooKassa asks for, else some where we are too many for it."""
    if error.retry_after is not None:
        return error.retry_after
    return 1 + clock.chance() if error.kind is ErrorKind.RATE_LIMITED else 0.0


def age(since_ms: int | None) -> float:
    """Seconds since a UTC time in milliseconds; 0 for None."""
    return 0.0 if since_ms is None else clock.now() - since_ms / 1000
