"""Paying in Telegram Stars: refused at pre-checkout when it does not fit, credited once, refunded whole, compared."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from database import differences as difference_rows
from database import flags as flag_rows
from database import payments as payment_rows
from database.models import IllegalMove, NotFound, PaymentStatus, Tx
from services.catalogue import SHIPPED, CatalogueError, load_catalogue
from services.payments.reconciliation import COMPARED
from services.payments.yookassa.client import YooKassaError
from tests.support.bot_env import ADMIN, ANYA, BOB, BotEnv, labels_of, open_bot_env, words_of
from tests.support.sandbox_fixture import Sandbox
from tests.support.stars_fixture import entries, invoice, paid, pay, with_packs


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


async def test_without_packs_stars_are_offered_nowhere(bot_env: BotEnv) -> None:
    """Hidden when the catalogue names none; an old button answers that it is off."""
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
    """Opened before the switch, paid after it: credited by the notification, and refunded by an admin."""
    async with open_bot_env(sandbox, tmp_path) as bot_env:
        for rubles in (500, 300):
            await bot_env.app.payments.open_topup(
                ANYA, rubles * 100, chat_id=ANYA, language="ru", payment_id=f"card-{rubles}"
            )
    async with open_bot_env(sandbox, tmp_path, CATALOGUE_PATH=str(with_packs(tmp_path, card=False))) as bot_env:
        anya, admin = bot_env.person(), bot_env.person(ADMIN)
        await bot_env.pay("card-500")
        payment = await bot_env.db.read(payment_rows.get, "card-500")
        assert payment is not None
        assert bot_env.app.payments.enabled
        await bot_env.app.payments.events.on_payment_event(str(payment.provider_payment_id))  # as a notification says
        await anya.sees("Зачислено 500")
        await admin.say("/refund_payment card-500")
        await admin.sees("Возвращено 500", new=True)
        canceled = await bot_env.db.write(payment_rows.cancel, "card-300", "expired_on_confirmation")
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
async def test_the_pre_checkout_refuses_what_does_not_fit(starry: BotEnv, statement: str, said: str) -> None:
    """Stale, another price, in quarantine, banned: refused with a reason within ten seconds, no money moves."""
    anya = starry.person()
    sent = await invoice(anya)
    await change(starry, statement)
    told = await pay(anya, sent)
    assert told["ok"] is False
    assert said in told["error"]
    assert await entries(starry) == []


async def test_a_pre_checkout_is_answered_while_the_person_is_busy(starry: BotEnv) -> None:
    """Whatever else of this person is being handled, pre-checkout does not wait for it: it is answered in time."""
    anya = starry.person()
    sent = await invoice(anya)
    lock = starry.app.updates._dispatcher.fsm.events_isolation._locks  # type: ignore[attr-defined]
    async with lock.hold(anya.id):
        assert (await asyncio.wait_for(pay(anya, sent), 10))["ok"]
        await anya.sees("Зачислено 100")


async def test_a_connection_that_hangs_is_given_up_while_the_pre_checkout_waits(starry: BotEnv) -> None:
    """Telegram waits ten seconds for the answer: one on a connection that hangs is sent anew within them."""
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


async def test_a_second_charge_of_a_payment_is_a_second_credit(starry: BotEnv) -> None:
    """Two charges are two payments, each with a row and a credit of its own, however often they are told."""
    payment = await paid(starry, starry.person())
    for _ in range(3):
        await starry.db.write(payment_rows.paid_in_stars, payment.id, user_id=ANYA, charge_id="stx_other", stars=90)
    assert await entries(starry) == [("topup", 10_000), ("topup", 10_000)]


async def test_a_charge_that_fits_no_payment_credits_nobody(starry: BotEnv) -> None:
    """Another person, another price, no row: refused."""
    payment = await paid(starry, starry.person())
    for payment_id, user_id, stars, error in (
        (payment.id, BOB, 90, IllegalMove),
        (payment.id, ANYA, 91, IllegalMove),
        ("nothing", ANYA, 90, NotFound),
    ):
        with pytest.raises(error):
            await starry.db.write(
                payment_rows.paid_in_stars, payment_id, user_id=user_id, charge_id="stx_new", stars=stars
            )
    assert await entries(starry) == [("topup", 10_000)]


async def test_an_admin_refunds_stars_whole(starry: BotEnv) -> None:
    """A part can't be refunded; the whole is, once, also when Telegram's own message comes and the call is repeated."""
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


async def test_an_admin_refunds_a_second_charge_whose_id_is_long(starry: BotEnv) -> None:
    """Telegram's ids of charges are as long as it likes; a payment named after one can be refunded like any other."""
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
async def test_a_lost_answer_to_a_refund_is_asked_again(starry: BotEnv, how: dict[str, Any]) -> None:
    """Telegram says itself when it was done before, so asking again refunds the Stars once."""
    anya, admin = starry.person(), starry.person(ADMIN)
    payment = await paid(starry, anya)
    starry.sandbox.fault("telegram", "refundStarPayment", times=1, **how)
    await admin.say(f"/refund_payment {payment.id}")
    await admin.sees("100", new=True)
    await change(starry, "UPDATE refunds SET next_look_at = 1 WHERE next_look_at IS NOT NULL")
    await anya.sees("Платёж вернулся")
    assert await entries(starry) == [("topup", 10_000), ("takeback", -10_000)]


async def test_stars_refunded_by_somebody_else_are_taken_back(starry: BotEnv) -> None:
    """Another program refunded them: at Telegram's message the sum is taken back, what is spent becomes a debt."""
    anya = starry.person()
    payment = await paid(starry, anya)
    await starry.db.subtract_balance(ANYA, 4_000, key="spent", reason="test")
    await starry.app.bot.refund_star_payment(ANYA, str(payment.provider_payment_id))
    await anya.sees("долг 40")
    assert await starry.db.get_balance(ANYA) == 0


async def test_the_comparison_finds_what_nobody_told(starry: BotEnv) -> None:
    """The message about a charge was lost: Telegram's list has it, and it is credited once; an unknown one is noted."""
    anya = starry.person()
    sent = await invoice(anya)
    payment = (await starry.db.read(payment_rows.of_user, ANYA))[0]
    from sandbox.telegram.state import Payment as Charge

    bot = starry.sandbox.world.faces["telegram"].bot(900)
    now = starry.sandbox.world.clock.now()
    bot.payments["stx_lost"] = Charge("stx_lost", ANYA, 90, payment.id, now, currency="XTR")
    bot.payments["stx_unknown"] = Charge("stx_unknown", ANYA, 5, "no-such-payment", now, currency="XTR")
    for settled in (1, 0):
        assert (await starry.app.reconciliation.run()).settled == settled
    assert await entries(starry) == [("topup", 10_000)]
    count, (unknown,) = await starry.db.read(difference_rows.still_open)
    assert (count, unknown.kind, unknown.user_id) == (1, "unknown-payment", ANYA)
    del bot.payments["stx_lost"]
    (gone,) = (await starry.app.reconciliation.run()).new
    assert (gone.kind, gone.proposal) == ("credited-unknown", {"user_id": ANYA, "amount": -10_000})
    assert sent["invoice"]["total_amount"] == 90


async def test_stars_are_compared_while_yookassa_does_not_answer(starry: BotEnv) -> None:
    """YooKassa's list breaks off: a lost charge in Stars is credited all the same, and the error is raised after it."""
    await invoice(starry.person())
    payment = (await starry.db.read(payment_rows.of_user, ANYA))[0]
    from sandbox.telegram.state import Payment as Charge

    bot = starry.sandbox.world.faces["telegram"].bot(900)
    now = starry.sandbox.world.clock.now()
    bot.payments["stx_lost"] = Charge("stx_lost", ANYA, 90, payment.id, now, currency="XTR")
    begun = await starry.db.read(flag_rows.get, COMPARED)
    starry.sandbox.fault("yookassa", "v3/payments", times=1, status=500)
    with pytest.raises(YooKassaError):
        await starry.app.reconciliation.run()
    assert await entries(starry) == [("topup", 10_000)]
    assert await starry.db.read(flag_rows.get, COMPARED) == begun != ""


@pytest.mark.parametrize("refunded", [False, True], ids=["charge", "refund"])
async def test_what_was_booked_days_later_is_no_difference(starry: BotEnv, refunded: bool) -> None:
    """Charged (and refunded) days ago, in our books only since a moment: Telegram has it, however short the window."""
    await invoice(starry.person())
    payment = (await starry.db.read(payment_rows.of_user, ANYA))[0]
    from sandbox.telegram.state import Payment as Charge

    bot = starry.sandbox.world.faces["telegram"].bot(900)
    then = starry.sandbox.world.clock.now() - 3 * 86_400
    bot.payments["stx_late"] = Charge("stx_late", ANYA, 90, payment.id, then, then + 60 if refunded else None)
    assert (await starry.app.reconciliation.run(7)).settled == 1 + refunded
    assert (await starry.app.reconciliation.run()).new == []
    assert await entries(starry) == [("topup", 10_000), ("takeback", -10_000)][: 1 + refunded]


async def test_what_was_booked_late_is_no_difference(starry: BotEnv) -> None:
    """Paid and refunded just before the compared time, booked within it: Telegram's list holds both, so all is well."""
    payment = await paid(starry, starry.person())
    charge = starry.sandbox.world.faces["telegram"].bot(900).payments[str(payment.provider_payment_id)]
    charge.at -= 27 * 3600
    assert (await starry.app.reconciliation.run()).new == []
    await starry.app.refunds.refund(ADMIN, payment.id, refund_id="r1")
    charge.refunded_at -= 27 * 3600
    assert (await starry.app.reconciliation.run()).new == []
    charge.refunded_at = None
    (gone,) = (await starry.app.reconciliation.run()).new
    assert (gone.kind, gone.proposal) == ("refund-unknown", {"user_id": ANYA, "amount": 10_000})


async def test_a_question_reaches_the_admins(starry: BotEnv) -> None:
    """Telegram wants a way to ask: the question goes to the admins once; the terms are there."""
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
    """A shop without admins has nobody to pass it on to, and says so."""
    async with open_bot_env(sandbox, tmp_path, ADMIN_IDS="") as bot_env:
        anya = bot_env.person()
        await anya.say("/paysupport где мои деньги?")
        await anya.sees("передать некому", new=True)


def test_a_sum_has_one_price_in_stars(tmp_path: Path) -> None:
    """The catalogue says which packs there are; the same sum twice is an error at start."""
    assert load_catalogue(SHIPPED).top_ups.star_packs == ()
    assert load_catalogue(with_packs(tmp_path)).top_ups.star_packs == ((10_000, 90), (50_000, 440))
    twice = "maximum = 10000000\nstars = [{ kopecks = 10000, price = 90 }, { kopecks = 10000, price = 91 }]"
    with pytest.raises(CatalogueError):
        load_catalogue(with_packs(tmp_path, twice))


async def test_an_unpaid_invoice_ends_and_a_late_charge_is_still_credited(starry: BotEnv) -> None:
    """A day and a little later it is canceled and nobody told; pre-checkout refuses it; money that came counts."""
    anya = starry.person()
    message = await invoice(anya)
    (payment,) = await starry.db.read(payment_rows.of_user, ANYA)
    await starry.app.stars.close_stale()
    assert (await starry.db.read(payment_rows.of_user, ANYA))[0].status is PaymentStatus.PENDING
    await change(starry, "UPDATE payments SET created_at = created_at - 87100000")
    await starry.app.stars.close_stale()
    (closed,) = await starry.db.read(payment_rows.of_user, ANYA)
    assert (closed.status, closed.cancel_reason) == (PaymentStatus.CANCELED, "stale")
    assert not (await pay(anya, message))["ok"]
    for _ in range(2):
        await starry.db.write(payment_rows.paid_in_stars, payment.id, user_id=ANYA, charge_id="stx_late", stars=90)
    await starry.app.stars.close_stale()
    assert await entries(starry) == [("topup", 10_000)]


async def test_only_what_nobody_can_pay_any_more_is_closed(starry: BotEnv) -> None:
    """Card payments, paid ones and those in quarantine are left alone."""
    await paid(starry, starry.person())
    await starry.app.payments.open_topup(ANYA, 50_000, chat_id=ANYA, language="ru", payment_id="card-1")
    await starry.app.stars.send_invoice(ANYA, 10_000, chat_id=ANYA, language="ru", payment_id="st-odd")
    await change(starry, "UPDATE payments SET quarantined_reason = 'odd' WHERE id = 'st-odd'")
    await change(starry, "UPDATE payments SET created_at = created_at - 87100000")
    assert await starry.db.write(payment_rows.close_stale, "stars", before=2**60) == 0


@pytest.mark.parametrize(
    ("payment_id", "user_id", "price", "amount"),
    [("st-1001-7-10000-aab12", ANYA, 90, 10_000), ("st-1001-7-10000-aab12", BOB, 90, None),
     ("st-1001-7-10000-aab12", ANYA, 91, None), ("st-1001-7-77000-aab12", ANYA, 90, None), ("x", ANYA, 90, None)],
)  # fmt: skip
async def test_a_lost_payment_in_stars_proposes_its_pack(
    starry: BotEnv, payment_id: str, user_id: int, price: int, amount: int | None
) -> None:
    """Person, sum and price must all stand in its id and the catalogue; then /fix can give it, once."""
    assert not await starry.app.stars.book(user_id, payment_id, "stx_lost", price)
    _, (difference,) = await starry.db.read(difference_rows.still_open)
    assert difference.proposal.get("amount") == amount
    if amount is not None:
        await starry.db.write(difference_rows.apply, ADMIN, difference.id)
        await starry.app.stars.send_invoice(ANYA, amount, chat_id=ANYA, language="ru", payment_id=payment_id)
        assert not await starry.app.stars.book(user_id, payment_id, "stx_lost", price)
        assert await entries(starry) == [("topup", amount)]


async def test_a_lost_payment_in_stars_refunded_by_telegram_is_taken_back_with_its_credit(starry: BotEnv) -> None:
    """The charge was found, then Telegram gave the Stars back, then an admin decided: in and out, once."""
    assert not await starry.app.stars.book(ANYA, "st-1001-7-10000-aab12", "stx_lost", 90)
    assert not await starry.app.stars.refunded("stx_lost")
    _, (difference, back) = await starry.db.read(difference_rows.still_open)
    await starry.db.write(difference_rows.apply, ADMIN, difference.id)
    assert not await starry.app.stars.refunded("stx_lost")
    assert await entries(starry) == [("topup", 10_000), ("takeback", -10_000)]
    assert (await starry.db.read(difference_rows.get_or_raise, back.id)).state == "applied"


async def charge_of_anothers_invoice(bot_env: BotEnv) -> int:
    """A charge that fits its payment by the price only, so that /fix would credit it as a plain correction."""
    await invoice(bot_env.person())
    (payment,) = await bot_env.db.read(payment_rows.of_user, ANYA)
    assert not await bot_env.app.stars.book(BOB, payment.id, "stx_bob", 90)
    _, (difference,) = await bot_env.db.read(difference_rows.still_open)
    assert difference.proposal == {"user_id": BOB, "amount": 10_000}
    return difference.id


async def test_a_charge_credited_by_a_decision_can_be_taken_back_when_it_is_refunded(starry: BotEnv) -> None:
    """It has no row that its refund could be booked on, so that is a decision as well."""
    await starry.db.write(difference_rows.apply, ADMIN, await charge_of_anothers_invoice(starry))
    for _ in range(2):
        assert not await starry.app.stars.refunded("stx_bob")
    _, (back,) = await starry.db.read(difference_rows.still_open)
    assert (back.kind, back.user_id, back.proposal) == ("refund-of-unknown", BOB, {"user_id": BOB, "amount": -10_000})
    await starry.db.write(difference_rows.apply, ADMIN, back.id)
    assert await entries(starry, BOB) == [("correction", 10_000), ("correction", -10_000)]


@pytest.mark.parametrize("decide", [None, difference_rows.dismiss])
async def test_a_charge_that_was_refunded_before_the_decision_is_not_credited(starry: BotEnv, decide: Any) -> None:
    """Telegram gave all of it back, whatever was decided about that refund: there is nothing left to credit."""
    number = await charge_of_anothers_invoice(starry)
    assert not await starry.app.stars.refunded("stx_bob")
    if decide is not None:
        await starry.db.write(decide, ADMIN, number + 1)
    with pytest.raises(IllegalMove):
        await starry.db.write(difference_rows.apply, ADMIN, number)
    assert await entries(starry, BOB) == []
