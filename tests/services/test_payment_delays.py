"""How long is waited before the same is tried again."""

from __future__ import annotations

import pytest

from services.payments.delays import doubled_ms, pause_seconds
from services.payments.yookassa.client import ErrorKind, YooKassaError


@pytest.mark.parametrize(
    ("earlier", "wait"), [(0, 5_000), (1, 10_000), (9, 2_560_000), (10, 3_600_000), (90, 3_600_000)]
)
def test_a_wait_doubles_up_to_its_limit(earlier: int, wait: int) -> None:
    """Each earlier try doubles it, and no number of them makes it longer than the longest."""
    assert doubled_ms(5_000, earlier, longest_ms=3_600_000) == wait


def test_a_pause_is_what_yookassa_asks_for() -> None:
    """Its own number first; where it limits our rate without one, a second or two; after a lost answer none."""
    assert pause_seconds(YooKassaError(ErrorKind.RATE_LIMITED, "x", retry_after=0.3)) == 0.3
    assert 1 <= pause_seconds(YooKassaError(ErrorKind.RATE_LIMITED, "x")) <= 2
    assert pause_seconds(YooKassaError(ErrorKind.UNKNOWN_OUTCOME, "x")) == 0
