"""How long to wait before the same is tried again."""

from __future__ import annotations

from typing import Final

from database import clock
from services.payments.yookassa.client import ErrorKind, YooKassaError

MOST_DOUBLINGS: Final = 16


def doubled_ms(first_ms: int, earlier: int, *, longest_ms: int) -> int:
    """The wait before the next try, in milliseconds: `first_ms` doubled for each `earlier` one, up to `longest_ms`."""
    return min(first_ms * (1 << min(earlier, MOST_DOUBLINGS)), longest_ms)


def pause_seconds(error: YooKassaError) -> float:
    """Seconds before a failed request may go again: what YooKassa asks for, else 1 to 2 s where it limits our rate.

    Source: docs/reference/yookassa.md, section 8.
    """
    if error.retry_after is not None:
        return error.retry_after
    return 1 + clock.chance() if error.kind is ErrorKind.RATE_LIMITED else 0.0
