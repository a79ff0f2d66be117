"""A lock for each key (a user, a chat), which exists only while a task holds it or waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Final

MOST_WAITING: Final = 30


class TooManyWaiting(Exception):
    """Too many tasks already wait for this key."""


class KeyedLock:
    """For each key the tasks get the lock in the order in which they asked; at most `most_waiting` may wait."""

    def __init__(self, most_waiting: int = MOST_WAITING) -> None:
        self._most = most_waiting
        self._locks: dict[Hashable, tuple[asyncio.Lock, int]] = {}

    def __len__(self) -> int:
        return len(self._locks)

    @asynccontextmanager
    async def hold(self, key: Hashable) -> AsyncIterator[None]:
        """Hold the key's lock inside the block. Raises TooManyWaiting at once when too many already wait."""
        lock, users = self._locks.get(key) or (asyncio.Lock(), 0)
        if users > self._most:
            raise TooManyWaiting
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, users - 1)
