"""Top-ups: start one, settle it, and learn of it however the word comes.

A notification, the person's own "check", and the poller all end in `settle`: ask the provider, compare, then one
transaction. What anybody tells us is a hint; only the provider's answer to our own question moves money.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from database import inbox
from database import payments as payment_rows
from database import users as user_rows
from database.models import Database, InboxItem, NotFound, Payment, PaymentStatus
from services.common.i18n import Texts
from services.common.log import event
from services.errors import TopUpUnavailable
from services.payments import ids
from services.payments.delays import doubled_ms
from services.payments.idempotency import topup_key
from services.payments.settlement import FIRST_POLL_MS, PROVIDER, Settlement, age
from services.payments.yookassa.client import ErrorKind, YooKassaError, YooKassaGateway
from services.payments.yookassa.objects import GatewayPayment, Receipt, build_payment_body
from services.pricing import format_rubles

PAYABLE_SECONDS = 70 * 60  # the link lives about an hour
LATE_POLL_MS = 3600 * 1000
RARE_AFTER_SECONDS = 48 * 3600
RARE_POLL_MS = 6 * 3600 * 1000
LAST_POLL_SECONDS = 90 * 24 * 3600
NOTIFICATION_TRIES = 90  # more than three days, the later ones an hour apart
LONGEST_HINT_GAP_MS = 3600 * 1000
AT_ONCE = 4

_log = logging.getLogger(__name__)
T = TypeVar("T")


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
        offered: bool = True,
    ) -> None:
        """`receipt` holds the shop's own terms where every payment needs one; the customer's address is theirs.

        `offered` False: no new payment is begun, while those that were are looked after.
        """
        self._db = db
        self._gateway = gateway
        self._texts = texts
        self._return_url = return_url
        self._receipt = receipt
        self._offered = offered
        self._settlement = Settlement(db, gateway, shop_id=shop_id, test_mode=test_mode, admins=admins)

    @property
    def enabled(self) -> bool:
        return self._gateway is not None

    @property
    def offered(self) -> bool:
        """Whether people may begin to pay by card."""
        return self._offered and self.enabled

    @property
    def wants_email(self) -> bool:
        """Whether a customer must leave an address before they can pay."""
        return self.offered and self._receipt is not None

    @property
    def sends_receipts(self) -> bool:
        """Whether the shop's receipts are YooKassa's to register."""
        return self._receipt is not None

    def is_of_our_shop(self, facts: GatewayPayment) -> bool:
        """Our shop and our mode: a test shop's payments are no money."""
        return self._settlement.is_of_our_shop(facts)

    def fits(self, payment: Payment, facts: GatewayPayment) -> bool:
        """Whether what YooKassa says is of exactly this order: id, sum, currency, order, shop and mode."""
        return self._settlement.mismatch(payment, facts) is None

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

        Raises TopUpUnavailable: "off" without a shop or while cards are not offered, "refused" when the shop's settings
        are wrong (the owner is told), "try_later" when YooKassa does not answer (the order stays and is looked after),
        "email" when the shop sends receipts and knows no address of this person.
        """
        if not self.offered:
            raise TopUpUnavailable("off")
        if not ids.is_well_formed(order_id):
            raise ValueError("an order id is 1 to 50 of A-Z, a-z, 0-9, _ and -")
        body = build_payment_body(
            amount_kopecks=amount,
            return_url=self._return_url,
            description=self._texts.plain(language, "payment-description", sum=format_rubles(amount, language)),
            order_id=order_id,
            receipt=await self._receipt_for(user_id),
        )
        order = payment_rows.NewPayment(
            id=order_id,
            user_id=user_id,
            provider=PROVIDER,
            amount=amount,
            idempotency_key=topup_key(order_id),
            request_body=json.dumps(body, ensure_ascii=False),
            chat_id=chat_id,
            message_id=message_id,
            draft_id=draft_id,
        )
        payment = await self._db.write(payment_rows.open_payment, order, poll_in_ms=FIRST_POLL_MS)
        return await self._settlement.create(payment)

    async def _receipt_for(self, user_id: int) -> Receipt | None:
        if self._receipt is None:
            return None
        person = await self._db.read(user_rows.get, user_id)
        if person is None or person.email is None:
            raise TopUpUnavailable("email")
        return dataclasses.replace(self._receipt, email=person.email)

    # --- settling -----------------------------------------------------------------------------------

    async def check(self, payment_id: str, user_id: int) -> Payment:
        """The person asks whether the money came: look now. Raises NotFound, TopUpUnavailable("try_later")."""
        payment = await self._db.read(payment_rows.get, payment_id)
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
        return await self._settlement.settle(payment_id)

    # --- notifications --------------------------------------------------------------------------------

    async def handle_notification(self, item: InboxItem, *, at_once: bool = True) -> None:
        """Act on a notification that is written down; trouble leaves it for the sweeper, days of it for the owner."""
        try:
            await self._act_on(item, at_once=at_once)
        except Exception as error:
            event(_log, "notification.put_off", level=logging.WARNING, inbox_id=item.id, error=str(error)[:200])
            await self._settlement.tell_if_refused(error)
            if item.attempts < NOTIFICATION_TRIES:
                delay = doubled_ms(5_000, item.attempts, longest_ms=LONGEST_HINT_GAP_MS)
                await self._db.write(inbox.failed, item.id, type(error).__name__, delay_ms=delay)
                return
            reason = type(error).__name__
            await self._settlement.alert(f"hint:{item.id}", "alert-hint-lost", hint=item.key, error=reason)
        await self._db.write(inbox.done, item.id)

    async def handle_due_notifications(self) -> None:
        """Those that were written down and whose process died, or that had to wait."""
        due = await self._db.write(inbox.due, source=PROVIDER) if self.enabled else []
        await self._all(due, partial(self.handle_notification, at_once=False))

    async def _act_on(self, item: InboxItem, *, at_once: bool) -> None:
        body: dict[str, Any] = json.loads(item.body)
        subject, provider_id = str(body["event"]).partition(".")[0], str(body["object"]["id"])
        if subject == "payment":
            await self.on_payment_event(provider_id)
        elif subject == "refund":
            await self.on_refund_event(provider_id, at_once=at_once)

    async def on_payment_event(self, provider_payment_id: str) -> None:
        """Somebody says that something happened to this payment of YooKassa's: look, and do what follows."""
        payment = await self._settlement.ours(provider_payment_id)
        if payment is None:
            return
        settled = await self.settle(payment.id)
        if settled.status is PaymentStatus.PENDING and not settled.quarantined_reason:
            # The notification was quicker than the provider's own books: ask again soon.
            await self._db.write(payment_rows.schedule_poll, payment.id, delay_ms=FIRST_POLL_MS)

    async def on_refund_event(self, refund_id: str, *, at_once: bool = False) -> None:
        """Somebody says that YooKassa gave money back: look, and take it back once.

        An id that was just made may be unknown for a moment. Asked `at_once` that is trouble, later it means nothing.
        """
        try:
            refund = await self._settlement.gateway.get_refund(refund_id)
        except YooKassaError as error:
            if error.kind is ErrorKind.NOT_FOUND and not at_once:
                return
            raise
        payment = await self._settlement.ours(refund.payment_id)
        if payment is None:
            return
        settled = await self.settle(payment.id)  # a return seen before its payment: the credit comes first
        await self._settlement.take_back(settled, refund)

    # --- polling ----------------------------------------------------------------------------------------

    async def poll_due(self) -> None:
        """Ask about the payments whose next look is due, a few at once."""
        if self.enabled:
            await self._all(await self._db.write(payment_rows.take_due), self._poll)

    async def _poll(self, payment: Payment) -> None:
        try:
            await self.settle(payment.id)
        except Exception as error:  # whatever is wrong with this one, it waits its turn like the others
            event(_log, "payment.look_failed", level=logging.WARNING, payment_id=payment.id, error=str(error)[:200])
            await self._settlement.tell_if_refused(error)
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
        now = await self._settlement.fresh(payment_id)
        if now.status is PaymentStatus.PENDING and now.next_look_at is not None:
            await self._db.write(payment_rows.schedule_poll, payment_id, delay_ms=self._next_poll(now))

    def _next_poll(self, payment: Payment) -> int | None:
        """Growing gaps while the link lives, hourly for two days, then rarely; None when nothing more can come."""
        seconds = age(payment.created_at)
        if seconds > LAST_POLL_SECONDS:
            return None
        if seconds > RARE_AFTER_SECONDS:
            return RARE_POLL_MS
        if seconds > PAYABLE_SECONDS:
            return LATE_POLL_MS
        return min(FIRST_POLL_MS * (1 + payment.looks), 300_000)
