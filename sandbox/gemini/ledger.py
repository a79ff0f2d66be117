"""Every generate call and what it was billed, also if the client hung up: it shows whether a call was paid twice."""

from __future__ import annotations

import dataclasses
import itertools
from collections import deque
from dataclasses import dataclass
from typing import Any

KEPT = 5_000
PROMPT_KEPT = 300


@dataclass
class Entry:
    """One call. `cost_microusd` is in millionths of a US dollar; `status` 0 means that no answer was sent."""

    id: str
    at: float
    model: str
    prompt: str = ""
    inputs: int = 0
    size: str = ""
    ratio: str = ""
    scenarios: list[str] = dataclasses.field(default_factory=list)
    state: str = "running"
    status: int = 0
    finish: str = ""
    images: int = 0
    tokens: int = 0
    cost_microusd: int = 0
    delay: float = 0.0
    disconnected: bool = False

    def bill(self, images: int, tokens: int, cost: int, finish: str) -> None:
        """The generation ran to its end: from here on it is billed, also if the client has gone."""
        self.images, self.tokens, self.cost_microusd, self.finish = images, tokens, cost, finish


class Ledger:
    """The latest calls one by one, and totals over all of them."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._numbers = itertools.count(1)
        self._totals = {
            "calls": 0,
            "images": 0,
            "billed_calls": 0,
            "billed_microusd": 0,
            "disconnected": 0,
            "in_flight": 0,
        }
        self.peak = 0

    def open(self, at: float, model: str, prompt: str) -> Entry:
        entry = Entry(f"sim-{next(self._numbers):06d}", at, model, prompt[:PROMPT_KEPT])
        self._entries.append(entry)
        self._totals["calls"] += 1
        self._totals["in_flight"] += 1
        self.peak = max(self.peak, self._totals["in_flight"])
        return entry

    def close(self, entry: Entry, status: int, *, disconnected: bool) -> None:
        entry.status, entry.disconnected, entry.state = status, disconnected, "done"
        self._totals["disconnected"] += disconnected
        self._totals["images"] += entry.images
        self._totals["billed_microusd"] += entry.cost_microusd
        self._totals["billed_calls"] += 1 if entry.cost_microusd else 0
        self._totals["in_flight"] -= 1

    def report(self) -> dict[str, Any]:
        return {
            **self._totals,
            "peak_in_flight": self.peak,
            "calls_log": [dataclasses.asdict(one) for one in self._entries],
        }
