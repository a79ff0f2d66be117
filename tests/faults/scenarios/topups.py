"""Money that comes in through YooKassa."""

from __future__ import annotations

from tests.faults.processes import until
from tests.faults.scenario import GIFT, Scenario
from tests.faults.scenario_env import ScenarioEnv
from tests.faults.scenarios.steps import (
    IMAGE_RESERVED,
    TOPPED_UP,
    YOOKASSA_IDS,
    open_topup,
    pay,
    spend,
    tap_if_there,
    top_up,
    turn_on_notifications,
    until_credited,
)
from tests.support.bot_env import Json

DIFFERENCE_FOUND = frozenset({"payment.quarantined", "difference.found"})

# --- how the bot learns of a payment ----------------------------------------------------------------


async def by_notification(env: ScenarioEnv) -> None:
    await turn_on_notifications(env)
    theirs, _ = await open_topup(env)
    await pay(env, theirs)
    await until_credited(env)


async def by_late_notification(env: ScenarioEnv) -> None:
    """YooKassa sends a notification, and can't be asked at first."""
    await turn_on_notifications(env)
    theirs, _ = await open_topup(env)
    env.sandbox.fault("yookassa", f"payments/{theirs}", status=500, body={"type": "error"}, times=1)
    await pay(env, theirs)
    await until_credited(env)


async def by_button(env: ScenarioEnv) -> None:
    theirs, _ = await open_topup(env)
    link = await env.anya.sees("Пополнение на 500")
    await pay(env, theirs)
    await tap_if_there(env.anya, "Проверить оплату", link)
    env.polls = True
    await until_credited(env)


async def by_poll(env: ScenarioEnv) -> None:
    theirs, _ = await open_topup(env)
    env.polls = True
    await env.until_passed("commit database.payments.schedule_poll")
    await pay(env, theirs)
    await until_credited(env)


async def by_reconciliation(env: ScenarioEnv) -> None:
    theirs, _ = await open_topup(env)
    await pay(env, theirs)
    await env.admin.say("/reconcile")
    await env.admin.sees("Сверено", new=True)
    await until_credited(env)


# --- payments that fail -----------------------------------------------------------------------------


async def never_paid(env: ScenarioEnv) -> None:
    theirs, ours = await open_topup(env)
    await env.post(f"/_control/yookassa/payments/{theirs}/expire")
    env.polls = True
    await env.until_rows("SELECT 1 FROM payments WHERE id = ? AND status = 'canceled'", ours)


async def refused_by_yookassa(env: ScenarioEnv) -> None:
    await env.post("/_control/yookassa/settings", {"max_amount": "100.00"})
    await env.anya.say("/topup")
    await env.anya.tap("500", on=await env.anya.sees("Пополнить баланс", new=True))
    await env.until_rows("SELECT 1 FROM payments WHERE status = 'canceled'")


async def request_lost(env: ScenarioEnv) -> None:
    """YooKassa is out of reach for longer than it remembers a key; then the person taps the same button again."""
    env.sandbox.fault("yookassa", "v3/payments", drop="before", times=50)
    await env.anya.say("/topup")
    choice = await env.anya.sees("Пополнить баланс", new=True)
    await env.anya.tap("500", on=choice)
    await env.until_rows("SELECT 1 FROM payments WHERE sent_at > 0")
    await until(env.answered_taps)
    env.write("UPDATE payments SET sent_at = sent_at - 90000000")
    env.sandbox.world.faults.clear()
    while not env.rows(YOOKASSA_IDS):
        # Where the poller has just closed the old payment, the person is told to try again, and does.
        await _tap_until_answered(env, "500", choice)
    await pay(env, env.rows(YOOKASSA_IDS)[0][0])
    env.polls = True
    await until_credited(env)


async def _tap_until_answered(env: ScenarioEnv, label: str, message: Json) -> None:
    answered = env.answered_taps()
    await env.anya.tap(label, on=message)
    await until(lambda: env.rows(YOOKASSA_IDS) or env.answered_taps() > answered)


def one_paid(env: ScenarioEnv) -> None:
    """A tap that is handled again after its payment opens another payment, which nobody has paid."""
    states = sorted(row[0] for row in env.final_rows("SELECT status FROM payments"))
    assert states in (["paid"], ["paid", "pending"]), states


def all_canceled(env: ScenarioEnv) -> None:
    """A tap that is handled again after a refusal opens another payment, which is refused as well."""
    assert {row[0] for row in env.final_rows("SELECT status FROM payments")} == {"canceled"}


# --- differences ------------------------------------------------------------------------------------


async def dismiss_difference(env: ScenarioEnv) -> None:
    """What YooKassa says does not fit our payment: nothing is credited, and an admin dismisses it."""
    theirs, _ = await open_topup(env)
    env.sandbox.world.faces["yookassa"].payments[theirs].amount += 5
    await pay(env, theirs)
    env.polls = True
    await env.until_rows("SELECT 1 FROM payments WHERE quarantined_reason IS NOT NULL")
    await env.admin.say("/reconcile 7")
    await env.until_rows("SELECT 1 FROM differences")
    await env.admin.say("/fix 1 dismiss")
    await env.until_rows("SELECT 1 FROM differences WHERE state = 'dismissed'")


async def apply_difference(env: ScenarioEnv) -> None:
    theirs, _ = await top_up(env)
    env.sandbox.world.faces["yookassa"].payments[theirs].amount += 5
    await env.admin.say("/reconcile 7")
    await env.until_rows("SELECT 1 FROM differences")
    await env.admin.say("/fix 1 apply")
    await env.until_rows("SELECT 1 FROM differences WHERE state = 'applied'")


# --- an order that waits for money ------------------------------------------------------------------


def spend_everything(env: ScenarioEnv) -> None:
    spend(env, GIFT)


async def order_after_topup(env: ScenarioEnv) -> None:
    """Too little money for the order: the person tops up from its card, and goes on."""
    await env.anya.say("рыжая лиса")
    card = await env.anya.sees("рыжая лиса", new=True)
    await env.anya.tap("Создать", on=card)
    short = await env.anya.sees("Не хватает")
    await tap_if_there(env.anya, "500", short)
    await _pay_and_go_on(env)


async def order_after_typed_sum(env: ScenarioEnv) -> None:
    """The same with a sum that is typed: the old card is removed."""
    await env.anya.say("рыжая лиса")
    await env.anya.tap("Создать", on=await env.anya.sees("рыжая лиса", new=True))
    await env.anya.tap("Другая сумма", on=await env.anya.sees("Не хватает"))
    await env.anya.sees("На сколько рублей")
    await env.anya.say("500")
    await _pay_and_go_on(env)


async def _pay_and_go_on(env: ScenarioEnv) -> None:
    ((theirs,), *_) = await env.until_rows(YOOKASSA_IDS)
    await pay(env, theirs)
    env.polls = True
    await until_credited(env)
    await env.anya.tap("Продолжить заказ")
    await env.finished_job()


POLL_FAILED = frozenset({"sweeper.duty_failed"})
SPENT_AND_ORDERED = (("spent", -GIFT), *TOPPED_UP, *IMAGE_RESERVED)

SCENARIOS = (
    Scenario("topup by notification", by_notification, TOPPED_UP, payments=None, check=one_paid),
    Scenario("topup by a late notification", by_late_notification, TOPPED_UP, payments=("paid",)),
    Scenario("topup by button", by_button, TOPPED_UP, payments=("paid",)),
    Scenario("topup by poll", by_poll, TOPPED_UP, payments=("paid",)),
    Scenario("topup by reconciliation", by_reconciliation, TOPPED_UP, payments=("paid",)),
    Scenario("topup never paid", never_paid, payments=("canceled",)),
    Scenario("topup refused", refused_by_yookassa, payments=None, check=all_canceled),
    Scenario("topup never arrived", request_lost, TOPPED_UP, payments=None, expected_errors=POLL_FAILED),
    Scenario("difference dismissed", dismiss_difference, payments=("canceled",), expected_errors=DIFFERENCE_FOUND),
    Scenario(
        "difference applied",
        apply_difference,
        (*TOPPED_UP, ("correction", 500)),
        payments=("paid",),
        expected_errors=DIFFERENCE_FOUND,
    ),
    Scenario(
        "order after a topup",
        order_after_topup,
        SPENT_AND_ORDERED,
        ("completed",),
        ("paid",),
        prepare=spend_everything,
    ),
    Scenario(
        "order after a typed sum",
        order_after_typed_sum,
        SPENT_AND_ORDERED,
        ("completed",),
        ("paid",),
        prepare=spend_everything,
    ),
)
