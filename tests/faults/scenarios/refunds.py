"""Money that goes back through YooKassa."""

from __future__ import annotations

from tests.faults.scenario import GIFT, Scenario
from tests.faults.scenario_env import ScenarioEnv
from tests.faults.scenarios.steps import (
    TAKEN_BACK,
    TOPPED_UP,
    TOPUP,
    spend,
    tap_if_there,
    top_up,
    turn_on_notifications,
    until_refunded,
)


async def refund(env: ScenarioEnv) -> None:
    _, ours = await top_up(env)
    await env.admin.say(f"/refund_payment {ours}")
    await until_refunded(env, ours)


async def refund_in_parts(env: ScenarioEnv) -> None:
    _, ours = await top_up(env)
    await env.admin.say(f"/refund_payment {ours} 200,50")
    await tap_if_there(env.admin, "Вернуть", await env.admin.sees(ours, new=True))
    await until_refunded(env, ours)
    await env.admin.say(f"/refund_payment {ours}")
    await until_refunded(env, ours, count=2)


async def refund_slow(env: ScenarioEnv) -> None:
    """YooKassa takes its time over the refund."""
    _, ours = await top_up(env)
    await env.post("/_control/yookassa/settings", {"refund_outcome": "pending"})
    await env.admin.say(f"/refund_payment {ours}")
    ((theirs,), *_) = await env.until_rows(
        "SELECT provider_refund_id FROM refunds WHERE provider_refund_id IS NOT NULL"
    )
    await env.post(f"/_control/yookassa/refunds/{theirs}/settle")
    await until_refunded(env, ours)


async def refund_refused(env: ScenarioEnv) -> None:
    _, ours = await top_up(env)
    await env.post("/_control/yookassa/settings", {"refund_outcome": "canceled"})
    await env.admin.say(f"/refund_payment {ours}")
    await until_refunded(env, ours, "canceled")


async def refund_request_lost(env: ScenarioEnv) -> None:
    """The request is lost, and YooKassa has forgotten its key by the time it is asked again."""
    _, ours = await top_up(env)
    env.sandbox.fault("yookassa", "v3/refunds", drop="before", times=1_000)
    await env.admin.say(f"/refund_payment {ours}")
    await env.until_rows("SELECT 1 FROM refunds WHERE sent_at > 0")
    env.write("UPDATE refunds SET sent_at = sent_at - 90000000")
    await env.until_passed("commit database.refunds.schedule_poll")
    env.sandbox.world.faults.clear()
    await until_refunded(env, ours)


async def refund_in_cabinet(env: ScenarioEnv) -> None:
    """The admin gives money back on YooKassa's own pages, and a part of it was spent: the rest is a debt."""
    await turn_on_notifications(env)
    theirs, ours = await top_up(env)
    await env.post("/_control/yookassa/refunds", {"payment_id": theirs})
    await until_refunded(env, ours)


def spend_most(env: ScenarioEnv) -> None:
    spend(env, GIFT - 20_000)


SCENARIOS = (
    Scenario("refund", refund, TAKEN_BACK, payments=("refunded",)),
    Scenario(
        "refund in parts",
        refund_in_parts,
        (*TOPPED_UP, ("takeback", -20_050), ("takeback", -29_950)),
        payments=("refunded",),
    ),
    Scenario("refund slowly", refund_slow, TAKEN_BACK, payments=("refunded",)),
    Scenario("refund refused", refund_refused, (*TAKEN_BACK, ("returned", TOPUP)), payments=("paid",)),
    Scenario(
        "refund never arrived",
        refund_request_lost,
        TAKEN_BACK,
        payments=("refunded",),
        expected_errors=frozenset({"sweeper.duty_failed"}),
    ),
    Scenario(
        "refund in the cabinet",
        refund_in_cabinet,
        (("spent", 20_000 - GIFT), *TAKEN_BACK),
        payments=("refunded",),
        prepare=spend_most,
    ),
)
