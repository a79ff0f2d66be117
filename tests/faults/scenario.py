"""A scenario: what people do with the product, and how it must end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.faults.instrument import KillPoint
from tests.faults.scenario_env import ScenarioEnv

GIFT = 100_000  # kopecks that Anya has when a scenario begins

Act = Callable[[ScenarioEnv], Awaitable[None]]
Step = Callable[[ScenarioEnv], None]


@dataclass(frozen=True)
class Scenario:
    """What people do, and what must be true when nothing is under way any more.

    `entries` are Anya's entries in the ledger as (reason, kopecks), without the first gift. `jobs` and `payments` are
    the final states, oldest first.
    """

    name: str
    act: Act
    entries: tuple[tuple[str, int], ...] = ()
    jobs: tuple[str, ...] = ()
    payments: tuple[str, ...] | None = ()  # None: it depends on where the kill was
    settings: tuple[tuple[str, str], ...] = ()
    program: str = "bot"
    redis: bool = False
    worker: bool = False
    prepare: Step | None = None  # before the program starts
    check: Step | None = None  # at the end; raises AssertionError
    videos: int | None = None  # tasks at Kling; None: as many as there are video jobs
    undelivered: int = 0
    shown_again: int = 0  # results that the person asks to see once more
    extra_images: int = 0  # images whose answers the scenario itself loses
    may_be_refunded: bool = False  # its only job may fail when a kill loses the second call, which is the last one, too
    expected_errors: frozenset[str] = frozenset()  # events that the log may hold as errors
    patch: str = ""  # the dotted name of a function that changes the process before it begins


@dataclass
class Outcome:
    """How a run of a scenario ended: every point that was passed, and what was broken."""

    scenario: str
    kill_point: KillPoint | None
    passed: list[tuple[str, str]] = field(default_factory=list)
    kills: int = 0
    seconds: float = 0.0
    violation: str = ""
