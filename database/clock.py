"""Time and chance: the only module that reads a clock or draws a random id.

A test puts a source of its own here (`use`): then hours pass in a moment, two processes have different clocks, and the
same seed gives the same run again. Amounts and order never depend on a clock: the ledger is ordered by id.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

HOUR_SECONDS = 3600
DAY_SECONDS = 24 * HOUR_SECONDS
HOUR_MS = 1000 * HOUR_SECONDS
DAY_MS = 1000 * DAY_SECONDS


@dataclass(frozen=True)
class Source:
    """`wall`: UTC seconds; `steady`: seconds that never go back; `token`: that many random bytes in hex;
    `chance`: a number from 0 to 1, for jitter."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
    token: Callable[[int], str] = secrets.token_hex
    chance: Callable[[], float] = random.random


_source = Source()


def use(source: Source) -> Source:
    """Take time and chance from `source` in the whole process from now on; returns the source used before."""
    global _source
    before, _source = _source, source
    return before


def now() -> float:
    """UTC seconds. They jump when the machine's clock is set."""
    return _source.wall()


def now_ms() -> int:
    """UTC milliseconds, as the tables hold them."""
    return int(_source.wall() * 1000)


def steady() -> float:
    """Seconds since some moment. They never go back, so waits and limits are measured with them."""
    return _source.steady()


def token(size: int) -> str:
    """A random name of `size` bytes, in hex."""
    return _source.token(size)


def chance() -> float:
    """A number from 0 to 1, for jitter."""
    return _source.chance()
