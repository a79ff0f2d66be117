"""Errors by which services refuse a request. `handlers/errors.py` turns each code into a text for the person.

ServiceError
├── BadDraft           the draft can't become a job as it stands: its code says what to change
└── TopUpUnavailable   money can't be taken now: its code says whether trying again helps
"""

from __future__ import annotations

from typing import Literal

DraftFault = Literal[
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
    """Base class of the errors below."""


class BadDraft(ServiceError):
    """The draft can't become a job as it stands; nothing was charged."""

    def __init__(self, code: DraftFault) -> None:
        super().__init__(code)
        self.code = code


class TopUpUnavailable(ServiceError):
    """A top-up can't be started now; nothing was charged."""

    def __init__(self, code: TopUpFault) -> None:
        super().__init__(code)
        self.code = code
