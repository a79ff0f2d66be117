"""kill -9 at every point: which kills the test suite tries, and a soak of as many as one likes.

    python -m tests.faults.kill --kills 1000 --seed 7      random kills; exit status 1 on any violation
    python -m tests.faults.kill --scenario refund --at "after yookassa POST /refunds"     one of them again
    python -m tests.faults.kill --scenario refund --after 0.8   killed from outside, 0.8 s after the start
    python -m tests.faults.kill --record                   record which scenario passes which point

A violation is printed with the command that repeats it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import points, scenarios
from tests.faults.harness import Harness
from tests.faults.instrument import AFTER, BEFORE, KillPoint
from tests.faults.scenario import Outcome, Scenario

RECORDED = Path(__file__).with_name("recorded_passes.json")
FROM_OUTSIDE = 0.2  # the share of kills that come from outside, at a moment that nobody chose
LEFT_ALONE = {
    "http services.providers.nano_banana.NanoBanana.models": "only check-config asks, and it changes nothing",
    "yookassa GET /me": "only check-config asks, and it changes nothing",
}


def recorded() -> dict[str, str]:
    """Point → the scenario that passes it. Which points there are, only the code says."""
    found: dict[str, str] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return found


def cases() -> Iterator[tuple[str, KillPoint]]:
    """Each point of the code once before and once after, in the scenario that passes it."""
    passes = recorded()
    for point in points.find():
        if point in passes:
            yield from ((passes[point], KillPoint(point, edge)) for edge in (BEFORE, AFTER))


def without_kill() -> list[str]:
    """Scenarios in which no case kills: they are run once to their end."""
    return [scenario.name for scenario in scenarios.ALL if scenario.name not in set(recorded().values())]


def whole_passes(outcome: Outcome) -> Counter[str]:
    """How often each point was passed at both edges."""
    passed = Counter(outcome.passed)
    return Counter({point: count for (edge, point), count in passed.items() if edge == AFTER and passed[BEFORE, point]})


# --- recording --------------------------------------------------------------------------------------


async def record() -> int:
    """Run every scenario twice without a kill; a point belongs to the first one that passes it both times."""
    passes: dict[str, str] = {}
    async with Harness.open() as harness:
        for scenario in scenarios.ALL:
            outcomes = [await harness.run(scenario) for _ in range(2)]
            for outcome in outcomes:
                if outcome.violation:
                    print(f"{scenario.name}: {outcome.violation}", file=sys.stderr)
                    return 1
            for point in whole_passes(outcomes[0]).keys() & whole_passes(outcomes[1]).keys():
                passes.setdefault(point, scenario.name)
            print(f"{scenario.name}: {outcomes[0].seconds:.1f} s")
    RECORDED.write_text(json.dumps(passes, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    missing = [point for point in points.find() if point not in passes and point not in LEFT_ALONE]
    print(f"{len(passes)} points are passed, {len(missing)} are not: {missing}")
    return 1 if missing else 0


# --- the soak ---------------------------------------------------------------------------------------


@dataclass
class Soak:
    """What is still to do, and what was seen so far."""

    wanted: int
    chance: random.Random
    kills: int = 0
    missed: int = 0
    runs: int = 0
    hit: set[tuple[str, str]] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)
    passes: dict[str, Counter[str]] = field(default_factory=dict)  # by scenario, in a run without a kill
    seconds: dict[str, float] = field(default_factory=dict)

    def count(self, outcome: Outcome, command: str) -> None:
        self.runs += 1
        self.kills += outcome.kills
        if outcome.kill_point is not None:
            if outcome.kills:
                self.hit.add((outcome.kill_point.point, outcome.kill_point.edge))
            else:
                self.missed += 1
        if outcome.violation:
            self.violations.append(command)
            print(f"VIOLATION {command}\n{outcome.violation}\n", flush=True)

    def any_kill_point(self, scenario: Scenario) -> KillPoint:
        passes = self.passes[scenario.name]
        point = self.chance.choice(sorted(passes))
        return KillPoint(point, self.chance.choice((BEFORE, AFTER)), self.chance.randint(1, passes[point]))


async def soak(kills: int, seed: int, at_once: int) -> int:
    """Kill as often as asked for, in `at_once` environments side by side; 1 when anything was broken."""
    state = Soak(kills, random.Random(seed))
    began = time.monotonic()
    unkilled = iter(scenarios.ALL)
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(_kill_at_random(state, unkilled))
    seconds = time.monotonic() - began
    edges = 2 * len(points.find())
    print(
        f"{state.kills} kills in {state.runs} runs of {len(scenarios.ALL)} scenarios, {len(state.hit)} of {edges} "
        f"edges hit, {state.missed} not reached, {seconds:.0f} s ({state.kills / seconds:.2f} kills/s), "
        f"{len(state.violations)} violations, seed {seed}"
    )
    return 1 if state.violations else 0


async def _kill_at_random(state: Soak, unkilled: Iterator[Scenario]) -> None:
    async with Harness.open() as harness:
        for scenario in unkilled:  # shared: each is run once by somebody, which says what there is to hit
            outcome = await harness.run(scenario)
            state.count(outcome, _command(scenario))
            state.passes[scenario.name], state.seconds[scenario.name] = whole_passes(outcome), outcome.seconds
        while state.kills < state.wanted:
            scenario = state.chance.choice([one for one in scenarios.ALL if one.name in state.passes])
            if state.chance.random() < FROM_OUTSIDE:
                moment = round(state.chance.uniform(0.0, state.seconds[scenario.name]), 3)
                outcome = await harness.run(scenario, pauses=one_pause(moment))
                state.count(outcome, f"{_command(scenario)} --after {moment}")
            else:
                kill_point = state.any_kill_point(scenario)
                outcome = await harness.run(scenario, kill_point)
                nth = f" --nth {kill_point.nth}" if kill_point.nth > 1 else ""
                state.count(outcome, f"{_command(scenario)} --at '{kill_point.edge} {kill_point.point}'{nth}")


def _command(scenario: Scenario) -> str:
    return f"--scenario {scenario.name!r}"


def one_pause(seconds: float) -> Callable[[], float]:
    """The pauses before kills from outside: one, and no more."""
    pauses = itertools.chain([max(seconds, 0.001)], itertools.repeat(0.0))
    return lambda: next(pauses)


# --- one again --------------------------------------------------------------------------------------


async def repeat(options: argparse.Namespace) -> int:
    kill_point = None
    if options.at:
        edge, _, point = options.at.partition(" ")
        kill_point = KillPoint(point, edge, options.nth)
    pauses = one_pause(options.after) if options.after else None
    async with Harness.open() as harness:
        outcome = await harness.run(scenarios.BY_NAME[options.scenario], kill_point, pauses=pauses)
    print(outcome.violation or f"{options.scenario}: {outcome.kills} kills, {outcome.seconds:.1f} s, no violation")
    return 1 if outcome.violation else 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kill", description="kill -9 at every point")
    parser.add_argument("--kills", type=int, default=100, help="how many kills (default %(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the choice of kills")
    parser.add_argument("--at-once", type=int, default=2, help="environments side by side (default %(default)s)")
    parser.add_argument("--record", action="store_true", help="record again which scenario passes which point")
    parser.add_argument("--scenario", choices=scenarios.BY_NAME, metavar="NAME", help="run only this one")
    parser.add_argument(
        "--at", metavar="'EDGE POINT'", help="and kill there, as in 'before commit database.jobs.start'"
    )
    parser.add_argument("--nth", type=int, default=1, help="at this pass of the point (default 1)")
    parser.add_argument("--after", type=float, metavar="SECONDS", help="or kill from outside after so long")
    return parser


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    if options.record:
        return asyncio.run(record())
    if options.scenario:
        return asyncio.run(repeat(options))
    return asyncio.run(soak(options.kills, options.seed, options.at_once))


if __name__ == "__main__":
    raise SystemExit(main())
