"""Hundreds of simulated worlds: whatever befalls the shop, the books hold, and everybody gets a result or the money."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.faults.sim.planted_bugs import PLANTS

WORLDS = 300 if os.environ.get("CI") else 60
pytestmark = pytest.mark.timeout(2400)  # a tenth of it on two processors with nothing else to do


def simulate(*arguments: str, hashing: str = "random") -> subprocess.CompletedProcess[str]:
    """Run worlds in processes of their own, which no measuring slows down and which let everybody else go first."""
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
    """Storms of taps, kills, faults, forged words; then all is paid, delivered or given back, to the kopeck."""
    ended = simulate("--seeds", str(WORLDS))
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    assert f"{WORLDS} worlds" in ended.stdout


def test_a_seed_gives_the_same_world_again_in_any_process() -> None:
    """What failed once can be looked at as often as one likes: neither memory nor hashing has a say."""
    worlds = [simulate("--one", "11", hashing=hashing).stdout for hashing in ("1", "2")]
    assert len(worlds[0].splitlines()) > 500
    assert worlds[0] == worlds[1]


def test_every_bug_put_there_on_purpose_is_found() -> None:
    """A simulation that never finds anything has to prove that it can."""
    ended = simulate("--plants")
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    assert ended.stdout.count("found") == len(PLANTS)
