"""Notices that are not repeated at every message."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from database import clock

MAX_REMEMBERED: Final = 10_000


class Notices:
    """Remembers for `seconds` which notices were given. In memory only: after a restart each may be given again."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: OrderedDict[int | str, float] = OrderedDict()

    def due(self, key: int | str) -> bool:
        """Whether the notice `key` should be given now; if so, it counts as given."""
        now = clock.steady()
        if self._until.get(key, 0.0) > now:
            return False
        self._until[key] = now + self._seconds
        self._until.move_to_end(key)
        while len(self._until) > MAX_REMEMBERED:
            self._until.popitem(last=False)
        return True
