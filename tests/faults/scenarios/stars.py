"""Money in Telegram Stars, in and back."""

from __future__ import annotations

import asyncio
import re

from tests.faults.scenario import Scenario
from tests.faults.scenario_env import ScenarioEnv
from tests.faults.scenarios.steps import DAY, until_credited, until_refunded
from tests.support.bot_env import ANYA
from tests.support.sandbox_fixture import TOKEN

PACK = 10_000
BOUGHT = (("topup", PACK),)


def sell_packs(env: ScenarioEnv) -> None:
    """Packs in Stars in the catalogue."""
    path = env.folder / "catalogue.toml"
    packs = "maximum = 10000000\nstars = [{ kopecks = 10000, price = 90 }]"
    path.write_text(re.sub(r"^maximum = 10000000.*$", packs, path.read_text("utf-8"), flags=re.MULTILINE), "utf-8")


async def buy_pack(env: ScenarioEnv) -> str:
    """Buy a pack; our id of the payment."""
    await env.anya.say("/topup")
    await env.anya.tap("⭐ 90", on=await env.anya.sees("Пополнить баланс", new=True))
    (invoice, *_) = await env.anya.gets("invoice")
    url = f"{env.sandbox.url}/_chat/users/{ANYA}/pay{env.anya.query}"
    while not env.rows("SELECT 1 FROM ledger WHERE reason = 'topup' AND payment_id IS NOT NULL"):
        # The ten seconds of a checkout may pass while no bot runs: then people tap again.
        async with env.sandbox.http.post(url, json={"message_id": invoice["message_id"]}) as answer:
            if answer.status == 200:
                break
            if answer.status != 402:
                await asyncio.sleep(0.05)
    await until_credited(env)
    return str((await env.until_rows("SELECT id FROM payments WHERE status = 'paid'"))[0][0])


async def pay_in_stars(env: ScenarioEnv) -> None:
    await buy_pack(env)
    await env.admin.say("/reconcile")
    await env.admin.sees("Сверено", new=True)


async def invoice_never_paid(env: ScenarioEnv) -> None:
    """An invoice that nobody pays is closed in the end."""
    await env.anya.say("/topup")
    await env.anya.tap("⭐ 90", on=await env.anya.sees("Пополнить баланс", new=True))
    await env.anya.gets("invoice")
    env.clock.forward(3 * DAY)
    await env.until_rows("SELECT 1 FROM payments WHERE status = 'canceled'")


async def refund_stars(env: ScenarioEnv) -> None:
    ours = await buy_pack(env)
    await env.admin.say(f"/refund_payment {ours}")
    await until_refunded(env, ours)


async def telegram_returns_stars(env: ScenarioEnv) -> None:
    """Telegram gives the Stars back, and the product has not asked for it."""
    ours = await buy_pack(env)
    ((charge,),) = await env.until_rows("SELECT provider_payment_id FROM payments WHERE id = ?", ours)
    await env.post(f"/bot{TOKEN}/refundStarPayment", {"user_id": ANYA, "telegram_payment_charge_id": charge})
    await until_refunded(env, ours)


TAKEN_BACK = (*BOUGHT, ("takeback", -PACK))

SCENARIOS = (
    Scenario("stars", pay_in_stars, BOUGHT, payments=("paid",), prepare=sell_packs),
    Scenario("stars never paid", invoice_never_paid, payments=("canceled",), prepare=sell_packs),
    Scenario("stars refund", refund_stars, TAKEN_BACK, payments=("refunded",), prepare=sell_packs),
    Scenario("stars returned", telegram_returns_stars, TAKEN_BACK, payments=("refunded",), prepare=sell_packs),
)
