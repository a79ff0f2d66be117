"""What everybody in a simulated world shares: chance, time, who is alive, and the log that two runs must agree on."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from database import clock

EPOCH = 1_790_000_000.0  # UTC seconds at which every world begins
WIDTHS = (0.0, 0.0, 0.001, 0.02, 0.3)  # seconds an await may take; only windows that have a width let anybody in
ADMIN = 9001

current: ContextVar[Machine | None] = ContextVar("machine", default=None)


@dataclass(eq=False)
class Machine:
    """A simulated process. Once killed it reaches nothing any more: whatever its code still does has no effect."""

    name: str
    skew: float = 0.0  # seconds its wall clock is off
    dead: bool = False

    def must_live(self) -> None:
        if self.dead:
            raise asyncio.CancelledError(f"{self.name} was killed")


@dataclass
class Chances:
    """How often what goes wrong, drawn once for each world: some are calm, some are hell."""

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
    """One seed's world. `folder` holds the database file and what the shop stores."""

    seed: int
    folder: Path
    chance: random.Random = field(init=False)
    chances: Chances = field(init=False)
    calm: bool = False  # the storm is over: nothing goes wrong any more, everything must come to its end
    seen: Counter[str] = field(default_factory=Counter)  # how often each seam was passed
    trace: list[str] = field(default_factory=list)
    keep_trace: bool = False

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.chances = Chances.draw(self.chance)
        self._digest = hashlib.sha256()
        self._tokens = random.Random(self.seed ^ 0x5EED)

    # --- time and chance ------------------------------------------------------------------------------

    def width(self) -> float:
        return self.chance.choice(WIDTHS)

    def hits(self, probability: float) -> bool:
        """Whether something goes wrong here; never after the storm."""
        return not self.calm and self.chance.random() < probability

    def now(self) -> float:
        return EPOCH + asyncio.get_running_loop().time()

    @contextmanager
    def nature(self) -> Iterator[None]:
        """The shop's clocks and ids come from this world while the body runs."""
        source = clock.Source(
            wall=lambda: self.now() + (machine.skew if (machine := current.get()) else 0.0),
            steady=lambda: asyncio.get_running_loop().time(),
            token=lambda size: self._tokens.randbytes(size).hex(),
            chance=self._tokens.random,
        )
        before = clock.use(source)
        try:
            yield
        finally:
            clock.use(before)

    # --- seams ----------------------------------------------------------------------------------------

    async def seam(self, name: str) -> None:
        """A point at which others may come in between, or at which the process may be dead already."""
        machine = current.get()
        if machine is not None:
            machine.must_live()
        self.note(name)
        await asyncio.sleep(self.width())
        if machine is not None:
            machine.must_live()

    def note(self, name: str) -> None:
        """Write down that this happened now."""
        machine = current.get()
        line = f"{asyncio.get_running_loop().time():.3f} {machine.name if machine else '-'} {name}"
        self.seen[name] += 1
        self._digest.update(line.encode())
        if self.keep_trace:
            self.trace.append(line)

    @property
    def digest(self) -> str:
        """A fingerprint of everything that happened, in order: equal for two runs of a seed."""
        return self._digest.hexdigest()[:16]


def owner_of(context: Context | None) -> Machine | None:
    return current.get() if context is None else context.get(current)
