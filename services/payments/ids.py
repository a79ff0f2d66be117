"""Ids of payments, built and parsed in one place, so that the two always agree.

An id holds whose payment it is and its sum. It travels to the provider and back: as `order_id` in YooKassa's metadata,
as the payload of an invoice in Stars. So a payment whose row is lost can still be given to its payer. The same button
or message makes the same id, so a second tap is the same payment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

LONGEST_TAP: Final = 12  # characters of a button press's id that are kept

_WELL_FORMED = re.compile(r"[A-Za-z0-9_-]{1,50}")
_PAYER, _MESSAGE, _AMOUNT = r"(?P<user>[1-9][0-9]{0,15})", r"[0-9]{1,15}", r"(?P<amount>[1-9][0-9]{0,11})"
_CARD = re.compile(rf"{_PAYER}-{_MESSAGE}-{_AMOUNT}(?:-[0-9]{{1,3}})?")
_STARS = re.compile(rf"st-{_PAYER}-{_MESSAGE}-{_AMOUNT}-.{{1,{LONGEST_TAP}}}")


@dataclass(frozen=True)
class Parts:
    """What an id tells of its payment; `amount` in kopecks."""

    user_id: int
    amount: int


def card_id(chat_id: int, message_id: int, amount: int, repeat: int = 0) -> str:
    """The id of a payment by card of `amount` kopecks, asked for by a message in a person's own chat.

    `repeat` counts further payments of the same sum from the same message; 0 is the first.
    """
    first = f"{chat_id}-{message_id}-{amount}"
    return f"{first}-{repeat}" if repeat else first


def stars_id(chat_id: int, message_id: int, amount: int, tap: str) -> str:
    """The id of a payment in Stars that credits `amount` kopecks; `tap` is Telegram's id of the button press."""
    return f"st-{chat_id}-{message_id}-{amount}-{tap[-LONGEST_TAP:]}"


def parse_card_id(payment_id: str) -> Parts | None:
    """Whose payment `card_id` named so; None for an id that it does not make in a person's own chat."""
    return _parts(_CARD, payment_id)


def parse_stars_id(payment_id: str) -> Parts | None:
    """As `parse_card_id`, of `stars_id`."""
    return _parts(_STARS, payment_id)


def is_well_formed(payment_id: str) -> bool:
    """Whether a card payment may have this id: 1 to 50 of A-Z, a-z, 0-9, _ and -."""
    return _WELL_FORMED.fullmatch(payment_id) is not None


def _parts(pattern: re.Pattern[str], payment_id: str) -> Parts | None:
    found = pattern.fullmatch(payment_id)
    return None if found is None else Parts(int(found["user"]), int(found["amount"]))
