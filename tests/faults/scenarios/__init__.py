"""All scenarios; together they pass every point of the code.

What people do in a scenario must stand a kill at any moment: nobody waits for the answer to a tap, only for what must
come in the end.
"""

from __future__ import annotations

from tests.faults.scenario import Scenario
from tests.faults.scenarios import admin, orders, people, programs, refunds, results, stars, topups

ALL: tuple[Scenario, ...] = (
    *orders.SCENARIOS,
    *results.SCENARIOS,
    *topups.SCENARIOS,
    *refunds.SCENARIOS,
    *stars.SCENARIOS,
    *admin.SCENARIOS,
    *people.SCENARIOS,
    *programs.SCENARIOS,
)
BY_NAME = {scenario.name: scenario for scenario in ALL}
