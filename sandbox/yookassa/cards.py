"""The test cards of a YooKassa test shop and what paying with each of them leads to.

Facts: docs/reference/yookassa.md, section 10.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """A test card; `reason` and `party` say why it is declined, `None` means that it pays."""

    number: str
    system: str
    three_ds: bool = False
    reason: str | None = None
    party: str = "payment_network"

    @property
    def outcome(self) -> str:
        """The outcome, in words for the payer."""
        if self.reason is not None:
            return f"отказ: {DECLINES.get(self.reason, self.reason)}"
        return "успешная оплата с 3-D Secure" if self.three_ds else "успешная оплата"


DECLINES = {
    "3d_secure_failed": "не пройдена проверка 3-D Secure",
    "call_issuer": "банк просит позвонить",
    "card_expired": "истёк срок действия карты",
    "country_forbidden": "карты этой страны не принимаются",
    "fraud_suspected": "подозрение в мошенничестве",
    "general_decline": "причина неизвестна",
    "insufficient_funds": "не хватает денег",
    "invalid_card_number": "неверный номер карты",
    "invalid_csc": "неверный код CVC",
    "issuer_unavailable": "банк недоступен",
    "payment_method_limit_exceeded": "исчерпан лимит карты",
    "payment_method_restricted": "операции по карте запрещены",
}

_DECLINED = {
    "4592": "3d_secure_failed", "4535": "call_issuer", "4543": "card_expired", "4568": "fraud_suspected",
    "4527": "general_decline", "4600": "insufficient_funds", "4618": "invalid_card_number", "4626": "invalid_csc",
    "4501": "issuer_unavailable", "4576": "payment_method_limit_exceeded", "4550": "payment_method_restricted",
}  # fmt: skip

CARDS = {
    card.number: card
    for card in (
        Card("5555555555554444", "MasterCard"),
        Card("5555555555554477", "MasterCard", three_ds=True),
        Card("4793128161644804", "Visa"),
        Card("4111111111111111", "Visa"),
        Card("2200000000000004", "Mir", three_ds=True),
        Card("2202474301322987", "Mir"),
        *(
            Card(f"555555555555{tail}", "MasterCard", three_ds=reason == "3d_secure_failed", reason=reason)
            for tail, reason in _DECLINED.items()
        ),
        Card("5555555555554584", "MasterCard", reason="country_forbidden", party="yoo_money"),
        Card("5555555555554634", "MasterCard", reason="fraud_suspected", party="yoo_money"),
    )
}
DEFAULT_CARD = "5555555555554444"


def find(number: str) -> Card | None:
    """The test card with this number; spaces and dashes between the digits do not matter."""
    return CARDS.get(number.replace(" ", "").replace("\u00a0", "").replace("-", ""))
