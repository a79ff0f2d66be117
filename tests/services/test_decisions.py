"""Money that an administrator decides about: quarantine ends, lost orders get theirs, and nothing is credited twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from database import admin, ledger
from database import differences as difference_rows
from database import payments as payment_rows
from database.audit.checks import run_checks
from database.models import Difference, DifferenceState, IllegalMove, Payment, PaymentStatus, Tx
from services.payments.yookassa.client import YooKassaError
from tests.support.edge_fixture import Till
from tests.support.sandbox_fixture import ADMIN


async def entries(till: Till, user_id: int = 1) -> list[tuple[str, int]]:
    lines = await till.db.read(ledger.history, user_id, limit=100)
    return [(line.reason, line.amount) for line in reversed(lines)]


def theirs(till: Till, payment: Payment) -> Any:
    """The simulated shop's own object, to change what it says."""
    return till.sandbox.world.faces["yookassa"].payments[payment.provider_payment_id]


async def open_ones(till: Till) -> list[Difference]:
    await till.reconciliation.run()
    return (await till.db.read(difference_rows.still_open))[1]


async def set_aside(till: Till) -> tuple[Payment, Difference]:
    """A payment of 500 rubles, of which 400 came: in quarantine, with its difference."""
    order = await till.order()
    await till.pay(order)
    theirs(till, order).amount -= 100
    await till.payments.settle(order.id)
    (difference,) = await open_ones(till)
    return await till.payment(order.id), difference


async def mended(till: Till) -> tuple[Payment, Difference]:
    """Set aside while the shop's settings were wrong; by now all fits."""
    order = await till.order()
    await till.pay(order)
    object_ = theirs(till, order)
    object_.metadata["order_id"] = "elsewhere"
    await till.payments.settle(order.id)
    object_.metadata["order_id"] = order.id
    (difference,) = await open_ones(till)
    return await till.payment(order.id), difference


# --- quarantine -----------------------------------------------------------------------------------


async def test_accepting_gives_exactly_what_came_and_lifts_the_mark(till: Till) -> None:
    """400 of 500 came: one correction of 400, the payment closed, the count of doubtful ones back at none."""
    payment, difference = await set_aside(till)
    assert (await till.db.read(admin.stats)).quarantined == 1
    await till.db.write(difference_rows.apply, ADMIN, difference.id)
    closed = await till.payment(payment.id)
    assert (closed.quarantined_reason, closed.status, closed.cancel_reason) == (
        None,
        PaymentStatus.CANCELED,
        f"difference {difference.id}",
    )
    assert await entries(till) == [("correction", 40_000)]
    assert (await till.db.read(admin.stats)).quarantined == 0
    log = await till.db.read(lambda tx: tx.execute(text("SELECT action, target FROM admin_log")).all())
    assert [tuple(row) for row in log] == [("difference_applied", str(difference.id))]


async def test_an_accepted_payment_is_credited_by_nobody_else(till: Till) -> None:
    """Notification, check and comparison after the decision change nothing, even if all fits by then."""
    payment, difference = await set_aside(till)
    await till.db.write(difference_rows.apply, ADMIN, difference.id)
    theirs(till, payment).amount += 100
    await till.payments.on_payment_event(str(payment.provider_payment_id))
    await till.payments.settle(payment.id)
    assert await entries(till) == [("correction", 40_000)]
    (more,) = await open_ones(till)
    assert more.proposal == {"user_id": 1, "amount": 10_000}
    await till.db.write(difference_rows.apply, ADMIN, more.id)
    assert await open_ones(till) == []
    assert await till.db.get_balance(1) == 50_000


async def test_closing_credits_nothing_now_or_later(till: Till) -> None:
    """Dismissed: no entry, the mark is gone, and a late word of YooKassa's does not bring it back."""
    payment, difference = await set_aside(till)
    await till.db.write(difference_rows.dismiss, ADMIN, difference.id)
    assert (await till.payment(payment.id)).quarantined_reason is None
    await till.payments.on_payment_event(str(payment.provider_payment_id))
    assert await open_ones(till) == []
    assert await entries(till) == []
    assert (await till.payment(payment.id)).quarantined_reason is None


async def test_what_fits_by_now_is_settled_like_any_other(till: Till) -> None:
    """The settings are mended: accepting makes a paid payment of it, which can be returned as usual."""
    payment, difference = await mended(till)
    decided = await till.db.write(difference_rows.apply, ADMIN, difference.id)
    assert decided.state is DifferenceState.APPLIED
    assert (await till.payment(payment.id)).status is PaymentStatus.PAID
    await till.refunds.refund(ADMIN, payment.id, refund_id="r1")
    assert await entries(till) == [("topup", 50_000), ("takeback", -50_000)]
    assert await open_ones(till) == []


@pytest.mark.parametrize("act", [difference_rows.apply, difference_rows.dismiss])
async def test_a_decision_races_with_everybody_who_settles(till: Till, act: Any) -> None:
    """Two administrators and a storm of notifications at once: one decision, at most one credit."""
    payment, difference = await mended(till)
    hints = [till.payments.on_payment_event(str(payment.provider_payment_id)) for _ in range(5)]
    acts = [till.db.write(act, ADMIN, difference.id) for _ in range(3)]
    results = await asyncio.gather(*hints, *acts, *[till.payments.settle(payment.id)], return_exceptions=True)
    assert sorted(type(one).__name__ for one in results if isinstance(one, Exception)) == ["IllegalMove"] * 2
    assert await entries(till) == ([("topup", 50_000)] if act is difference_rows.apply else [])


async def test_a_return_of_decided_money_is_proposed_once(till: Till) -> None:
    """400 were accepted and YooKassa gives them back later: one proposal takes them, not two."""
    payment, difference = await set_aside(till)
    await till.db.write(difference_rows.apply, ADMIN, difference.id)
    await till.control("/refunds", payment_id=payment.provider_payment_id)
    (back,) = await open_ones(till)
    assert (back.kind, back.proposal) == ("quarantined", {"user_id": 1, "amount": -40_000})
    await till.db.write(difference_rows.apply, ADMIN, back.id)
    assert await till.db.get_balance(1) == 0
    assert await open_ones(till) == []


async def test_a_return_of_decided_money_is_proposed_though_it_was_unpaid_when_first_seen(till: Till) -> None:
    """Set aside before anybody paid, then paid, accepted and returned: none of it there is news again."""
    order = await till.order()
    theirs(till, order).amount -= 100
    await till.payments.settle(order.id)
    (unpaid,) = await open_ones(till)
    assert unpaid.proposal == {}
    await till.pay(order)
    _, came = await open_ones(till)
    await till.db.write(difference_rows.apply, ADMIN, came.id)
    await till.control("/refunds", payment_id=order.provider_payment_id)
    _, back = await open_ones(till)
    assert back.proposal == {"user_id": 1, "amount": -40_000}
    await till.db.write(difference_rows.apply, ADMIN, back.id)
    assert await till.db.get_balance(1) == 0
    assert await open_ones(till) == [unpaid]


async def test_an_answer_that_does_not_come_says_nothing_of_money(till: Till) -> None:
    """Accepted and there: a question that YooKassa leaves open proposes to take nothing away."""
    payment, difference = await set_aside(till)
    await till.db.write(difference_rows.apply, ADMIN, difference.id)
    theirs(till, payment).captured_at -= 5 * 86_400  # the list of the last day does not hold it any more
    till.sandbox.fault("yookassa", f"v3/payments/{payment.provider_payment_id}", times=1, status=429)
    assert await open_ones(till) == []
    assert (await till.reconciliation.run()).new == []


async def test_differences_of_one_payment_are_decided_each_for_itself(till: Till) -> None:
    """An order was paid three times: the second and the third credit are two decisions, and neither bars the other."""
    first = await till.paid()
    for number in (2, 3):
        more = await till.order()
        await till.pay(more)
        theirs(till, more).metadata["order_id"] = first.id
        lost = text("UPDATE payments SET provider_payment_id = :lost WHERE id = :id")
        values = {"lost": f"lost-{number}", "id": more.id}
        await till.db.write(lambda tx, lost=lost, values=values: tx.execute(lost, values) and None)
    for difference in await open_ones(till):
        assert difference.kind == "second-payment"
        await till.db.write(difference_rows.apply, ADMIN, difference.id)
    assert await till.db.get_balance(1) == 150_000


# --- orders that the books have lost ----------------------------------------------------------------


async def lost(till: Till, order_id: str = "1001-15-50000") -> Payment:
    """An order that was paid, and whose row a restored backup lacks."""
    order = await till.order(user_id=1001, order_id=order_id)
    await till.pay(order)

    def forget(tx: Tx) -> None:
        tx.execute(text("DROP TRIGGER payments_stay"))
        tx.execute(text("DELETE FROM payments"))
        tx.execute(text(
            "CREATE TRIGGER payments_stay BEFORE DELETE ON payments"
            "\n        BEGIN SELECT RAISE(ABORT, 'payments are kept'); END"
        ))  # fmt: skip

    await till.db.write(forget)
    return order


async def test_a_lost_order_proposes_its_money_to_its_person(till: Till) -> None:
    """The order id holds person and sum: the credit is proposed, never made by itself, and made once."""
    await lost(till)
    (difference,) = await open_ones(till)
    assert (difference.kind, difference.proposal) == ("unknown-payment", {"user_id": 1001, "amount": 50_000})
    assert await entries(till, 1001) == []
    await till.db.write(difference_rows.apply, ADMIN, difference.id)
    with pytest.raises(IllegalMove):
        await till.db.write(difference_rows.apply, ADMIN, difference.id)
    assert await open_ones(till) == []
    assert await entries(till, 1001) == [("topup", 50_000)]


async def test_an_adopted_order_is_a_payment_like_any_other(till: Till) -> None:
    """Its row is back: it stands in exports, can be returned, and the audit has nothing against it."""
    order = await lost(till)
    (difference,) = await open_ones(till)
    await till.db.write(difference_rows.apply, ADMIN, difference.id)
    again = await till.payment(order.id)
    assert (again.status, again.provider_payment_id) == (PaymentStatus.PAID, order.provider_payment_id)
    await till.refunds.refund(ADMIN, order.id, refund_id="r1", amount=20_000)
    await till.control("/refunds", payment_id=order.provider_payment_id, amount="300.00")
    assert await open_ones(till) == []
    assert await entries(till, 1001) == [("topup", 50_000), ("takeback", -20_000), ("takeback", -30_000)]
    assert await till.db.read(run_checks) == []


async def test_what_was_returned_before_the_decision_is_taken_back_with_it(till: Till) -> None:
    """Found whole, returned in part while nobody decided: the credit and the take-back come together, once."""
    order = await lost(till)
    (difference,) = await open_ones(till)
    await till.control("/refunds", payment_id=order.provider_payment_id, amount="200.00")
    assert [one.kind for one in await open_ones(till)] == ["unknown-payment", "refund-of-unknown"]
    await till.reconciliation.apply(ADMIN, difference.id)
    assert await open_ones(till) == []
    assert await entries(till, 1001) == [("topup", 50_000), ("takeback", -20_000)]
    assert (await till.payment(order.id)).refunded_amount == 20_000
    assert await till.db.read(run_checks) == []


@pytest.mark.parametrize("decide", [difference_rows.apply, difference_rows.dismiss])
async def test_a_row_that_reappears_after_the_decision_is_credited_no_more(till: Till, decide: Any) -> None:
    """The person taps the old button: the same order, the same payment of YooKassa's, and no second credit."""
    order = await lost(till)
    (difference,) = await open_ones(till)
    decided = await till.db.write(decide, ADMIN, difference.id)
    before = await entries(till, 1001)
    again = await till.order(user_id=1001, order_id=order.id)
    assert again.provider_payment_id == order.provider_payment_id
    for _ in range(2):
        await till.payments.on_payment_event(str(order.provider_payment_id))
        await till.payments.settle(order.id)
        await till.reconciliation.run()
    closed = await till.payment(order.id)
    applied = decided.state is DifferenceState.APPLIED
    assert closed.status is (PaymentStatus.PAID if applied else PaymentStatus.CANCELED)
    assert closed.cancel_reason == (None if applied else f"difference {difference.id}")
    assert await entries(till, 1001) == before


async def test_a_row_that_reappears_before_the_decision_takes_its_money_itself(till: Till) -> None:
    """The order is known again: it is settled as ever, and the proposal can't be applied any more."""
    order = await lost(till)
    (difference,) = await open_ones(till)
    await till.order(user_id=1001, order_id=order.id)
    with pytest.raises(IllegalMove):
        await till.db.write(difference_rows.apply, ADMIN, difference.id)
    await till.payments.settle(order.id)
    with pytest.raises(IllegalMove):
        await till.db.write(difference_rows.apply, ADMIN, difference.id)
    assert await entries(till, 1001) == [("topup", 50_000)]


async def begun_anew(till: Till, order: Payment) -> None:
    """The person taps the old button once YooKassa has forgotten the key: the same order, and another payment there."""
    till.sandbox.world.faces["yookassa"].keys.clear()
    again = await till.order(user_id=1001, order_id=order.id)
    assert again.provider_payment_id != order.provider_payment_id


@pytest.mark.parametrize("first", [0, 1])
async def test_the_money_of_an_order_that_was_begun_anew_is_credited_once(till: Till, first: int) -> None:
    """It is found as nobody's at first and as a second payment then: by whichever name, it is credited once."""
    order = await lost(till)
    await open_ones(till)
    await begun_anew(till, order)
    both = await open_ones(till)
    assert [one.kind for one in both] == ["unknown-payment", "second-payment"]
    await till.reconciliation.apply(ADMIN, both[first].id)
    with pytest.raises(IllegalMove):
        await till.reconciliation.apply(ADMIN, both[1 - first].id)
    assert await entries(till, 1001) == [("correction", 50_000)]
    assert await till.db.read(run_checks) == []


async def test_what_came_back_of_an_order_that_was_begun_anew_is_not_credited(till: Till) -> None:
    """Found whole and returned in part since: with no row to take that back from, only what is left is credited."""
    order = await lost(till)
    await open_ones(till)
    await till.control("/refunds", payment_id=order.provider_payment_id, amount="200.00")
    await open_ones(till)
    await begun_anew(till, order)
    whole, _, rest = await open_ones(till)
    with pytest.raises(IllegalMove):
        await till.reconciliation.apply(ADMIN, whole.id)
    assert rest.proposal == {"user_id": 1001, "amount": 30_000}
    await till.reconciliation.apply(ADMIN, rest.id)
    assert await entries(till, 1001) == [("correction", 30_000)]


@pytest.mark.parametrize("order_id", ["1001-15-49999", "shop-15-50000", "0-15-50000", "1001-15-50000-x", "web-shop-7"])
async def test_a_name_that_does_not_fit_proposes_nothing(till: Till, order_id: str) -> None:
    """Another sum, or no order id of ours: whose money it is must be found out by a person."""
    await lost(till, order_id)
    (difference,) = await open_ones(till)
    assert (difference.kind, difference.proposal) == ("unknown-payment", {})


async def test_what_was_returned_meanwhile_is_not_proposed(till: Till) -> None:
    """Only the rest of a lost order is left to give."""
    order = await lost(till)
    await till.control("/refunds", payment_id=order.provider_payment_id, amount="200.00")
    differences_found = {one.kind: one.proposal for one in await open_ones(till)}
    assert differences_found["unknown-payment"] == {"user_id": 1001, "amount": 30_000}


async def test_an_open_order_stays_open_beside_a_decision_about_another(till: Till) -> None:
    """A decision binds its own payment and no other of the person's."""
    payment, difference = await set_aside(till)
    other = await till.order()
    await till.db.write(difference_rows.dismiss, ADMIN, difference.id)
    await till.pay(other)
    assert (await till.payments.settle(other.id)).status is PaymentStatus.PAID
    assert await till.db.read(payment_rows.decision, payment) == difference.id
    assert await till.db.read(payment_rows.decision, other) is None


# --- proposals that the world has overtaken -----------------------------------------------------------


async def test_money_that_went_back_since_is_not_taken_once_more(till: Till) -> None:
    """They did not have it, so it was to be taken; then they had it and gave it back: nothing of it is left to take."""
    payment = await till.paid()
    theirs(till, payment).status = "canceled"
    (difference,) = await open_ones(till)
    assert (difference.kind, difference.proposal) == ("credited-unpaid", {"user_id": 1, "amount": -50_000})
    theirs(till, payment).status = "succeeded"
    await till.control("/refunds", payment_id=payment.provider_payment_id)
    assert await open_ones(till) == [difference]
    with pytest.raises(IllegalMove):
        await till.reconciliation.apply(ADMIN, difference.id)
    assert await entries(till) == [("topup", 50_000), ("takeback", -50_000)]
    assert await till.db.read(ledger.open_debts, 1) == []


async def test_money_that_is_not_there_is_taken_once_under_whatever_name(till: Till) -> None:
    """Canceled there at first, unknown later: two differences about the same money, one of them can be booked."""
    payment = await till.paid()
    theirs(till, payment).status = "canceled"
    await open_ones(till)
    del till.sandbox.world.faces["yookassa"].payments[payment.provider_payment_id]
    unpaid, unknown = await open_ones(till)
    await till.reconciliation.apply(ADMIN, unpaid.id)
    with pytest.raises(IllegalMove):
        await till.reconciliation.apply(ADMIN, unknown.id)
    assert await entries(till) == [("topup", 50_000), ("correction", -50_000)]


async def test_a_return_that_was_taken_back_since_is_not_taken_once_more(till: Till) -> None:
    """The list told of a return while the payment still looked unpaid; both are settled by now."""
    payment = await till.order()
    await till.pay(payment)
    await till.control("/refunds", payment_id=payment.provider_payment_id, amount="200.00")
    theirs(till, payment).status = "pending"
    (difference,) = await open_ones(till)
    assert (difference.kind, difference.proposal) == ("refund-not-taken", {"user_id": 1, "amount": -20_000})
    theirs(till, payment).status = "succeeded"
    assert await open_ones(till) == [difference]
    with pytest.raises(IllegalMove):
        await till.reconciliation.apply(ADMIN, difference.id)
    assert await entries(till) == [("topup", 50_000), ("takeback", -20_000)]


@pytest.mark.parametrize("kind", ["quarantined", "unknown-payment", "second-payment"])
async def test_money_that_was_returned_since_is_not_given(till: Till, kind: str) -> None:
    """The administrator returned it in the cabinet: accepting the older proposal would give it a second time."""
    if kind == "quarantined":
        payment, difference = await set_aside(till)
    elif kind == "unknown-payment":
        payment = await lost(till)
        (difference,) = await open_ones(till)
    else:
        payment, first = await till.order(), await till.paid()
        await till.pay(payment)
        theirs(till, payment).metadata["order_id"] = first.id
        other = text("UPDATE payments SET provider_payment_id = 'other' WHERE id = :id")
        await till.db.write(lambda tx: tx.execute(other, {"id": payment.id}) and None)
        (difference,) = await open_ones(till)
    user_id = int(difference.proposal["user_id"])
    before = await entries(till, user_id)
    assert difference.kind == kind
    await till.control("/refunds", payment_id=payment.provider_payment_id)
    with pytest.raises(IllegalMove):
        await till.reconciliation.apply(ADMIN, difference.id)
    assert await entries(till, user_id) == before
    await till.db.write(difference_rows.dismiss, ADMIN, difference.id)


async def test_while_nobody_can_be_asked_nothing_is_given(till: Till) -> None:
    """YooKassa is silent: the proposal stays and can be accepted later."""
    payment, difference = await set_aside(till)
    till.sandbox.fault("yookassa", f"v3/payments/{payment.provider_payment_id}", times=1, status=500)
    with pytest.raises(YooKassaError):
        await till.reconciliation.apply(ADMIN, difference.id)
    assert await entries(till) == []
    await till.reconciliation.apply(ADMIN, difference.id)
    assert await entries(till) == [("correction", 40_000)]
