"""Worlds by the hundred: `python -m tests.faults.sim --seeds 300`, or one again with every step: `--one 17`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from tests.faults.sim.story import Outcome, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many worlds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--one", type=int, help="replay this seed and print its trace")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        templates = Path(folder)
        if options.one is not None:
            outcome = run(options.one, templates, keep_trace=True)
            print(*outcome.trace, sep="\n")
            print(outcome.seed, outcome.digest, f"{outcome.seconds:.0f} s", outcome.jobs, *outcome.bad, sep="\n")
            return bool(outcome.bad)
        return many(range(options.first, options.first + options.seeds), templates, options.processes)


def many(seeds: range, templates: Path, processes: int) -> int:
    """Run the seeds in processes of their own; 1 when a rule was broken in any of them."""
    began, jobs = time.monotonic(), Counter[str]()
    steps = seconds = kills = 0
    broken: list[Outcome] = []
    with ProcessPoolExecutor(processes) as pool:
        for outcome in pool.map(partial(run, templates=templates), seeds, chunksize=5):
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
    if broken:
        print(f"again: python -m tests.faults.sim --one {broken[0].seed}")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
