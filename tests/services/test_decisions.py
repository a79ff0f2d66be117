"""Money that an admin decides about: quarantine ends, lost payments get theirs, and nothing is credited twice."""

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
from tests.support.payment_env import PaymentEnv
from tests.support.sandbox_fixture import ADMIN


async def entries(payment_env: PaymentEnv, user_id: int = 1) -> list[tuple[str, int]]:
    lines = await payment_env.db.read(ledger.history, user_id, limit=100)
    return [(line.reason, line.amount) for line in reversed(lines)]


async def change(payment_env: PaymentEnv, statement: str, **values: object) -> None:
    """What time or an older backup would have left in the database."""

    def run(tx: Tx) -> None:
        tx.execute(text(statement), values)

    await payment_env.db.write(run)


def theirs(payment_env: PaymentEnv, payment: Payment) -> Any:
    """The simulated shop's own object, to change what it says."""
    return payment_env.sandbox.world.faces["yookassa"].payments[payment.provider_payment_id]


async def open_ones(payment_env: PaymentEnv) -> list[Difference]:
    await payment_env.reconciliation.run()
    return (await payment_env.db.read(difference_rows.still_open))[1]


async def set_aside(payment_env: PaymentEnv) -> tuple[Payment, Difference]:
    """A payment of 500 rubles, of which 400 came: in quarantine, with its difference."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    theirs(payment_env, payment).amount -= 100
    await payment_env.payments.settle(payment.id)
    (difference,) = await open_ones(payment_env)
    return await payment_env.payment(payment.id), difference


async def corrected(payment_env: PaymentEnv) -> tuple[Payment, Difference]:
    """Set aside while the shop's settings were wrong; by now all fits."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    object_ = theirs(payment_env, payment)
    object_.metadata["order_id"] = "elsewhere"
    await payment_env.payments.settle(payment.id)
    object_.metadata["order_id"] = payment.id
    (difference,) = await open_ones(payment_env)
    return await payment_env.payment(payment.id), difference


# --- quarantine -----------------------------------------------------------------------------------


async def test_accepting_gives_exactly_what_came_and_ends_the_quarantine(payment_env: PaymentEnv) -> None:
    """400 of 500 came: one correction of 400, the payment closed, none left in quarantine."""
    payment, difference = await set_aside(payment_env)
    assert (await payment_env.db.read(admin.stats)).quarantined == 1
    await payment_env.db.write(difference_rows.apply, ADMIN, difference.id)
    closed = await payment_env.payment(payment.id)
    assert (closed.quarantined_reason, closed.status, closed.cancel_reason) == (
        None,
        PaymentStatus.CANCELED,
        f"difference {difference.id}",
    )
    assert await entries(payment_env) == [("correction", 40_000)]
    assert (await payment_env.db.read(admin.stats)).quarantined == 0
    log = await payment_env.db.read(lambda tx: tx.execute(text("SELECT action, target FROM admin_log")).all())
    assert [tuple(row) for row in log] == [("difference_applied", str(difference.id))]


async def test_an_accepted_payment_is_credited_by_nobody_else(payment_env: PaymentEnv) -> None:
    """Notification, check and comparison after the decision change nothing, even if all fits by then."""
    payment, difference = await set_aside(payment_env)
    await payment_env.db.write(difference_rows.apply, ADMIN, difference.id)
    theirs(payment_env, payment).amount += 100
    await payment_env.payments.events.on_payment_event(str(payment.provider_payment_id))
    await payment_env.payments.settle(payment.id)
    assert await entries(payment_env) == [("correction", 40_000)]
    (more,) = await open_ones(payment_env)
    assert more.proposal == {"user_id": 1, "amount": 10_000}
    await payment_env.db.write(difference_rows.apply, ADMIN, more.id)
    assert await open_ones(payment_env) == []
    assert await payment_env.db.get_balance(1) == 50_000


async def test_closing_credits_nothing_now_or_later(payment_env: PaymentEnv) -> None:
    """Dismissed: no entry, the quarantine is over, and a late notification does not bring it back."""
    payment, difference = await set_aside(payment_env)
    await payment_env.db.write(difference_rows.dismiss, ADMIN, difference.id)
    assert (await payment_env.payment(payment.id)).quarantined_reason is None
    await payment_env.payments.events.on_payment_event(str(payment.provider_payment_id))
    assert await open_ones(payment_env) == []
    assert await entries(payment_env) == []
    assert (await payment_env.payment(payment.id)).quarantined_reason is None


async def test_what_fits_by_now_is_settled_like_any_other(payment_env: PaymentEnv) -> None:
    """The settings are right again: accepting makes a paid payment of it, which can be refunded as usual."""
    payment, difference = await corrected(payment_env)
    decided = await payment_env.db.write(difference_rows.apply, ADMIN, difference.id)
    assert decided.state is DifferenceState.APPLIED
    assert (await payment_env.payment(payment.id)).status is PaymentStatus.PAID
    await payment_env.refunds.refund(ADMIN, payment.id, refund_id="r1")
    assert await entries(payment_env) == [("topup", 50_000), ("takeback", -50_000)]
    assert await open_ones(payment_env) == []


@pytest.mark.parametrize("act", [difference_rows.apply, difference_rows.dismiss])
async def test_a_decision_races_with_everybody_who_settles(payment_env: PaymentEnv, act: Any) -> None:
    """Two admins and many notifications at once: one decision, at most one credit."""
    payment, difference = await corrected(payment_env)
    told = [payment_env.payments.events.on_payment_event(str(payment.provider_payment_id)) for _ in range(5)]
    acts = [payment_env.db.write(act, ADMIN, difference.id) for _ in range(3)]
    results = await asyncio.gather(*told, *acts, *[payment_env.payments.settle(payment.id)], return_exceptions=True)
    assert sorted(type(one).__name__ for one in results if isinstance(one, Exception)) == ["IllegalMove"] * 2
    assert await entries(payment_env) == ([("topup", 50_000)] if act is difference_rows.apply else [])


async def test_a_refund_of_decided_money_is_proposed_once(payment_env: PaymentEnv) -> None:
    """400 were accepted and YooKassa gives them back later: one proposal takes them, not two."""
    payment, difference = await set_aside(payment_env)
    await payment_env.db.write(difference_rows.apply, ADMIN, difference.id)
    await payment_env.control("/refunds", payment_id=payment.provider_payment_id)
    (back,) = await open_ones(payment_env)
    assert (back.kind, back.proposal) == ("quarantined", {"user_id": 1, "amount": -40_000})
    await payment_env.db.write(difference_rows.apply, ADMIN, back.id)
    assert await payment_env.db.get_balance(1) == 0
    assert await open_ones(payment_env) == []


async def test_a_refund_of_decided_money_is_proposed_though_it_was_unpaid_when_first_seen(
    payment_env: PaymentEnv,
) -> None:
    """Set aside before anybody paid, then paid, accepted and refunded: that none of it is there is news again."""
    payment = await payment_env.open_payment()
    theirs(payment_env, payment).amount -= 100
    await payment_env.payments.settle(payment.id)
    (unpaid,) = await open_ones(payment_env)
    assert unpaid.proposal == {}
    await payment_env.pay(payment)
    _, came = await open_ones(payment_env)
    await payment_env.db.write(difference_rows.apply, ADMIN, came.id)
    await payment_env.control("/refunds", payment_id=payment.provider_payment_id)
    _, back = await open_ones(payment_env)
    assert back.proposal == {"user_id": 1, "amount": -40_000}
    await payment_env.db.write(difference_rows.apply, ADMIN, back.id)
    assert await payment_env.db.get_balance(1) == 0
    assert await open_ones(payment_env) == [unpaid]


async def test_an_answer_that_does_not_come_says_nothing_of_money(payment_env: PaymentEnv) -> None:
    """Accepted and there: a question that YooKassa leaves open proposes to take nothing away."""
    payment, difference = await set_aside(payment_env)
    await payment_env.db.write(difference_rows.apply, ADMIN, difference.id)
    theirs(payment_env, payment).captured_at -= 5 * 86_400  # the list of the last day does not hold it any more
    payment_env.sandbox.fault("yookassa", f"v3/payments/{payment.provider_payment_id}", times=1, status=429)
    assert await open_ones(payment_env) == []
    assert (await payment_env.reconciliation.run()).new == []


async def test_differences_of_one_payment_are_decided_each_for_itself(payment_env: PaymentEnv) -> None:
    """A payment was paid three times: the second and the third credit are two decisions, and neither bars the other."""
    first = await payment_env.paid()
    for number in (2, 3):
        more = await payment_env.open_payment()
        await payment_env.pay(more)
        theirs(payment_env, more).metadata["order_id"] = first.id
        lost = "UPDATE payments SET provider_payment_id = :lost WHERE id = :id"
        values = {"lost": f"lost-{number}", "id": more.id}
        await change(payment_env, lost, **values)
    for difference in await open_ones(payment_env):
        assert difference.kind == "second-payment"
        await payment_env.db.write(difference_rows.apply, ADMIN, difference.id)
    assert await payment_env.db.get_balance(1) == 150_000


# --- payments that the books have lost --------------------------------------------------------------


async def lost(payment_env: PaymentEnv, payment_id: str = "1001-15-50000") -> Payment:
    """A payment that was paid, and whose row a restored backup lacks."""
    payment = await payment_env.open_payment(user_id=1001, payment_id=payment_id)
    await payment_env.pay(payment)

    def forget(tx: Tx) -> None:
        tx.execute(text("DROP TRIGGER payments_stay"))
        tx.execute(text("DELETE FROM payments"))
        tx.execute(text(
            "CREATE TRIGGER payments_stay BEFORE DELETE ON payments"
            "\n        BEGIN SELECT RAISE(ABORT, 'payments are kept'); END"
        ))  # fmt: skip

    await payment_env.db.write(forget)
    return payment


async def test_a_lost_payment_proposes_its_money_to_its_person(payment_env: PaymentEnv) -> None:
    """Its id holds person and sum: the credit is proposed, never made by itself, and made once."""
    await lost(payment_env)
    (difference,) = await open_ones(payment_env)
    assert (difference.kind, difference.proposal) == ("unknown-payment", {"user_id": 1001, "amount": 50_000})
    assert await entries(payment_env, 1001) == []
    await payment_env.db.write(difference_rows.apply, ADMIN, difference.id)
    with pytest.raises(IllegalMove):
        await payment_env.db.write(difference_rows.apply, ADMIN, difference.id)
    assert await open_ones(payment_env) == []
    assert await entries(payment_env, 1001) == [("topup", 50_000)]


async def test_an_adopted_payment_is_one_like_any_other(payment_env: PaymentEnv) -> None:
    """Its row is back: it stands in exports, can be refunded, and the audit has nothing against it."""
    payment = await lost(payment_env)
    (difference,) = await open_ones(payment_env)
    await payment_env.db.write(difference_rows.apply, ADMIN, difference.id)
    again = await payment_env.payment(payment.id)
    assert (again.status, again.provider_payment_id) == (PaymentStatus.PAID, payment.provider_payment_id)
    await payment_env.refunds.refund(ADMIN, payment.id, refund_id="r1", amount=20_000)
    await payment_env.control("/refunds", payment_id=payment.provider_payment_id, amount="300.00")
    assert await open_ones(payment_env) == []
    assert await entries(payment_env, 1001) == [("topup", 50_000), ("takeback", -20_000), ("takeback", -30_000)]
    assert await payment_env.db.read(run_checks) == []


async def test_what_was_refunded_before_the_decision_is_taken_back_with_it(payment_env: PaymentEnv) -> None:
    """Found whole, refunded in part while nobody decided: the credit and the take-back come together, once."""
    payment = await lost(payment_env)
    (difference,) = await open_ones(payment_env)
    await payment_env.control("/refunds", payment_id=payment.provider_payment_id, amount="200.00")
    assert [one.kind for one in await open_ones(payment_env)] == ["unknown-payment", "refund-of-unknown"]
    await payment_env.reconciliation.apply(ADMIN, difference.id)
    assert await open_ones(payment_env) == []
    assert await entries(payment_env, 1001) == [("topup", 50_000), ("takeback", -20_000)]
    assert (await payment_env.payment(payment.id)).refunded_amount == 20_000
    assert await payment_env.db.read(run_checks) == []


@pytest.mark.parametrize("decide", [difference_rows.apply, difference_rows.dismiss])
async def test_a_row_that_reappears_after_the_decision_is_credited_no_more(
    payment_env: PaymentEnv, decide: Any
) -> None:
    """The person taps the old button: the same row, the same payment at YooKassa, and no second credit."""
    payment = await lost(payment_env)
    (difference,) = await open_ones(payment_env)
    decided = await payment_env.db.write(decide, ADMIN, difference.id)
    before = await entries(payment_env, 1001)
    again = await payment_env.open_payment(user_id=1001, payment_id=payment.id)
    assert again.provider_payment_id == payment.provider_payment_id
    for _ in range(2):
        await payment_env.payments.events.on_payment_event(str(payment.provider_payment_id))
        await payment_env.payments.settle(payment.id)
        await payment_env.reconciliation.run()
    closed = await payment_env.payment(payment.id)
    applied = decided.state is DifferenceState.APPLIED
    assert closed.status is (PaymentStatus.PAID if applied else PaymentStatus.CANCELED)
    assert closed.cancel_reason == (None if applied else f"difference {difference.id}")
    assert await entries(payment_env, 1001) == before


async def test_a_row_that_reappears_before_the_decision_takes_its_money_itself(payment_env: PaymentEnv) -> None:
    """The row is there again: it is settled as ever, and the proposal can't be applied any more."""
    payment = await lost(payment_env)
    (difference,) = await open_ones(payment_env)
    await payment_env.open_payment(user_id=1001, payment_id=payment.id)
    with pytest.raises(IllegalMove):
        await payment_env.db.write(difference_rows.apply, ADMIN, difference.id)
    await payment_env.payments.settle(payment.id)
    with pytest.raises(IllegalMove):
        await payment_env.db.write(difference_rows.apply, ADMIN, difference.id)
    assert await entries(payment_env, 1001) == [("topup", 50_000)]


async def begun_anew(payment_env: PaymentEnv, payment: Payment) -> None:
    """The person taps the old button once YooKassa has forgotten the key: the same row, and another payment there."""
    payment_env.sandbox.world.faces["yookassa"].keys.clear()
    again = await payment_env.open_payment(user_id=1001, payment_id=payment.id)
    assert again.provider_payment_id != payment.provider_payment_id


@pytest.mark.parametrize("first", [0, 1])
async def test_the_money_of_a_payment_that_was_begun_anew_is_credited_once(payment_env: PaymentEnv, first: int) -> None:
    """It is found without a row at first and as a second payment then: whichever is booked, it is credited once."""
    payment = await lost(payment_env)
    await open_ones(payment_env)
    await begun_anew(payment_env, payment)
    both = await open_ones(payment_env)
    assert [one.kind for one in both] == ["unknown-payment", "second-payment"]
    await payment_env.reconciliation.apply(ADMIN, both[first].id)
    with pytest.raises(IllegalMove):
        await payment_env.reconciliation.apply(ADMIN, both[1 - first].id)
    assert await entries(payment_env, 1001) == [("correction", 50_000)]
    assert await payment_env.db.read(run_checks) == []


async def test_what_was_refunded_of_a_payment_that_was_begun_anew_is_not_credited(payment_env: PaymentEnv) -> None:
    """Found whole and refunded in part since: with no row to take that back from, only what is left is credited."""
    payment = await lost(payment_env)
    await open_ones(payment_env)
    await payment_env.control("/refunds", payment_id=payment.provider_payment_id, amount="200.00")
    await open_ones(payment_env)
    await begun_anew(payment_env, payment)
    whole, _, rest = await open_ones(payment_env)
    with pytest.raises(IllegalMove):
        await payment_env.reconciliation.apply(ADMIN, whole.id)
    assert rest.proposal == {"user_id": 1001, "amount": 30_000}
    await payment_env.reconciliation.apply(ADMIN, rest.id)
    assert await entries(payment_env, 1001) == [("correction", 30_000)]


@pytest.mark.parametrize(
    "payment_id", ["1001-15-49999", "shop-15-50000", "0-15-50000", "1001-15-50000-x", "web-shop-7"]
)
async def test_an_id_that_does_not_fit_proposes_nothing(payment_env: PaymentEnv, payment_id: str) -> None:
    """Another sum, or no id of ours: whose money it is must be found out by a person."""
    await lost(payment_env, payment_id)
    (difference,) = await open_ones(payment_env)
    assert (difference.kind, difference.proposal) == ("unknown-payment", {})


async def test_what_was_refunded_meanwhile_is_not_proposed(payment_env: PaymentEnv) -> None:
    """Only the rest of a lost payment is left to give."""
    payment = await lost(payment_env)
    await payment_env.control("/refunds", payment_id=payment.provider_payment_id, amount="200.00")
    differences_found = {one.kind: one.proposal for one in await open_ones(payment_env)}
    assert differences_found["unknown-payment"] == {"user_id": 1001, "amount": 30_000}


async def test_an_open_payment_stays_open_beside_a_decision_about_another(payment_env: PaymentEnv) -> None:
    """A decision binds its own payment and no other of the person's."""
    payment, difference = await set_aside(payment_env)
    other = await payment_env.open_payment()
    await payment_env.db.write(difference_rows.dismiss, ADMIN, difference.id)
    await payment_env.pay(other)
    assert (await payment_env.payments.settle(other.id)).status is PaymentStatus.PAID
    assert await payment_env.db.read(payment_rows.decision, payment) == difference.id
    assert await payment_env.db.read(payment_rows.decision, other) is None


# --- proposals that are out of date -------------------------------------------------------------------


async def test_money_that_went_back_since_is_not_taken_once_more(payment_env: PaymentEnv) -> None:
    """They did not have it, so it was to be taken; then they had it and refunded it: nothing is left to take."""
    payment = await payment_env.paid()
    theirs(payment_env, payment).status = "canceled"
    (difference,) = await open_ones(payment_env)
    assert (difference.kind, difference.proposal) == ("credited-unpaid", {"user_id": 1, "amount": -50_000})
    theirs(payment_env, payment).status = "succeeded"
    await payment_env.control("/refunds", payment_id=payment.provider_payment_id)
    assert await open_ones(payment_env) == [difference]
    with pytest.raises(IllegalMove):
        await payment_env.reconciliation.apply(ADMIN, difference.id)
    assert await entries(payment_env) == [("topup", 50_000), ("takeback", -50_000)]
    assert await payment_env.db.read(ledger.open_debts, 1) == []


async def test_money_that_is_not_there_is_taken_once_under_whatever_name(payment_env: PaymentEnv) -> None:
    """Canceled there at first, unknown later: two differences about the same money, one of them can be booked."""
    payment = await payment_env.paid()
    theirs(payment_env, payment).status = "canceled"
    await open_ones(payment_env)
    del payment_env.sandbox.world.faces["yookassa"].payments[payment.provider_payment_id]
    unpaid, unknown = await open_ones(payment_env)
    await payment_env.reconciliation.apply(ADMIN, unpaid.id)
    with pytest.raises(IllegalMove):
        await payment_env.reconciliation.apply(ADMIN, unknown.id)
    assert await entries(payment_env) == [("topup", 50_000), ("correction", -50_000)]


async def test_a_refund_that_was_taken_back_since_is_not_taken_once_more(payment_env: PaymentEnv) -> None:
    """The list told of a refund while the payment still looked unpaid; both are settled by now."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    await payment_env.control("/refunds", payment_id=payment.provider_payment_id, amount="200.00")
    theirs(payment_env, payment).status = "pending"
    (difference,) = await open_ones(payment_env)
    assert (difference.kind, difference.proposal) == ("refund-not-taken", {"user_id": 1, "amount": -20_000})
    theirs(payment_env, payment).status = "succeeded"
    assert await open_ones(payment_env) == [difference]
    with pytest.raises(IllegalMove):
        await payment_env.reconciliation.apply(ADMIN, difference.id)
    assert await entries(payment_env) == [("topup", 50_000), ("takeback", -20_000)]


@pytest.mark.parametrize("kind", ["quarantined", "unknown-payment", "second-payment"])
async def test_money_that_was_refunded_since_is_not_given(payment_env: PaymentEnv, kind: str) -> None:
    """An admin refunded it in the cabinet: accepting the older proposal would give it a second time."""
    if kind == "quarantined":
        payment, difference = await set_aside(payment_env)
    elif kind == "unknown-payment":
        payment = await lost(payment_env)
        (difference,) = await open_ones(payment_env)
    else:
        payment, first = await payment_env.open_payment(), await payment_env.paid()
        await payment_env.pay(payment)
        theirs(payment_env, payment).metadata["order_id"] = first.id
        other = "UPDATE payments SET provider_payment_id = 'other' WHERE id = :id"
        await change(payment_env, other, id=payment.id)
        (difference,) = await open_ones(payment_env)
    user_id = int(difference.proposal["user_id"])
    before = await entries(payment_env, user_id)
    assert difference.kind == kind
    await payment_env.control("/refunds", payment_id=payment.provider_payment_id)
    with pytest.raises(IllegalMove):
        await payment_env.reconciliation.apply(ADMIN, difference.id)
    assert await entries(payment_env, user_id) == before
    await payment_env.db.write(difference_rows.dismiss, ADMIN, difference.id)


async def test_while_nobody_can_be_asked_nothing_is_given(payment_env: PaymentEnv) -> None:
    """YooKassa is silent: the proposal stays and can be accepted later."""
    payment, difference = await set_aside(payment_env)
    payment_env.sandbox.fault("yookassa", f"v3/payments/{payment.provider_payment_id}", times=1, status=500)
    with pytest.raises(YooKassaError):
        await payment_env.reconciliation.apply(ADMIN, difference.id)
    assert await entries(payment_env) == []
    await payment_env.reconciliation.apply(ADMIN, difference.id)
    assert await entries(payment_env) == [("correction", 40_000)]
