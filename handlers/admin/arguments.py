"""The arguments of admins' commands, as people type them."""

from __future__ import annotations

from typing import Final

LARGEST_ID: Final = 2**52


def is_user_id(text: str) -> bool:
    """Whether the text is a Telegram id."""
    return text.isascii() and text.isdigit() and len(text) <= 16 and 0 < int(text) < LARGEST_ID


def number_of_days(text: str, maximum: int) -> int | None:
    """A number from 1 to `maximum`; None for every other text."""
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        return None
    return int(text) if 0 < int(text) <= maximum else None
