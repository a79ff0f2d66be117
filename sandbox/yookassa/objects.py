"""Payments and refunds as the shop keeps them, and the JSON in which it sends them.

Facts: docs/reference/yookassa.md, sections 2-7.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sandbox.yookassa.rules import KOPECK
from sandbox.yookassa.settings import ShopSettings

LAST_SECOND = 253_402_300_799  # the end of the year 9999, where datetime ends


def money(value: Decimal) -> dict[str, str]:
    return {"value": f"{value:.2f}", "currency": "RUB"}


def moment(seconds: float) -> str:
    """Simulated seconds as ISO 8601 UTC with milliseconds: `2026-11-22T10:02:11.120Z`."""
    whole, thousandths = divmod(round(min(seconds, LAST_SECOND) * 1000), 1000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{thousandths:03d}Z"


@dataclass
class Payment:
    """One payment: `pending`, perhaps `waiting_for_capture`, then `succeeded` or `canceled`, which are final.

    `deadline` is when it expires in its current status; `refunded` is paid back, `refunding` not yet.
    `challenge` is the card that waits for its 3-D Secure code on the checkout page, `refused` why the last try failed.
    """

    id: str
    number: int
    amount: Decimal
    capture: bool
    confirmation: dict[str, Any]
    description: str | None
    metadata: dict[str, str]
    receipt: dict[str, Any] | None
    merchant_customer_id: str | None
    created_at: float
    deadline: float
    status: str = "pending"
    captured_at: float | None = None
    payment_method: dict[str, Any] | None = None
    authorization: dict[str, Any] | None = None
    cancellation: dict[str, str] | None = None
    refunded: Decimal = Decimal(0)
    refunding: Decimal = Decimal(0)
    challenge: str | None = None
    refused: str | None = None
    timer: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def paid(self) -> bool:
        return self.status in ("waiting_for_capture", "succeeded")

    @property
    def final(self) -> bool:
        return self.status in ("succeeded", "canceled")

    def as_json(self, settings: ShopSettings, now: float) -> dict[str, Any]:
        """The object as the API shows it at `now`; fields come and go with the status.

        Facts: docs/reference/yookassa.md, sections 2 and 3.
        """
        shown: dict[str, Any] = {
            "id": self.id,
            "status": self.status,
            "paid": self.paid,
            "amount": money(self.amount),
            "created_at": moment(self.created_at),
            "recipient": {"account_id": settings.shop_id, "gateway_id": settings.gateway_id},
            "refundable": self.status == "succeeded" and self.refunded + self.refunding < self.amount,
            "test": settings.test,
        }
        optional = {
            "description": self.description,
            "metadata": self.metadata or None,
            "merchant_customer_id": self.merchant_customer_id,
            "payment_method": self.payment_method,
            "authorization_details": self.authorization,
            "cancellation_details": self.cancellation,
            "captured_at": None if self.captured_at is None else moment(self.captured_at),
            "confirmation": self.confirmation if self.status == "pending" else None,
            "expires_at": moment(self.deadline) if self.status == "waiting_for_capture" else None,
            "income_amount": money(self._income(settings)) if self.status == "succeeded" else None,
            "refunded_amount": money(self.refunded) if self.refunded else None,
            "receipt_registration": self.receipt_registration(settings, now),
        }
        shown.update((name, copy.deepcopy(value)) for name, value in optional.items() if value is not None)
        return _with_quirks(shown, settings, settings.payment_patch)

    def receipt_registration(self, settings: ShopSettings, now: float) -> str | None:
        """`pending` until the cash register has answered; nothing if the payment has no receipt."""
        if self.receipt is None:
            return None
        if self.status == "canceled":
            return "canceled"
        if self.captured_at is None or now < self.captured_at + settings.receipt_delay:
            return "pending"
        return settings.receipt_outcome

    def _income(self, settings: ShopSettings) -> Decimal:
        """What the shop receives: the sum minus the fee and the VAT on the fee."""
        fee = (self.amount * Decimal(settings.fee_percent) / 100).quantize(KOPECK, ROUND_HALF_UP)
        return self.amount - fee - (fee * Decimal(settings.fee_vat_percent) / 100).quantize(KOPECK, ROUND_HALF_UP)


@dataclass
class Refund:
    """One refund, started through the API or by a person in the merchant profile.

    A `fiscal` one has a receipt: its own, or, if none was sent, one made from the payment's.
    """

    id: str
    number: int
    payment_id: str
    amount: Decimal
    description: str | None
    metadata: dict[str, str]
    created_at: float
    fiscal: bool = False
    status: str = "pending"
    cancellation: dict[str, str] | None = None

    def as_json(self, settings: ShopSettings, now: float) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": self.id,
            "payment_id": self.payment_id,
            "status": self.status,
            "created_at": moment(self.created_at),
            "amount": money(self.amount),
        }
        if self.description is not None:
            shown["description"] = self.description
        if self.metadata:
            shown["metadata"] = dict(self.metadata)
        if self.cancellation is not None:
            shown["cancellation_details"] = dict(self.cancellation)
        if self.fiscal:
            shown["receipt_registration"] = self._receipt_registration(settings, now)
        return _with_quirks(shown, settings, settings.refund_patch)

    def _receipt_registration(self, settings: ShopSettings, now: float) -> str:
        """As a payment's; the object of a refund has this parameter as well (docs/reference/yookassa.md, section 7)."""
        if self.status == "canceled":
            return "canceled"
        waits = self.status == "pending" or now < self.created_at + settings.receipt_delay
        return "pending" if waits else settings.receipt_outcome


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396: apply `patch` to `target`; `None` removes a field."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def _with_quirks(shown: dict[str, Any], settings: ShopSettings, patch: dict[str, Any]) -> dict[str, Any]:
    if settings.extra_fields:
        shown["risk_assessment"] = {"score": 7, "notes": ["field of a later API"]}
        shown["amount"]["value_in_minor_units"] = int(Decimal(shown["amount"]["value"]) * 100)
    if settings.unknown_enums:
        if "payment_method" in shown:
            shown["payment_method"]["type"] = "digital_ruble"
        if "cancellation_details" in shown:
            shown["cancellation_details"] = {"party": "central_bank", "reason": "reason_of_tomorrow"}
    merged: dict[str, Any] = merge_patch(shown, patch) if patch else shown
    return merged
