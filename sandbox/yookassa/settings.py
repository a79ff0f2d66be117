"""The settings of the simulated shop: who it is, what is switched on and which quirks it shows."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

EVENTS = ("payment.succeeded", "payment.canceled", "payment.waiting_for_capture", "refund.succeeded")


@dataclass
class ShopSettings:
    """Everything that may be changed through `world.settings["yookassa"]` or `/_control/yookassa/settings`.

    Times are simulated seconds. `payment_patch` and `refund_patch` are JSON merge patches applied to every object that
    the shop sends (`None` removes a field), so that a test can make any odd answer.
    """

    shop_id: str = "100500"
    gateway_id: str = "100700"
    secret_key: str = "test_sandbox_key"
    shop_name: str = "Демо-магазин"
    status: str = "enabled"
    test: bool = True
    fiscalization: bool = False
    fiscalization_provider: str = "yoo_receipt"

    payment_lifetime: float = 3600.0
    hold_lifetime: float = 7 * 86400.0
    max_amount: str = "350000.00"
    fee_percent: str = "2.8"
    fee_vat_percent: str = "22"
    decline_ends_payment: bool = False
    unknown_id_status: int = 404
    replay: str = "current"
    receipt_delay: float = 60.0
    receipt_outcome: str = "succeeded"
    refund_outcome: str = "succeeded"
    refund_cancel_reason: str = "insufficient_funds"

    extra_fields: bool = False
    unknown_enums: bool = False
    payment_patch: dict[str, Any] = field(default_factory=dict)
    refund_patch: dict[str, Any] = field(default_factory=dict)

    notification_url: str = ""
    notification_headers: dict[str, Any] = field(default_factory=dict)
    notification_source: str = ""
    notification_events: list[Any] = field(default_factory=lambda: list(EVENTS))
    notification_timeout: float = 10.0
    notifications_never: bool = False
    notifications_duplicates: int = 0
    notifications_delay: float = 0.0
    notifications_reordered: bool = False
    notifications_forged: dict[str, Any] = field(default_factory=dict)
    notifications_wrong_recipient: bool = False
    notifications_test_flipped: bool = False
    notifications_unknown_event: bool = False
    pay_before_create_answer: bool = False

    def update(self, wanted: Any) -> None:
        """Change the named settings, all or none; a wrong name, type or value is a ValueError."""
        if not isinstance(wanted, dict):
            raise ValueError("settings must be an object")
        changed = dataclasses.asdict(self)
        for name, value in wanted.items():
            if name not in changed:
                raise ValueError(f"no such setting: {name}")
            changed[name] = _typed(name, value, changed[name])
        _check(changed)
        for name in wanted:
            setattr(self, name, changed[name])

    def public(self) -> dict[str, Any]:
        """All settings as JSON, also the key: it protects nothing but this sandbox."""
        return dataclasses.asdict(self)


_CHOICES: dict[str, tuple[Any, ...]] = {
    "unknown_id_status": (400, 404),
    "replay": ("current", "snapshot"),
    "receipt_outcome": ("succeeded", "canceled"),
    "refund_outcome": ("succeeded", "pending", "canceled"),
}


def _typed(name: str, value: Any, like: Any) -> Any:
    if value is None and isinstance(like, (str, dict)):
        return type(like)()
    if isinstance(like, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not type(like):
        raise ValueError(f"{name} must be of type {type(like).__name__}")
    if isinstance(value, str):
        value.encode()  # a lone surrogate is a UnicodeEncodeError, which is a ValueError
    return value


def _check(changed: dict[str, Any]) -> None:
    for name, choices in _CHOICES.items():
        if changed[name] not in choices:
            raise ValueError(f"{name} must be one of {choices}")
    for name, value in changed.items():
        if isinstance(value, (int, float)) and not 0 <= value < 1e9:
            raise ValueError(f"{name} must be between 0 and 10^9")
    if changed["notifications_duplicates"] > 100:
        raise ValueError("notifications_duplicates must be 100 at most")
    for name in ("max_amount", "fee_percent", "fee_vat_percent"):
        if not changed[name].replace(".", "", 1).isdecimal() or not changed[name].isascii():
            raise ValueError(f"{name} must be a decimal number")
    for key, value in changed["notification_headers"].items():
        text = f"{key}{value}"
        if not isinstance(value, str) or not key or not text.isprintable() or not text.isascii():
            raise ValueError("notification_headers must hold printable strings")
