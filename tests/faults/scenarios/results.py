"""Results on their way to the chat, and afterwards."""

from __future__ import annotations

from tests.faults.processes import until
from tests.faults.scenario import Scenario
from tests.faults.scenario_env import ScenarioEnv
from tests.faults.scenarios.steps import DAY, IMAGE_RESERVED, get_image, order, tap_if_there

# --- Telegram fails ---------------------------------------------------------------------------------


async def blocked_while_answering(env: ScenarioEnv) -> None:
    """Telegram says that the person has blocked the bot while they were being answered."""
    no = {"ok": False, "error_code": 403, "description": "Forbidden: bot was blocked by the user"}
    env.sandbox.fault("telegram", "sendMessage", status=403, body=no, times=1_000)
    await env.anya.say("/balance")
    await env.until_passed("commit database.users.set_unreachable")
    env.sandbox.world.faults.clear()
    await env.anya.say("/start")
    await env.anya.sees("Напишите, что нарисовать", new=True)


def slow_down_gemini(env: ScenarioEnv) -> None:
    """So that there is time to block the bot before the result."""
    env.sandbox.fault("gemini", "generateContent", delay=0.3)


async def blocked_before_result(env: ScenarioEnv) -> None:
    """The person blocks the bot before the result comes; it is kept, and comes when the person is back."""
    await order(env, "рыжая лиса")
    await env.until_rows("SELECT 1 FROM jobs")
    await env.anya.block()
    await env.finished_job()
    await env.until_rows("SELECT 1 FROM outbox WHERE kind = 'result' AND (dead_reason IS NOT NULL OR sent_at > 0)")
    await env.anya.unblock()
    await env.until_rows("SELECT 1 FROM jobs WHERE delivered_at > 0")


async def telegram_fails_once(env: ScenarioEnv) -> None:
    error = {"ok": False, "error_code": 500, "description": "Internal Server Error"}
    env.sandbox.fault("telegram", "sendDocument", status=500, body=error)
    await get_image(env)


async def file_too_large(env: ScenarioEnv) -> None:
    large = {"ok": False, "error_code": 413, "description": "Request Entity Too Large"}
    env.sandbox.fault("telegram", "sendDocument", status=413, body=large, times=3)
    await get_image(env)
    await env.until_rows("SELECT 1 FROM outbox WHERE dead_reason IS NOT NULL")
    env.sandbox.world.faults.clear()


# --- afterwards -------------------------------------------------------------------------------------


async def edit_result(env: ScenarioEnv) -> None:
    """The result becomes the photo of a new order, which is dropped."""
    await get_image(env)
    await env.until_rows("SELECT 1 FROM jobs WHERE delivered_at > 0")
    (*_, newest) = await env.anya.gets("photo")
    await env.anya.tap("Изменить", on=newest)
    await env.anya.sees("Что изменить", new=False)
    await env.anya.say("добавь снег")
    card = await env.anya.sees("добавь снег", new=True)
    await tap_if_there(env.anya, "Отмена", card)
    await env.until_passed("commit database.drafts.drop")


async def result_expires(env: ScenarioEnv) -> None:
    """The result is kept for a month, then its file and rows are deleted."""
    await get_image(env)
    await env.until_rows("SELECT 1 FROM jobs WHERE delivered_at > 0")
    env.clock.forward(100 * DAY)
    await env.until_rows("SELECT 1 FROM assets WHERE deleted_at > 0")
    await until(lambda: not list((env.folder / "assets").glob("??/??/*")))  # by its row, or as a file without one
    await env.until_rows("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE kind = 'result')")


SCENARIOS = (
    Scenario("blocked while answering", blocked_while_answering),
    Scenario(
        "blocked before the result", blocked_before_result, IMAGE_RESERVED, ("completed",), prepare=slow_down_gemini
    ),
    Scenario("telegram fails once", telegram_fails_once, IMAGE_RESERVED, ("completed",)),
    Scenario(
        "file too large",
        file_too_large,
        IMAGE_RESERVED,
        ("completed",),
        undelivered=1,
        expected_errors=frozenset({"notifier.gave_up"}),
    ),
    Scenario("edit of a result", edit_result, IMAGE_RESERVED, ("completed",)),
    Scenario("expired result", result_expires, IMAGE_RESERVED, ("completed",)),
)
