"""What the figures were measured on, and how a side is timed."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Awaitable, Callable

from pysqlite3 import dbapi2 as sqlite

ROUNDS = 3
ROUND_SECONDS = 2.0


def describe() -> str:
    """The machine in a line, with the load of the last minute: other people's work is part of every figure."""
    return (
        f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, "
        f"SQLite {sqlite.sqlite_version}, {platform.system()} {platform.release()}"
    )


async def per_second(work: Callable[[], Awaitable[int]], *, seconds: float = ROUND_SECONDS) -> float:
    """How many things a second `work` gets done; it answers how many one call did."""
    done, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        done += await work()
    return done / spent


async def side_by_side(
    left: Callable[[], Awaitable[int]], right: Callable[[], Awaitable[int]], *, seconds: float = ROUND_SECONDS
) -> tuple[float, float]:
    """The best of some rounds of each side, taken in turn, so that a busy minute hits both."""
    lefts, rights = [], []
    for _ in range(ROUNDS):
        lefts.append(await per_second(left, seconds=seconds))
        rights.append(await per_second(right, seconds=seconds))
    return max(lefts), max(rights)
