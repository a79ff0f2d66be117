"""Scenarios: failures that a simulator itself can play, chosen by prompt tag, planned fault or control route.

In a prompt: `#sim:name`, `#sim:name=value`, `#sim:name=value@2` (the last only for the first two calls with that
same prompt, so that a third one succeeds). As a fault: `{"face": …, "tag": "name=value", "match": …, "times": …}`;
`match` is looked for in the path and in the prompt. The control route of a simulator plans exactly such a fault.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sandbox.world import Fault, World

TAG = re.compile(r"#sim:([A-Za-z0-9_]+)(?:=([^\s@]*))?(?:@(\d{1,6}))?")
COUNTERS_LIMIT = 2_000


@dataclass(frozen=True)
class Scenario:
    """One chosen scenario: its name, the text after `=`, and further options of a planned fault."""

    name: str
    value: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def number(self, default: float) -> float:
        """The value as a number between 0 and a million; `default` if it is not one."""
        try:
            number = float(self.value)
        except ValueError:
            return default
        return number if 0 <= number <= 1_000_000 else default


def without_tags(prompt: str) -> str:
    """The prompt as a person would read it."""
    return " ".join(TAG.sub(" ", prompt).split())


class Scenarios:
    """The scenarios chosen for a call of one simulator; unknown names are ignored."""

    def __init__(self, world: World, face: str, known: Iterable[str]) -> None:
        self._world = world
        self._face = face
        self.known = frozenset(known)
        self._seen: OrderedDict[tuple[str, str], int] = OrderedDict()

    def chosen(self, prompt: str, *names: str) -> dict[str, Scenario]:
        """The scenarios of this call by name: all tags of the prompt, then at most one planned fault."""
        found: dict[str, Scenario] = {}
        for match in TAG.finditer(prompt):
            name, value, times = match.group(1), match.group(2) or "", match.group(3)
            if name in self.known and (times is None or self._count(prompt, match.group(0)) <= int(times)):
                found[name] = Scenario(name, value)
        fault = self._world.faults.take(self._face, *names, prompt, tagged=True)
        if fault is not None and fault.tag:
            name, _, value = fault.tag.partition("=")
            if name in self.known:
                found[name] = Scenario(name, value or str(fault.options.get("value", "")), fault.options)
        return found

    def plan(self, wanted: dict[str, Any]) -> Fault:
        """Plan `{"scenario": "name=value", "match": "", "times": 1, "skip": 0}`; ValueError when unknown."""
        tag = wanted.get("scenario")
        if not isinstance(tag, str) or tag.partition("=")[0] not in self.known:
            raise ValueError(f"scenario must be one of: {', '.join(sorted(self.known))}")
        allowed = {"match": str, "times": int, "skip": int, "options": dict}
        extra: dict[str, Any] = {key: value for key, value in wanted.items() if key != "scenario"}
        for key, value in extra.items():
            if key not in allowed or not isinstance(value, allowed[key]):
                raise ValueError(f"{key}: unknown or of the wrong type")
        return self._world.faults.plan(Fault(face=self._face, tag=tag, **extra))

    def clear(self) -> None:
        self._seen.clear()

    def _count(self, prompt: str, tag: str) -> int:
        key = (prompt, tag)
        self._seen[key] = self._seen.get(key, 0) + 1
        self._seen.move_to_end(key)
        while len(self._seen) > COUNTERS_LIMIT:
            self._seen.popitem(last=False)
        return self._seen[key]
