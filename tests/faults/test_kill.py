"""kill -9 at every step: each commit and each effect of the code once before and once after, and what comes of it."""

from __future__ import annotations

import ast
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults import kill, points
from tests.faults.harness import House
from tests.faults.instrument import Trap
from tests.faults.scenarios import STORIES

pytestmark = pytest.mark.asyncio(loop_scope="module")
CASES = list(kill.cases())
# Deaths that a soak has found, each in the story that showed it.
FOUND = [
    ("typed sum", Trap("commit database.payments.open_payment", "before")),
    ("fixed", Trap("commit database.payments.set_message", "before")),
    ("animate", Trap("telegram EditMessageText", "before")),
    ("lost picture", Trap("store put", "after")),
]
DOORS = {"database.engine", "database.migrate"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[House]:
    async with House.open() as opened:
        yield opened


async def test_every_step_of_the_code_is_died_at() -> None:
    """A commit or an effect that no story passes fails here: add it to one, then `… tests.faults.kill --record`."""
    found, shown = points.find(), kill.recorded()
    missing = {point: places for point, places in found.items() if point not in shown and point not in kill.LEFT_ALONE}
    assert not missing, "no story passes these"
    assert sorted(set(shown) - set(found)) == [], "the code has these no more: record again"
    assert sorted(set(kill.LEFT_ALONE) - set(found)) == []
    assert sorted(set(shown.values()) - set(STORIES)) == []


async def test_nobody_else_opens_a_transaction() -> None:
    """What is committed past the door would be in no list: its `writing()` serves it and the migration alone."""
    for module in points.Code().modules:
        for call, place in module.calls:
            begins = ast.unparse(call.func).endswith((".writing", "._transaction"))
            assert not begins or module.name in DOORS, str(place)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("story", "trap"), CASES + FOUND, ids=[f"{story}: {trap}" for story, trap in CASES + FOUND])
async def test_killed(house: House, story: str, trap: Trap) -> None:
    """The process dies there, another takes over: books exact, one task, one result, every order at its end."""
    outcome = await house.run(STORIES[story], trap)
    assert outcome.violation == ""
    assert outcome.deaths == 1 or STORIES[story].worker, "the point was not reached: record again"


@pytest.mark.timeout(240)
@pytest.mark.parametrize("story", kill.unused())
async def test_story(house: House, story: str) -> None:
    """A story whose points others show: it ends as promised without a death."""
    assert (await house.run(STORIES[story])).violation == ""


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("plant", "story", "trap", "said"),
    [
        (
            "forgetful_finish",
            "picture",
            Trap("commit tests.faults.patches.finish_silently", "after"),
            "I8: the result of these jobs was neither delivered nor is it owed",
        ),
        ("sent_first", "picture", Trap("telegram SendDocument", "before"), "0 of document for 1 delivered results"),
        (
            "blind_submit",
            "clip",
            Trap("http services.providers.kling.Kling.submit", "after"),
            "Kling was asked for",
        ),
    ],
)
async def test_a_planted_bug_is_seen(house: House, plant: str, story: str, trap: Trap, said: str) -> None:
    """The harness sees a completion in two transactions, a delivery noted too early, a second paid task."""
    outcome = await house.run(STORIES[story], trap, plant=f"tests.faults.patches.{plant}")
    assert outcome.deaths == 1
    assert said in outcome.violation
