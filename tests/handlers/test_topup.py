"""Balance, statement and top-ups as the person sees them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from database import admin
from database import jobs as job_rows
from database import payments as payment_rows
from database.models import PaymentStatus, Tx
from database.rows import Payment
from database.schema import drafts
from services.messaging.notifier import WAITS_MS
from tests.support.bot_env import ANYA, BotEnv, Person, buttons_of, labels_of, open_bot_env, until, words_of
from tests.support.sandbox_fixture import ADMIN, Sandbox

NBSP = "\u00a0"


async def payments_of(bot_env: BotEnv) -> list[Payment]:
    return await bot_env.db.read(payment_rows.of_user, ANYA, limit=50)


async def test_missing_money_is_offered_exactly_and_the_order_goes_on(bot_env: BotEnv) -> None:
    """Short of money: the exact sum first, then larger packs; after paying one tap continues the same order."""
    anya = bot_env.person()
    await bot_env.give(ANYA, 20)
    await anya.say("рыжая лиса")
    await anya.sees("рыжая лиса", new=True)
    await anya.press("Сделать клип")
    assert "не хватает 90" in words_of(await anya.sees("Kling")).replace(NBSP, " ")
    await anya.press("Создать")
    short = await anya.sees("Не хватает")
    assert f"Не хватает 90{NBSP}₽: заказ стоит 110{NBSP}₽, на балансе 20{NBSP}₽" in words_of(short)
    assert labels_of(short)[:2] == [f"➕ Пополнить на 90{NBSP}₽", f"100{NBSP}₽"]
    await anya.press("Пополнить на 90")
    link = await anya.sees("Пополнение на 90")
    assert [button for button in buttons_of(link) if "url" in button]
    assert "ещё не пришла" in await anya.press("Проверить оплату")
    (payment,) = await payments_of(bot_env)
    await bot_env.pay(payment.id)
    await anya.press("Проверить оплату", on=link)
    credited = await anya.sees("Зачислено")
    assert credited["message_id"] == link["message_id"]
    assert f"На балансе 110{NBSP}₽" in words_of(credited)
    await anya.press("Продолжить заказ")
    await anya.gets("video")
    done = await anya.sees("Готово · списано")
    receipt = await anya.sees("Зачислено")
    assert receipt["message_id"] == credited["message_id"] != done["message_id"]
    assert labels_of(receipt) == []
    assert await bot_env.db.get_balance(ANYA) == 0


async def test_the_exact_sum_is_never_below_the_minimum(bot_env: BotEnv) -> None:
    """A few missing rubles are rounded up to the smallest sum that can be paid."""
    anya = bot_env.person()
    await anya.say("рыжая лиса")
    await anya.sees("рыжая лиса", new=True)
    await anya.press("Создать")
    short = await anya.sees(f"Наименьшее пополнение — 50{NBSP}₽")
    assert labels_of(short)[0] == f"➕ Пополнить на 50{NBSP}₽"
    await anya.press("Назад")
    assert labels_of(await anya.sees("Nano Banana 2.1"))[0] == f"Создать · 12{NBSP}₽"


async def test_an_order_goes_on_from_a_typed_sum_and_leaves_no_second_card(bot_env: BotEnv) -> None:
    """The sum was typed, so the receipt stands apart from the order's card: the card goes when the order goes on."""
    anya = bot_env.person()
    await anya.say("рыжая лиса")
    card = await anya.sees("рыжая лиса", new=True)
    await anya.press("Создать")
    await anya.press("Другая сумма")
    await anya.say("150")
    await anya.sees("Пополнение на 150", new=True)
    (payment,) = await payments_of(bot_env)
    await bot_env.pay(payment.id)
    await anya.sees("Зачислено")
    await anya.press("Продолжить заказ")
    await anya.sees("Готово · списано")
    assert card["message_id"] not in [message["message_id"] for message in await anya.messages()]
    assert await bot_env.db.get_balance(ANYA) == 13_800


async def _paid_afresh(bot_env: BotEnv, anya: Person) -> dict[str, Any]:
    """Top up 100 rubles through a fresh /topup, which knows of no order; answers the message about the money."""
    await anya.say("/topup")
    await anya.press("100", on=await anya.sees("Пополнить баланс", new=True))
    (payment,) = [one for one in await payments_of(bot_env) if one.status is PaymentStatus.PENDING]
    await bot_env.pay(payment.id)
    return await anya.sees(f"Зачислено 100{NBSP}₽", new=True)


async def test_money_from_a_fresh_topup_goes_on_with_the_order_that_waits(bot_env: BotEnv) -> None:
    """The newest order that the money makes affordable is named and one tap away; it starts once."""
    anya = bot_env.person()
    await anya.say("синий кит")
    await anya.sees("синий кит", new=True)
    await anya.say("рыжая лиса")
    await anya.sees("рыжая лиса", new=True)
    credited = await _paid_afresh(bot_env, anya)
    assert "Ждёт ваш заказ: рыжая лиса" in words_of(credited)
    assert labels_of(credited) == [f"▶️ Продолжить заказ · 12{NBSP}₽"]
    first = await anya.tap("Продолжить заказ", on=credited)
    second = await anya.tap("Продолжить заказ", on=credited)
    await anya.answer_to(first)
    await anya.answer_to(second)
    await anya.sees("Готово · списано")
    (job,) = await bot_env.db.read(job_rows.of_user, ANYA)
    assert job.prompt == "рыжая лиса"
    assert await bot_env.db.get_balance(ANYA) == 8_800


async def test_a_topup_offers_no_order_that_needed_no_money(bot_env: BotEnv) -> None:
    """Affordable before, still too dear or begun already: the money alone is told."""
    anya = bot_env.person()
    await anya.say("рыжая лиса")
    await anya.sees("рыжая лиса", new=True)
    await bot_env.give(ANYA, 12)
    assert labels_of(await _paid_afresh(bot_env, anya)) == []
    await anya.press("Создать", on=await anya.sees("Nano Banana 2.1"))
    await anya.sees("Готово · списано")
    assert labels_of(await _paid_afresh(bot_env, anya)) == []


async def test_a_topup_offers_no_order_of_another_day(bot_env: BotEnv) -> None:
    """An order that was left alone for more than a day before the payment began is not what the money is for."""
    anya = bot_env.person()
    await anya.say("рыжая лиса")
    await anya.sees("рыжая лиса", new=True)

    def age(tx: Tx) -> None:
        tx.execute(update(drafts).values(updated_at=tx.now - WAITS_MS - 1))

    await bot_env.db.write(age)
    assert labels_of(await _paid_afresh(bot_env, anya)) == []


async def test_a_double_tap_on_a_pack_is_one_payment(bot_env: BotEnv) -> None:
    """Two taps on the same sum find the same payment; once it is paid the next tap opens another."""
    anya = bot_env.person()
    await anya.say("/topup")
    choice = await anya.sees("Пополнить баланс")
    first, second = await anya.tap("300", on=choice), await anya.tap("300", on=choice)
    await anya.answer_to(first)
    await anya.answer_to(second)
    (payment,) = await payments_of(bot_env)
    assert payment.amount == 30_000
    assert payment.message_id == choice["message_id"]
    await bot_env.pay(payment.id)
    await anya.sees(f"Зачислено 300{NBSP}₽")
    await anya.press_raw("t:30000:")
    assert [one.status for one in await payments_of(bot_env)].count(PaymentStatus.PENDING) == 1
    assert await bot_env.db.get_balance(ANYA) == 30_000


@pytest.mark.parametrize("ending", ["paid", "canceled", "open"])
async def test_a_tap_that_comes_again_opens_no_second_payment(bot_env: BotEnv, ending: str) -> None:
    """The bot dies before it can tell Telegram that the tap is done; meanwhile its payment may have ended."""
    anya = bot_env.person()
    await anya.say("/topup")
    updates = bot_env.sandbox.world.faces["telegram"].bot(900).updates
    sent: list[dict[str, Any]] = []
    push = updates.push

    def remember(kind: str, payload: dict[str, Any], user_id: int) -> int | None:
        sent.append(payload)
        number: int | None = push(kind, payload, user_id)
        return number

    updates.push = remember
    await anya.press("300", on=await anya.sees("Пополнить баланс"))
    (payment,) = await payments_of(bot_env)
    if ending == "paid":
        await bot_env.pay(payment.id)
        await anya.sees(f"Зачислено 300{NBSP}₽")
    elif ending == "canceled":
        await bot_env.db.write(payment_rows.cancel, payment.id, "expired_on_confirmation")
    push("callback_query", sent[-1], anya.id)
    await anya.say("/balance")
    await anya.sees("На балансе", new=True)
    assert [one.id for one in await payments_of(bot_env)] == [payment.id]


async def test_a_sum_typed_by_hand(bot_env: BotEnv) -> None:
    """Another sum: hints for what is no sum or outside the limits, a link for what is one."""
    anya = bot_env.person()
    await anya.say("/topup")
    await anya.sees("Пополнить баланс")
    await anya.press("Другая сумма")
    await anya.sees("На сколько рублей")
    for typed, hint in (
        ("сто рублей", "Не похоже на сумму"),
        ("10", f"меньше 50{NBSP}₽"),
        ("99999999", "больше 100"),
        ("100,505", "не больше двух цифр"),
    ):
        await anya.say(typed)
        await anya.sees(hint, new=True)
    await anya.say("1 234,50 ₽")
    await anya.sees(f"Пополнение на 1{NBSP}234,50{NBSP}₽", new=True)
    (payment,) = await payments_of(bot_env)
    assert payment.amount == 123_450
    await bot_env.pay(payment.id)
    await anya.sees(f"На балансе 1{NBSP}234,50{NBSP}₽")
    await anya.say("лиса")
    assert "Nano Banana" in words_of(await anya.sees("лиса", new=True))


async def test_a_typed_answer_that_comes_again_changes_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """The bot dies when all is done but the note of it: the sum and the address open no order, neither now nor then."""
    sandbox.world.faces["yookassa"].settings.update({"fiscalization": True})
    async with open_bot_env(sandbox, tmp_path, YOOKASSA_RECEIPTS="on") as bot_env:
        anya = bot_env.person()
        await anya.say("/email")
        await anya.sees("На какую почту", new=True)
        answers = [await anya.say("anna@example.org")]
        await anya.sees("Чеки будут приходить", new=True)
        await _says_nothing_again(anya, answers)
        await anya.say("/email off")
        await anya.sees("Адрес удалён", new=True)
        for answer in ("500", "anna@example.org"):
            if answer == "500":
                await anya.say("/topup")
                await anya.press("Другая сумма", on=await anya.sees("Пополнить баланс", new=True))
                await anya.sees("На сколько рублей")
            answers.append(await anya.say(answer))
            await anya.sees("На какую почту" if answer == "500" else f"Пополнение на 500{NBSP}₽", new=True)
        await _says_nothing_again(anya, answers[-1:])
        await anya.say("/topup")
        await anya.press("Другая сумма", on=await anya.sees("Пополнить баланс", new=True))
        await anya.sees("На сколько рублей")
        answers = [await anya.say("600")]
        await anya.sees(f"Пополнение на 600{NBSP}₽", new=True)
        await _says_nothing_again(anya, answers)
        assert [payment.amount for payment in await payments_of(bot_env)] == [60_000, 50_000]


async def _says_nothing_again(anya: Person, answers: list[dict[str, Any]]) -> None:
    before = len([one for one in await anya.messages() if not one.get("outgoing")])
    for answer in answers:
        anya.again(answer)
    await anya.say("/balance")
    await anya.sees("На балансе", new=True)
    assert len([one for one in await anya.messages() if not one.get("outgoing")]) == before + 1


async def test_a_forged_sum_opens_no_payment(bot_env: BotEnv) -> None:
    """A tap with a sum outside the limits, which no button of ours holds, is refused."""
    anya = bot_env.person()
    await anya.say("/topup")
    await anya.sees("Пополнить баланс")
    assert "отклонил" in await anya.press_raw("t:99999999999:")
    assert await payments_of(bot_env) == []


async def test_without_a_shop_top_up_says_so(sandbox: Sandbox, tmp_path: Path) -> None:
    """No card payments: the balance, the command and a short order say it kindly, and offer no dead button."""
    async with open_bot_env(sandbox, tmp_path, YOOKASSA_SHOP_ID="", YOOKASSA_SECRET_KEY="") as bot_env:
        anya = bot_env.person()
        await anya.say("/topup")
        await anya.sees("Пополнение сейчас не подключено", new=True)
        assert "Пополнение сейчас не подключено" in await anya.press_raw("t:10000:")
        await anya.say("💰 Баланс")
        shown = await anya.sees("На балансе", new=True)
        assert labels_of(shown) == ["📜 Все операции"]
        assert "Пополнение сейчас не подключено" in words_of(shown)
        await anya.say("рыжая лиса")
        await anya.sees("рыжая лиса", new=True)
        await anya.press("Создать")
        lacking = await anya.sees("Не хватает")
        assert labels_of(lacking) == ["‹ Назад"]
        assert "Пополнение сейчас не подключено" in words_of(lacking)


async def test_the_payment_service_does_not_answer(bot_env: BotEnv) -> None:
    """When YooKassa is down the person is told to try later, and no money is at stake."""
    anya = bot_env.person()
    bot_env.sandbox.fault("yookassa", "payments", status=500, times=10)
    await anya.say("/topup")
    await anya.sees("Пополнить баланс")
    assert "не отвечает" in await anya.press("500")


async def test_the_statement_says_what_each_line_was_for(bot_env: BotEnv) -> None:
    """Every entry has its reason in words: top-up, picture with its prompt, money back, gift; and pages."""
    anya = bot_env.person()
    await bot_env.db.write(admin.grant, ADMIN, ANYA, 10_000, key="t1", note="")
    await anya.sees("Вам начислено")
    bot_env.sandbox.fault("gemini", tag="prompt_block")
    for words in ("<b>злая</b> лиса", "добрая лиса"):
        await anya.say(words)
        await anya.sees(words, new=True)
        await anya.press("Создать")
        await anya.sees("Не получилось" if "злая" in words else "Готово · списано")
    await anya.say("/balance")
    assert f"88{NBSP}₽" in words_of(await anya.sees("На балансе", new=True))
    await anya.press("Все операции")
    statement = words_of(await anya.sees("Операции"))
    lines = [line for line in statement.splitlines() if " · " in line]
    assert [line.split(" · ", 1)[1] for line in lines] == [
        f"−12{NBSP}₽ · картинка «добрая лиса»",
        f"+12{NBSP}₽ · возврат «<b>злая</b> лиса»",
        f"−12{NBSP}₽ · картинка «<b>злая</b> лиса»",
        f"+100{NBSP}₽ · подарок от администратора",
    ]


async def test_the_statement_has_pages(bot_env: BotEnv) -> None:
    """Ten lines a page, older and newer, nothing lost between them."""
    anya = bot_env.person()
    for rubles in range(1, 24):
        await bot_env.give(ANYA, rubles)
    await anya.say("/balance")
    await anya.sees("На балансе")
    await anya.press("Все операции")
    seen = []
    for page in range(3):
        text = words_of(await until(partial(_page, anya, 23 - 10 * page), what=f"page {page}"))
        seen += [line.split(" · ")[1] for line in text.splitlines() if " · " in line]
        if page < 2:
            await anya.press("Старше")
    assert seen == [f"+{rubles}{NBSP}₽" for rubles in range(23, 0, -1)]
    await anya.press("Новее")
    await until(lambda: _page(anya, 23), what="the newest page")


async def _page(anya: object, first: int) -> dict[str, object] | None:
    message: dict[str, object] | None = await anya.find(f"+{first}{NBSP}₽")  # type: ignore[attr-defined]
    return message


async def test_held_money_stands_in_the_balance(bot_env: BotEnv) -> None:
    """While an order runs the balance says what is held for it."""
    anya = bot_env.person()
    await bot_env.give(ANYA, 100)
    bot_env.sandbox.fault("gemini", "generateContent", delay=1.5)
    await anya.say("рыжая лиса")
    await anya.sees("рыжая лиса", new=True)
    await anya.press("Создать")
    await anya.say("/balance")
    balance = words_of(await anya.sees("На балансе", new=True))
    assert f"88{NBSP}₽" in balance
    assert f"Отложено под заказы: 12{NBSP}₽" in balance
    await anya.gets("document")


async def test_a_canceled_payment_says_why(bot_env: BotEnv) -> None:
    """When YooKassa cancels, the message of the link tells the reason and offers to try again."""
    anya = bot_env.person()
    await anya.say("/topup")
    choice = await anya.sees("Пополнить баланс")
    await anya.press("500", on=choice)
    await anya.sees("Пополнение на 500")
    (payment,) = await payments_of(bot_env)
    url = f"{bot_env.sandbox.url}/_control/yookassa/payments/{payment.provider_payment_id}/decline"
    async with bot_env.sandbox.http.post(url, json={"reason": "insufficient_funds"}) as answer:
        assert answer.status == 200, await answer.text()
    await bot_env.app.payments.settle(payment.id)
    end = await anya.sees("не прошло")
    assert "не хватило денег" in words_of(end)
    assert end["message_id"] == choice["message_id"]
    assert (await bot_env.db.read(job_rows.of_user, ANYA)) == []
