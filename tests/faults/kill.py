"""kill -9 at every step: which deaths are tried in the test suite, and a soak of as many as one likes.

    python -m tests.faults.kill --kills 1000 --seed 7      random deaths; exit status 1 on any violation
    python -m tests.faults.kill --story refund --trap "after yookassa POST /refunds"     one of them again
    python -m tests.faults.kill --story refund --shot 0.8  from outside, 0.8 s after the start
    python -m tests.faults.kill --record                   which story passes which point, into recorded_passes.json

A violation is printed with the command that plays it again.
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

from tests.faults import points
from tests.faults.harness import House, Outcome, Story
from tests.faults.instrument import AFTER, BEFORE, Trap
from tests.faults.scenarios import LIST, STORIES

PASSES = Path(__file__).with_name("recorded_passes.json")
SHOTS = 0.2  # the share of deaths that come from outside, at a moment nobody chose
LEFT_ALONE = {
    "http services.providers.nano_banana.NanoBanana.models": "check-config alone asks, and it changes nothing",
    "yookassa GET /me": "check-config alone asks, and it changes nothing",
}


def recorded() -> dict[str, str]:
    """Point → the story that shows it; which points there are is said by the code alone."""
    found: dict[str, str] = json.loads(PASSES.read_text(encoding="utf-8"))
    return found


def cases() -> Iterator[tuple[str, Trap]]:
    """Each point of the code once before and once after, in the story that shows it."""
    shown = recorded()
    for point in points.find():
        if point in shown:
            yield from ((shown[point], Trap(point, edge)) for edge in (BEFORE, AFTER))


def unused() -> list[str]:
    """Stories in which no case dies: they are played through once."""
    return [story.name for story in LIST if story.name not in set(recorded().values())]


def both_edges(outcome: Outcome) -> Counter[str]:
    """How often each point was passed whole."""
    passed = Counter(outcome.passed)
    return Counter({point: count for (edge, point), count in passed.items() if edge == AFTER and passed[BEFORE, point]})


# --- recording --------------------------------------------------------------------------------------


async def record() -> int:
    """Play every story twice without a death; a point belongs to the first story that passes it each time."""
    shown: dict[str, str] = {}
    async with House.open() as house:
        for story in LIST:
            outcomes = [await house.run(story) for _ in range(2)]
            for outcome in outcomes:
                if outcome.violation:
                    print(f"{story.name}: {outcome.violation}", file=sys.stderr)
                    return 1
            for point in both_edges(outcomes[0]).keys() & both_edges(outcomes[1]).keys():
                shown.setdefault(point, story.name)
            print(f"{story.name}: {outcomes[0].seconds:.1f} s")
    PASSES.write_text(json.dumps(shown, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    missing = [point for point in points.find() if point not in shown and point not in LEFT_ALONE]
    print(f"{len(shown)} points are passed, {len(missing)} are not: {missing}")
    return 1 if missing else 0


# --- the soak ---------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What a soak has seen."""

    wanted: int
    chance: random.Random
    kills: int = 0
    missed: int = 0
    runs: int = 0
    hit: set[tuple[str, str]] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)
    turns: dict[str, Counter[str]] = field(default_factory=dict)
    lengths: dict[str, float] = field(default_factory=dict)

    def take(self, outcome: Outcome, again: str) -> None:
        self.runs += 1
        self.kills += outcome.deaths
        if outcome.trap is not None:
            if outcome.deaths:
                self.hit.add((outcome.trap.point, outcome.trap.edge))
            else:
                self.missed += 1
        if outcome.violation:
            self.violations.append(again)
            print(f"VIOLATION {again}\n{outcome.violation}\n", flush=True)


async def soak(kills: int, seed: int, at_once: int) -> int:
    """Kill as often as asked for, `at_once` shops side by side; 1 when anything was broken."""
    tally = Tally(kills, random.Random(seed))
    began = time.monotonic()
    clean = iter(LIST)
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(_deaths(tally, clean))
    seconds = time.monotonic() - began
    edges = 2 * len(points.find())
    print(
        f"{tally.kills} kills in {tally.runs} runs of {len(LIST)} stories, {len(tally.hit)} of {edges} edges hit, "
        f"{tally.missed} not reached, {seconds:.0f} s ({tally.kills / seconds:.2f} kills/s), "
        f"{len(tally.violations)} violations, seed {seed}"
    )
    return 1 if tally.violations else 0


async def _deaths(tally: Tally, clean: Iterator[Story]) -> None:
    async with House.open() as house:
        for story in clean:  # shared: each story is played once by somebody, which says what there is to hit
            outcome = await house.run(story)
            tally.take(outcome, f"--story {story.name!r}")
            tally.turns[story.name], tally.lengths[story.name] = both_edges(outcome), outcome.seconds
        while tally.kills < tally.wanted:
            story = tally.chance.choice([story for story in LIST if story.name in tally.turns])
            if tally.chance.random() < SHOTS:
                moment = round(tally.chance.uniform(0.0, tally.lengths[story.name]), 3)
                outcome = await house.run(story, shots=one_shot(moment))
                tally.take(outcome, f"--story {story.name!r} --shot {moment}")
            else:
                trap = _any_trap(tally, story)
                outcome = await house.run(story, trap)
                turn = f" --turn {trap.turn}" if trap.turn > 1 else ""
                tally.take(outcome, f"--story {story.name!r} --trap '{trap.edge} {trap.point}'{turn}")


def _any_trap(tally: Tally, story: Story) -> Trap:
    turns = tally.turns[story.name]
    point = tally.chance.choice(sorted(turns))
    return Trap(point, tally.chance.choice((BEFORE, AFTER)), tally.chance.randint(1, turns[point]))


def one_shot(moment: float) -> Callable[[], float]:
    """The pauses before kills from outside: one, and no more."""
    pauses = itertools.chain([max(moment, 0.001)], itertools.repeat(0.0))
    return lambda: next(pauses)


# --- one again --------------------------------------------------------------------------------------


async def again(options: argparse.Namespace) -> int:
    trap = None
    if options.trap:
        edge, _, point = options.trap.partition(" ")
        trap = Trap(point, edge, options.turn)
    shots = one_shot(options.shot) if options.shot else None
    async with House.open() as house:
        outcome = await house.run(STORIES[options.story], trap, shots=shots)
    print(outcome.violation or f"{options.story}: {outcome.deaths} deaths, {outcome.seconds:.1f} s, all is well")
    return 1 if outcome.violation else 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kill", description="kill -9 at every step")
    parser.add_argument("--kills", type=int, default=100, help="how many deaths (default %(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the choice of deaths")
    parser.add_argument("--at-once", type=int, default=2, help="shops side by side (default %(default)s)")
    parser.add_argument("--record", action="store_true", help="find out again which story passes which point")
    parser.add_argument("--story", choices=STORIES, metavar="NAME", help="play this one")
    parser.add_argument("--trap", metavar="'EDGE POINT'", help="and die there")
    parser.add_argument("--turn", type=int, default=1, help="at this pass of the point (default 1)")
    parser.add_argument("--shot", type=float, metavar="SECONDS", help="or killed from outside after so long")
    options = parser.parse_args(argv)
    if options.record:
        return asyncio.run(record())
    if options.story:
        return asyncio.run(again(options))
    return asyncio.run(soak(options.kills, options.seed, options.at_once))


if __name__ == "__main__":
    raise SystemExit(main())
