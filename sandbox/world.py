"""What the four simulated systems share: a clock with a settable speed, planned faults and a log of calls."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

CALL_LOG_LIMIT = 5_000


class Clock:
    """Time as the simulators see it: real seconds times `speed`, plus what `advance()` added."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self._base_real = time.monotonic()
        self._base_simulated = time.time()
        self._moved = asyncio.Event()

    @property
    def speed(self) -> float:
        return self._speed

    def now(self) -> float:
        """Simulated seconds since 1970 (UTC)."""
        return self._base_simulated + (time.monotonic() - self._base_real) * self._speed

    def set_speed(self, speed: float) -> None:
        """Change the speed from now on; `speed` is simulated seconds per real second, above zero."""
        if not speed > 0:
            raise ValueError("speed must be above zero")
        self._rebase(0.0)
        self._speed = speed
        self._wake()

    def advance(self, seconds: float) -> None:
        """Jump ahead by simulated `seconds`; those whose sleep has ended by then wake at once."""
        if seconds < 0:
            raise ValueError("the clock never goes back")
        self._rebase(seconds)
        self._wake()

    async def sleep(self, seconds: float) -> None:
        """Sleep simulated `seconds`; follows changes of speed and jumps."""
        until = self.now() + seconds
        while (left := until - self.now()) > 0:
            moved = self._moved
            try:
                await asyncio.wait_for(moved.wait(), timeout=left / self._speed)
            except TimeoutError:
                continue

    def _rebase(self, jump: float) -> None:
        self._base_simulated = self.now() + jump
        self._base_real = time.monotonic()

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()


@dataclass
class Fault:
    """One planned fault: the next `times` calls of `face` whose name or path contains `match`, after `skip` of them.

    `face` names the simulator. `status`/`body`/`headers` answer in its place, and the call has no effect, unless
    `drop == "after"` or `after` is set: then the simulator acts first. `delay` real seconds pass before anything, with
    `after` between the effect and the answer. `truncate` cuts the answer's body to that many bytes. `drop` closes the
    connection "before" or "after" the effect. `tag` names a scenario that the simulator itself knows.
    """

    face: str
    match: str = ""
    times: int = 1
    skip: int = 0
    status: int | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    truncate: int | None = None
    drop: str | None = None
    after: bool = False
    tag: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    id: int = 0


class Faults:
    """Planned faults that have not happened yet, in the order they were planned."""

    def __init__(self) -> None:
        self._planned: list[Fault] = []
        self._ids = itertools.count(1)

    def plan(self, fault: Fault) -> Fault:
        fault.id = next(self._ids)
        self._planned.append(fault)
        return fault

    def clear(self) -> None:
        self._planned.clear()

    def planned(self) -> list[Fault]:
        return list(self._planned)

    def take(self, face: str, *names: str, tagged: bool = False) -> Fault | None:
        """The first fault that fits this call, counted down; `tagged` asks for scenarios, else for wire faults."""
        for fault in self._planned:
            if fault.face != face or bool(fault.tag) is not tagged:
                continue
            if not any(fault.match in name for name in names):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.times -= 1
            if fault.times <= 0:
                self._planned.remove(fault)
            return fault
        return None


@dataclass(frozen=True)
class Call:
    """One served request: when (simulated seconds), by which simulator (`face`), the call's name and some details."""

    at: float
    face: str
    name: str
    detail: dict[str, Any]


class World:
    """The one object that every simulator is given; `faces` holds the state of each by name."""

    def __init__(self, *, speed: float = 1.0, seed: int | None = None, settings: dict[str, Any] | None = None) -> None:
        self.clock = Clock(speed)
        self.faults = Faults()
        self.random = random.Random(seed)
        self.settings: dict[str, Any] = dict(settings or {})
        self.base_url = ""
        self.faces: dict[str, Any] = {}
        self.calls: deque[Call] = deque(maxlen=CALL_LOG_LIMIT)
        self.counts: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._on_reset: list[Callable[[], None]] = []

    def record(self, face: str, name: str, **detail: Any) -> None:
        """Log a served request; counted under `face:name`, kept in a bounded log."""
        self.calls.append(Call(self.clock.now(), face, name, detail))
        self.counts[f"{face}:{name}"] += 1

    def spawn(self, coroutine: Any) -> asyncio.Task[Any]:
        """Run something in the background (a notification, a state change); cancelled when the sandbox stops."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def on_reset(self, callback: Callable[[], None]) -> None:
        self._on_reset.append(callback)

    def reset(self) -> None:
        """Forget everything that happened: faults, calls, and each simulator's own state."""
        for task in list(self._tasks):
            task.cancel()
        self.faults.clear()
        self.calls.clear()
        self.counts.clear()
        for callback in self._on_reset:
            callback()

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
