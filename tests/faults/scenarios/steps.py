"""Steps that several scenarios share."""

from __future__ import annotations

from database import ledger
from database.engine import SqliteFile
from tests.faults.scenario_env import ScenarioEnv
from tests.support.bot_env import ANYA, Json, Person

IMAGE_PRICE, VIDEO_PRICE, ANIMATION_PRICE = 1_200, 11_000, 11_000
TOPUP = 50_000
DAY = 24 * 3600.0

IMAGE_RESERVED = (("reserve", -IMAGE_PRICE),)
VIDEO_RESERVED = (("reserve", -VIDEO_PRICE),)
TOPPED_UP = (("topup", TOPUP),)
TAKEN_BACK = (*TOPPED_UP, ("takeback", -TOPUP))

YOOKASSA_IDS = "SELECT provider_payment_id FROM payments WHERE provider_payment_id IS NOT NULL"


# --- orders -----------------------------------------------------------------------------------------


async def order(env: ScenarioEnv, prompt: str) -> None:
    """Send a prompt, and tap the button with the price on the card that answers it."""
    await env.anya.say(prompt)
    await env.anya.tap("Создать", on=await env.anya.sees(prompt.split("#")[0].strip(), new=True))


async def order_video(env: ScenarioEnv, prompt: str) -> None:
    await env.anya.say("🎬 Клип")
    await env.anya.sees("Что снять", new=True)
    await order(env, prompt)


async def get_image(env: ScenarioEnv) -> None:
    await order(env, "рыжая лиса")
    await env.finished_job()


async def tap_if_there(person: Person, label: str, message: Json) -> None:
    """Tap, unless the button has gone meanwhile: then what it would have done has happened."""
    try:
        await person.tap(label, on=message)
    except AssertionError as error:
        if "no such button" not in str(error):
            raise


# --- payments ---------------------------------------------------------------------------------------


async def open_topup(env: ScenarioEnv) -> tuple[str, str]:
    """Begin a top-up of 500 rubles, up to its link; its id at YooKassa and ours."""
    await env.anya.say("/topup")
    await env.anya.tap("500", on=await env.anya.sees("Пополнить баланс", new=True))
    ((theirs, ours), *_) = await env.until_rows(
        "SELECT provider_payment_id, id FROM payments WHERE provider_payment_id IS NOT NULL"
    )
    await env.anya.sees("Пополнение на 500")  # nobody can pay what they have no link to
    return str(theirs), str(ours)


async def pay(env: ScenarioEnv, theirs: str) -> None:
    await env.post(f"/_control/yookassa/payments/{theirs}/pay")


async def until_credited(env: ScenarioEnv) -> None:
    await env.until_rows("SELECT 1 FROM ledger WHERE kind = 'credit' AND payment_id IS NOT NULL")


async def top_up(env: ScenarioEnv) -> tuple[str, str]:
    """A top-up that is paid and credited; its id at YooKassa and ours."""
    theirs, ours = await open_topup(env)
    await pay(env, theirs)
    env.polls = True
    await until_credited(env)
    return theirs, ours


async def turn_on_notifications(env: ScenarioEnv) -> None:
    """YooKassa tells the bot what happens."""
    url = f"http://127.0.0.1:{env.port}/webhooks/yookassa"
    await env.post("/_control/yookassa/settings", {"notification_url": url})


async def until_refunded(env: ScenarioEnv, ours: str, status: str = "succeeded", count: int = 1) -> None:
    await env.until_rows(
        "SELECT 1 FROM refunds WHERE payment_id = ? AND status = ? GROUP BY payment_id HAVING COUNT(*) = ?",
        ours,
        status,
        count,
    )


def spend(env: ScenarioEnv, amount: int) -> None:
    """Before the program starts: so many kopecks of Anya's are gone."""
    file = SqliteFile.open(env.path)
    file.write(lambda tx: ledger.subtract_balance(tx, ANYA, amount, key="spent", reason="spent"))
    file.close()
