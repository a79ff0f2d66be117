"""What administrators do about money in the chat, and what customers then see."""

from __future__ import annotations

import re
from typing import Any

from database import payments as payment_rows
from database.models import Payment, PaymentStatus
from tests.support.bot_env import ADMIN, ANYA, BotEnv, buttons_of, until


async def paid(bot_env: BotEnv, user_id: int = ANYA, rubles: int = 500) -> Payment:
    """A top-up that was paid and credited."""
    order = await bot_env.app.payments.open_topup(
        user_id, rubles * 100, chat_id=user_id, language="ru", payment_id=f"order-{user_id}-{rubles}"
    )
    await bot_env.pay(order.id)
    return await bot_env.app.payments.settle(order.id)


async def test_an_admin_returns_a_payment_found_on_the_persons_card(bot_env: BotEnv) -> None:
    """/user shows the payment's id, /refund_payment returns a part and then the rest; the customer is told."""
    admin, anya = bot_env.person(ADMIN), bot_env.person(ANYA)
    await anya.say("/start")
    payment = await paid(bot_env)
    await admin.say(f"/user {ANYA}")
    card = await admin.sees(payment.id, new=True)
    assert "оплачен" in card["text"]
    await admin.say(f"/refund_payment {payment.id} 200,50")
    asked = await admin.sees("Вернуть 200,50", new=True)
    assert (await rows_of(bot_env, payment)).refunded_amount == 0
    await admin.press("Вернуть 200,50", on=asked)
    await admin.sees("Возвращено 200,50", new=True)
    await anya.sees("Платёж вернулся туда, откуда пришёл: 200,50")
    await admin.say(f"/user {ANYA}")
    await admin.sees("возвращено 200,50", new=True)
    await admin.say(f"/refund_payment {payment.id}")
    await admin.sees("Возвращено 299,50", new=True)
    after = await bot_env.db.read(payment_rows.get, payment.id)
    assert after is not None
    assert after.status is PaymentStatus.REFUNDED
    await admin.say(f"/refund_payment {payment.id}")
    await admin.sees("столько вернуть нельзя", new=True)


async def rows_of(bot_env: BotEnv, payment: Payment) -> Payment:
    found = await bot_env.db.read(payment_rows.get, payment.id)
    assert found is not None
    return found


def confirming(card: dict[str, Any]) -> str:
    """What stands behind the first button of a card."""
    return str(buttons_of(card)[0]["callback_data"])


async def test_a_part_typed_twice_is_returned_once(bot_env: BotEnv) -> None:
    """Two equal commands make two cards; the newer is confirmed, the older starts nothing, nor do more taps."""
    admin = bot_env.person(ADMIN)
    payment = await paid(bot_env)
    cards = []
    for _ in range(2):
        await admin.say(f"/refund_payment {payment.id} 100")
        cards.append(await admin.sees("Вернуть 100", new=True))
    await admin.press("Вернуть 100", on=cards[0])
    await admin.sees("уже не действует")
    assert (await rows_of(bot_env, payment)).refunded_amount == 0
    for tap in [admin.tap_raw(confirming(cards[1])) for _ in range(3)]:
        await admin.answer_to(tap)
    await admin.sees("Возвращено 100")
    assert (await rows_of(bot_env, payment)).refunded_amount == 10_000
    assert len(bot_env.sandbox.world.faces["yookassa"].refunds) == 1


async def test_two_administrators_do_not_return_the_same_part_twice(bot_env: BotEnv) -> None:
    """What a card shows must still be so when it is confirmed: a return in between makes it say so and do nothing."""
    admin = bot_env.person(ADMIN)
    payment = await paid(bot_env)
    await admin.say(f"/refund_payment {payment.id} 100")
    card = await admin.sees("Вернуть 100", new=True)
    await bot_env.app.refunds.refund(ADMIN, payment.id, 10_000, refund_id="by-another")
    await admin.press("Вернуть 100", on=card)
    await admin.sees("за это время прошёл другой возврат")
    assert (await rows_of(bot_env, payment)).refunded_amount == 10_000
    await admin.say(f"/refund_payment {payment.id} 100")
    warned = await admin.sees("Столько же уже возвращено", new=True)
    await admin.press("Не возвращать", on=warned)
    await admin.sees("Ничего не возвращено")
    await admin.press_raw(confirming(warned))
    assert (await rows_of(bot_env, payment)).refunded_amount == 10_000
    await admin.say(f"/refund_payment {payment.id}")
    await admin.sees("Возвращено 400", new=True)


async def test_only_an_administrator_confirms(bot_env: BotEnv) -> None:
    """More than is left is refused at once; a forged tap of somebody else's moves nothing."""
    admin = bot_env.person(ADMIN)
    payment = await paid(bot_env)
    await admin.say(f"/refund_payment {payment.id} 600")
    await admin.sees("столько вернуть нельзя", new=True)
    await admin.say(f"/refund_payment {payment.id} 50")
    card = await admin.sees("Вернуть 50", new=True)
    bob = bot_env.person(ANYA)
    await bob.say("/start")
    await bob.press_raw(confirming(card))  # a person who forges the button
    assert (await rows_of(bot_env, payment)).refunded_amount == 0
    await admin.press("Вернуть 50", on=card)
    await admin.sees("Возвращено 50")


async def test_a_refusal_says_what_to_type(bot_env: BotEnv) -> None:
    """No id, no sum, an unknown payment: a sentence, and no money moves."""
    admin = bot_env.person(ADMIN)
    await admin.say("/refund_payment")
    await admin.sees("Так: /refund_payment", new=True)
    await admin.say("/refund_payment p1 минус пять")
    await admin.sees("Так: /refund_payment", new=True)
    await admin.say("/refund_payment nothing")
    await admin.sees("Не найдено", new=True)


async def test_a_return_that_waits_is_finished_by_the_bot_itself(bot_env: BotEnv) -> None:
    """YooKassa does not answer now: the admin hears that it goes on, and later that it is done."""
    admin = bot_env.person(ADMIN)
    payment = await paid(bot_env)

    async def compared() -> bool:
        return bot_env.sandbox.calls("yookassa", "refunds") > 0

    await until(compared, what="the comparison at start, which asks for refunds as well")
    bot_env.sandbox.fault("yookassa", "v3/refunds", times=1, status=500)
    await admin.say(f"/refund_payment {payment.id}")
    await admin.sees("начат", new=True)

    def due(tx: object) -> None:
        from sqlalchemy import text

        tx.execute(text("UPDATE refunds SET next_look_at = 1 WHERE next_look_at IS NOT NULL"))  # type: ignore[attr-defined]

    await bot_env.db.write(due)
    await admin.sees("возвращено 500")


async def test_people_have_no_such_commands(bot_env: BotEnv) -> None:
    """For everybody but administrators these commands do not exist."""
    anya = bot_env.person(ANYA)
    payment = await paid(bot_env)
    await anya.say(f"/refund_payment {payment.id}")
    answer = await anya.find("Возвращено", new=True)
    assert answer is None

    async def answered() -> bool:
        return any(not one.get("outgoing") and one["message_id"] > anya.last for one in await anya.messages())

    await until(answered, what="an answer to an unknown command")
    said = [one["text"] for one in await anya.messages() if one["message_id"] > anya.last]
    assert not any(re.search("верн|возврат", text, re.IGNORECASE) for text in said)
    after = await bot_env.db.read(payment_rows.get, payment.id)
    assert after is not None
    assert after.refunded_amount == 0


async def test_an_admin_compares_and_decides(bot_env: BotEnv) -> None:
    """/reconcile counts, /fix lists what waits with its proposal, apply books it once, and the customer is told."""
    admin, anya = bot_env.person(ADMIN), bot_env.person(ANYA)
    await anya.say("/start")
    payment = await paid(bot_env)
    await admin.say("/reconcile soon")
    await admin.sees("Так: /reconcile", new=True)
    await admin.say("/reconcile")
    await admin.sees("платежей 1, возвратов 0", new=True)
    await admin.say("/fix")
    await admin.sees("Расхождений, которые ждут решения, нет", new=True)
    bot_env.sandbox.world.faces["yookassa"].payments[payment.provider_payment_id].amount += 5
    await admin.say("/reconcile 7")
    await admin.sees("Расхождение № 1")
    await admin.say("/fix")
    listed = await admin.sees("суммы не сходятся", new=True)
    assert payment.id in listed["text"]
    assert "начислить 5" in listed["text"].replace("\u00a0", " ")
    await admin.say("/fix 1 maybe")
    await admin.sees("Так: /fix", new=True)
    await admin.say("/fix 1 apply")
    await admin.sees("№ 1: сделано", new=True)
    await anya.sees("Исправлена ошибка в расчётах: начислено 5")
    await admin.say("/fix 1 apply")
    await admin.sees("решение уже принято", new=True)
    assert await bot_env.db.get_balance(ANYA) == 50_500


async def test_a_silent_yookassa_is_said(bot_env: BotEnv) -> None:
    """The comparison could not be made: a sentence, nothing else."""
    admin = bot_env.person(ADMIN)
    bot_env.sandbox.fault("yookassa", "v3/payments", times=5, status=500)
    await admin.say("/reconcile")
    await admin.sees("не ответил до конца", new=True)
