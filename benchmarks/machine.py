"""A description of the machine, and how the two sides of a comparison are timed."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Awaitable, Callable

from pysqlite3 import dbapi2 as sqlite

ROUNDS = 3
ROUND_SECONDS = 2.0


def describe() -> str:
    """The machine in a line, with the load of the last minute, because other programs slow every figure down."""
    return (
        f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, "
        f"SQLite {sqlite.sqlite_version}, {platform.system()} {platform.release()}"
    )


async def per_second(work: Callable[[], Awaitable[int]], *, seconds: float = ROUND_SECONDS) -> float:
    """How many things per second `work` does; one call returns how many it did."""
    done, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        done += await work()
    return done / spent


async def side_by_side(
    left: Callable[[], Awaitable[int]], right: Callable[[], Awaitable[int]], *, seconds: float = ROUND_SECONDS
) -> tuple[float, float]:
    """The best of several rounds of each side. The sides take turns, so that a busy minute slows both down."""
    lefts, rights = [], []
    for _ in range(ROUNDS):
        lefts.append(await per_second(left, seconds=seconds))
        rights.append(await per_second(right, seconds=seconds))
    return max(lefts), max(rights)
