"""Acting on several things a few at once, so that one that is slow or broken keeps no other waiting."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from services.common.log import event

AT_ONCE: Final = 4

_log = logging.getLogger(__name__)
T = TypeVar("T")


async def for_each(items: Sequence[T], act: Callable[[T], Awaitable[None]]) -> None:
    """Act on each item, at most `AT_ONCE` at a time; an error of one is logged and stops no other."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(item: T) -> None:
        async with slots:
            try:
                await act(item)
            except Exception as error:
                event(_log, "payments.item_failed", level=logging.ERROR, error=type(error).__name__)

    async with asyncio.TaskGroup() as group:  # cut off in the middle, it leaves no task behind
        for item in items:
            group.create_task(one(item))
