"""Paying in Telegram Stars: refused at the counter when it does not fit, credited once, returned whole, compared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text

from database import differences as difference_rows
from database import flags as flag_rows
from database import ledger
from database import payments as payment_rows
from database.models import IllegalMove, NotFound, Payment, PaymentStatus, Tx
from services.catalogue import SHIPPED, CatalogueError, load_catalogue
from services.payments.reconciliation import COMPARED
from services.payments.yookassa.client import YooKassaError
from tests.support.bot_env import ADMIN, ANYA, BOB, BotEnv, Person, labels_of, open_bot_env, words_of
from tests.support.sandbox_fixture import Sandbox

PACKS = "maximum = 10000000\nstars = [{ kopecks = 10000, price = 90 }, { kopecks = 50000, price = 440 }]"


def with_packs(folder: Path, packs: str = PACKS, *, card: bool = True) -> Path:
    """The shipped catalogue with packs in Stars, and with or without the card."""
    words = SHIPPED.read_text("utf-8").replace("card = true", f"card = {str(card).lower()}")
    path = folder / "catalogue.toml"
    begin = words.index("maximum = 10000000")
    path.write_text(words[:begin] + packs + "\n" + words[words.index("\n", begin) :], "utf-8")
    return path


@pytest_asyncio.fixture
async def starry(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[BotEnv]:
    """The whole bot with packs in Stars on its shelf."""
    async with open_bot_env(sandbox, tmp_path, CATALOGUE_PATH=str(with_packs(tmp_path))) as bot_env:
        yield bot_env


async def invoice(person: Person, label: str = "⭐ 90") -> dict[str, Any]:
    """Top up in Stars up to the invoice."""
    await person.say("/topup")
    await person.sees("Пополнить баланс", new=True)
    await person.press(label)
    (sent,) = (await person.gets("invoice"))[-1:]
    return sent


async def pay(person: Person, message: dict[str, Any]) -> dict[str, Any]:
    """Tap Pay on an invoice; what the client shows then. The counter's ten seconds are real ones here."""
    person.sandbox.world.clock.set_speed(1.0)
    url = f"{person.sandbox.url}/_chat/users/{person.id}/pay{person.query}"
    async with person.sandbox.http.post(url, json={"message_id": message["message_id"]}) as answer:
        told: dict[str, Any] = await answer.json()
        assert answer.status in (200, 402), told
        return told


async def paid(bot_env: BotEnv, person: Person) -> Payment:
    """A pack of 100 rubles, paid and credited."""
    told = await pay(person, await invoice(person))
    assert told["ok"], told
    await person.sees("Зачислено 100")
    (payment,) = await bot_env.db.read(payment_rows.of_user, person.id, limit=1)
    return payment


async def entries(bot_env: BotEnv, user_id: int = ANYA) -> list[tuple[str, int]]:
    lines = await bot_env.db.read(ledger.history, user_id, limit=100)
    return [(line.reason, line.amount) for line in reversed(lines)]


async def change(bot_env: BotEnv, statement: str) -> None:
    def run(tx: Tx) -> None:
        tx.execute(text(statement))

    await bot_env.db.write(run)


async def test_a_pack_is_paid_and_credited(starry: BotEnv) -> None:
    """Choose, confirm in Telegram, and the rubles are there; the row knows its charge and its price."""
    anya = starry.person()
    payment = await paid(starry, anya)
    assert (payment.provider, payment.status, payment.amount, payment.stars) == (
        "stars", PaymentStatus.PAID, 10_000, 90,
    )  # fmt: skip
    assert (payment.provider_payment_id or "").startswith("stx_")
    assert await entries(starry) == [("topup", 10_000)]


async def test_the_choice_tells_how_each_sum_is_paid(starry: BotEnv) -> None:
    """Rubles go through YooKassa, Stars do not."""
    anya = starry.person()
    await anya.say("/topup")
    screen = await anya.sees("Пополнить баланс", new=True)
    assert "Рублями платят через ЮKassa, звёздами — прямо в Telegram" in words_of(screen)


async def test_without_packs_nobody_hears_of_stars(bot_env: BotEnv) -> None:
    """Hidden when the catalogue names none; a button of old answers that it is off."""
    anya = bot_env.person()
    await anya.say("/topup")
    screen = await anya.sees("Пополнить баланс", new=True)
    assert not [label for label in labels_of(screen) if "⭐" in label]
    assert "звёзд" not in words_of(screen).lower()
    assert "Пополнение звёздами на эту сумму сейчас не подключено" in await anya.press_raw("x:10000:")
    assert await bot_env.db.read(payment_rows.of_user, ANYA) == []


async def test_stars_alone_are_enough_to_top_up(sandbox: Sandbox, tmp_path: Path) -> None:
    """No shop at YooKassa: the packs in Stars are offered and nothing else."""
    nothing = {"YOOKASSA_SHOP_ID": "", "YOOKASSA_SECRET_KEY": ""}
    async with open_bot_env(sandbox, tmp_path, CATALOGUE_PATH=str(with_packs(tmp_path)), **nothing) as bot_env:
        anya = bot_env.person()
        await anya.say("/topup")
        screen = await anya.sees("звёздами", new=True)
        assert len(labels_of(screen)) == 2
        assert (await pay(anya, await invoice(anya)))["ok"]
        await anya.sees("Зачислено 100")


async def test_a_hidden_card_is_offered_nowhere(sandbox: Sandbox, tmp_path: Path) -> None:
    """`card = false`: Stars in /topup, beside the balance and where money is missing; old buttons say it is off."""
    storefront = with_packs(tmp_path, card=False)
    async with open_bot_env(sandbox, tmp_path, CATALOGUE_PATH=str(storefront)) as bot_env:
        anya = bot_env.person()
        await anya.say("/topup")
        screen = await anya.sees("звёздами", new=True)
        assert [label for label in labels_of(screen) if "⭐" not in label] == []
        for old_button in ("t:10000:", "t:-1:"):
            assert "Пополнение картой сейчас не подключено" in await anya.press_raw(old_button)
        await anya.say("/balance")
        shown = await anya.sees("На балансе", new=True)
        await anya.press("Пополнить", on=shown)
        await anya.sees("звёздами")
        await anya.say("рыжий лис")
        await anya.press("Создать")
        lacking = await anya.sees("Не хватает")
        assert [label for label in labels_of(lacking) if "⭐" in label]
        assert [label for label in labels_of(lacking) if "⭐" not in label] == ["‹ Назад"]
        assert await bot_env.db.read(payment_rows.of_user, ANYA) == []


async def test_card_payments_that_were_begun_are_finished_while_cards_are_hidden(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """Opened before the switch, paid after it: credited by the notification, and returned by an administrator."""
    async with open_bot_env(sandbox, tmp_path) as bot_env:
        for rubles in (500, 300):
            await bot_env.shop.payments.open_topup(
                ANYA, rubles * 100, chat_id=ANYA, language="ru", order_id=f"order-{rubles}"
            )
    async with open_bot_env(sandbox, tmp_path, CATALOGUE_PATH=str(with_packs(tmp_path, card=False))) as bot_env:
        anya, admin = bot_env.person(), bot_env.person(ADMIN)
        await bot_env.pay("order-500")
        order = await bot_env.db.read(payment_rows.get, "order-500")
        assert order is not None
        assert bot_env.shop.payments.enabled
        await bot_env.shop.payments.on_payment_event(str(order.provider_payment_id))  # as a notification says
        await anya.sees("Зачислено 500")
        await admin.say("/refund_payment order-500")
        await admin.sees("Возвращено 500", new=True)
        canceled = await bot_env.db.write(payment_rows.cancel, "order-300", "expired_on_confirmation")
        assert canceled
        told = await anya.sees("300")
        assert [label for label in labels_of(told) if "⭐" not in label] == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE payments SET created_at = created_at - 90000000", "устарел"),
        ("UPDATE payments SET stars = 91", "устарел"),
        ("UPDATE payments SET quarantined_reason = 'x'", "устарел"),
        ("UPDATE users SET is_banned = 1", "не для вас"),
    ],
)
async def test_the_counter_refuses_what_does_not_fit(starry: BotEnv, statement: str, said: str) -> None:
    """Stale, another price, in doubt, banned: a no with a reason within ten seconds, no money moves."""
    anya = starry.person()
    sent = await invoice(anya)
    await change(starry, statement)
    told = await pay(anya, sent)
    assert told["ok"] is False
    assert said in told["error"]
    assert await entries(starry) == []


async def test_a_busy_person_is_answered_at_the_counter(starry: BotEnv) -> None:
    """Whatever else this person has in hand, the counter does not stand in that line: it answers in time."""
    anya = starry.person()
    sent = await invoice(anya)
    lock = starry.shop.updates._dispatcher.fsm.events_isolation._locks  # type: ignore[attr-defined]
    async with lock.hold(anya.id):
        assert (await asyncio.wait_for(pay(anya, sent), 10))["ok"]
        await anya.sees("Зачислено 100")


async def test_a_line_that_hangs_is_given_up_while_the_counter_still_waits(starry: BotEnv) -> None:
    """Telegram waits ten seconds for the last word: an answer on a line that hangs is sent anew within them."""
    anya = starry.person()
    message = await invoice(anya)
    starry.sandbox.fault("telegram", "answerPreCheckoutQuery", delay=30.0)
    told = await pay(anya, message)
    assert told.get("ok"), told
    await anya.sees("Зачислено")


async def test_a_repeated_update_credits_once(starry: BotEnv) -> None:
    """The same charge told many times and at once is one credit."""
    payment = await paid(starry, starry.person())
    charge = str(payment.provider_payment_id)
    told = [
        starry.db.write(payment_rows.paid_in_stars, payment.id, user_id=ANYA, charge_id=charge, stars=90)
        for _ in range(20)
    ]
    outcomes = await asyncio.gather(*told)
    assert {new for _, new in outcomes} == {False}
    assert await entries(starry) == [("topup", 10_000)]


async def test_a_second_charge_of_an_order_is_a_second_credit(starry: BotEnv) -> None:
    """Two charges are two payments, each with a row and a credit of its own, however often they are told."""
    payment = await paid(starry, starry.person())
    for _ in range(3):
        await starry.db.write(payment_rows.paid_in_stars, payment.id, user_id=ANYA, charge_id="stx_other", stars=90)
    assert await entries(starry) == [("topup", 10_000), ("topup", 10_000)]


async def test_a_charge_that_fits_no_order_credits_nobody(starry: BotEnv) -> None:
    """Another person, another price, no order: refused by the row."""
    payment = await paid(starry, starry.person())
    for order_id, user_id, stars, error in (
        (payment.id, BOB, 90, IllegalMove),
        (payment.id, ANYA, 91, IllegalMove),
        ("nothing", ANYA, 90, NotFound),
    ):
        with pytest.raises(error):
            await starry.db.write(
                payment_rows.paid_in_stars, order_id, user_id=user_id, charge_id="stx_new", stars=stars
            )
    assert await entries(starry) == [("topup", 10_000)]


async def test_an_admin_returns_stars_whole(starry: BotEnv) -> None:
    """A part can't be returned; the whole is, once, also when Telegram's own message comes and the call is repeated."""
    anya, admin = starry.person(), starry.person(ADMIN)
    payment = await paid(starry, anya)
    await admin.say(f"/refund_payment {payment.id} 50")
    await admin.sees("столько вернуть нельзя", new=True)
    await admin.say(f"/refund_payment {payment.id}")
    await admin.sees("Возвращено 100", new=True)
    await anya.sees("Платёж вернулся")
    after = await starry.db.read(payment_rows.get, payment.id)
    assert after is not None
    assert (after.status, after.refunded_amount) == (PaymentStatus.REFUNDED, 10_000)
    assert await entries(starry) == [("topup", 10_000), ("takeback", -10_000)]
    assert starry.sandbox.calls("telegram", "refundStarPayment") == 1


async def test_an_admin_returns_a_second_charge_whose_id_is_long(starry: BotEnv) -> None:
    """Telegram's ids of charges are as long as it likes; a payment named after one can be returned like any other."""
    anya, admin = starry.person(), starry.person(ADMIN)
    first = await paid(starry, anya)
    charge = "stx_" + "A1b2C3d4" * 15
    second, _ = await starry.db.write(payment_rows.paid_in_stars, first.id, user_id=ANYA, charge_id=charge, stars=90)
    starry.sandbox.fault("telegram", "refundStarPayment", times=1, status=200, body={"ok": True, "result": True})
    await admin.say(f"/refund_payment {second.id}")
    await admin.sees("Возвращено 100", new=True)
    after = await starry.db.read(payment_rows.get, second.id)
    assert after is not None
    assert after.status is PaymentStatus.REFUNDED


@pytest.mark.parametrize("how", [{"drop": "after"}, {"status": 500}, {"drop": "before"}])
async def test_a_lost_answer_to_a_return_is_asked_again(starry: BotEnv, how: dict[str, Any]) -> None:
    """Telegram says itself when it was done before, so asking again returns the Stars once."""
    anya, admin = starry.person(), starry.person(ADMIN)
    payment = await paid(starry, anya)
    starry.sandbox.fault("telegram", "refundStarPayment", times=1, **how)
    await admin.say(f"/refund_payment {payment.id}")
    await admin.sees("100", new=True)
    await change(starry, "UPDATE refunds SET next_look_at = 1 WHERE next_look_at IS NOT NULL")
    await anya.sees("Платёж вернулся")
    assert await entries(starry) == [("topup", 10_000), ("takeback", -10_000)]


async def test_stars_returned_behind_our_back_are_taken_back(starry: BotEnv) -> None:
    """Somebody else's call returned them: Telegram's message takes the sum back, what is spent becomes a debt."""
    anya = starry.person()
    payment = await paid(starry, anya)
    await starry.db.subtract_balance(ANYA, 4_000, key="spent", reason="test")
    await starry.shop.bot.refund_star_payment(ANYA, str(payment.provider_payment_id))
    await anya.sees("долг 40")
    assert await starry.db.get_balance(ANYA) == 0


async def test_the_comparison_finds_what_nobody_told(starry: BotEnv) -> None:
    """The message about a charge was lost: Telegram's list has it, and it is credited once; a strange one is named."""
    anya = starry.person()
    sent = await invoice(anya)
    payment = (await starry.db.read(payment_rows.of_user, ANYA))[0]
    from sandbox.telegram.state import Payment as Charge

    bot = starry.sandbox.world.faces["telegram"].bot(900)
    now = starry.sandbox.world.clock.now()
    bot.payments["stx_lost"] = Charge("stx_lost", ANYA, 90, payment.id, now, currency="XTR")
    bot.payments["stx_strange"] = Charge("stx_strange", ANYA, 5, "no-such-order", now, currency="XTR")
    for settled in (1, 0):
        assert (await starry.shop.reconciliation.run()).settled == settled
    assert await entries(starry) == [("topup", 10_000)]
    count, (strange,) = await starry.db.read(difference_rows.still_open)
    assert (count, strange.kind, strange.user_id) == (1, "unknown-payment", ANYA)
    del bot.payments["stx_lost"]
    (gone,) = (await starry.shop.reconciliation.run()).new
    assert (gone.kind, gone.proposal) == ("credited-unknown", {"user_id": ANYA, "amount": -10_000})
    assert sent["invoice"]["total_amount"] == 90


async def test_stars_are_compared_while_the_shop_of_cards_does_not_answer(starry: BotEnv) -> None:
    """YooKassa's list breaks off: a lost charge in Stars is credited all the same, and the trouble is told after it."""
    await invoice(starry.person())
    payment = (await starry.db.read(payment_rows.of_user, ANYA))[0]
    from sandbox.telegram.state import Payment as Charge

    bot = starry.sandbox.world.faces["telegram"].bot(900)
    now = starry.sandbox.world.clock.now()
    bot.payments["stx_lost"] = Charge("stx_lost", ANYA, 90, payment.id, now, currency="XTR")
    begun = await starry.db.read(flag_rows.get, COMPARED)
    starry.sandbox.fault("yookassa", "v3/payments", times=1, status=500)
    with pytest.raises(YooKassaError):
        await starry.shop.reconciliation.run()
    assert await entries(starry) == [("topup", 10_000)]
    assert await starry.db.read(flag_rows.get, COMPARED) == begun != ""


@pytest.mark.parametrize("returned", [False, True], ids=["charge", "return"])
async def test_what_was_heard_of_late_is_no_difference(starry: BotEnv, returned: bool) -> None:
    """Charged (and returned) days ago, in our books only since a moment: Telegram has it, however short the window."""
    await invoice(starry.person())
    payment = (await starry.db.read(payment_rows.of_user, ANYA))[0]
    from sandbox.telegram.state import Payment as Charge

    bot = starry.sandbox.world.faces["telegram"].bot(900)
    then = starry.sandbox.world.clock.now() - 3 * 86_400
    bot.payments["stx_late"] = Charge("stx_late", ANYA, 90, payment.id, then, then + 60 if returned else None)
    assert (await starry.shop.reconciliation.run(7)).settled == 1 + returned
    assert (await starry.shop.reconciliation.run()).new == []
    assert await entries(starry) == [("topup", 10_000), ("takeback", -10_000)][: 1 + returned]


async def test_what_was_booked_late_is_no_difference(starry: BotEnv) -> None:
    """Paid and returned just before the compared time, booked within it: Telegram's list holds both, so all is well."""
    payment = await paid(starry, starry.person())
    charge = starry.sandbox.world.faces["telegram"].bot(900).payments[str(payment.provider_payment_id)]
    charge.at -= 27 * 3600
    assert (await starry.shop.reconciliation.run()).new == []
    await starry.shop.refunds.refund(ADMIN, payment.id, refund_id="r1")
    charge.refunded_at -= 27 * 3600
    assert (await starry.shop.reconciliation.run()).new == []
    charge.refunded_at = None
    (gone,) = (await starry.shop.reconciliation.run()).new
    assert (gone.kind, gone.proposal) == ("refund-unknown", {"user_id": ANYA, "amount": 10_000})


async def test_a_question_reaches_the_owner(starry: BotEnv) -> None:
    """Telegram wants a way to ask: the words go to the administrators once; the terms are there."""
    anya, admin = starry.person(), starry.person(ADMIN)
    await admin.say("/start")
    await anya.say("/paysupport")
    await anya.sees("Вопрос об оплате?", new=True)
    await anya.say("/paysupport где мои <b>деньги</b>?")
    await anya.sees("Вопрос передан администратору", new=True)
    await admin.sees("где мои <b>деньги</b>?")
    await anya.say("/terms")
    await anya.sees("Условия", new=True)


async def test_a_question_that_nobody_would_read_is_not_said_to_be_passed_on(sandbox: Sandbox, tmp_path: Path) -> None:
    """A shop without administrators has nobody to pass it on to, and says so."""
    async with open_bot_env(sandbox, tmp_path, ADMIN_IDS="") as bot_env:
        anya = bot_env.person()
        await anya.say("/paysupport где мои деньги?")
        await anya.sees("передать некому", new=True)


def test_a_sum_has_one_price_in_stars(tmp_path: Path) -> None:
    """The catalogue says which packs there are; the same sum twice is a mistake told at start."""
    assert load_catalogue(SHIPPED).top_ups.star_packs == ()
    assert load_catalogue(with_packs(tmp_path)).top_ups.star_packs == ((10_000, 90), (50_000, 440))
    twice = "maximum = 10000000\nstars = [{ kopecks = 10000, price = 90 }, { kopecks = 10000, price = 91 }]"
    with pytest.raises(CatalogueError):
        load_catalogue(with_packs(tmp_path, twice))


async def test_an_unpaid_invoice_ends_and_a_late_charge_is_still_credited(starry: BotEnv) -> None:
    """A day and a little later the order is canceled without a word; the counter refuses it; money that came counts."""
    anya = starry.person()
    message = await invoice(anya)
    (order,) = await starry.db.read(payment_rows.of_user, ANYA)
    await starry.shop.stars.close_stale()
    assert (await starry.db.read(payment_rows.of_user, ANYA))[0].status is PaymentStatus.PENDING
    await change(starry, "UPDATE payments SET created_at = created_at - 87100000")
    await starry.shop.stars.close_stale()
    (closed,) = await starry.db.read(payment_rows.of_user, ANYA)
    assert (closed.status, closed.cancel_reason) == (PaymentStatus.CANCELED, "stale")
    assert not (await pay(anya, message))["ok"]
    for _ in range(2):
        await starry.db.write(payment_rows.paid_in_stars, order.id, user_id=ANYA, charge_id="stx_late", stars=90)
    await starry.shop.stars.close_stale()
    assert await entries(starry) == [("topup", 10_000)]


async def test_only_what_nobody_can_pay_any_more_is_closed(starry: BotEnv) -> None:
    """Cards, paid orders and those in quarantine are not this duty's affair."""
    await paid(starry, starry.person())
    await starry.shop.payments.open_topup(ANYA, 50_000, chat_id=ANYA, language="ru", order_id="card-1")
    await starry.shop.stars.send_invoice(ANYA, 10_000, chat_id=ANYA, language="ru", order_id="st-odd")
    await change(starry, "UPDATE payments SET quarantined_reason = 'odd' WHERE id = 'st-odd'")
    await change(starry, "UPDATE payments SET created_at = created_at - 87100000")
    assert await starry.db.write(payment_rows.close_stale, "stars", before=2**60) == 0


@pytest.mark.parametrize(
    ("order_id", "user_id", "price", "amount"),
    [("st-1001-7-10000-aab12", ANYA, 90, 10_000), ("st-1001-7-10000-aab12", BOB, 90, None),
     ("st-1001-7-10000-aab12", ANYA, 91, None), ("st-1001-7-77000-aab12", ANYA, 90, None), ("x", ANYA, 90, None)],
)  # fmt: skip
async def test_a_lost_star_order_proposes_its_pack(
    starry: BotEnv, order_id: str, user_id: int, price: int, amount: int | None
) -> None:
    """Person, sum and price must all stand in the order's id and the catalogue; then /fix can give it, once."""
    assert not await starry.shop.stars._book(user_id, order_id, "stx_lost", price)
    _, (difference,) = await starry.db.read(difference_rows.still_open)
    assert difference.proposal.get("amount") == amount
    if amount is not None:
        await starry.db.write(difference_rows.apply, ADMIN, difference.id)
        await starry.shop.stars.send_invoice(ANYA, amount, chat_id=ANYA, language="ru", order_id=order_id)
        assert not await starry.shop.stars._book(user_id, order_id, "stx_lost", price)
        assert await entries(starry) == [("topup", amount)]


async def test_a_lost_star_order_returned_by_telegram_is_taken_back_with_its_credit(starry: BotEnv) -> None:
    """The charge was found, then Telegram gave the Stars back, then an administrator decided: in and out, once."""
    assert not await starry.shop.stars._book(ANYA, "st-1001-7-10000-aab12", "stx_lost", 90)
    assert not await starry.shop.stars.returned("stx_lost")
    _, (difference, back) = await starry.db.read(difference_rows.still_open)
    await starry.db.write(difference_rows.apply, ADMIN, difference.id)
    assert not await starry.shop.stars.returned("stx_lost")
    assert await entries(starry) == [("topup", 10_000), ("takeback", -10_000)]
    assert (await starry.db.read(difference_rows.get, back.id)).state == "applied"


async def charge_of_anothers_invoice(bot_env: BotEnv) -> int:
    """A charge that fits its order by the price only, so that /fix would credit it as a plain correction."""
    await invoice(bot_env.person())
    (order,) = await bot_env.db.read(payment_rows.of_user, ANYA)
    assert not await bot_env.shop.stars._book(BOB, order.id, "stx_bob", 90)
    _, (difference,) = await bot_env.db.read(difference_rows.still_open)
    assert difference.proposal == {"user_id": BOB, "amount": 10_000}
    return difference.id


async def test_a_charge_credited_by_a_decision_can_be_taken_back_when_it_is_returned(starry: BotEnv) -> None:
    """It has no row that its return could be booked on, so that is a decision as well."""
    await starry.db.write(difference_rows.apply, ADMIN, await charge_of_anothers_invoice(starry))
    for _ in range(2):
        assert not await starry.shop.stars.returned("stx_bob")
    _, (back,) = await starry.db.read(difference_rows.still_open)
    assert (back.kind, back.user_id, back.proposal) == ("refund-of-unknown", BOB, {"user_id": BOB, "amount": -10_000})
    await starry.db.write(difference_rows.apply, ADMIN, back.id)
    assert await entries(starry, BOB) == [("correction", 10_000), ("correction", -10_000)]


@pytest.mark.parametrize("decide", [None, difference_rows.dismiss])
async def test_a_charge_that_was_returned_before_the_decision_is_not_credited(starry: BotEnv, decide: Any) -> None:
    """Telegram gave all of it back, whatever was decided about that word: there is nothing left to credit."""
    number = await charge_of_anothers_invoice(starry)
    assert not await starry.shop.stars.returned("stx_bob")
    if decide is not None:
        await starry.db.write(decide, ADMIN, number + 1)
    with pytest.raises(IllegalMove):
        await starry.db.write(difference_rows.apply, ADMIN, number)
    assert await entries(starry, BOB) == []
