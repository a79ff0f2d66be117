"""Hundreds of simulated worlds: whatever befalls the shop, the books hold, and everybody gets a result or the money."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.sim.plants import PLANTS, planted
from tests.faults.sim.story import run

BATCH = 10
WORLDS = 300
FOUND_WITHIN = 25  # seeds; most bugs are found within five
pytestmark = pytest.mark.no_cover  # the same code again and again: measuring it would double the time


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("templates")


@pytest.mark.parametrize("first", range(0, WORLDS, BATCH))
def test_in_every_world_the_books_hold_and_every_order_has_an_end(first: int, templates: Path) -> None:
    """Storms of taps, kills, faults, forged words; then all is paid, delivered or given back, to the kopeck."""
    for seed in range(first, first + BATCH):
        outcome = run(seed, templates)
        assert not outcome.bad, f"python -m tests.faults.sim --one {seed}: {outcome.bad[:5]}"


def test_a_seed_gives_the_same_world_again_in_any_process(templates: Path) -> None:
    """What failed once can be looked at as often as one likes: neither memory nor hashing has a say."""
    worlds = [run(seed, templates).digest for seed in (11, 12)]
    assert run(11, templates).digest == worlds[0]
    script = (
        "import sys; from pathlib import Path; from tests.faults.sim.story import run;"
        "print(run(11, Path(sys.argv[1])).digest, run(12, Path(sys.argv[1])).digest)"
    )
    for hashing in ("1", "2"):
        again = subprocess.run(
            [sys.executable, "-c", script, str(templates)], env={**os.environ, "PYTHONHASHSEED": hashing},
            capture_output=True, text=True, check=True, timeout=300,
        )
        assert again.stdout.split() == worlds


@pytest.mark.parametrize("name", PLANTS)
def test_a_bug_put_there_on_purpose_is_found(name: str, templates: Path) -> None:
    """A simulation that never finds anything has to prove that it can."""
    with planted(name):
        for seed in range(FOUND_WITHIN):
            if run(seed, templates).bad:
                return
    pytest.fail(f"{FOUND_WITHIN} worlds with the bug '{name}' looked fine")
