"""What everything in a simulated world shares: chance, time, the running process, and the record of what happens."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from database import clock

EPOCH = 1_790_000_000.0  # UTC seconds at which every world begins
DURATIONS = (0.0, 0.0, 0.001, 0.02, 0.3)  # seconds that an await may take; in a longer one others come in between
ADMIN = 9001

current: ContextVar[SimProcess | None] = ContextVar("process", default=None)
"""The simulated process whose code runs; None for what is outside."""


@dataclass(eq=False)
class SimProcess:
    """A simulated process. Once it is killed, nothing that its code still does has an effect."""

    name: str
    skew: float = 0.0  # seconds its wall clock is off
    killed: bool = False

    def stop_if_killed(self) -> None:
        if self.killed:
            raise asyncio.CancelledError(f"{self.name} was killed")


@dataclass
class Chances:
    """How often which faults happen, drawn once for each world: none in some, very many in others."""

    database: float
    telegram: float
    yookassa: float
    provider: float
    queue: float

    @classmethod
    def draw(cls, chance: random.Random) -> Chances:
        def some(most: float) -> float:
            return chance.choice((0.0, most / 10, most / 3, most))

        return cls(some(0.03), some(0.15), some(0.3), some(0.5), some(0.2))


@dataclass
class World:
    """The world of one seed. `folder` holds the database file and what the product stores."""

    seed: int
    folder: Path
    chance: random.Random = field(init=False)
    chances: Chances = field(init=False)
    faults_over: bool = False  # no fault happens any more, and everything under way must come to its end
    trace: list[str] = field(default_factory=list)
    keep_trace: bool = False

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.chances = Chances.draw(self.chance)
        self._digest = hashlib.sha256()
        self._tokens = random.Random(self.seed ^ 0x5EED)

    # --- time and chance ------------------------------------------------------------------------------

    def duration(self) -> float:
        return self.chance.choice(DURATIONS)

    def fails(self, probability: float) -> bool:
        """Whether a fault happens here."""
        return not self.faults_over and self.chance.random() < probability

    def now(self) -> float:
        return EPOCH + asyncio.get_running_loop().time()

    @contextmanager
    def time_and_ids(self) -> Iterator[None]:
        """The product's clocks and ids come from this world while the body runs."""
        source = clock.Source(
            wall=lambda: self.now() + (process.skew if (process := current.get()) else 0.0),
            steady=lambda: asyncio.get_running_loop().time(),
            token=lambda size: self._tokens.randbytes(size).hex(),
            chance=self._tokens.random,
        )
        before = clock.use(source)
        try:
            yield
        finally:
            clock.use(before)

    # --- steps ----------------------------------------------------------------------------------------

    async def step(self, name: str) -> None:
        """A step outside the process: others may come in between, and the process may be killed before or in it."""
        process = current.get()
        if process is not None:
            process.stop_if_killed()
        self.note(name)
        await asyncio.sleep(self.duration())
        if process is not None:
            process.stop_if_killed()

    def note(self, name: str) -> None:
        """Record that this happened now."""
        process = current.get()
        line = f"{asyncio.get_running_loop().time():.3f} {process.name if process else '-'} {name}"
        self._digest.update(line.encode())
        if self.keep_trace:
            self.trace.append(line)

    @property
    def digest(self) -> str:
        """A fingerprint of everything that happened, in order: equal for two runs of a seed."""
        return self._digest.hexdigest()[:16]


def process_of(context: Context | None) -> SimProcess | None:
    """The simulated process that code in this context belongs to."""
    return current.get() if context is None else context.get(current)
