"""Hundreds of simulated worlds: whatever happens, the books hold, and everybody gets a result or the money."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.faults.sim.planted_bugs import PLANTED_BUGS

WORLDS = 300 if os.environ.get("CI") else 60
pytestmark = pytest.mark.timeout(2400)  # a tenth of it on two idle processors


def simulate(*arguments: str, hashing: str = "random") -> subprocess.CompletedProcess[str]:
    """Run worlds in processes of their own: coverage does not slow them down, and other work goes first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    return subprocess.run(
        ["nice", "-n", "10", sys.executable, "-m", "tests.faults.sim", *arguments],
        env={**kept, "PYTHONHASHSEED": hashing},
        capture_output=True,
        text=True,
        check=False,
        timeout=2300,
    )


def test_in_every_world_the_books_hold_and_every_order_has_an_end() -> None:
    """Impatient people, kills, faults, forged requests; then all is paid, delivered or given back, to the kopeck."""
    ended = simulate("--seeds", str(WORLDS))
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    assert f"{WORLDS} worlds" in ended.stdout


def test_a_seed_gives_the_same_world_again_in_any_process() -> None:
    """A failure can be repeated as often as one likes: memory and hashing change nothing."""
    worlds = [simulate("--one", "11", hashing=hashing).stdout for hashing in ("1", "2")]
    assert len(worlds[0].splitlines()) > 500
    assert worlds[0] == worlds[1]


def test_every_planted_bug_is_found() -> None:
    """A simulation that never finds anything must show that it can."""
    ended = simulate("--planted-bugs")
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    assert ended.stdout.count("found") == len(PLANTED_BUGS)
