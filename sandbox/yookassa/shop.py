"""The simulated shop: payments and refunds, their rules and their deadlines."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sandbox.world import World
from sandbox.yookassa import rules
from sandbox.yookassa.cards import Card
from sandbox.yookassa.idempotency import KeyStore
from sandbox.yookassa.objects import Payment, Refund
from sandbox.yookassa.rules import ApiFailure, invalid
from sandbox.yookassa.settings import ShopSettings

LIMIT = 20_000
YEAR_2000 = 946_684_800
THREE_YEARS = 3 * 365 * 86400.0
Emit = Callable[[str, dict[str, Any]], None]


class WrongState(Exception):
    """A payer, or a person in the merchant profile, asked for something that the payment's state does not allow."""


class Shop:
    """State and rules of one shop. No method awaits anything, so two requests never run inside at the same time.

    `emit(event, object)` is called after each change for which YooKassa sends a notification.
    """

    def __init__(self, world: World, settings: ShopSettings, emit: Emit) -> None:
        self.world = world
        self.settings = settings
        self.payments: OrderedDict[str, Payment] = OrderedDict()
        self.refunds: OrderedDict[str, Refund] = OrderedDict()
        self.keys = KeyStore(world.clock.now)
        self._emit = emit
        self._number = 0
        self.reset()

    def reset(self) -> None:
        """Forget every object and key; the settings become those of the start again."""
        for payment in self.payments.values():
            self._stop_timer(payment)
        self.payments.clear()
        self.refunds.clear()
        self.keys.clear()
        self.settings.update({**ShopSettings().public(), **self.world.settings.get("yookassa", {})})

    # --- what the shop is -------------------------------------------------------------------------------------------

    @property
    def methods(self) -> tuple[str, ...]:
        """A test shop takes cards and YooMoney wallets only, no SBP (docs/reference/yookassa.md, section 10)."""
        return ("bank_card", "yoo_money") if self.settings.test else ("bank_card", "yoo_money", "sbp")

    def terms(self) -> rules.Terms:
        return rules.Terms(
            max_amount=Decimal(self.settings.max_amount),
            methods=self.methods,
            fiscalization=self.settings.fiscalization,
            email_required=self.settings.fiscalization_provider == "yoo_receipt",
        )

    def show(self, item: Payment | Refund) -> dict[str, Any]:
        return item.as_json(self.settings, self.world.clock.now())

    # --- payments through the API -----------------------------------------------------------------------------------

    def create(self, body: Any) -> Payment:
        order = rules.payment_order(body, self.terms())
        now = self._now()
        payment = Payment(
            id=self._new_id("000f-5000-8000"),
            number=self._next_number(),
            amount=order.amount,
            capture=order.capture,
            confirmation=order.confirmation,
            description=order.description,
            metadata=order.metadata,
            receipt=order.receipt if self.settings.fiscalization else None,
            merchant_customer_id=order.merchant_customer_id,
            created_at=now,
            deadline=now + self.settings.payment_lifetime,
        )
        self._complete_confirmation(payment)
        self._keep(self.payments, payment.id, payment)
        self._start_timer(payment)
        return payment

    def payment(self, payment_id: str) -> Payment | None:
        """The payment in its current state: if it has expired by now, it is canceled first."""
        payment = self.payments.get(payment_id)
        if payment is not None:
            self._expire_when_due(payment)
        return payment

    def capture(self, payment: Payment, body: Any) -> None:
        self._expire_when_due(payment)
        if payment.status != "waiting_for_capture":
            raise invalid("Payment status doesn't allow capture", "payment_id")
        payment.amount = rules.capture_amount(body, payment.amount, self.terms())
        self._succeed(payment)

    def cancel(self, payment: Payment) -> None:
        self._expire_when_due(payment)
        if payment.status != "waiting_for_capture":
            raise invalid("Payment status doesn't allow cancellation", "payment_id")
        self._cancel(payment, "merchant", "canceled_by_merchant")

    # --- what a payer does ------------------------------------------------------------------------------------------

    def pay(self, payment: Payment, card: Card | None, *, three_ds: bool | None = None) -> None:
        """The payer pays: with a test card, or from a YooMoney wallet when `card` is None; raises WrongState."""
        self._require_pending(payment)
        payment.payment_method = _card_method(payment.id, card) if card else _wallet_method(payment.id)
        if card:
            payment.authorization = {
                "rrn": f"{self.world.random.randrange(10**12):012d}",
                "auth_code": f"{self.world.random.randrange(10**6):06d}",
                "three_d_secure": {"applied": card.three_ds if three_ds is None else three_ds},
            }
        if payment.capture:
            self._succeed(payment)
            return
        payment.status = "waiting_for_capture"
        payment.deadline = self._now() + self.settings.hold_lifetime
        self._start_timer(payment)
        self._emit("payment.waiting_for_capture", self.show(payment))

    def decline(self, payment: Payment, reason: str, party: str = "payment_network", card: Card | None = None) -> None:
        """The bank declines and the payment ends, `canceled`; raises WrongState."""
        self._require_pending(payment)
        if card:
            payment.payment_method = _card_method(payment.id, card)
            payment.authorization = {"three_d_secure": {"applied": card.three_ds}}
        self._cancel(payment, party, reason)

    def expire(self, payment: Payment) -> None:
        """Expire now, whatever the clock says; raises WrongState if the payment is final."""
        self._expire_when_due(payment)
        if payment.final:
            raise WrongState(f"the payment is {payment.status}")
        self._expire(payment)

    # --- refunds ----------------------------------------------------------------------------------------------------

    def refund(self, body: Any) -> Refund:
        order = rules.refund_order(body)
        payment = self.payment(order.payment_id)
        if payment is None:
            raise invalid("Incorrect payment_id. Payment doesn't exist or access denied", "payment_id")
        if payment.status != "succeeded":
            raise invalid("Payment status doesn't allow refunds", "payment_id")
        if payment.captured_at is not None and self._now() > payment.captured_at + THREE_YEARS:
            raise invalid("Payment is too old to be refunded", "payment_id")
        if order.amount > payment.amount - payment.refunded - payment.refunding:
            raise invalid("Refund amount is more than the rest of the payment", "amount.value")
        partial = order.amount < payment.amount
        rules.receipt(order.receipt, order.amount, self.terms(), required=self.settings.fiscalization and partial)
        return self._start_refund(payment, order)

    def refund_from_profile(self, payment: Payment, value: Decimal | None) -> Refund:
        """A person refunds in the merchant profile: no metadata, no key, the whole rest by default."""
        rest = payment.amount - payment.refunded - payment.refunding
        wanted = rest if value is None else value
        if payment.status != "succeeded" or not 0 < wanted <= rest:
            raise WrongState(f"the payment is {payment.status} and {rest} is left to refund")
        return self._start_refund(payment, rules.RefundOrder(payment.id, wanted, None, {}, None))

    def settle_refund(self, refund: Refund, status: str, reason: str) -> None:
        """A pending refund ends; a canceled one causes no notification.

        Facts: docs/reference/yookassa.md, section 7.
        """
        if refund.status != "pending":
            raise WrongState(f"the refund is {refund.status}")
        payment = self.payments.get(refund.payment_id)
        refund.status = status
        if payment is not None:
            payment.refunding -= refund.amount
        if status == "canceled":
            refund.cancellation = {"party": "refund_network", "reason": reason}
            if reason == "insufficient_funds":
                refund.cancellation["party"] = "yoo_money"
            return
        if payment is not None:
            payment.refunded += refund.amount
        self._emit("refund.succeeded", self.show(refund))

    def _start_refund(self, payment: Payment, order: rules.RefundOrder) -> Refund:
        refund = Refund(
            id=self._new_id("0015-5000-a000"),
            number=self._next_number(),
            payment_id=payment.id,
            amount=order.amount,
            description=order.description,
            metadata=order.metadata,
            created_at=self._now(),
            fiscal=payment.receipt is not None or (self.settings.fiscalization and order.receipt is not None),
        )
        payment.refunding += order.amount
        self._keep(self.refunds, refund.id, refund)
        if self.settings.refund_outcome != "pending":
            self.settle_refund(refund, self.settings.refund_outcome, self.settings.refund_cancel_reason)
        return refund

    # --- moves ------------------------------------------------------------------------------------------------------

    def _succeed(self, payment: Payment) -> None:
        payment.status = "succeeded"
        payment.captured_at = self._now()
        self._stop_timer(payment)
        self._emit("payment.succeeded", self.show(payment))

    def _cancel(self, payment: Payment, party: str, reason: str) -> None:
        payment.status = "canceled"
        payment.cancellation = {"party": party, "reason": reason}
        self._stop_timer(payment)
        self._emit("payment.canceled", self.show(payment))

    def _expire(self, payment: Payment) -> None:
        held = payment.status == "waiting_for_capture"
        self._cancel(payment, "yoo_money", "expired_on_capture" if held else "expired_on_confirmation")

    def _expire_when_due(self, payment: Payment) -> None:
        if not payment.final and self._now() >= payment.deadline:
            self._expire(payment)

    def _require_pending(self, payment: Payment) -> None:
        self._expire_when_due(payment)
        if payment.status != "pending":
            raise WrongState(f"the payment is {payment.status}")

    # --- time, ids, bounds ------------------------------------------------------------------------------------------

    def _start_timer(self, payment: Payment) -> None:
        """Expire by the clock even if nobody asks, so that `payment.canceled` is sent in time."""
        self._stop_timer(payment)

        async def wait() -> None:
            while not payment.final:
                await self.world.clock.sleep(max(payment.deadline - self._now(), 0.001))
                self._expire_when_due(payment)

        payment.timer = self.world.spawn(wait())

    def _stop_timer(self, payment: Payment) -> None:
        if payment.timer is not None and payment.timer is not asyncio.current_task():
            payment.timer.cancel()
        payment.timer = None

    def _keep(self, shelf: OrderedDict[str, Any], key: str, item: Payment | Refund) -> None:
        shelf[key] = item
        while len(shelf) > LIMIT:
            _, dropped = shelf.popitem(last=False)
            if isinstance(dropped, Payment):
                self._stop_timer(dropped)

    def _complete_confirmation(self, payment: Payment) -> None:
        page = f"{self.world.base_url}/yookassa/checkout/{payment.id}"
        kind = payment.confirmation["type"]
        if kind in ("redirect", "mobile_application"):
            payment.confirmation["confirmation_url"] = page
        elif kind == "embedded":
            payment.confirmation["confirmation_token"] = f"ct-{payment.id}"
        elif kind == "qr":
            payment.confirmation["confirmation_data"] = page

    def _now(self) -> float:
        """The time, rounded as it is shown, so that filters by a shown time are exact."""
        return int(self.world.clock.now() * 1000) / 1000

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _new_id(self, middle: str) -> str:
        since_2000 = (int(self.world.clock.now()) - YEAR_2000) & 0xFFFF_FFFF
        return f"{since_2000:08x}-{middle}-{self.world.random.getrandbits(48):012x}"


def not_found(settings: ShopSettings, kind: str) -> ApiFailure:
    """Unknown ids are answered in two ways (docs/reference/yookassa.md, section 4); a setting chooses."""
    text = f"Incorrect {kind.lower()}_id. {kind} doesn't exist or access denied"
    if settings.unknown_id_status == 400:
        return invalid(text, f"{kind.lower()}_id")
    return ApiFailure(404, "not_found", text, f"{kind.lower()}_id")


def _card_method(payment_id: str, card: Card) -> dict[str, Any]:
    return {
        "type": "bank_card",
        "id": payment_id,
        "saved": False,
        "status": "inactive",
        "title": f"Bank card *{card.number[-4:]}",
        "card": {
            "first6": card.number[:6],
            "last4": card.number[-4:],
            "expiry_month": "12",
            "expiry_year": "2030",
            "card_type": card.system,
            "issuer_country": "RU",
        },
    }


def _wallet_method(payment_id: str) -> dict[str, Any]:
    return {
        "type": "yoo_money",
        "id": payment_id,
        "saved": False,
        "status": "inactive",
        "title": "YooMoney wallet 4100117588311364",
        "account_number": "4100117588311364",
    }
