"""What is sent to YooKassa and read from it: request bodies, payments, refunds. Money is exact, in kopecks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeVar

MIN_KOPECKS, MAX_KOPECKS = 100, 35_000_000
DESCRIPTION_LENGTH = 128
REFUND_DESCRIPTION_LENGTH = 250
ODD = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What the `read_…` functions raise for an object that lacks what money depends on."""

ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""An object of YooKassa's: opaque, but of no other letters than these (docs/reference/yookassa.md, section 1)."""

_MONEY = re.compile(r"[0-9]{1,15}(\.[0-9]{1,6})?")
T = TypeVar("T")


@dataclass(frozen=True)
class GatewayPayment:
    """A payment as YooKassa has it. `status` is an open list, compare it with what you know; money is in kopecks."""

    id: str
    status: str
    paid: bool
    amount_kopecks: int
    currency: str
    order_id: str | None
    account_id: str | None
    test: bool
    refunded_kopecks: int
    confirmation_url: str | None
    cancel_party: str | None
    cancel_reason: str | None
    created_at: str
    captured_at: str | None
    receipt_registration: str | None  # `pending`, `succeeded`, `canceled`; None where YooKassa registers no receipt


@dataclass(frozen=True)
class GatewayRefund:
    """A refund as YooKassa has it: `pending`, `succeeded` or `canceled` (then `reason` says why)."""

    id: str
    payment_id: str
    status: str
    amount_kopecks: int
    currency: str
    order_id: str | None
    metadata: Mapping[str, str]
    reason: str | None
    created_at: str
    receipt_registration: str | None  # as a payment's


@dataclass(frozen=True)
class ShopInfo:
    """What `GET /me` says of the shop; `fiscalization` means that every payment needs a receipt."""

    account_id: str
    enabled: bool
    test: bool
    fiscalization: bool


@dataclass(frozen=True)
class Receipt:
    """What a 54-FZ receipt needs beside the payment's sum and description (docs/reference/yookassa.md, section 6)."""

    email: str = field(repr=False)
    vat_code: int
    payment_subject: str = "service"
    payment_mode: str = "full_payment"
    measure: str = "piece"
    tax_system_code: int | None = None


def encode(body: Mapping[str, Any]) -> bytes:
    """The bytes that go over the wire: the same for the same body, whatever the order of its fields."""
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def build_payment_body(
    *, amount_kopecks: int, return_url: str, description: str, order_id: str, receipt: Receipt | None
) -> dict[str, Any]:
    """The body of a one-stage card payment; store it before it is sent and send only what was stored."""
    amount = _rubles(amount_kopecks)
    if not MIN_KOPECKS <= amount_kopecks <= MAX_KOPECKS:
        raise ValueError(f"a payment is of {MIN_KOPECKS} to {MAX_KOPECKS} kopecks")
    body: dict[str, Any] = {
        "amount": amount,
        "capture": True,
        "confirmation": {"type": "redirect", "return_url": return_url},
        "description": description[:DESCRIPTION_LENGTH],
        "metadata": {"order_id": order_id},
    }
    if receipt is not None:
        body["receipt"] = _receipt_body(receipt, amount, description)
    return body


def build_refund_body(
    *,
    payment_id: str,
    amount_kopecks: int,
    description: str,
    metadata: Mapping[str, str],
    receipt: Receipt | None = None,
) -> dict[str, Any]:
    """The body of a refund. A partial one of a shop with receipts on needs `receipt` for the part given back.

    Of any sum: what was paid under a contract of other limits, as by the old program, can go back.
    """
    amount = _rubles(amount_kopecks)
    body: dict[str, Any] = {
        "payment_id": payment_id,
        "amount": amount,
        "description": description[:REFUND_DESCRIPTION_LENGTH],
        "metadata": dict(metadata),
    }
    if receipt is not None:
        body["receipt"] = _receipt_body(receipt, amount, description)
    return body


def _rubles(kopecks: int) -> dict[str, str]:
    if type(kopecks) is not int or kopecks < 1:
        raise ValueError("an amount is a whole number of kopecks above 0")
    return {"value": f"{kopecks // 100}.{kopecks % 100:02d}", "currency": "RUB"}


def _receipt_body(receipt: Receipt, amount: Mapping[str, str], description: str) -> dict[str, Any]:
    item = {
        "description": description[:DESCRIPTION_LENGTH],
        "quantity": 1,
        "amount": dict(amount),
        "vat_code": receipt.vat_code,
        "payment_subject": receipt.payment_subject,
        "payment_mode": receipt.payment_mode,
        "measure": receipt.measure,
    }
    body: dict[str, Any] = {"customer": {"email": receipt.email}, "items": [item]}
    if receipt.tax_system_code is not None:
        body["tax_system_code"] = receipt.tax_system_code
    return body


def read_payment(item: Any) -> GatewayPayment:
    """Read a payment; unknown fields and values pass, what money depends on must be there, else an error of ODD."""
    kopecks, currency = _amount(item["amount"])
    confirmation, cancellation = _dict(item, "confirmation"), _dict(item, "cancellation_details")
    return GatewayPayment(
        id=_id(item, "id"),
        status=_required(item, "status", str),
        paid=_required(item, "paid", bool),
        amount_kopecks=kopecks,
        currency=currency,
        order_id=_text(_dict(item, "metadata"), "order_id"),
        account_id=_text(_dict(item, "recipient"), "account_id"),
        test=_required(item, "test", bool),
        refunded_kopecks=_amount(item["refunded_amount"])[0] if item.get("refunded_amount") is not None else 0,
        confirmation_url=_text(confirmation, "confirmation_url"),
        cancel_party=_text(cancellation, "party"),
        cancel_reason=_text(cancellation, "reason"),
        created_at=_text(item, "created_at") or "",
        captured_at=_text(item, "captured_at"),
        receipt_registration=_text(item, "receipt_registration"),
    )


def read_refund(item: Any) -> GatewayRefund:
    """Read a refund, as `read_payment`."""
    kopecks, currency = _amount(item["amount"])
    metadata = {name: value for name, value in _dict(item, "metadata").items() if isinstance(value, str)}
    return GatewayRefund(
        id=_id(item, "id"),
        payment_id=_id(item, "payment_id"),
        status=_required(item, "status", str),
        amount_kopecks=kopecks,
        currency=currency,
        order_id=metadata.get("order_id"),
        metadata=MappingProxyType(metadata),
        reason=_text(_dict(item, "cancellation_details"), "reason"),
        created_at=_text(item, "created_at") or "",
        receipt_registration=_text(item, "receipt_registration"),
    )


def read_shop(item: Any) -> ShopInfo:
    """Read the answer of `GET /me`, as `read_payment`."""
    return ShopInfo(
        account_id=_required(item, "account_id", str),
        enabled=item.get("status") == "enabled",
        test=_required(item, "test", bool),
        fiscalization=_dict(item, "fiscalization").get("enabled") is True,
    )


def moment(seconds: float) -> str:
    """A UTC time (seconds since 1970) as YooKassa writes it."""
    return datetime.fromtimestamp(max(seconds, 0.0), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def seconds_of(said: str) -> float | None:
    """The seconds since 1970 of a UTC time as YooKassa writes it; None for what is no such time."""
    try:
        time = datetime.fromisoformat(said)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _amount(value: Any) -> tuple[int, str]:
    """Kopecks and currency, exact: a sum that is no whole number of kopecks is a ValueError, never rounded."""
    text = value["value"]
    if isinstance(text, bool) or not isinstance(text, str | int | Decimal) or not _MONEY.fullmatch(str(text)):
        raise ValueError("amount is no sum of money")
    kopecks = Decimal(str(text)) * 100
    if kopecks != int(kopecks):
        raise ValueError("amount has parts of a kopeck")
    return int(kopecks), _required(value, "currency", str)


def _required(item: Any, name: str, kind: type[T]) -> T:
    value = item[name]
    if not isinstance(value, kind) or value == "":
        raise ValueError(f"{name} is not {kind.__name__}")
    return value


def _id(item: Any, name: str) -> str:
    """An id that can be asked about, and be part of a key in our books."""
    if not ID.fullmatch(value := _required(item, name, str)):
        raise ValueError(f"{name} is no id")
    return value


def _dict(item: Any, name: str) -> dict[str, Any]:
    value = item.get(name)
    return value if isinstance(value, dict) else {}


def _text(item: Mapping[str, Any], name: str) -> str | None:
    value = item.get(name)
    return value if isinstance(value, str) else None
