"""What YooKassa says compared with our rows: pure functions, no effects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from database.models import Payment, Refund
from services.payments.yookassa.objects import GatewayPayment, GatewayRefund

PROVIDER: Final = "yookassa"  # YooKassa's name in our rows
CURRENCY: Final = "RUB"


@dataclass(frozen=True)
class ShopIdentity:
    """The shop whose payments are ours; `test_mode` None: test and live payments are both taken."""

    shop_id: str
    test_mode: bool | None

    def owns(self, facts: GatewayPayment) -> bool:
        """Our shop and our mode: a test shop's payments are no money."""
        return self._is_our_shop(facts) and self._is_our_mode(facts)

    def has_our_money(self, facts: GatewayPayment) -> bool:
        """Whether the payment succeeded, in rubles, in our shop."""
        return (facts.status, facts.currency) == ("succeeded", CURRENCY) and self.owns(facts)

    def mismatch(self, payment: Payment, facts: GatewayPayment) -> str | None:
        """What does not fit between our row and YooKassa's answer; None when all does."""
        checks = {
            "id": facts.id == payment.provider_payment_id,
            "amount": facts.amount_kopecks == payment.amount,
            "currency": facts.currency == CURRENCY,
            # A payment of version 1.3 was not made by us; the provider's own id is what it is known by.
            "order": payment.request_body is None or facts.order_id == payment.id,
            "shop": self._is_our_shop(facts),
            "test mode": self._is_our_mode(facts),
        }
        wrong = [name for name, fits in checks.items() if not fits]
        return f"mismatch: {', '.join(wrong)}" if wrong else None

    def _is_our_shop(self, facts: GatewayPayment) -> bool:
        return facts.account_id in (None, self.shop_id)

    def _is_our_mode(self, facts: GatewayPayment) -> bool:
        return self.test_mode in (None, facts.test)


def is_refund_of(refund: GatewayRefund, payment: Payment) -> bool:
    """Whether it is a refund of this payment that really happened."""
    return refund.status == "succeeded" and refund.payment_id == payment.provider_payment_id


def is_our_refund(theirs: GatewayRefund, payment: Payment, ours: Refund) -> bool:
    """Whether YooKassa's refund is of the payment and the sum that our row says."""
    known = (payment.provider_payment_id, ours.amount, CURRENCY)
    return (theirs.payment_id, theirs.amount_kopecks, theirs.currency) == known
