"""kill -9 at every point: each commit and each effect of the code once before and once after, and how it ends."""

from __future__ import annotations

import ast
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults import kill, points
from tests.faults.harness import Harness
from tests.faults.instrument import AFTER, BEFORE, KillPoint
from tests.faults.scenario_env import IDLE_POINTS
from tests.faults.scenarios import ALL, BY_NAME

pytestmark = pytest.mark.asyncio(loop_scope="module")
CASES = list(kill.cases())
# Kills that a soak has found to break a rule once, each in the scenario that showed it.
FOUND = [
    ("order after a typed sum", KillPoint("commit database.payments.open_payment", BEFORE)),
    ("difference applied", KillPoint("commit database.payments.set_message", BEFORE)),
    ("animate", KillPoint("telegram EditMessageText", BEFORE)),
    ("lost picture", KillPoint("store put", AFTER)),
]
TRANSACTIONS = {"database.engine", "database.migrate"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def harness() -> AsyncIterator[Harness]:
    async with Harness.open() as opened:
        yield opened


async def test_every_point_of_the_code_is_killed_at() -> None:
    """A commit or an effect that no scenario passes fails here: add it to one, then `… tests.faults.kill --record`."""
    found, passes = points.find(), kill.recorded()
    missing = {point: places for point, places in found.items() if point not in passes and point not in kill.LEFT_ALONE}
    assert not missing, "no scenario passes these"
    assert sorted(set(passes) - set(found)) == [], "the code has these no more: record again"
    assert sorted(set(kill.LEFT_ALONE) - set(found)) == []
    assert sorted(set(IDLE_POINTS) - set(found)) == []
    assert sorted(set(passes.values()) - set(BY_NAME)) == []
    assert len(BY_NAME) == len(ALL)


async def test_nobody_else_opens_a_transaction() -> None:
    """What is committed in another way would be in no list: only connection and migration begin transactions."""
    for module in points.Code().modules:
        for call, place in module.calls:
            begins = ast.unparse(call.func).endswith((".writing", "._transaction"))
            assert not begins or module.name in TRANSACTIONS, str(place)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("scenario", "kill_point"), CASES + FOUND, ids=[f"{name}: {at}" for name, at in CASES + FOUND])
async def test_killed(harness: Harness, scenario: str, kill_point: KillPoint) -> None:
    """The process is killed there and another takes over: books exact, one task, one result, every order ended."""
    outcome = await harness.run(BY_NAME[scenario], kill_point)
    assert outcome.violation == ""
    assert outcome.kills == 1 or BY_NAME[scenario].worker, "the point was not reached: record again"


@pytest.mark.timeout(240)
@pytest.mark.parametrize("scenario", kill.without_kill())
async def test_scenario(harness: Harness, scenario: str) -> None:
    """A scenario whose points others pass as well: without a kill it ends as promised."""
    assert (await harness.run(BY_NAME[scenario])).violation == ""


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("bug", "scenario", "kill_point", "said"),
    [
        (
            "finish_in_two_transactions",
            "picture",
            KillPoint("commit tests.faults.patches.finish_without_message", AFTER),
            "I8: the result of these jobs was neither delivered nor is it owed",
        ),
        (
            "mark_as_sent_before_sending",
            "picture",
            KillPoint("telegram SendDocument", BEFORE),
            "0 of document for 1 delivered results",
        ),
        (
            "submit_without_search",
            "clip",
            KillPoint("http services.providers.kling.Kling.submit", AFTER),
            "Kling was asked for",
        ),
    ],
)
async def test_a_planted_bug_is_seen(
    harness: Harness, bug: str, scenario: str, kill_point: KillPoint, said: str
) -> None:
    """The harness sees a completion in two transactions, a delivery recorded too early, a second paid task."""
    outcome = await harness.run(BY_NAME[scenario], kill_point, patch=f"tests.faults.patches.{bug}")
    assert outcome.kills == 1
    assert said in outcome.violation
