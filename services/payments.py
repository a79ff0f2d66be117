"""Top-ups: start one, settle it, and learn of it however the word comes.

A notification, the person's own "check", and the poller all end in `settle`: ask the provider, compare, then one
transaction. What anybody tells us is a hint; only the provider's answer to our own question moves money.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from database import differences, inbox, refunds, users
from database import payments as rows
from database.differences import Found, Proposal
from database.models import Database, IllegalMove, InboxItem, KeyReused, NotFound, Payment, PaymentStatus
from services.errors import TopUpUnavailable
from services.i18n import Texts
from services.keyed_lock import KeyedLock
from services.log import event, log_context
from services.pricing import format_rubles
from services.returns import Returns, returned
from services.yookassa import ErrorKind, YooKassaError, YooKassaGateway
from services.yookassa_objects import GatewayPayment, Receipt, build_payment_body, moment

PROVIDER = "yookassa"
KEY_LIVES_SECONDS = 23 * 3600  # after 24 h the provider forgets the key and would create a second payment
CREATE_TRIES = 2
FIRST_LOOK_MS = 10_000
PAYABLE_SECONDS = 70 * 60  # the link lives about an hour
LATE_LOOK_MS = 3600 * 1000
RARE_AFTER_SECONDS = 48 * 3600
RARE_LOOK_MS = 6 * 3600 * 1000
LAST_LOOK_SECONDS = 90 * 24 * 3600
NOTIFICATION_TRIES = 90  # more than three days, the later ones an hour apart
LONGEST_HINT_GAP_MS = 3600 * 1000
AT_ONCE = 4
MOST_WAITING = 1_000  # questions about one payment that may stand in line; what is true is decided in the database

_ORDER_ID = re.compile(r"[A-Za-z0-9_-]{1,50}")
_UNSURE = (ErrorKind.UNKNOWN_OUTCOME, ErrorKind.RATE_LIMITED)
_log = logging.getLogger(__name__)
T = TypeVar("T")


class _NeverArrived(Exception):
    """YooKassa has nothing of an order."""


class Payments:
    """Card top-ups through YooKassa. Without a gateway everything about them is off."""

    def __init__(
        self,
        db: Database,
        gateway: YooKassaGateway | None,
        texts: Texts,
        *,
        shop_id: str = "",
        test_mode: bool | None = None,
        return_url: str = "https://t.me",
        admins: Sequence[int] = (),
        receipt: Receipt | None = None,
    ) -> None:
        """`receipt` holds the shop's own terms where every payment needs one; the customer's address is theirs."""
        self._db = db
        self._gateway = gateway
        self._texts = texts
        self._shop_id = shop_id
        self._test_mode = test_mode
        self._return_url = return_url
        self._admins = sorted(admins)
        self._receipt = receipt
        self._locks = KeyedLock(MOST_WAITING)

    @property
    def enabled(self) -> bool:
        return self._gateway is not None

    @property
    def wants_email(self) -> bool:
        """Whether a customer must leave an address before they can pay."""
        return self._gateway is not None and self._receipt is not None

    # --- starting -----------------------------------------------------------------------------------

    async def open_topup(
        self,
        user_id: int,
        amount: int,
        *,
        chat_id: int,
        language: str,
        order_id: str,
        draft_id: str | None = None,
        message_id: int | None = None,
    ) -> Payment:
        """A payment of `amount` kopecks with its link; the same `order_id` again answers the same payment.

        Raises TopUpUnavailable: "off" without a shop, "refused" when the shop's settings are wrong (the owner is
        told), "try_later" when YooKassa does not answer (the order stays and is looked after), "email" when the
        shop sends receipts and knows no address of this person.
        """
        if self._gateway is None:
            raise TopUpUnavailable("off")
        if not _ORDER_ID.fullmatch(order_id):
            raise ValueError("an order id is 1 to 50 of A-Z, a-z, 0-9, _ and -")
        body = build_payment_body(
            amount_kopecks=amount,
            return_url=self._return_url,
            description=self._texts.plain(language, "payment-description", sum=format_rubles(amount, language)),
            order_id=order_id,
            receipt=await self._receipt_for(user_id),
        )
        order = rows.NewPayment(
            id=order_id,
            user_id=user_id,
            provider=PROVIDER,
            amount=amount,
            idempotency_key=f"topup-{order_id}",
            request_body=json.dumps(body, ensure_ascii=False),
            chat_id=chat_id,
            message_id=message_id,
            draft_id=draft_id,
        )
        payment = await self._db.write(rows.open_payment, order, look_in_ms=FIRST_LOOK_MS)
        async with self._locks.hold(payment.id):
            return await self._created(payment, wanted=True)

    async def _receipt_for(self, user_id: int) -> Receipt | None:
        if self._receipt is None:
            return None
        person = await self._db.read(users.get, user_id)
        if person is None or person.email is None:
            raise TopUpUnavailable("email")
        return dataclasses.replace(self._receipt, email=person.email)

    async def _created(self, payment: Payment, *, wanted: bool = False) -> Payment:
        """Make sure that YooKassa has the payment: the stored body under the stored key, however often.

        An order that never arrived and whose key is forgotten gets a new key when the person waits for it (`wanted`),
        else it is closed: nobody has its link.
        """
        payment = await self._fresh(payment.id)
        if payment.status is PaymentStatus.CANCELED:
            raise TopUpUnavailable("refused")
        tries = 0
        while payment.provider_payment_id is None:
            tries += 1
            try:
                payment = await self._send(payment)
            except _NeverArrived as error:
                if not wanted:
                    await self._db.write(rows.close_unsent, payment.id, "never_created")
                    raise TopUpUnavailable("try_later") from error
                await self._db.write(rows.ask_anew, payment.id)
            except YooKassaError as error:
                event(_log, "payment.create_failed", level=logging.WARNING, payment_id=payment.id, error=str(error))
                if error.kind not in _UNSURE:
                    await self._refused(payment, error)
                    raise TopUpUnavailable("refused") from error
                if tries >= CREATE_TRIES:
                    raise TopUpUnavailable("try_later") from error
        return payment

    async def _send(self, payment: Payment) -> Payment:
        gateway = self._require()
        payment = await self._db.write(rows.sending, payment.id)
        if self._age(payment.sent_at) > KEY_LIVES_SECONDS:
            answer = await self._look_up(gateway, payment)
        else:
            answer = await gateway.create_payment(
                json.loads(payment.request_body or "{}"), idempotency_key=payment.idempotency_key
            )
        return await self._db.write(
            rows.accepted,
            payment.id,
            provider_payment_id=answer.id,
            confirmation_url=answer.confirmation_url,
            look_in_ms=FIRST_LOOK_MS,
        )

    async def _look_up(self, gateway: YooKassaGateway, payment: Payment) -> GatewayPayment:
        """The payment of an order whose key is forgotten by now: sent again it would be a second one.

        Raises _NeverArrived when the list of the time in question does not hold it, YooKassaError when that can't be
        read to its end.
        """
        sent = (payment.sent_at or payment.created_at) / 1000
        begin, end = (moment(sent + hours * 3600) for hours in (-1, 26))
        found = None
        async for listed in gateway.list_payments(created_at__gte=begin, created_at__lte=end):
            if listed.order_id == payment.id and (found is None or listed.status == "succeeded"):
                found = listed
        if found is None:
            raise _NeverArrived
        return found

    async def _refused(self, payment: Payment, error: YooKassaError) -> None:
        """A certain no: nothing exists at YooKassa, so the order is closed and the owner hears why."""
        await self._db.write(rows.close_unsent, payment.id, error.kind.value)
        hour = time.time_ns() // 3_600_000_000_000
        await self._db.write(
            rows.alert, self._admins, f"yookassa:{error.kind}:{hour}", "alert-yookassa", code=error.kind.value,
            detail=str(error)[:300],
        )

    # --- settling -----------------------------------------------------------------------------------

    async def check(self, payment_id: str, user_id: int) -> Payment:
        """The person asks whether the money came: look now. Raises NotFound, TopUpUnavailable("try_later")."""
        payment = await self._db.read(rows.get, payment_id)
        if payment is None or payment.user_id != user_id:
            raise NotFound(f"payment {payment_id}")
        if payment.status is not PaymentStatus.PENDING:
            return payment
        try:
            return await self.settle(payment_id)
        except YooKassaError as error:
            raise TopUpUnavailable("try_later") from error

    async def settle(self, payment_id: str) -> Payment:
        """Ask YooKassa about the payment and do what follows. Raises YooKassaError when it can't be asked."""
        with log_context(payment_id=payment_id):
            async with self._locks.hold(payment_id):
                payment = await self._fresh(payment_id)
                if payment.provider != PROVIDER or payment.status in (PaymentStatus.PAID, PaymentStatus.REFUNDED):
                    return payment
                if payment.provider_payment_id is None:
                    try:
                        payment = await self._created(payment)
                    except TopUpUnavailable:
                        return await self._fresh(payment_id)
                facts = await self._require().get_payment(payment.provider_payment_id or "")
                await self._apply(payment, facts)
                return await self._fresh(payment_id)

    async def _apply(self, payment: Payment, facts: GatewayPayment) -> None:
        if fault := self._mismatch(payment, facts):
            event(_log, "payment.quarantined", level=logging.ERROR, reason=fault)
            await self._db.write(rows.quarantine, payment.id, fault, admins=self._admins)
        elif facts.status == "succeeded" and facts.paid:
            returns = await self._returns().of(payment, facts)
            try:
                _, credited = await self._db.write(rows.settle, payment.id, [returned(one) for one in returns])
            except (IllegalMove, KeyReused) as error:
                # In quarantine already, or about to be: a person decides.
                await self._db.write(rows.quarantine, payment.id, str(error), admins=self._admins)
                return
            if credited:
                event(_log, "payment.credited", amount=payment.amount, user_id=payment.user_id)
                for one in await self._db.read(refunds.of_payment, payment.id):
                    await self._returns().tell(payment, one)
        elif facts.status == "canceled" and await self._db.write(
            rows.cancel, payment.id, facts.cancel_reason or "unknown"
        ):
            event(_log, "payment.canceled", reason=facts.cancel_reason)

    def _mismatch(self, payment: Payment, facts: GatewayPayment) -> str | None:
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

    # --- notifications --------------------------------------------------------------------------------

    async def handle_notification(self, item: InboxItem) -> None:
        """Act on a notification that is written down; trouble leaves it for the sweeper, days of it for the owner."""
        try:
            await self._act_on(item)
        except Exception as error:
            event(_log, "notification.put_off", level=logging.WARNING, inbox_id=item.id, error=str(error)[:200])
            if item.attempts < NOTIFICATION_TRIES:
                delay = min(5_000 * 2 ** min(item.attempts, 16), LONGEST_HINT_GAP_MS)
                await self._db.write(inbox.failed, item.id, type(error).__name__, delay_ms=delay)
                return
            await self._alert(f"hint:{item.id}", "alert-hint-lost", hint=item.key, error=type(error).__name__)
        await self._db.write(inbox.done, item.id)

    async def handle_due_notifications(self) -> None:
        """Those that were written down and whose process died, or that had to wait."""
        due = await self._db.write(inbox.due, source=PROVIDER) if self.enabled else []
        await self._all(due, self.handle_notification)

    async def _act_on(self, item: InboxItem) -> None:
        body: dict[str, Any] = json.loads(item.body)
        subject, provider_id = str(body["event"]).partition(".")[0], str(body["object"]["id"])
        if subject == "payment":
            await self.heard_of(provider_id)
        elif subject == "refund":
            await self.heard_of_refund(provider_id)

    async def heard_of(self, provider_payment_id: str) -> None:
        """Somebody says that something happened to this payment of YooKassa's: look, and do what follows."""
        payment = await self._ours(provider_payment_id)
        if payment is None:
            return
        settled = await self.settle(payment.id)
        if settled.status is PaymentStatus.PENDING and not settled.quarantined_reason:
            # The notification was quicker than the provider's own books: ask again soon.
            await self._db.write(rows.look_later, payment.id, delay_ms=FIRST_LOOK_MS)

    async def heard_of_refund(self, refund_id: str) -> None:
        """Somebody says that YooKassa gave money back: look, and take it back once."""
        try:
            refund = await self._require().get_refund(refund_id)
        except YooKassaError as error:
            if error.kind is ErrorKind.NOT_FOUND:
                return
            raise
        payment = await self._ours(refund.payment_id)
        if payment is None:
            return
        settled = await self.settle(payment.id)  # a return seen before its payment: the credit comes first
        async with self._locks.hold(payment.id):
            await self._returns().take_back(settled, refund)

    async def _ours(self, provider_payment_id: str) -> Payment | None:
        """Our row of a payment, found by the provider's id or, when that was lost, by the order id it carries."""
        known = await self._db.read(rows.by_provider_id, provider_payment_id)
        if known is not None:
            return known
        try:
            facts = await self._require().get_payment(provider_payment_id)
        except YooKassaError as error:
            if error.kind is ErrorKind.NOT_FOUND:
                event(_log, "notification.unknown_payment", level=logging.WARNING)
                return None
            raise
        order = await self._db.read(rows.get, facts.order_id or "")
        if order is None or order.provider != PROVIDER:
            await self._not_ours(facts)
            return None
        try:
            return await self._db.write(
                rows.accepted, order.id, provider_payment_id=facts.id, confirmation_url=facts.confirmation_url,
                look_in_ms=FIRST_LOOK_MS,
            )
        except KeyReused:
            if facts.status == "succeeded" and facts.currency == "RUB" and self.is_of_our_shop(facts):
                await self._difference("second-payment", facts, order)
            return None

    async def _not_ours(self, facts: GatewayPayment) -> None:
        """Of our shop and of none of our orders: the owner hears of it once."""
        event(_log, "payment.not_ours", level=logging.ERROR, provider_payment_id=facts.id)
        await self._difference("unknown-payment", facts)

    async def _difference(self, kind: str, facts: GatewayPayment, order: Payment | None = None) -> None:
        """Money at YooKassa that stands for none of our orders, or for one that has its money: a person decides."""
        found = Found(
            kind, PROVIDER, facts.id, payment_id=order.id if order else None,
            user_id=order.user_id if order else None,
            facts={"theirs": facts.amount_kopecks, "ours": 0, "status": facts.status},
            proposal=Proposal(order.user_id, facts.amount_kopecks - facts.refunded_kopecks) if order else None,
        )
        await self._db.write(differences.note, found, admins=self._admins)

    def is_of_our_shop(self, facts: GatewayPayment) -> bool:
        """Our shop and our mode: a test shop's payments are no money."""
        return facts.account_id in (None, self._shop_id) and self._test_mode in (None, facts.test)

    # --- polling ----------------------------------------------------------------------------------------

    async def look_at_due(self) -> None:
        """Ask about the payments whose next look is due, a few at once."""
        if self.enabled:
            await self._all(await self._db.write(rows.take_due), self._look)

    async def _look(self, payment: Payment) -> None:
        try:
            await self.settle(payment.id)
        except Exception as error:  # whatever is wrong with this one, it waits its turn like the others
            event(_log, "payment.look_failed", level=logging.WARNING, payment_id=payment.id, error=str(error)[:200])
        await self._put_off(payment.id)

    @staticmethod
    async def _all(items: Sequence[T], act: Callable[[T], Awaitable[None]]) -> None:
        """Act on each, a few at once; trouble with one never keeps the others waiting."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(item: T) -> None:
            async with slots:
                try:
                    await act(item)
                except Exception as error:
                    event(_log, "payments.item_failed", level=logging.ERROR, error=type(error).__name__)

        async with asyncio.TaskGroup() as group:  # cut off in the middle, it leaves no task behind
            for item in items:
                group.create_task(one(item))

    async def _put_off(self, payment_id: str) -> None:
        """Whatever the look brought, the next one lies ahead by the payment's age."""
        now = await self._fresh(payment_id)
        if now.status is PaymentStatus.PENDING and now.next_look_at is not None:
            await self._db.write(rows.look_later, payment_id, delay_ms=self._next_look(now))

    def _next_look(self, payment: Payment) -> int | None:
        """Growing gaps while the link lives, hourly for two days, then rarely; None when nothing more can come."""
        age = self._age(payment.created_at)
        if age > LAST_LOOK_SECONDS:
            return None
        if age > RARE_AFTER_SECONDS:
            return RARE_LOOK_MS
        if age > PAYABLE_SECONDS:
            return LATE_LOOK_MS
        return min(FIRST_LOOK_MS * (1 + payment.looks), 300_000)

    # --- small parts ------------------------------------------------------------------------------------

    def _require(self) -> YooKassaGateway:
        if self._gateway is None:
            raise TopUpUnavailable("off")
        return self._gateway

    def _returns(self) -> Returns:
        return Returns(self._db, self._require(), self._admins)

    async def _fresh(self, payment_id: str) -> Payment:
        payment = await self._db.read(rows.get, payment_id)
        if payment is None:
            raise NotFound(f"payment {payment_id}")
        return payment

    async def _alert(self, key: str, text: str, **args: str) -> None:
        await self._db.write(rows.alert, self._admins, key, text, **args)

    @staticmethod
    def _age(since_ms: int | None) -> float:
        """Seconds since a UTC time in milliseconds; 0 for None."""
        return 0.0 if since_ms is None else time.time() - since_ms / 1000
