"""The time and chance of the shop: the one place where it reads a clock or draws an id.

A test puts a source of its own here (`use`), so that hours pass in a moment, two processes disagree about the time,
and the same seed gives the same run again. Amounts and order never depend on a clock: the ledger is ordered by id.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """`wall`: UTC seconds; `steady`: seconds that never go back; `token`: random hex of so many bytes;
    `chance`: 0 to 1, for jitter."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
    token: Callable[[int], str] = secrets.token_hex
    chance: Callable[[], float] = random.random


_source = Source()


def use(source: Source) -> Source:
    """Take time and chance from `source` in the whole process from now on; answers the one used before."""
    global _source
    before, _source = _source, source
    return before


def now() -> float:
    """UTC seconds; may jump when the machine's clock is set."""
    return _source.wall()


def now_ms() -> int:
    """UTC milliseconds, as the tables hold them."""
    return int(_source.wall() * 1000)


def steady() -> float:
    """Seconds since some moment; never goes back, so waits and limits are measured with it."""
    return _source.steady()


def token(size: int) -> str:
    """A random name of `size` bytes, in hex."""
    return _source.token(size)


def chance() -> float:
    """A number from 0 to 1, for jitter."""
    return _source.chance()
