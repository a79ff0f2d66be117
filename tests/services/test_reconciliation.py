"""The provider's books and ours compared, both ways: what is certain is settled, a person decides the rest."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from database import clock, ledger, outbox
from database import differences as difference_rows
from database import flags as flag_rows
from database import payments as payment_rows
from database import users as user_rows
from database.models import Database, Difference, DifferenceState, IllegalMove, NotFound, PaymentStatus, Tx
from services.ops.metrics import Metrics
from services.payments.comparison import credited_since, refunded_since
from services.payments.reconciliation import COMPARED, Reconciliation
from services.payments.yookassa.client import YooKassaError
from services.queue import Queue
from tests.support.payment_env import PaymentEnv
from tests.support.sandbox_fixture import ADMIN


async def entries(payment_env: PaymentEnv, user_id: int = 1) -> list[tuple[str, int]]:
    lines = await payment_env.db.read(ledger.history, user_id, limit=100)
    return [(line.reason, line.amount) for line in reversed(lines)]


async def change(payment_env: PaymentEnv, statement: str, **values: object) -> None:
    def run(tx: Tx) -> None:
        tx.execute(text(statement), values)

    await payment_env.db.write(run)


async def found(payment_env: PaymentEnv, days: float | None = None) -> list[Difference]:
    """The differences after two comparisons in a row: the second must find nothing new."""
    await payment_env.reconciliation.run(days)
    assert (await payment_env.reconciliation.run(days)).new == []
    return (await payment_env.db.read(difference_rows.still_open))[1]


async def alerts(payment_env: PaymentEnv) -> list[str]:
    items = await payment_env.db.write(outbox.claim, limit=1000)
    return [str(item.payload["text"]) for item in items if item.kind == "alert"]


def theirs(payment_env: PaymentEnv, provider_payment_id: str | None) -> Any:
    """The simulated shop's own object, to change what it says."""
    return payment_env.sandbox.world.faces["yookassa"].payments[provider_payment_id]


async def test_books_that_agree_say_nothing(payment_env: PaymentEnv) -> None:
    """Paid, refunded in part, still open: all of it known on both sides."""
    paid = await payment_env.paid()
    await payment_env.open_payment()
    await payment_env.refunds.refund(ADMIN, paid.id, 10_000, refund_id="r1")
    report = await payment_env.reconciliation.run()
    assert (report.payments, report.refunds, report.settled, report.failed, report.new) == (1, 1, 0, 0, [])


async def test_what_was_paid_and_refunded_without_a_notification_is_settled(payment_env: PaymentEnv) -> None:
    """No notification told of a payment nor of a refund: both are booked as ever, once, and counted."""
    waiting = await payment_env.open_payment()
    await payment_env.pay(waiting)
    paid = await payment_env.paid()
    await payment_env.control("/refunds", payment_id=paid.provider_payment_id, amount="200.00")
    report = await payment_env.reconciliation.run()
    assert (report.settled, report.new) == (2, [])
    assert sorted(await entries(payment_env)) == [("takeback", -20_000), ("topup", 50_000), ("topup", 50_000)]
    assert (await payment_env.reconciliation.run()).settled == 0


async def test_a_longer_window_reaches_further_back(payment_env: PaymentEnv) -> None:
    """The bot saw nothing for a week: the ordinary window ends after a day, the longer one finds the money."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    theirs(payment_env, payment.provider_payment_id).captured_at -= 5 * 86_400
    assert (await payment_env.reconciliation.run()).settled == 0
    assert (await payment_env.reconciliation.run(7)).settled == 1
    assert await entries(payment_env) == [("topup", 50_000)]


async def test_an_unknown_payment_is_noted_and_nothing_is_proposed(payment_env: PaymentEnv) -> None:
    """Nobody knows whose money it is, so there is no entry to propose; the admins are told once."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    theirs(payment_env, payment.provider_payment_id).metadata["order_id"] = "web-shop-7"
    await change(payment_env, "UPDATE payments SET provider_payment_id = 'lost' WHERE id = :id", id=payment.id)
    (difference,) = await found(payment_env)
    assert (difference.kind, difference.proposal) == ("unknown-payment", {})
    with pytest.raises(IllegalMove):
        await payment_env.db.write(difference_rows.apply, ADMIN, difference.id)
    assert await alerts(payment_env) == ["alert-difference"]


async def test_a_payment_that_was_paid_twice_proposes_the_second_credit(payment_env: PaymentEnv) -> None:
    """Two payments at YooKassa stand for one row: a person decides whether to credit the second."""
    first, second = await payment_env.paid(), await payment_env.open_payment()
    await payment_env.pay(second)
    theirs(payment_env, second.provider_payment_id).metadata["order_id"] = first.id
    await change(payment_env, "UPDATE payments SET provider_payment_id = 'lost' WHERE id = :id", id=second.id)
    (difference,) = await found(payment_env)
    assert (difference.kind, difference.proposal) == ("second-payment", {"user_id": 1, "amount": 50_000})
    await payment_env.db.write(difference_rows.apply, ADMIN, difference.id)
    assert await payment_env.db.get_balance(1) == 100_000


async def second_payment(payment_env: PaymentEnv) -> str:
    """Two payments at YooKassa stand for one row; YooKassa's id of the second, which has no row here."""
    first, second = await payment_env.paid(), await payment_env.open_payment()
    await payment_env.pay(second)
    theirs(payment_env, second.provider_payment_id).metadata["order_id"] = first.id
    await change(payment_env, "UPDATE payments SET provider_payment_id = 'lost' WHERE id = :id", id=second.id)
    return str(second.provider_payment_id)


async def test_a_credited_second_payment_that_is_refunded_later_can_be_taken_back(payment_env: PaymentEnv) -> None:
    """It has no row that its refund could be booked on, so each refund is a decision as well."""
    second = await second_payment(payment_env)
    (difference,) = await found(payment_env)
    await payment_env.reconciliation.apply(ADMIN, difference.id)
    for amount, balance in ((20_000, 80_000), (30_000, 50_000)):
        await payment_env.control("/refunds", payment_id=second, amount=f"{amount // 100}.00")
        (back,) = await found(payment_env)
        assert (back.kind, back.proposal) == ("refund-of-unknown", {"user_id": 1, "amount": -amount})
        await payment_env.reconciliation.apply(ADMIN, back.id)
        assert await payment_env.db.get_balance(1) == balance


async def test_what_a_decision_left_out_is_not_taken_back(payment_env: PaymentEnv) -> None:
    """Refunded before the second payment was found, it was never credited; what is refunded later was, in whatever
    order the refunds are found."""
    second = await second_payment(payment_env)
    await payment_env.control("/refunds", payment_id=second, amount="200.00")
    await payment_env.payments.events.on_payment_event(second)
    _, (difference,) = await payment_env.db.read(difference_rows.still_open)
    assert difference.proposal == {"user_id": 1, "amount": 30_000}
    await payment_env.reconciliation.apply(ADMIN, difference.id)
    assert [back.proposal for back in await found(payment_env)] == [{}]
    await payment_env.control("/refunds", payment_id=second, amount="100.00")
    assert [back.proposal for back in await found(payment_env)] == [{}, {"user_id": 1, "amount": -10_000}]


async def test_a_refund_begun_before_a_decision_and_ended_after_it_can_be_taken_back(
    payment_env: PaymentEnv,
) -> None:
    """YooKassa still held the money when it was credited, so the credit is what has to go, however old the refund."""
    second = await second_payment(payment_env)
    (difference,) = await found(payment_env)
    await payment_env.reconciliation.apply(ADMIN, difference.id)
    await change(payment_env, "UPDATE differences SET decided_at = decided_at + 86400000")
    await payment_env.control("/refunds", payment_id=second, amount="200.00")
    (back,) = await found(payment_env)
    assert back.proposal == {"user_id": 1, "amount": -20_000}


async def test_another_sum_proposes_the_missing_part(payment_env: PaymentEnv) -> None:
    """Credited less than was paid there: the difference in kopecks, and the right sign."""
    paid = await payment_env.paid()
    theirs(payment_env, paid.provider_payment_id).amount += 25
    (difference,) = await found(payment_env)
    assert (difference.kind, difference.proposal) == ("sum-differs", {"user_id": 1, "amount": 2_500})


@pytest.mark.parametrize(("status", "kind"), [(None, "credited-unknown"), ("canceled", "credited-unpaid")])
async def test_what_we_credited_and_they_did_not_take(payment_env: PaymentEnv, status: str | None, kind: str) -> None:
    """Credited here, unknown or canceled there: the proposal takes it, and what is spent becomes a debt."""
    paid = await payment_env.paid()
    if status is None:
        await change(payment_env, "UPDATE payments SET provider_payment_id = 'made-up' WHERE id = :id", id=paid.id)
        del payment_env.sandbox.world.faces["yookassa"].payments[paid.provider_payment_id]
    else:
        theirs(payment_env, paid.provider_payment_id).status = status
    await payment_env.db.subtract_balance(1, 20_000, key="spent", reason="test")
    (difference,) = await found(payment_env)
    assert (difference.kind, difference.proposal) == (kind, {"user_id": 1, "amount": -50_000})
    await payment_env.db.write(difference_rows.apply, ADMIN, difference.id)
    assert await payment_env.db.get_balance(1) == 0
    assert [debt.amount for debt in await payment_env.db.read(ledger.open_debts, 1)] == [20_000]


async def test_quarantined_money_is_proposed_as_it_came(payment_env: PaymentEnv) -> None:
    """Another sum was paid than asked for: set aside, and the proposal is the sum that really came."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    theirs(payment_env, payment.provider_payment_id).amount -= 100
    await payment_env.payments.settle(payment.id)
    (difference,) = await found(payment_env)
    assert (difference.kind, difference.proposal) == ("quarantined", {"user_id": 1, "amount": 40_000})


async def test_quarantined_money_is_booked_once_whatever_its_sum_becomes(payment_env: PaymentEnv) -> None:
    """A decision stands: more money there proposes only what is missing, and an older proposal is out of date."""
    opened = await payment_env.open_payment()
    await payment_env.pay(opened)
    payment = theirs(payment_env, opened.provider_payment_id)
    payment.amount -= 100
    await payment_env.payments.settle(opened.id)
    (older,) = await found(payment_env)
    payment.amount += 300
    older, newer = await found(payment_env)
    await payment_env.db.write(difference_rows.apply, ADMIN, older.id)
    with pytest.raises(IllegalMove):
        await payment_env.db.write(difference_rows.apply, ADMIN, newer.id)
    payment.amount += 200
    *_, newest = await found(payment_env)
    assert newest.proposal == {"user_id": 1, "amount": 50_000}
    await payment_env.db.write(difference_rows.apply, ADMIN, newest.id)
    assert await payment_env.db.get_balance(1) == 90_000
    assert (await found(payment_env)) == [newer]


async def test_a_test_payment_in_quarantine_is_no_money(payment_env: PaymentEnv) -> None:
    """Another shop's or a test payment is set aside for ever: nothing is proposed."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    await payment_env.control("/settings", payment_patch={"test": False})
    await payment_env.payments.settle(payment.id)
    (difference,) = await found(payment_env)
    assert (difference.kind, difference.proposal) == ("quarantined", {})


async def test_a_refund_of_more_than_we_credited_is_noted(payment_env: PaymentEnv) -> None:
    """What can't be taken back by the rules becomes a difference with the sum to take."""
    paid = await payment_env.paid()
    theirs(payment_env, paid.provider_payment_id).amount += 100
    await payment_env.control("/refunds", payment_id=paid.provider_payment_id)
    kinds = {one.kind: one.proposal.get("amount") for one in await found(payment_env)}
    assert kinds == {"sum-differs": 10_000, "refund-not-taken": -60_000}


async def test_a_refund_that_they_do_not_know_proposes_the_money_back(payment_env: PaymentEnv) -> None:
    """Taken back here for a refund that never was: the proposal gives it back."""
    paid = await payment_env.paid()
    await payment_env.control("/refunds", payment_id=paid.provider_payment_id, amount="200.00")
    await payment_env.reconciliation.run()
    shop = payment_env.sandbox.world.faces["yookassa"]
    shop.refunds.clear()
    (difference,) = await found(payment_env)
    assert (difference.kind, difference.proposal) == ("refund-unknown", {"user_id": 1, "amount": 20_000})


async def test_a_decision_is_taken_once(payment_env: PaymentEnv) -> None:
    """Apply and dismiss exclude each other; each leaves its audit row; the customer is told of what moved."""
    paid = await payment_env.paid()
    theirs(payment_env, paid.provider_payment_id).amount += 25
    (difference,) = await found(payment_env)
    applied = await payment_env.db.write(difference_rows.apply, ADMIN, difference.id)
    assert applied.state is DifferenceState.APPLIED
    for act in (difference_rows.apply, difference_rows.dismiss):
        with pytest.raises(IllegalMove):
            await payment_env.db.write(act, ADMIN, difference.id)
    with pytest.raises(NotFound):
        await payment_env.db.write(difference_rows.dismiss, ADMIN, 999)
    assert await entries(payment_env) == [("topup", 50_000), ("correction", 2_500)]
    log = await payment_env.db.read(lambda tx: tx.execute(text("SELECT action, target FROM admin_log")).all())
    assert [tuple(row) for row in log] == [("difference_applied", str(difference.id))]
    assert "corrected" in [item.kind for item in await payment_env.db.write(outbox.claim)]


async def test_a_dismissed_difference_does_not_come_back(payment_env: PaymentEnv) -> None:
    """An admin looked and knows why: the next comparisons are silent about it."""
    paid = await payment_env.paid()
    theirs(payment_env, paid.provider_payment_id).amount += 25
    (difference,) = await found(payment_env)
    await payment_env.db.write(difference_rows.dismiss, ADMIN, difference.id)
    assert await found(payment_env) == []
    assert await entries(payment_env) == [("topup", 50_000)]


async def test_a_list_that_breaks_off_is_compared_again_from_the_same_time(payment_env: PaymentEnv) -> None:
    """YooKassa did not answer to the end: the comparison says so and the next one begins at the same time again."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    payment_env.sandbox.fault("yookassa", "v3/payments", times=1, status=500)
    with pytest.raises(YooKassaError):
        await payment_env.reconciliation.run()
    assert (await payment_env.reconciliation.run()).settled == 1


async def test_one_that_can_not_be_compared_does_not_hide_the_others(payment_env: PaymentEnv) -> None:
    """The answer about one payment breaks: the rest is compared, the failure is counted, and the next time succeeds."""
    for _ in range(3):
        await payment_env.pay(await payment_env.open_payment())
    payment_env.sandbox.fault("yookassa", "v3/payments/", times=1, status=500)
    report = await payment_env.reconciliation.run()
    assert (report.settled, report.failed) == (2, 1)
    assert (await payment_env.reconciliation.run()).settled == 1


@pytest.mark.parametrize(("path", "days"), [("", 1), ("v3/payments/", None)], ids=["too short", "not compared"])
async def test_what_was_not_compared_is_compared_the_next_time(
    payment_env: PaymentEnv, path: str, days: int | None
) -> None:
    """The bot was away for a week and the first comparison did not reach all of it: the next one still does."""
    payment, late = await payment_env.open_payment(), await payment_env.open_payment()
    for one in (payment, late):
        await payment_env.pay(one)
    theirs(payment_env, payment.provider_payment_id).captured_at -= 5 * 86_400
    await payment_env.db.write(flag_rows.put, COMPARED, str(clock.now_ms() - 7 * 86_400_000))
    if path:
        payment_env.sandbox.fault("yookassa", path, times=2, status=500)
    await payment_env.reconciliation.run(days)
    await payment_env.reconciliation.run()
    assert [(await payment_env.payment(one.id)).status for one in (payment, late)] == [PaymentStatus.PAID] * 2


@pytest.fixture
def later() -> Iterator[list[float]]:
    """The shop's clock is ahead of the machine's by the sum of these seconds."""
    ahead: list[float] = []
    before = clock.use(clock.Source(wall=lambda: time.time() + sum(ahead)))
    yield ahead
    clock.use(before)


async def owed(payment_env: PaymentEnv) -> list[str]:
    """The keys of all messages that anybody is owed or was sent."""
    return await payment_env.db.read(lambda tx: [str(row["key"]) for row in tx.rows(text("SELECT key FROM outbox"))])


async def age(payment_env: PaymentEnv) -> float:
    page = (await Metrics(payment_env.db, Queue(None)).page()).decode()
    return float(next(line.split()[1] for line in page.splitlines() if line.startswith("shop_compared_age_seconds ")))


async def test_a_comparison_that_keeps_failing_is_noticed(payment_env: PaymentEnv, later: list[float]) -> None:
    """Hourly failures: after six hours an alert, one a day, and the age in the metrics; a whole one ends it."""
    assert math.isnan(await age(payment_env))
    told: list[list[str]] = []
    for _ in range(31):
        payment_env.sandbox.fault("yookassa", "v3/payments", times=1, status=500)
        with pytest.raises(YooKassaError):
            await payment_env.reconciliation.hourly()
        told.append(await owed(payment_env))
        later.append(3600)
    assert told.index(told[-1][:1]) == 6
    assert len(told[-1]) in (2, 3)  # days of the calendar
    assert await age(payment_env) == pytest.approx(31 * 3600, abs=60)
    later.append(24 * 3600)
    await payment_env.reconciliation.hourly()
    assert (await owed(payment_env), round(await age(payment_env), -2)) == (told[-1], 0)


async def test_without_a_provider_no_comparison_is_late(payment_env: PaymentEnv, later: list[float]) -> None:
    """A shop that nobody can pay has nothing to compare, and nobody is told of it."""
    alone = Reconciliation(payment_env.db, None, payment_env.payments, admins=[ADMIN])
    for _ in range(2):
        await alone.hourly()
        later.append(7 * 3600)
    await alone.hourly()
    assert await owed(payment_env) == []


async def test_more_than_a_page_is_compared(payment_env: PaymentEnv) -> None:
    """The list goes on behind its first hundred."""
    for number in range(105):
        await payment_env.pay(await payment_env.open_payment(user_id=2, rubles=100, payment_id=f"many-{number}"))
    report = await payment_env.reconciliation.run()
    assert (report.payments, report.settled) == (105, 105)
    assert await payment_env.db.get_balance(2) == 105 * 10_000


async def test_no_number_of_rows_is_too_many_to_compare(empty_db: Database) -> None:
    """Far more payments and refunds than fit a page: each comes once, a page at a time, none of before or of Stars."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20050) "
    columns = "INSERT INTO payments (id, user_id, provider, amount, status, created_at, paid_at, idempotency_key) "
    row = "SELECT 'p' || i, 1, iif(i > 20040, 'stars', 'yookassa'), 100, 'paid', 1, iif(i > 20, 9000, 5), i FROM n"
    back = "INSERT INTO refunds (id, payment_id, amount, taken, owed, created_at, closed_at) "
    refunded = "SELECT 'r' || i, 'p' || i, 100, 100, 0, 1, iif(i > 20, 9000, 5) FROM n"

    def fill(tx: Tx) -> None:
        user_rows.ensure(tx, 1)
        tx.execute(text(columns + numbers + row))
        tx.execute(text(back + numbers + refunded))

    await empty_db.write(fill)
    assert len(await empty_db.read(payment_rows.paid_since, "yookassa", 9_000)) < 1_000
    ours = [payment.id async for payment in credited_since(empty_db, "yookassa", 9.0)]
    gone = [refund.id async for refund in refunded_since(empty_db, "yookassa", 9.0)]
    wanted = range(21, 20_041)
    assert sorted(ours) == sorted(f"p{number}" for number in wanted)
    assert sorted(gone) == sorted(f"r{number}" for number in wanted)


async def test_a_payment_that_vanished_proposes_what_is_left_of_it(payment_env: PaymentEnv) -> None:
    """Credited and refunded in part, then canceled there: what was taken back already is not taken again."""
    paid = await payment_env.paid()
    await payment_env.refunds.refund(ADMIN, paid.id, 20_000, refund_id="r1")
    theirs(payment_env, paid.provider_payment_id).status = "canceled"
    kinds = {one.kind: one.proposal.get("amount") for one in await found(payment_env)}
    assert kinds == {"credited-unpaid": -30_000}
    payment = await payment_env.db.read(payment_rows.get, paid.id)
    assert payment is not None
    assert payment.status is PaymentStatus.PAID
