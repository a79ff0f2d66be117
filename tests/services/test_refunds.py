"""Returning payments by an admin's word: taken once here, asked once there, whatever dies, repeats or races."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from database import ledger, outbox
from database import refunds as refund_rows
from database.models import IllegalMove, KeyReused, NotFound, PaymentStatus, RefundStatus, Tx
from database.refunds import NewRefund, Undecided
from services.payments.refunds import Refunds, YooKassaRefunds
from services.payments.yookassa.client import Receipt, build_payment_body, build_refund_body
from tests.support.database_fixture import assert_books, program
from tests.support.edge_fixture import Till
from tests.support.sandbox_fixture import ADMIN
from tests.support.shop_fixture import until


async def entries(till: Till, user_id: int = 1) -> list[tuple[str, int]]:
    lines = await till.db.read(ledger.history, user_id, limit=100)
    return [(line.reason, line.amount) for line in reversed(lines)]


async def change(till: Till, statement: str, **values: object) -> None:
    """What the flow of time or a death between two steps would have left in the file."""

    def run(tx: Tx) -> None:
        tx.execute(text(statement), values)

    await till.db.write(run)


async def made(till: Till) -> list[dict[str, Any]]:
    """The refunds that YooKassa has, newest first."""
    async with till.sandbox.http.get(f"{till.sandbox.url}/_control/yookassa/refunds") as answer:
        return list(await answer.json())


async def sweep(till: Till) -> None:
    """The sweeper's round, with everything that waits due."""
    await change(till, "UPDATE refunds SET next_look_at = 1 WHERE next_look_at IS NOT NULL")
    await till.refunds.poll_due()


async def alerts(till: Till) -> list[str]:
    items = await till.db.write(outbox.claim, limit=1000)
    return [str(item.payload["text"]) for item in items if item.kind == "alert"]


async def begun(till: Till, payment_id: str, amount: int, refund_id: str = "r1") -> None:
    """The process died right after the first transaction."""
    payment = await till.payment(payment_id)
    body = YooKassaRefunds(till.db, till.gateway).body(payment, amount, refund_id)
    new = NewRefund(refund_id, payment_id, amount, ADMIN, f"refund-{refund_id}", json.dumps(body, ensure_ascii=False))
    await till.db.write(refund_rows.begin, new)


# --- the plain stories ----------------------------------------------------------------------------------


async def test_a_whole_payment_is_returned(till: Till) -> None:
    """Taken here, returned there, refunded, and the customer told; the same command again changes nothing."""
    paid = await till.paid()
    for _ in range(2):
        refund = await till.refunds.refund(ADMIN, paid.id, refund_id="r1")
        assert (refund.status, refund.amount, refund.requested_by) == (RefundStatus.SUCCEEDED, 50_000, ADMIN)
    payment = await till.payment(paid.id)
    assert (payment.status, payment.refunded_amount) == (PaymentStatus.REFUNDED, 50_000)
    assert await entries(till) == [("topup", 50_000), ("takeback", -50_000)]
    (theirs,) = await made(till)
    assert (theirs["amount"]["value"], theirs["metadata"]) == ("500.00", {"order_id": paid.id, "refund_id": "r1"})
    assert [item.kind for item in await till.db.write(outbox.claim)] == ["credited", "took_back"]


async def test_parts_add_up_to_the_whole(till: Till) -> None:
    """Partial returns keep the payment paid; refunded only when all is returned; more than is left is refused."""
    paid = await till.paid()
    await till.refunds.refund(ADMIN, paid.id, 20_000, refund_id="r1")
    part = await till.payment(paid.id)
    assert (part.status, part.refunded_amount) == (PaymentStatus.PAID, 20_000)
    with pytest.raises(IllegalMove):
        await till.refunds.refund(ADMIN, paid.id, 30_001, refund_id="r2")
    await till.refunds.refund(ADMIN, paid.id, refund_id="r3")
    whole = await till.payment(paid.id)
    assert (whole.status, whole.refunded_amount) == (PaymentStatus.REFUNDED, 50_000)
    assert await entries(till) == [("topup", 50_000), ("takeback", -20_000), ("takeback", -30_000)]
    with pytest.raises(IllegalMove):
        await till.refunds.refund(ADMIN, paid.id, refund_id="r4")


async def test_what_is_spent_is_owed(till: Till) -> None:
    """The balance gives what it holds, the rest becomes a debt, in the transaction that starts the return."""
    paid = await till.paid()
    await till.db.subtract_balance(1, 45_000, key="spent", reason="test")
    refund = await till.refunds.refund(ADMIN, paid.id, refund_id="r1")
    assert (refund.taken, refund.owed) == (5_000, 45_000)
    (debt,) = await till.db.read(ledger.open_debts, 1)
    assert debt.amount == 45_000


@pytest.mark.parametrize("spent", [0, 45_000])
async def test_a_refused_return_gives_everything_back(till: Till, spent: int) -> None:
    """YooKassa's no: the balance is what it was, debts of this return are settled, the payment stays paid."""
    paid = await till.paid()
    if spent:
        await till.db.subtract_balance(1, spent, key="spent", reason="test")
    await till.control("/settings", refund_outcome="canceled")
    refund = await till.refunds.refund(ADMIN, paid.id, refund_id="r1")
    assert (refund.status, refund.cancel_reason) == (RefundStatus.CANCELED, "insufficient_funds")
    assert await till.db.get_balance(1) == 50_000 - spent
    assert await till.db.read(ledger.open_debts, 1) == []
    payment = await till.payment(paid.id)
    assert (payment.status, payment.refunded_amount) == (PaymentStatus.PAID, 0)
    await till.control("/settings", refund_outcome="succeeded")
    again = await till.refunds.refund(ADMIN, paid.id, refund_id="r2")
    assert again.status is RefundStatus.SUCCEEDED


async def test_a_debt_paid_meanwhile_comes_back_too(till: Till) -> None:
    """The customer topped up and paid the debt before the no came: they get all of it again."""
    paid = await till.paid()
    await till.db.subtract_balance(1, 50_000, key="spent", reason="test")
    await till.control("/settings", refund_outcome="pending")
    await till.refunds.refund(ADMIN, paid.id, refund_id="r1")
    await till.db.add_balance(1, 60_000, key="next", reason="test")
    assert await till.db.get_balance(1) == 10_000
    (theirs,) = await made(till)
    await till.control(f"/refunds/{theirs['id']}/settle", status="canceled")
    await sweep(till)
    assert await till.db.get_balance(1) == 60_000
    assert await alerts(till) == ["alert-refund-canceled"]


async def test_a_pending_return_is_watched_to_its_end(till: Till) -> None:
    """No event tells of the end, so the sweeper asks; the customer's money is taken once, admins hear of the end."""
    paid = await till.paid()
    await till.control("/settings", refund_outcome="pending")
    waiting = await till.refunds.refund(ADMIN, paid.id, refund_id="r1")
    assert waiting.status is RefundStatus.SENT
    assert waiting.provider_refund_id is not None
    assert (await till.payment(paid.id)).refunded_amount == 0
    with pytest.raises(IllegalMove):
        await till.refunds.refund(ADMIN, paid.id, 1, refund_id="r2")
    await till.control(f"/refunds/{waiting.provider_refund_id}/settle", status="succeeded")
    await sweep(till)
    assert (await till.payment(paid.id)).status is PaymentStatus.REFUNDED
    assert await entries(till) == [("topup", 50_000), ("takeback", -50_000)]
    assert await alerts(till) == ["alert-refund-done"]


# --- refusals -------------------------------------------------------------------------------------------


async def test_what_can_not_be_returned_moves_nothing(till: Till) -> None:
    """An unknown payment, one that is not paid, a sum below one kopeck: a clear no, nothing written, nobody asked."""
    order = await till.order()
    with pytest.raises(NotFound):
        await till.refunds.refund(ADMIN, "nothing", refund_id="r1")
    for amount in (None, 100, 0, -5):
        with pytest.raises(IllegalMove):
            await till.refunds.refund(ADMIN, order.id, amount, refund_id="r1")
    with pytest.raises(IllegalMove):
        await Refunds(till.db, {}).refund(ADMIN, (await till.paid()).id, refund_id="r1")
    assert await entries(till) == [("topup", 50_000)]
    assert await made(till) == []


async def test_a_refund_id_stands_for_one_sum(till: Till) -> None:
    """The same command can't become another return."""
    first, second = await till.paid(), await till.paid()
    await till.refunds.refund(ADMIN, first.id, 10_000, refund_id="r1")
    for payment_id, amount in ((first.id, 20_000), (second.id, 10_000)):
        with pytest.raises(KeyReused):
            await till.refunds.refund(ADMIN, payment_id, amount, refund_id="r1")


# --- deaths between the steps ----------------------------------------------------------------------------


async def test_died_after_the_take_back_the_sweeper_sends_it(till: Till) -> None:
    """Taken and nobody asked: the duty asks, once."""
    paid = await till.paid()
    await begun(till, paid.id, 50_000)
    for _ in range(2):
        await sweep(till)
    assert (await till.refund("r1")).status is RefundStatus.SUCCEEDED
    assert len(await made(till)) == 1
    assert await entries(till) == [("topup", 50_000), ("takeback", -50_000)]


@pytest.mark.parametrize(
    "how", [{"drop": "before"}, {"drop": "after"}, {"status": 500}, {"status": 500, "after": True}, {"status": 429}]
)
@pytest.mark.parametrize("amount", [50_000, 20_000], ids=["whole", "part"])
async def test_an_answer_that_was_lost_is_asked_for_under_the_same_key(
    till: Till, how: dict[str, Any], amount: int
) -> None:
    """Unknown outcome: the stored body under the stored key, so YooKassa returns the money once.

    A whole payment can't be returned twice under whatever key; a part of it could.
    """
    paid = await till.paid()
    till.sandbox.fault("yookassa", "v3/refunds", times=1, **how)
    waiting = await till.refunds.refund(ADMIN, paid.id, amount, refund_id="r1")
    assert (waiting.status, waiting.provider_refund_id) == (RefundStatus.SENT, None)
    await sweep(till)
    assert (await till.refund("r1")).status is RefundStatus.SUCCEEDED
    assert len(await made(till)) == 1


async def test_after_the_keys_time_the_list_is_asked_first(till: Till) -> None:
    """The answer was lost a day ago and the key is forgotten: our return is found in the list, none is sent."""
    paid = await till.paid()
    till.sandbox.fault("yookassa", "v3/refunds", times=1, drop="after")
    await till.refunds.refund(ADMIN, paid.id, 20_000, refund_id="r1")
    await change(till, "UPDATE refunds SET sent_at = sent_at - 90000000")
    till.sandbox.world.clock.advance(90_000)
    await sweep(till)
    assert (await till.refund("r1")).status is RefundStatus.SUCCEEDED
    assert len(await made(till)) == 1


async def test_after_the_keys_time_what_is_not_listed_is_sent(till: Till) -> None:
    """It never arrived: the list proves it, so it is sent, and its key counts from now."""
    paid = await till.paid()
    till.sandbox.fault("yookassa", "v3/refunds", times=1, drop="before")
    await till.refunds.refund(ADMIN, paid.id, 20_000, refund_id="r1")
    await change(till, "UPDATE refunds SET sent_at = 1")
    await sweep(till)
    done = await till.refund("r1")
    assert done.status is RefundStatus.SUCCEEDED
    assert (done.sent_at or 0) > 1
    assert len(await made(till)) == 1


async def test_a_clock_set_back_by_a_year_neither_stops_a_return_nor_makes_it_twice(till: Till) -> None:
    """Sent under a clock that ran ahead, its answer lost: it is due all the same, and its key's time proves nothing."""
    paid = await till.paid()
    till.sandbox.fault("yookassa", "v3/refunds", times=1, drop="after")
    await till.refunds.refund(ADMIN, paid.id, 20_000, refund_id="r1")
    ahead = "created_at = created_at + :ms, sent_at = sent_at + :ms, next_look_at = next_look_at + :ms"
    await change(till, f"UPDATE refunds SET {ahead}", ms=365 * 86_400_000)
    till.sandbox.world.clock.advance(90_000)
    await till.refunds.poll_due()
    assert (await till.refund("r1")).status is RefundStatus.SUCCEEDED
    assert len(await made(till)) == 1


async def test_a_return_that_a_backup_holds_unsent_is_looked_for_before_it_is_sent(till: Till) -> None:
    """Copied right before it was sent, restored days later: by then YooKassa has it and has forgotten the key."""
    paid = await till.paid()
    await begun(till, paid.id, 20_000)
    unsent = await till.refund("r1")
    assert till.gateway is not None
    await till.gateway.create_refund(json.loads(unsent.request_body or ""), idempotency_key="refund-r1")
    await change(till, "UPDATE refunds SET created_at = created_at - :ms", ms=2 * 86_400_000)
    till.sandbox.world.clock.advance(2 * 86_400)
    await sweep(till)
    assert (await till.refund("r1")).status is RefundStatus.SUCCEEDED
    assert len(await made(till)) == 1


async def test_a_list_that_can_not_be_read_sends_nothing(till: Till) -> None:
    """Past the key's time and without the list nobody can tell: wait."""
    paid = await till.paid()
    till.sandbox.fault("yookassa", "v3/refunds", times=1, drop="after")
    await till.refunds.refund(ADMIN, paid.id, 20_000, refund_id="r1")
    await change(till, "UPDATE refunds SET sent_at = 1")
    till.sandbox.world.clock.advance(90_000)
    till.sandbox.fault("yookassa", "v3/refunds", times=1, status=500)
    await sweep(till)
    assert (await till.refund("r1")).status is RefundStatus.SENT
    assert len(await made(till)) == 1
    await sweep(till)
    assert (await till.refund("r1")).status is RefundStatus.SUCCEEDED
    assert len(await made(till)) == 1


async def test_a_no_to_a_repeat_is_no_word_about_the_first(till: Till) -> None:
    """The first request went through, its answer was lost, and the repeat is refused: the list knows better."""
    paid = await till.paid()
    till.sandbox.fault("yookassa", "v3/refunds", times=1, drop="after")
    await till.refunds.refund(ADMIN, paid.id, refund_id="r1")
    refusal = {"type": "error", "id": "e", "code": "invalid_request", "description": "no"}
    till.sandbox.fault("yookassa", "v3/refunds", times=1, status=400, body=refusal)
    await sweep(till)
    assert (await till.refund("r1")).status is RefundStatus.SUCCEEDED
    assert await entries(till) == [("topup", 50_000), ("takeback", -50_000)]


async def test_a_certain_no_undoes_the_take_back(till: Till) -> None:
    """YooKassa has nothing of it and will not do it: the customer has the money again."""
    paid = await till.paid()
    refusal = {"type": "error", "id": "e", "code": "forbidden", "description": "no"}
    till.sandbox.fault("yookassa", "v3/refunds", times=1, status=403, body=refusal)
    refund = await till.refunds.refund(ADMIN, paid.id, refund_id="r1")
    assert refund.status is RefundStatus.CANCELED
    assert await entries(till) == [("topup", 50_000), ("takeback", -50_000), ("returned", 50_000)]


async def test_wrong_credentials_keep_it_waiting(till: Till) -> None:
    """401 is the owner's to mend and says nothing about an earlier request: nothing is undone."""
    paid = await till.paid()
    error = {"type": "error", "id": "e", "code": "invalid_credentials"}
    till.sandbox.fault("yookassa", "v3/refunds", times=1, status=401, body=error)
    assert (await till.refunds.refund(ADMIN, paid.id, refund_id="r1")).status is RefundStatus.SENT
    await sweep(till)
    assert (await till.refund("r1")).status is RefundStatus.SUCCEEDED


RETURNING = """
import asyncio, sys
from database.models import Database
from services.payments.refunds import Refunds, YooKassaRefunds
from services.payments.yookassa.client import YooKassaGateway

async def main():
    db = Database(sys.argv[1])
    gateway = YooKassaGateway("100500", "test_sandbox_key", sys.argv[2], timeout=(2, 20))
    refunds = Refunds(db, {"yookassa": YooKassaRefunds(db, gateway)})
    await refunds.refund(9001, sys.argv[3], 20000, refund_id="dying")

asyncio.run(main())
"""


async def test_killed_while_yookassa_answers_it_is_finished_once(till: Till) -> None:
    """SIGKILL with the money taken and YooKassa's answer on its way: the next process finds one return, not two."""
    paid = await till.paid()
    till.sandbox.fault("yookassa", "v3/refunds", after=True, delay=15, status=500)
    with program(RETURNING, till.db.url, f"{till.sandbox.url}/yookassa/v3", paid.id) as process:

        async def returned() -> bool:
            return len(await made(till)) == 1

        await until(returned, what="YooKassa has returned the money")
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait, 10)
    orphan = await till.refund("dying")
    assert (orphan.status, orphan.provider_refund_id) == (RefundStatus.SENT, None)
    await assert_books(till.db)
    await sweep(till)
    assert (await till.refund("dying")).status is RefundStatus.SUCCEEDED
    assert len(await made(till)) == 1
    assert await entries(till) == [("topup", 50_000), ("takeback", -20_000)]


# --- races and repeats -----------------------------------------------------------------------------------


async def test_twenty_commands_at_once_are_one_return(till: Till) -> None:
    """The update came twenty times: one row, one take-back, one return at YooKassa."""
    paid = await till.paid()
    answers = await asyncio.gather(*(till.refunds.refund(ADMIN, paid.id, 20_000, refund_id="r1") for _ in range(20)))
    assert {answer.status for answer in answers} == {RefundStatus.SUCCEEDED}
    assert len(await made(till)) == 1
    assert await entries(till) == [("topup", 50_000), ("takeback", -20_000)]


async def test_two_admins_at_once_never_return_more_than_came(till: Till) -> None:
    """Each asks for all of it: one return, the other hears that nothing is left."""
    paid = await till.paid()
    outcomes = await asyncio.gather(
        *(till.refunds.refund(ADMIN, paid.id, refund_id=f"r{number}") for number in range(5)), return_exceptions=True
    )
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    assert len(await made(till)) == 1
    assert (await till.payment(paid.id)).refunded_amount == 50_000


async def told(till: Till, refund_ids: Sequence[str]) -> None:
    for refund_id in refund_ids:
        assert await till.notify("refund.succeeded", refund_id) == 200
    await till.acted()


async def test_the_notification_may_come_before_our_answer(till: Till) -> None:
    """The answer is lost, the notification is not: its metadata names our row, so nothing is taken twice."""
    paid = await till.paid()
    till.sandbox.fault("yookassa", "v3/refunds", times=1, drop="after")
    await till.refunds.refund(ADMIN, paid.id, 20_000, refund_id="r1")
    (theirs,) = await made(till)
    await told(till, [theirs["id"]] * 3)
    done = await till.refund("r1")
    assert (done.status, done.provider_refund_id) == (RefundStatus.SUCCEEDED, theirs["id"])
    await sweep(till)
    assert await entries(till) == [("topup", 50_000), ("takeback", -20_000)]
    assert len(await made(till)) == 1


async def test_answer_notification_and_comparison_at_once(till: Till) -> None:
    """Everybody hears of the return in the same moment: it is booked once."""
    paid = await till.paid()
    await till.control("/settings", refund_outcome="pending")
    await till.refunds.refund(ADMIN, paid.id, 20_000, refund_id="r1")
    (theirs,) = await made(till)
    await till.control(f"/refunds/{theirs['id']}/settle", status="succeeded")
    await asyncio.gather(
        told(till, [theirs["id"]] * 5), sweep(till), till.reconciliation.run(), till.refunds.carry_on("r1")
    )
    assert (await till.refund("r1")).status is RefundStatus.SUCCEEDED
    assert await entries(till) == [("topup", 50_000), ("takeback", -20_000)]
    assert (await till.payment(paid.id)).refunded_amount == 20_000


async def test_an_equal_return_without_our_mark_waits_until_ours_is_known(till: Till) -> None:
    """Somebody returned the same sum in the cabinet while ours is on its way: nobody guesses, both are booked once."""
    paid = await till.paid()
    await begun(till, paid.id, 20_000)
    theirs = await till.control("/refunds", payment_id=paid.provider_payment_id, amount="200.00")
    returned = refund_rows.Returned(f"yk-{theirs['id']}", theirs["id"], 20_000)
    with pytest.raises(Undecided):
        await till.db.write(refund_rows.take_back, paid.id, **vars(returned))
    await told(till, [theirs["id"]])
    assert await entries(till) == [("topup", 50_000), ("takeback", -20_000)]
    await sweep(till)
    await change(till, "UPDATE inbox SET due_at = 1 WHERE due_at IS NOT NULL")
    await till.payments.handle_due_notifications()
    assert await entries(till) == [("topup", 50_000), ("takeback", -20_000), ("takeback", -20_000)]
    assert (await till.payment(paid.id)).refunded_amount == 40_000


async def test_a_return_from_the_cabinet_leaves_nothing_for_ours(till: Till) -> None:
    """All of it was returned in the cabinet first: YooKassa refuses ours, and what was taken for it is back."""
    paid = await till.paid()
    await begun(till, paid.id, 50_000)
    theirs = await till.control("/refunds", payment_id=paid.provider_payment_id)
    await sweep(till)
    assert (await till.refund("r1")).status is RefundStatus.CANCELED
    await told(till, [theirs["id"]])
    assert await till.db.get_balance(1) == 0
    assert await till.db.read(ledger.open_debts, 1) == []
    assert (await till.payment(paid.id)).status is PaymentStatus.REFUNDED


async def test_one_booked_under_another_name_is_not_taken_twice(till: Till) -> None:
    """Our mark was lost on the way and the return was booked as somebody's own: ours is undone when it learns that."""
    paid = await till.paid()
    await till.control("/settings", refund_outcome="pending")
    await till.refunds.refund(ADMIN, paid.id, 20_000, refund_id="r1")
    (theirs,) = await made(till)
    await change(till, "UPDATE refunds SET provider_refund_id = NULL")
    await till.control(f"/refunds/{theirs['id']}/settle", status="succeeded")
    await till.db.write(
        refund_rows.take_back,
        paid.id,
        refund_id=f"yk-{theirs['id']}",
        provider_refund_id=theirs["id"],
        amount=20_000,
        own_id="somebody-else",
    )
    await sweep(till)
    assert (await till.refund("r1")).status is RefundStatus.CANCELED
    assert await till.db.get_balance(1) == 30_000
    assert (await till.payment(paid.id)).refunded_amount == 20_000


async def test_a_return_undone_too_early_is_taken_again_when_it_turns_up(till: Till) -> None:
    """YooKassa said no, and then it succeeded after all: the word of the list counts, once."""
    paid = await till.paid()
    await begun(till, paid.id, 20_000)
    await till.db.write(refund_rows.cancel, "r1", "no")
    body = build_refund_body(
        payment_id=paid.provider_payment_id or "",
        amount_kopecks=20_000,
        description="x",
        metadata={"refund_id": "r1"},
    )
    theirs = await till.gateway.create_refund(body, idempotency_key="late")
    await told(till, [theirs.id] * 2)
    assert await till.db.get_balance(1) == 30_000
    assert (await till.payment(paid.id)).refunded_amount == 20_000


@pytest.mark.parametrize("amount", [None, 40_000_000, 1_000])
async def test_a_payment_larger_than_any_that_we_begin_goes_back_as_well(till: Till, amount: int | None) -> None:
    """Version 1.3 took what the shop's contract allowed; what was paid can be returned, whole or in part."""
    order = await till.order()
    await till.pay(order)
    till.sandbox.world.faces["yookassa"].payments[order.provider_payment_id].amount = Decimal("400000.00")
    await change(till, "UPDATE payments SET provider_payment_id = 'lost'")
    await change(
        till,
        "INSERT INTO payments (id, user_id, provider, provider_payment_id, amount, status, created_at, paid_at, "
        "idempotency_key, legacy) VALUES ('v1', 1, 'yookassa', :there, 40000000, 'paid', 1, 1, 'v1', 1)",
        there=order.provider_payment_id,
    )
    if amount is not None:
        assert (await till.refunds.offer("v1", amount)).left == 40_000_000
    refund = await till.refunds.refund(ADMIN, "v1", amount, refund_id="r")
    assert (refund.status, refund.amount) == (RefundStatus.SUCCEEDED, amount or 40_000_000)
    assert [one["amount"]["value"] for one in await made(till)] == [f"{refund.amount // 100}.00"]


# --- receipts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("now", [None, Receipt(email="", vat_code=11, payment_subject="payment", tax_system_code=3)])
async def test_a_part_is_returned_by_the_terms_of_its_sale(till: Till, now: Receipt | None) -> None:
    """Address, rate and system of the payment's own receipt, whatever was set since; the whole needs no receipt."""
    sale = Receipt(email="anna@example.org", vat_code=4, payment_mode="advance", tax_system_code=2)
    rail = YooKassaRefunds(till.db, till.gateway, receipt=now)
    order = await till.order()
    body = build_payment_body(
        amount_kopecks=order.amount, return_url="https://t.me", description="x", order_id=order.id, receipt=sale
    )
    await change(
        till,
        "UPDATE payments SET request_body = :body WHERE id = :id",
        id=order.id,
        body=json.dumps(body),
    )
    payment = await till.payment(order.id)
    part, whole = rail.body(payment, 100, "r1"), rail.body(payment, payment.amount, "r2")
    (sold,), (returned,) = body["receipt"]["items"], part["receipt"]["items"]
    assert returned == {**sold, "amount": {"value": "1.00", "currency": "RUB"}, "description": returned["description"]}
    assert (part["receipt"]["customer"], part["receipt"]["tax_system_code"]) == ({"email": "anna@example.org"}, 2)
    assert "receipt" not in whole


async def test_a_part_of_what_had_no_receipt_is_not_returned_by_a_shop_that_sends_them(till: Till) -> None:
    """YooKassa would want a receipt, and nobody knows whom to send it to; the whole goes back."""
    rail = YooKassaRefunds(till.db, till.gateway, receipt=Receipt(email="", vat_code=4))
    order = await till.order()
    with pytest.raises(IllegalMove):
        rail.body(order, 100, "r1")
    assert "receipt" not in rail.body(order, order.amount, "r2")
