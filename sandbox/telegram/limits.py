"""Telegram's rate limits: about 30 messages a second over all chats and one a second in one; short bursts pass.

The figures: docs/reference/telegram.md, section 2.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

from sandbox.telegram.errors import too_many_requests
from sandbox.world import Clock

MAX_CHATS = 10_000


@dataclass
class Bucket:
    """A token bucket; `rate` in tokens a second."""

    rate: float
    size: float
    level: float
    at: float

    def wait(self, now: float, tokens: int) -> float:
        """Seconds until so many tokens are there (0 if they are there now)."""
        self.level = min(self.size, self.level + (now - self.at) * self.rate)
        self.at = now
        return max(0.0, (min(tokens, self.size) - self.level) / self.rate)

    def take(self, tokens: int) -> None:
        self.level -= tokens


@dataclass
class Pace:
    """The limits, settable through `/_control/telegram/settings` (docs/reference/telegram.md, section 2)."""

    enabled: bool = True
    overall_per_second: float = 30.0
    overall_burst: float = 60.0
    chat_per_second: float = 1.0
    chat_burst: float = 20.0


class RateLimits:
    """One bot's buckets: one over all chats and one for each chat; those unused the longest are forgotten first."""

    def __init__(self, clock: Clock, pace: Pace) -> None:
        self._clock = clock
        self._pace = pace
        self._overall: Bucket | None = None
        self._chats: OrderedDict[int, Bucket] = OrderedDict()

    def forget(self) -> None:
        """Start again with full buckets of the current limits."""
        self._overall = None
        self._chats.clear()

    def spend(self, chat_id: int, messages: int = 1) -> None:
        """Count messages or edits. Raises ApiError 429 with the seconds to wait; then nothing is counted."""
        pace, now = self._pace, self._clock.now()
        if not pace.enabled:
            return
        if self._overall is None:
            self._overall = Bucket(pace.overall_per_second, pace.overall_burst, pace.overall_burst, now)
        bucket = self._chats.pop(chat_id, None) or Bucket(pace.chat_per_second, pace.chat_burst, pace.chat_burst, now)
        self._chats[chat_id] = bucket
        if len(self._chats) > MAX_CHATS:
            self._chats.popitem(last=False)
        wait = max(self._overall.wait(now, messages), bucket.wait(now, messages))
        if wait > 0:
            raise too_many_requests(math.ceil(wait))
        self._overall.take(messages)
        bucket.take(messages)
