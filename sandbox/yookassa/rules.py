"""What YooKassa accepts: the form of every request body (docs/reference/yookassa.md, sections 2, 6, 7 and 13)."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from yarl import URL

KOPECK = Decimal("0.01")
_AMOUNT = re.compile(r"[0-9]{1,12}\.[0-9]{2}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

PAYMENT_FIELDS = {
    "airline", "amount", "capture", "client_ip", "confirmation", "deal", "description", "fraud_data",
    "merchant_customer_id", "metadata", "payment_method_data", "payment_method_id", "payment_order", "payment_token",
    "pos_link", "receipt", "receiver", "recipient", "save_payment_method", "statements", "transfers",
}  # fmt: skip
CAPTURE_FIELDS = {"airline", "amount", "deal", "receipt", "transfers"}
REFUND_FIELDS = {
    "amount", "deal", "description", "metadata", "payment_id", "receipt", "refund_method_data", "sources",
}  # fmt: skip
CONFIRMATIONS = ("redirect", "embedded", "external", "qr", "mobile_application")
PAYMENT_MODES = (
    "full_prepayment", "partial_prepayment", "advance", "full_payment", "partial_payment", "credit", "credit_payment",
)  # fmt: skip


class ApiFailure(Exception):
    """An error answer of the API: HTTP status, code, English description and the wrong parameter."""

    def __init__(self, status: int, code: str | None, description: str = "", parameter: str | None = None) -> None:
        super().__init__(description)
        self.status, self.code, self.description, self.parameter = status, code, description, parameter

    def as_json(self, error_id: str) -> dict[str, Any]:
        fields = {"code": self.code, "description": self.description or None, "parameter": self.parameter}
        return {"type": "error", "id": error_id, **{name: value for name, value in fields.items() if value is not None}}


def invalid(description: str, parameter: str | None = None) -> ApiFailure:
    return ApiFailure(400, "invalid_request", description, parameter)


@dataclass(frozen=True)
class Terms:
    """The settings of the shop on which the check of a request depends."""

    max_amount: Decimal
    methods: Collection[str]
    fiscalization: bool
    email_required: bool


@dataclass(frozen=True)
class PaymentOrder:
    """A valid create request."""

    amount: Decimal
    capture: bool
    confirmation: dict[str, Any]
    description: str | None
    metadata: dict[str, str]
    receipt: dict[str, Any] | None
    merchant_customer_id: str | None


@dataclass(frozen=True)
class RefundOrder:
    """A refund request of valid form; `Shop` decides whether the payment allows it."""

    payment_id: str
    amount: Decimal
    description: str | None
    metadata: dict[str, str]
    receipt: dict[str, Any] | None


def payment_order(body: Any, terms: Terms) -> PaymentOrder:
    """Check the body of `POST /payments`; raises ApiFailure."""
    fields = _object(body, PAYMENT_FIELDS)
    if "amount" not in fields:
        raise invalid("Amount is missing", "amount")
    total = amount(fields["amount"], least=Decimal("1.00"), most=terms.max_amount)
    capture = fields.get("capture", False)
    if not isinstance(capture, bool):
        raise invalid("Capture must be true or false", "capture")
    if fields.get("save_payment_method") or fields.get("payment_method_id") or fields.get("payment_token"):
        raise ApiFailure(403, "forbidden", "You can't make payments with saved or tokenized payment methods")
    _method(fields.get("payment_method_data"), terms)
    return PaymentOrder(
        amount=total,
        capture=capture,
        confirmation=_confirmation(fields.get("confirmation")),
        description=_text(fields, "description", 128),
        metadata=_metadata(fields.get("metadata")),
        receipt=receipt(fields.get("receipt"), total, terms, required=terms.fiscalization),
        merchant_customer_id=_text(fields, "merchant_customer_id", 200),
    )


def capture_amount(body: Any, authorised: Decimal, terms: Terms) -> Decimal:
    """Check the body of a capture; returns the sum to take, by default the authorised one."""
    fields = _object({} if body is None else body, CAPTURE_FIELDS)
    total = amount(fields["amount"], least=KOPECK, most=authorised) if "amount" in fields else authorised
    receipt(fields.get("receipt"), total, terms, required=terms.fiscalization and total < authorised)
    return total


def refund_order(body: Any) -> RefundOrder:
    """Check the form of `POST /refunds`; raises ApiFailure."""
    fields = _object(body, REFUND_FIELDS)
    if not isinstance(fields.get("payment_id"), str) or not 1 <= len(fields["payment_id"]) <= 64:
        raise invalid("Payment id is missing or illegal", "payment_id")
    if "amount" not in fields:
        raise invalid("Amount is missing", "amount")
    return RefundOrder(
        payment_id=fields["payment_id"],
        amount=amount(fields["amount"], least=KOPECK),
        description=_text(fields, "description", 250),
        metadata=_metadata(fields.get("metadata")),
        receipt=fields.get("receipt"),
    )


def amount(value: Any, *, least: Decimal, most: Decimal | None = None, parameter: str = "amount") -> Decimal:
    """Read `{"value": "490.00", "currency": "RUB"}`: a string with exactly two decimals, within the limits."""
    if not isinstance(value, dict):
        raise invalid("Amount must be an object", parameter)
    text = value.get("value")
    if not isinstance(text, str) or not _AMOUNT.fullmatch(text):
        raise invalid("Amount value is illegal", f"{parameter}.value")
    if value.get("currency") != "RUB":
        raise invalid("Currency is not supported", f"{parameter}.currency")
    total = Decimal(text)
    if total < least:
        raise invalid("Amount is less than the minimum", f"{parameter}.value")
    if most is not None and total > most:
        raise invalid("Amount is more than the maximum", f"{parameter}.value")
    return total


def receipt(value: Any, total: Decimal, terms: Terms, *, required: bool) -> dict[str, Any] | None:
    """Check a 54-FZ receipt against the sum it is for; a missing one is an error only if it is required."""
    if value is None and not required:
        return None
    if not isinstance(value, dict):
        raise invalid("Receipt is missing or illegal", "receipt")
    _customer(value, terms)
    items = value.get("items")
    if not isinstance(items, list) or not 1 <= len(items) <= (80 if terms.email_required else 100):
        raise _bad_receipt("items")
    if sum((_item(item, f"items[{at}]", terms) for at, item in enumerate(items)), Decimal(0)) != total:
        raise _bad_receipt("items")
    tax_system = value.get("tax_system_code")
    if tax_system is not None and (isinstance(tax_system, bool) or tax_system not in range(1, 7)):
        raise _bad_receipt("tax_system_code")
    return value


def _bad_receipt(where: str) -> ApiFailure:
    return invalid("Receipt is missing or illegal", f"receipt.{where}")


def _customer(value: dict[str, Any], terms: Terms) -> None:
    customer = value.get("customer")
    if not isinstance(customer, dict):
        raise _bad_receipt("customer")
    email, phone = customer.get("email"), customer.get("phone")
    if email is not None and not (isinstance(email, str) and len(email) <= 254 and _EMAIL.fullmatch(email)):
        raise _bad_receipt("customer.email")
    if phone is not None and not (isinstance(phone, str) and re.fullmatch(r"[0-9]{5,15}", phone)):
        raise _bad_receipt("customer.phone")
    if email is None and (terms.email_required or phone is None):
        raise _bad_receipt("customer.email")


def _item(item: Any, where: str, terms: Terms) -> Decimal:
    """Check one line of a receipt; returns its cost in rubles."""
    if not isinstance(item, dict):
        raise _bad_receipt(where)
    title = item.get("description")
    if not isinstance(title, str) or not 1 <= len(title) <= 128:
        raise _bad_receipt(f"{where}.description")
    if isinstance(item.get("vat_code"), bool) or item.get("vat_code") not in range(1, 13):
        raise _bad_receipt(f"{where}.vat_code")
    if item.get("payment_mode", "full_payment") not in PAYMENT_MODES:
        raise _bad_receipt(f"{where}.payment_mode")
    for name in ("payment_subject", "measure"):
        if name in item and not isinstance(item[name], str):
            raise _bad_receipt(f"{where}.{name}")
    if terms.email_required and "measure" not in item:
        raise _bad_receipt(f"{where}.measure")
    unit = amount(item.get("amount"), least=Decimal(0), parameter=f"receipt.{where}.amount")
    return (unit * _quantity(item.get("quantity"), where)).quantize(KOPECK, ROUND_HALF_UP)


def _quantity(value: Any, where: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)) or len(str(value)) > 16:
        raise _bad_receipt(f"{where}.quantity")
    try:
        quantity = Decimal(str(value))
    except InvalidOperation:
        raise _bad_receipt(f"{where}.quantity") from None
    if (
        not quantity.is_finite()
        or not 0 < quantity <= Decimal("99999.999")
        or quantity.quantize(Decimal("0.001")) != quantity
    ):
        raise _bad_receipt(f"{where}.quantity")
    return quantity


def _object(body: Any, known: Collection[str]) -> dict[str, Any]:
    """The body as an object without nulls. Unknown fields are refused: what the real API does is not known, and a
    client that sends none is right either way."""
    if not isinstance(body, dict):
        raise invalid("Request body must be a JSON object")
    for name in body:
        if name not in known:
            raise invalid("Unknown parameter", name[:64])
    return {name: value for name, value in body.items() if value is not None}


def _text(fields: dict[str, Any], name: str, limit: int) -> str | None:
    value = fields.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > limit):
        raise invalid(f"{name} must be a string of {limit} characters at most", name)
    return value


def _metadata(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > 16:
        raise invalid("Metadata must be an object of 16 keys at most", "metadata")
    for key, text in value.items():
        if not 1 <= len(key) <= 32:
            raise invalid("Metadata key must have 1 to 32 characters", "metadata")
        if not isinstance(text, str) or len(text) > 512:
            raise invalid("Metadata value must be a string of 512 characters at most", f"metadata.{key}")
    return dict(value)


def _confirmation(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or value.get("type") not in CONFIRMATIONS:
        raise invalid("Confirmation is missing or illegal", "confirmation")
    if value.get("locale", "ru_RU") not in ("ru_RU", "en_US"):
        raise invalid("Locale is not supported", "confirmation.locale")
    answer: dict[str, Any] = {"type": value["type"]}
    if value["type"] in ("redirect", "mobile_application"):
        answer["return_url"] = _return_url(value.get("return_url"))
    return answer


def _return_url(value: Any) -> str:
    failure = invalid("Return url is missing or illegal", "confirmation.return_url")
    if not isinstance(value, str) or not 1 <= len(value) <= 2048 or not value.isprintable() or " " in value:
        raise failure
    try:
        url = URL(value)
    except ValueError:
        raise failure from None
    if url.scheme not in ("https", "http", "tg") or not url.host:
        raise failure
    return value


def _method(value: Any, terms: Terms) -> None:
    if value is None:
        return
    if not isinstance(value, dict) or value.get("type") not in terms.methods:
        raise invalid("Payment method is not available", "payment_method_data.type")
