"""Tells the people's pages what happens in their chats; slow pages are disconnected, never waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

QUEUE_LIMIT = 500
Event = tuple[str, dict[str, Any]]


class Listener:
    """One open event stream of one person; `lost` is set when it was too slow and must reconnect."""

    def __init__(self, bot_id: int | None, user_id: int) -> None:
        self.bot_id = bot_id
        self.user_id = user_id
        self.queue: asyncio.Queue[Event] = asyncio.Queue(QUEUE_LIMIT)
        self.lost = False

    def put(self, event: Event) -> None:
        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            self.lost = True


class Events:
    """Who listens, and a wake-up for those who wait for any change."""

    def __init__(self) -> None:
        self.closed = False
        self._listeners: set[Listener] = set()
        self._changes: dict[tuple[int, int], asyncio.Event] = {}

    @contextmanager
    def listen(self, bot_id: int | None, user_id: int) -> Iterator[Listener]:
        """`bot_id` None listens to all bots (a page that was opened before a bot connected)."""
        listener = Listener(bot_id, user_id)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def watched(self, bot_id: int, user_id: int) -> bool:
        return any(one.user_id == user_id and one.bot_id in (None, bot_id) for one in self._listeners)

    def publish(self, bot_id: int, user_id: int, kind: str, data: dict[str, Any]) -> None:
        for listener in self._listeners:
            if listener.user_id == user_id and listener.bot_id in (None, bot_id):
                listener.put((kind, data))
        self.pulse(bot_id, user_id)

    def broadcast(self, kind: str, data: dict[str, Any]) -> None:
        for listener in self._listeners:
            listener.put((kind, data))

    def close(self) -> None:
        """End every open stream and every wait."""
        self.closed = True
        for listener in self._listeners:
            listener.lost = True
            listener.put(("bye", {}))
        for change in self._changes.values():
            change.set()
        self._changes.clear()

    def pulse(self, bot_id: int, user_id: int) -> None:
        """Wake those who wait for a change in this chat."""
        change = self._changes.pop((bot_id, user_id), None)
        if change is not None:
            change.set()

    async def changed(self, bot_id: int, user_id: int, timeout: float) -> None:
        """Return at the next event in this chat, at the latest after `timeout` real seconds."""
        change = self._changes.setdefault((bot_id, user_id), asyncio.Event())
        try:
            await asyncio.wait_for(change.wait(), timeout)
        except TimeoutError:
            return
