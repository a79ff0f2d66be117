"""Worlds by the hundred: `python -m tests.faults.sim --seeds 300`, or one again with every step: `--one 17`."""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path

from tests.faults.sim.planted_bugs import PLANTED_BUGS, planted
from tests.faults.sim.simulation import Outcome, run

FOUND_WITHIN = 100  # seeds in which a planted bug must show itself
SOON = 40  # checks that such a world gets to end; one that needs more without the bug shows nothing

ENOUGH = 300
HAPPENS = {  # what must happen in so many worlds: a button may get a new name, and people must still find it
    *(f"{kind} completed" for kind in ("animate", "edit", "image", "video")),
    *(f"{kind} failed" for kind in ("edit", "image", "video")),
    *(f"yookassa {end}" for end in ("canceled", "paid", "refunded")),
    *(f"stars {end}" for end in ("paid", "pending")),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many worlds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--one", type=int, help="replay this seed and print its trace")
    parser.add_argument("--planted-bugs", action="store_true", help="put each known bug into the product and find it")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        templates = Path(folder)
        if options.one is not None:
            outcome = run(options.one, templates, keep_trace=True)
            print(*outcome.trace, sep="\n")
            print(outcome.seed, outcome.digest, f"{outcome.seconds:.0f} s", outcome.jobs, *outcome.bad, sep="\n")
            return bool(outcome.bad)
        if options.planted_bugs:
            return find_bugs(templates, options.processes)
        return many(range(options.first, options.first + options.seeds), templates, options.processes)


def many(seeds: range, templates: Path, processes: int) -> int:
    """Run the seeds in processes of their own; 1 when a rule was broken in any of them."""
    began, jobs = time.monotonic(), Counter[str]()
    steps = kills = 0
    seconds = 0.0
    broken: list[Outcome] = []
    with workers(templates, processes) as pool:
        for outcome in pool.imap(partial(run, templates=templates), seeds):
            jobs.update(outcome.jobs)
            steps, kills = steps + outcome.steps, kills + outcome.kills
            seconds += outcome.seconds
            if outcome.bad:
                broken.append(outcome)
                print(f"seed {outcome.seed}: {outcome.bad[:3]}", flush=True)
    took = time.monotonic() - began
    print(
        f"{len(seeds)} worlds, {seconds / 3600:.0f} simulated hours, {steps} steps, {kills} kills and deploys in "
        f"{took:.0f} s: {len(broken)} with a broken rule"
    )
    print(", ".join(f"{name} {count}" for name, count in sorted(jobs.items())))
    absent = sorted(HAPPENS - jobs.keys()) if len(seeds) >= ENOUGH else []
    if absent:
        print(f"worlds in which this never happens prove nothing: {', '.join(absent)}")
    if broken:
        print(f"again: python -m tests.faults.sim --one {broken[0].seed}")
    return bool(broken or absent)


def workers(templates: Path, processes: int) -> Pool:
    """Processes forked from one that has run a world already: everything is imported, every statement compiled.

    Each ends after a few worlds, and with it whatever they left behind.
    """
    run(0, templates)
    gc.collect()
    gc.freeze()
    return get_context("fork").Pool(processes, maxtasksperchild=10)


def find_bugs(templates: Path, processes: int) -> int:
    """Look for each planted bug; 1 when one stays hidden."""
    hidden = 0
    with workers(templates, processes) as pool:
        for name, seed in pool.imap(partial(found_at, templates=templates), PLANTED_BUGS):
            hidden += seed is None
            print(f"{name}: " + ("NOT seen" if seed is None else f"found at seed {seed}"), flush=True)
    return bool(hidden)


def found_at(name: str, templates: Path) -> tuple[str, int | None]:
    """The first seed whose world shows the bug: with it a rule is broken, under the same conditions without it none."""
    for seed in range(FOUND_WITHIN):
        with planted(name):
            shown = run(seed, templates, rounds=SOON).bad
        if shown:
            with planted(name, bug=False):
                if not run(seed, templates, rounds=SOON).bad:
                    return name, seed
    return name, None


if __name__ == "__main__":
    sys.exit(main())
