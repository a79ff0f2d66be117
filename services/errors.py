"""The refusals of services, as one small tree; handlers turn each code into a text.

ServiceError
├── BadOrder           the order can't be run like this: its code says what to change
└── TopUpUnavailable   a top-up isn't possible now: its code says whether trying again helps
"""

from __future__ import annotations

from typing import Literal

OrderFault = Literal[
    "prompt_missing",
    "prompt_too_long",
    "photo_missing",
    "photo_gone",
    "photo_unfit",
    "too_many_photos",
    "unknown_model",
    "provider_off",
]
TopUpFault = Literal["off", "stars_off", "try_later", "refused", "email"]


class ServiceError(Exception):
    """Base of the refusals of services."""


class BadOrder(ServiceError):
    """The order can't be run like this; nothing was charged."""

    def __init__(self, code: OrderFault) -> None:
        super().__init__(code)
        self.code = code


class TopUpUnavailable(ServiceError):
    """A top-up can't be started now; nothing was charged."""

    def __init__(self, code: TopUpFault) -> None:
        super().__init__(code)
        self.code = code
