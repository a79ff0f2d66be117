"""What people do beside orders and payments."""

from __future__ import annotations

from tests.faults.scenario import Scenario
from tests.faults.scenario_env import ScenarioEnv
from tests.faults.scenarios.steps import tap_if_there


async def use_settings(env: ScenarioEnv) -> None:
    """An address for receipts, a question to the admin, an order that is dropped, another language."""
    await env.anya.say("/email anya@example.com")
    await env.until_rows("SELECT 1 FROM users WHERE email IS NOT NULL")
    await env.anya.say("/paysupport где мои деньги?")
    await env.admin.sees("где мои", new=True)
    await env.anya.say("рыжая лиса")
    await tap_if_there(env.anya, "Отмена", await env.anya.sees("рыжая лиса", new=True))
    await env.until_passed("commit database.drafts.drop")
    await env.anya.say("/language")
    await tap_if_there(env.anya, "English", await env.anya.sees("На каком языке", new=True))
    await env.until_rows("SELECT 1 FROM users WHERE language = 'en'")


SCENARIOS = (Scenario("settings", use_settings, settings=(("YOOKASSA_RECEIPTS", "on"),)),)
