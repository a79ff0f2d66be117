"""The memory of idempotence keys: per shop, method and path, for 24 hours (docs/reference/yookassa.md, section 1)."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.yookassa.rules import ApiFailure, invalid

LIFETIME = 24 * 3600.0
LIMIT = 50_000
MAX_LENGTH = 64


@dataclass(frozen=True)
class Outcome:
    """The result of the first request with a key: a way to show its object, or the error that was its answer."""

    show: Callable[[], dict[str, Any]] | None = None
    snapshot: dict[str, Any] | None = None
    failure: ApiFailure | None = None


@dataclass(frozen=True)
class _Seen:
    body: str
    outcome: Outcome
    at: float


class KeyStore:
    """Remembers outcomes in order of time, at most `LIMIT` of them and none for more than 24 h."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._seen: OrderedDict[tuple[str, ...], _Seen] = OrderedDict()

    def clear(self) -> None:
        self._seen.clear()

    def recall(self, place: tuple[str, ...], body: Any) -> Outcome | None:
        """The outcome of an earlier request with this key; the same key with another body is an error."""
        self._forget_old()
        seen = self._seen.get(place)
        if seen is None:
            return None
        if seen.body != canonical(body):
            raise invalid("Idempotence key duplicated", "Idempotence-Key")
        return seen.outcome

    def remember(self, place: tuple[str, ...], body: Any, outcome: Outcome) -> None:
        self._seen[place] = _Seen(canonical(body), outcome, self._now())

    def _forget_old(self) -> None:
        oldest = self._now() - LIFETIME
        while self._seen:
            first = next(iter(self._seen))
            if self._seen[first].at > oldest and len(self._seen) <= LIMIT:
                return
            del self._seen[first]


def check_key(key: str | None) -> str:
    """The key itself: required on every POST, 64 characters at most."""
    if not key:
        raise invalid("Idempotence key is missing", "Idempotence-Key")
    if len(key) > MAX_LENGTH:
        raise invalid(f"Idempotence key is too long, {MAX_LENGTH} characters at most", "Idempotence-Key")
    return key


def canonical(body: Any) -> str:
    """One text per JSON value, whatever the order of its fields; strings that are not Unicode are a ValueError."""
    text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    text.encode()
    return text
