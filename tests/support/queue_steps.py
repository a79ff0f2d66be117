"""Steps that do nothing but show how they are run; tests name them in place of the workers' own."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

from services.common.log import event

ran: Counter[str] = Counter()
running: set[str] = set()
most_at_once = 0
released = asyncio.Event()

_log = logging.getLogger(__name__)


def reset() -> None:
    global most_at_once, released
    ran.clear()
    running.clear()
    most_at_once = 0
    released = asyncio.Event()


async def wait(job_id: str) -> None:
    """Count the run and wait until the test lets go."""
    global most_at_once
    running.add(job_id)
    most_at_once = max(most_at_once, len(running))
    try:
        await released.wait()
        ran[job_id] += 1
        event(_log, "step.ran")
    finally:
        running.discard(job_id)


async def fail(job_id: str) -> None:
    """Count the run and raise."""
    ran[job_id] += 1
    raise RuntimeError("broken step")


async def finish(job_id: str) -> None:
    """Count the run."""
    ran[job_id] += 1
