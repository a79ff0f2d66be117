"""One bot's queue of updates and long polling over it (docs/reference/telegram.md, section 4)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sandbox.telegram.errors import OTHER_POLLER, ApiError
from sandbox.world import Clock

QUEUE_LIMIT = 10_000
DAY = 86_400.0
QUIET_SECONDS = 7 * DAY  # after so long without an update the numbers start again at any value
SHELF_LIFE = {"callback_query": 150.0, "pre_checkout_query": 150.0, "inline_query": 30.0}
LEFT_OUT_BY_DEFAULT = frozenset(
    {"chat_member", "message_reaction", "message_reaction_count", "stopped_message_generation"}
)
MAX_POLL_SECONDS = 50
KINDS = frozenset(
    {
        "message",
        "edited_message",
        "channel_post",
        "edited_channel_post",
        "business_connection",
        "business_message",
        "edited_business_message",
        "deleted_business_messages",
        "message_reaction",
        "message_reaction_count",
        "inline_query",
        "chosen_inline_result",
        "callback_query",
        "shipping_query",
        "pre_checkout_query",
        "purchased_paid_media",
        "poll",
        "poll_answer",
        "my_chat_member",
        "chat_member",
        "chat_join_request",
        "chat_boost",
        "removed_chat_boost",
        "subscription",
        "stopped_message_generation",
    }
)


@dataclass(frozen=True)
class Pending:
    """An update that is not confirmed yet; `expires` in simulated seconds."""

    update_id: int
    kind: str
    payload: dict[str, Any]
    user_id: int
    expires: float

    def as_update(self) -> dict[str, Any]:
        return {"update_id": self.update_id, self.kind: self.payload}


@dataclass
class Poll:
    """One waiting getUpdates; `ended_by` is why another call ended it."""

    ended_by: str | None = None


class UpdateQueue:
    """Updates in the order they happened, dropped when confirmed, too old or too many."""

    def __init__(self, clock: Clock, first_id: Callable[[], int]) -> None:
        """`first_id` returns the number that a series of updates starts with."""
        self._clock = clock
        self._first_id = first_id
        self._next_id = first_id()
        self._last_pushed = clock.now()
        self._items: dict[int, Pending] = {}
        self._by_user: dict[int, deque[Pending]] = {}
        self._soonest_end = float("inf")
        self._arrived = asyncio.Event()
        self._poll: Poll | None = None
        self._last_offset: int | None = None
        self._last_started = float("-inf")
        self.allowed: list[str] | None = None
        self.on_push: Callable[[Pending], None] | None = None

    def __len__(self) -> int:
        self._expire()
        return len(self._items)

    def wants(self, kind: str) -> bool:
        return kind not in LEFT_OUT_BY_DEFAULT if self.allowed is None else kind in self.allowed

    def remember_allowed(self, kinds: Any) -> None:
        """Keep `allowed_updates` for updates to come; an empty list means the default, None changes nothing."""
        if kinds is None:
            return
        if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
            raise ApiError(400, "Bad Request: can't parse allowed_updates: expected an Array of String")
        known = [kind.lower() for kind in kinds if kind.lower() in KINDS]
        self.allowed = known or None

    def push(self, kind: str, payload: dict[str, Any], user_id: int) -> int | None:
        """Add an update unless the bot does not want its kind; returns its id."""
        if not self.wants(kind):
            return None
        now = self._clock.now()
        if now - self._last_pushed >= QUIET_SECONDS:
            self._next_id = self._first_id()
        self._last_pushed = now
        pending = Pending(self._next_id, kind, payload, user_id, now + SHELF_LIFE.get(kind, DAY))
        self._next_id += 1
        self._items[pending.update_id] = pending
        self._soonest_end = min(self._soonest_end, pending.expires)
        self._by_user.setdefault(user_id, deque()).append(pending)
        if len(self._items) > QUEUE_LIMIT:
            self.remove(next(iter(self._items.values())))
        self._pulse()
        if self.on_push is not None:
            self.on_push(pending)
        return pending.update_id

    def remove(self, pending: Pending) -> None:
        if self._items.pop(pending.update_id, None) is None:
            return
        line = self._by_user[pending.user_id]
        line.remove(pending)
        if not line:
            del self._by_user[pending.user_id]

    def clear(self) -> None:
        self._items.clear()
        self._by_user.clear()

    def users(self) -> list[int]:
        """The people whose updates are waiting, the longest wait first."""
        return list(dict.fromkeys(pending.user_id for pending in self._items.values()))

    def first_of(self, user_id: int) -> Pending | None:
        self._expire()
        line = self._by_user.get(user_id)
        return line[0] if line else None

    def end_poll(self, reason: str) -> None:
        """Make the waiting getUpdates, if there is one, fail with 409 for this reason."""
        if self._poll is not None:
            self._poll.ended_by = reason
            self._poll = None
            self._pulse()

    async def poll(self, offset: int, limit: int, timeout: int) -> list[dict[str, Any]]:
        """What getUpdates answers. Raises ApiError 409 when a newer poller or a webhook ends the wait."""
        self.end_poll(OTHER_POLLER)
        poll = self._poll = Poll()
        started = self._clock.now()
        limit = limit if 1 <= limit <= 100 else 100
        timeout = max(0, min(timeout, MAX_POLL_SECONDS))
        if offset == self._last_offset and started < self._last_started + 3:
            timeout = max(timeout, 3)
            if started < self._last_started + 0.5:
                limit = 1
        self._last_offset, self._last_started = offset, started
        try:
            self._confirm(offset)
            while not (ready := self._ready(offset, limit)):
                left = started + timeout - self._clock.now()
                if left <= 0:
                    return []
                await first_of([self._arrived.wait(), self._clock.sleep(left)])
                if poll.ended_by is not None:
                    raise ApiError(409, poll.ended_by)
            return ready
        finally:
            if self._poll is poll:
                self._poll = None

    def _confirm(self, offset: int) -> None:
        """Drop the updates below `offset`; a negative one keeps only the newest `-offset`."""
        self._expire()
        if offset < 0:
            done = list(self._items.values())[:offset]
        else:
            done = []
            for pending in self._items.values():
                if pending.update_id >= offset:
                    break
                done.append(pending)
        for pending in done:
            self.remove(pending)

    def _ready(self, offset: int, limit: int) -> list[dict[str, Any]]:
        self._expire()
        answer: list[dict[str, Any]] = []
        for pending in self._items.values():
            if len(answer) == limit:
                break
            if offset < 0 or pending.update_id >= offset:
                answer.append(pending.as_update())
        return answer

    def _expire(self) -> None:
        now = self._clock.now()
        if now < self._soonest_end:
            return
        for pending in [one for one in self._items.values() if one.expires <= now]:
            self.remove(pending)
        self._soonest_end = min((one.expires for one in self._items.values()), default=float("inf"))

    def _pulse(self) -> None:
        self._arrived.set()
        self._arrived = asyncio.Event()


async def first_of(waits: Iterable[Any]) -> None:
    """Wait for the first one that ends and cancel the others."""
    tasks = [asyncio.ensure_future(one) for one in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
