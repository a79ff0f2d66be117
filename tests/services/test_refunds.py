"""Refunds that an admin asks for: taken once here, asked once there, whatever dies, repeats or races."""

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
from services.payments.refunds import Refunds
from services.payments.yookassa.client import Receipt, build_payment_body, build_refund_body
from services.payments.yookassa_refunds import YooKassaRefunds
from tests.support.database_fixture import assert_books, program
from tests.support.job_env import until
from tests.support.payment_env import PaymentEnv
from tests.support.sandbox_fixture import ADMIN


async def entries(payment_env: PaymentEnv, user_id: int = 1) -> list[tuple[str, int]]:
    lines = await payment_env.db.read(ledger.history, user_id, limit=100)
    return [(line.reason, line.amount) for line in reversed(lines)]


async def change(payment_env: PaymentEnv, statement: str, **values: object) -> None:
    """What time or a death between two steps would have left in the database."""

    def run(tx: Tx) -> None:
        tx.execute(text(statement), values)

    await payment_env.db.write(run)


async def made(payment_env: PaymentEnv) -> list[dict[str, Any]]:
    """The refunds that YooKassa has, newest first."""
    async with payment_env.sandbox.http.get(f"{payment_env.sandbox.url}/_control/yookassa/refunds") as answer:
        return list(await answer.json())


async def sweep(payment_env: PaymentEnv) -> None:
    """The sweeper's round, with everything that waits due."""
    await change(payment_env, "UPDATE refunds SET next_look_at = 1 WHERE next_look_at IS NOT NULL")
    await payment_env.refunds.poll_due()


async def alerts(payment_env: PaymentEnv) -> list[str]:
    items = await payment_env.db.write(outbox.claim, limit=1000)
    return [str(item.payload["text"]) for item in items if item.kind == "alert"]


async def begun(payment_env: PaymentEnv, payment_id: str, amount: int, refund_id: str = "r1") -> None:
    """The process died right after the first transaction."""
    payment = await payment_env.payment(payment_id)
    body = YooKassaRefunds(payment_env.db, payment_env.yookassa).body(payment, amount, refund_id)
    new = NewRefund(refund_id, payment_id, amount, ADMIN, f"refund-{refund_id}", json.dumps(body, ensure_ascii=False))
    await payment_env.db.write(refund_rows.begin, new)


# --- the ordinary ways ----------------------------------------------------------------------------------


async def test_a_whole_payment_is_refunded(payment_env: PaymentEnv) -> None:
    """Taken here, given back there, and the customer told; the same command again changes nothing."""
    paid = await payment_env.paid()
    for _ in range(2):
        refund = await payment_env.refunds.refund(ADMIN, paid.id, refund_id="r1")
        assert (refund.status, refund.amount, refund.requested_by) == (RefundStatus.SUCCEEDED, 50_000, ADMIN)
    payment = await payment_env.payment(paid.id)
    assert (payment.status, payment.refunded_amount) == (PaymentStatus.REFUNDED, 50_000)
    assert await entries(payment_env) == [("topup", 50_000), ("takeback", -50_000)]
    (theirs,) = await made(payment_env)
    assert (theirs["amount"]["value"], theirs["metadata"]) == ("500.00", {"order_id": paid.id, "refund_id": "r1"})
    assert [item.kind for item in await payment_env.db.write(outbox.claim)] == ["credited", "took_back"]


async def test_parts_add_up_to_the_whole(payment_env: PaymentEnv) -> None:
    """Partial refunds keep the payment paid; it is refunded when all went back; more than is left is refused."""
    paid = await payment_env.paid()
    await payment_env.refunds.refund(ADMIN, paid.id, 20_000, refund_id="r1")
    part = await payment_env.payment(paid.id)
    assert (part.status, part.refunded_amount) == (PaymentStatus.PAID, 20_000)
    with pytest.raises(IllegalMove):
        await payment_env.refunds.refund(ADMIN, paid.id, 30_001, refund_id="r2")
    await payment_env.refunds.refund(ADMIN, paid.id, refund_id="r3")
    whole = await payment_env.payment(paid.id)
    assert (whole.status, whole.refunded_amount) == (PaymentStatus.REFUNDED, 50_000)
    assert await entries(payment_env) == [("topup", 50_000), ("takeback", -20_000), ("takeback", -30_000)]
    with pytest.raises(IllegalMove):
        await payment_env.refunds.refund(ADMIN, paid.id, refund_id="r4")


async def test_what_is_spent_is_owed(payment_env: PaymentEnv) -> None:
    """The balance gives what it holds, the rest becomes a debt, in the transaction that starts the refund."""
    paid = await payment_env.paid()
    await payment_env.db.subtract_balance(1, 45_000, key="spent", reason="test")
    refund = await payment_env.refunds.refund(ADMIN, paid.id, refund_id="r1")
    assert (refund.taken, refund.owed) == (5_000, 45_000)
    (debt,) = await payment_env.db.read(ledger.open_debts, 1)
    assert debt.amount == 45_000


@pytest.mark.parametrize("spent", [0, 45_000])
async def test_a_refused_refund_gives_everything_back(payment_env: PaymentEnv, spent: int) -> None:
    """YooKassa refuses: the balance is what it was, debts of this refund are settled, the payment stays paid."""
    paid = await payment_env.paid()
    if spent:
        await payment_env.db.subtract_balance(1, spent, key="spent", reason="test")
    await payment_env.control("/settings", refund_outcome="canceled")
    refund = await payment_env.refunds.refund(ADMIN, paid.id, refund_id="r1")
    assert (refund.status, refund.cancel_reason) == (RefundStatus.CANCELED, "insufficient_funds")
    assert await payment_env.db.get_balance(1) == 50_000 - spent
    assert await payment_env.db.read(ledger.open_debts, 1) == []
    payment = await payment_env.payment(paid.id)
    assert (payment.status, payment.refunded_amount) == (PaymentStatus.PAID, 0)
    await payment_env.control("/settings", refund_outcome="succeeded")
    again = await payment_env.refunds.refund(ADMIN, paid.id, refund_id="r2")
    assert again.status is RefundStatus.SUCCEEDED


async def test_a_debt_paid_meanwhile_comes_back_too(payment_env: PaymentEnv) -> None:
    """The customer topped up and paid the debt before the refusal came: they get all of it again."""
    paid = await payment_env.paid()
    await payment_env.db.subtract_balance(1, 50_000, key="spent", reason="test")
    await payment_env.control("/settings", refund_outcome="pending")
    await payment_env.refunds.refund(ADMIN, paid.id, refund_id="r1")
    await payment_env.db.add_balance(1, 60_000, key="next", reason="test")
    assert await payment_env.db.get_balance(1) == 10_000
    (theirs,) = await made(payment_env)
    await payment_env.control(f"/refunds/{theirs['id']}/settle", status="canceled")
    await sweep(payment_env)
    assert await payment_env.db.get_balance(1) == 60_000
    assert await alerts(payment_env) == ["alert-refund-canceled"]


async def test_a_pending_refund_is_polled_to_its_end(payment_env: PaymentEnv) -> None:
    """No event tells of the end, so the sweeper asks; the customer's money is taken once, admins hear of the end."""
    paid = await payment_env.paid()
    await payment_env.control("/settings", refund_outcome="pending")
    waiting = await payment_env.refunds.refund(ADMIN, paid.id, refund_id="r1")
    assert waiting.status is RefundStatus.SENT
    assert waiting.provider_refund_id is not None
    assert (await payment_env.payment(paid.id)).refunded_amount == 0
    with pytest.raises(IllegalMove):
        await payment_env.refunds.refund(ADMIN, paid.id, 1, refund_id="r2")
    await payment_env.control(f"/refunds/{waiting.provider_refund_id}/settle", status="succeeded")
    await sweep(payment_env)
    assert (await payment_env.payment(paid.id)).status is PaymentStatus.REFUNDED
    assert await entries(payment_env) == [("topup", 50_000), ("takeback", -50_000)]
    assert await alerts(payment_env) == ["alert-refund-done"]


# --- refusals -------------------------------------------------------------------------------------------


async def test_what_can_not_be_refunded_moves_nothing(payment_env: PaymentEnv) -> None:
    """An unknown payment, one that is not paid, a sum below one kopeck: refused, nothing written, nobody asked."""
    payment = await payment_env.open_payment()
    with pytest.raises(NotFound):
        await payment_env.refunds.refund(ADMIN, "nothing", refund_id="r1")
    for amount in (None, 100, 0, -5):
        with pytest.raises(IllegalMove):
            await payment_env.refunds.refund(ADMIN, payment.id, amount, refund_id="r1")
    with pytest.raises(IllegalMove):
        await Refunds(payment_env.db, {}).refund(ADMIN, (await payment_env.paid()).id, refund_id="r1")
    assert await entries(payment_env) == [("topup", 50_000)]
    assert await made(payment_env) == []


async def test_a_refund_id_stands_for_one_sum(payment_env: PaymentEnv) -> None:
    """The same command can't become another refund."""
    first, second = await payment_env.paid(), await payment_env.paid()
    await payment_env.refunds.refund(ADMIN, first.id, 10_000, refund_id="r1")
    for payment_id, amount in ((first.id, 20_000), (second.id, 10_000)):
        with pytest.raises(KeyReused):
            await payment_env.refunds.refund(ADMIN, payment_id, amount, refund_id="r1")


# --- deaths between the steps ----------------------------------------------------------------------------


async def test_died_after_the_take_back_the_sweeper_sends_it(payment_env: PaymentEnv) -> None:
    """Taken and nobody asked: the periodic task asks, once."""
    paid = await payment_env.paid()
    await begun(payment_env, paid.id, 50_000)
    for _ in range(2):
        await sweep(payment_env)
    assert (await payment_env.refund("r1")).status is RefundStatus.SUCCEEDED
    assert len(await made(payment_env)) == 1
    assert await entries(payment_env) == [("topup", 50_000), ("takeback", -50_000)]


@pytest.mark.parametrize(
    "how", [{"drop": "before"}, {"drop": "after"}, {"status": 500}, {"status": 500, "after": True}, {"status": 429}]
)
@pytest.mark.parametrize("amount", [50_000, 20_000], ids=["whole", "part"])
async def test_an_answer_that_was_lost_is_asked_for_under_the_same_key(
    payment_env: PaymentEnv, how: dict[str, Any], amount: int
) -> None:
    """Unknown outcome: the stored body under the stored key, so YooKassa gives the money back once.

    A whole payment can't be refunded twice under whatever key; a part of it could.
    """
    paid = await payment_env.paid()
    payment_env.sandbox.fault("yookassa", "v3/refunds", times=1, **how)
    waiting = await payment_env.refunds.refund(ADMIN, paid.id, amount, refund_id="r1")
    assert (waiting.status, waiting.provider_refund_id) == (RefundStatus.SENT, None)
    await sweep(payment_env)
    assert (await payment_env.refund("r1")).status is RefundStatus.SUCCEEDED
    assert len(await made(payment_env)) == 1


async def test_after_the_keys_time_the_list_is_asked_first(payment_env: PaymentEnv) -> None:
    """The answer was lost a day ago and the key is forgotten: our refund is found in the list, none is sent."""
    paid = await payment_env.paid()
    payment_env.sandbox.fault("yookassa", "v3/refunds", times=1, drop="after")
    await payment_env.refunds.refund(ADMIN, paid.id, 20_000, refund_id="r1")
    await change(payment_env, "UPDATE refunds SET sent_at = sent_at - 90000000")
    payment_env.sandbox.world.clock.advance(90_000)
    await sweep(payment_env)
    assert (await payment_env.refund("r1")).status is RefundStatus.SUCCEEDED
    assert len(await made(payment_env)) == 1


async def test_after_the_keys_time_what_is_not_listed_is_sent(payment_env: PaymentEnv) -> None:
    """It never arrived: the list proves it, so it is sent, and its key counts from now."""
    paid = await payment_env.paid()
    payment_env.sandbox.fault("yookassa", "v3/refunds", times=1, drop="before")
    await payment_env.refunds.refund(ADMIN, paid.id, 20_000, refund_id="r1")
    await change(payment_env, "UPDATE refunds SET sent_at = 1")
    await sweep(payment_env)
    done = await payment_env.refund("r1")
    assert done.status is RefundStatus.SUCCEEDED
    assert (done.sent_at or 0) > 1
    assert len(await made(payment_env)) == 1


async def test_a_clock_set_back_by_a_year_neither_stops_a_refund_nor_makes_it_twice(payment_env: PaymentEnv) -> None:
    """Sent under a clock that ran ahead, its answer lost: it is due all the same, and its key counts as forgotten."""
    paid = await payment_env.paid()
    payment_env.sandbox.fault("yookassa", "v3/refunds", times=1, drop="after")
    await payment_env.refunds.refund(ADMIN, paid.id, 20_000, refund_id="r1")
    ahead = "created_at = created_at + :ms, sent_at = sent_at + :ms, next_look_at = next_look_at + :ms"
    await change(payment_env, f"UPDATE refunds SET {ahead}", ms=365 * 86_400_000)
    payment_env.sandbox.world.clock.advance(90_000)
    await payment_env.refunds.poll_due()
    assert (await payment_env.refund("r1")).status is RefundStatus.SUCCEEDED
    assert len(await made(payment_env)) == 1


async def test_a_refund_that_a_backup_holds_unsent_is_looked_for_before_it_is_sent(payment_env: PaymentEnv) -> None:
    """Copied right before it was sent, restored days later: by then YooKassa has it and has forgotten the key."""
    paid = await payment_env.paid()
    await begun(payment_env, paid.id, 20_000)
    unsent = await payment_env.refund("r1")
    await payment_env.yookassa.create_refund(json.loads(unsent.request_body or ""), idempotency_key="refund-r1")
    await change(payment_env, "UPDATE refunds SET created_at = created_at - :ms", ms=2 * 86_400_000)
    payment_env.sandbox.world.clock.advance(2 * 86_400)
    await sweep(payment_env)
    assert (await payment_env.refund("r1")).status is RefundStatus.SUCCEEDED
    assert len(await made(payment_env)) == 1


async def test_a_list_that_can_not_be_read_sends_nothing(payment_env: PaymentEnv) -> None:
    """Past the key's time and without the list nobody can tell: wait."""
    paid = await payment_env.paid()
    payment_env.sandbox.fault("yookassa", "v3/refunds", times=1, drop="after")
    await payment_env.refunds.refund(ADMIN, paid.id, 20_000, refund_id="r1")
    await change(payment_env, "UPDATE refunds SET sent_at = 1")
    payment_env.sandbox.world.clock.advance(90_000)
    payment_env.sandbox.fault("yookassa", "v3/refunds", times=1, status=500)
    await sweep(payment_env)
    assert (await payment_env.refund("r1")).status is RefundStatus.SENT
    assert len(await made(payment_env)) == 1
    await sweep(payment_env)
    assert (await payment_env.refund("r1")).status is RefundStatus.SUCCEEDED
    assert len(await made(payment_env)) == 1


async def test_a_refused_repeat_says_nothing_about_the_first_attempt(payment_env: PaymentEnv) -> None:
    """The first request went through, its answer was lost, and the repeat is refused: the list decides."""
    paid = await payment_env.paid()
    payment_env.sandbox.fault("yookassa", "v3/refunds", times=1, drop="after")
    await payment_env.refunds.refund(ADMIN, paid.id, refund_id="r1")
    refusal = {"type": "error", "id": "e", "code": "invalid_request", "description": "no"}
    payment_env.sandbox.fault("yookassa", "v3/refunds", times=1, status=400, body=refusal)
    await sweep(payment_env)
    assert (await payment_env.refund("r1")).status is RefundStatus.SUCCEEDED
    assert await entries(payment_env) == [("topup", 50_000), ("takeback", -50_000)]


async def test_a_certain_refusal_undoes_the_take_back(payment_env: PaymentEnv) -> None:
    """YooKassa has nothing of it and will not do it: the customer has the money again."""
    paid = await payment_env.paid()
    refusal = {"type": "error", "id": "e", "code": "forbidden", "description": "no"}
    payment_env.sandbox.fault("yookassa", "v3/refunds", times=1, status=403, body=refusal)
    refund = await payment_env.refunds.refund(ADMIN, paid.id, refund_id="r1")
    assert refund.status is RefundStatus.CANCELED
    assert await entries(payment_env) == [("topup", 50_000), ("takeback", -50_000), ("returned", 50_000)]


async def test_wrong_credentials_keep_it_waiting(payment_env: PaymentEnv) -> None:
    """401 is for the admins to correct and says nothing about an earlier request: nothing is undone."""
    paid = await payment_env.paid()
    error = {"type": "error", "id": "e", "code": "invalid_credentials"}
    payment_env.sandbox.fault("yookassa", "v3/refunds", times=1, status=401, body=error)
    assert (await payment_env.refunds.refund(ADMIN, paid.id, refund_id="r1")).status is RefundStatus.SENT
    await sweep(payment_env)
    assert (await payment_env.refund("r1")).status is RefundStatus.SUCCEEDED


RETURNING = """
import asyncio, sys
from database.models import Database
from services.payments.refunds import Refunds
from services.payments.yookassa_refunds import YooKassaRefunds
from services.payments.yookassa.client import YooKassaGateway

async def main():
    db = Database(sys.argv[1])
    gateway = YooKassaGateway("100500", "test_sandbox_key", sys.argv[2], timeout=(2, 20))
    refunds = Refunds(db, {"yookassa": YooKassaRefunds(db, gateway)})
    await refunds.refund(9001, sys.argv[3], 20000, refund_id="dying")

asyncio.run(main())
"""


async def test_killed_while_yookassa_answers_it_is_finished_once(payment_env: PaymentEnv) -> None:
    """SIGKILL with the money taken and YooKassa's answer on its way: the next process finds one refund, not two."""
    paid = await payment_env.paid()
    payment_env.sandbox.fault("yookassa", "v3/refunds", after=True, delay=15, status=500)
    with program(RETURNING, payment_env.db.url, f"{payment_env.sandbox.url}/yookassa/v3", paid.id) as process:

        async def returned() -> bool:
            return len(await made(payment_env)) == 1

        await until(returned, what="YooKassa has returned the money")
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait, 10)
    orphan = await payment_env.refund("dying")
    assert (orphan.status, orphan.provider_refund_id) == (RefundStatus.SENT, None)
    await assert_books(payment_env.db)
    await sweep(payment_env)
    assert (await payment_env.refund("dying")).status is RefundStatus.SUCCEEDED
    assert len(await made(payment_env)) == 1
    assert await entries(payment_env) == [("topup", 50_000), ("takeback", -20_000)]


# --- races and repeats -----------------------------------------------------------------------------------


async def test_twenty_commands_at_once_are_one_refund(payment_env: PaymentEnv) -> None:
    """The update came twenty times: one row, one take-back, one refund at YooKassa."""
    paid = await payment_env.paid()
    answers = await asyncio.gather(
        *(payment_env.refunds.refund(ADMIN, paid.id, 20_000, refund_id="r1") for _ in range(20))
    )
    assert {answer.status for answer in answers} == {RefundStatus.SUCCEEDED}
    assert len(await made(payment_env)) == 1
    assert await entries(payment_env) == [("topup", 50_000), ("takeback", -20_000)]


async def test_two_admins_at_once_never_refund_more_than_came(payment_env: PaymentEnv) -> None:
    """Each asks for all of it: one refund, the others are told that nothing is left."""
    paid = await payment_env.paid()
    outcomes = await asyncio.gather(
        *(payment_env.refunds.refund(ADMIN, paid.id, refund_id=f"r{number}") for number in range(5)),
        return_exceptions=True,
    )
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    assert len(await made(payment_env)) == 1
    assert (await payment_env.payment(paid.id)).refunded_amount == 50_000


async def told(payment_env: PaymentEnv, refund_ids: Sequence[str]) -> None:
    for refund_id in refund_ids:
        assert await payment_env.notify("refund.succeeded", refund_id) == 200
    await payment_env.acted()


async def test_the_notification_may_come_before_our_answer(payment_env: PaymentEnv) -> None:
    """The answer is lost, the notification is not: its metadata names our row, so nothing is taken twice."""
    paid = await payment_env.paid()
    payment_env.sandbox.fault("yookassa", "v3/refunds", times=1, drop="after")
    await payment_env.refunds.refund(ADMIN, paid.id, 20_000, refund_id="r1")
    (theirs,) = await made(payment_env)
    await told(payment_env, [theirs["id"]] * 3)
    done = await payment_env.refund("r1")
    assert (done.status, done.provider_refund_id) == (RefundStatus.SUCCEEDED, theirs["id"])
    await sweep(payment_env)
    assert await entries(payment_env) == [("topup", 50_000), ("takeback", -20_000)]
    assert len(await made(payment_env)) == 1


async def test_answer_notification_and_comparison_at_once(payment_env: PaymentEnv) -> None:
    """All of them see the refund in the same moment: it is booked once."""
    paid = await payment_env.paid()
    await payment_env.control("/settings", refund_outcome="pending")
    await payment_env.refunds.refund(ADMIN, paid.id, 20_000, refund_id="r1")
    (theirs,) = await made(payment_env)
    await payment_env.control(f"/refunds/{theirs['id']}/settle", status="succeeded")
    await asyncio.gather(
        told(payment_env, [theirs["id"]] * 5),
        sweep(payment_env),
        payment_env.reconciliation.run(),
        payment_env.refunds.carry_on("r1"),
    )
    assert (await payment_env.refund("r1")).status is RefundStatus.SUCCEEDED
    assert await entries(payment_env) == [("topup", 50_000), ("takeback", -20_000)]
    assert (await payment_env.payment(paid.id)).refunded_amount == 20_000


async def test_an_equal_refund_without_our_id_waits_until_ours_is_known(payment_env: PaymentEnv) -> None:
    """The same sum was refunded in the cabinet while ours is under way: nothing is guessed, both are booked once."""
    paid = await payment_env.paid()
    await begun(payment_env, paid.id, 20_000)
    theirs = await payment_env.control("/refunds", payment_id=paid.provider_payment_id, amount="200.00")
    refunded = refund_rows.RefundFacts(f"yk-{theirs['id']}", theirs["id"], 20_000)
    with pytest.raises(Undecided):
        await payment_env.db.write(refund_rows.take_back, paid.id, **vars(refunded))
    await told(payment_env, [theirs["id"]])
    assert await entries(payment_env) == [("topup", 50_000), ("takeback", -20_000)]
    await sweep(payment_env)
    await change(payment_env, "UPDATE inbox SET due_at = 1 WHERE due_at IS NOT NULL")
    await payment_env.payments.handle_due_notifications()
    assert await entries(payment_env) == [("topup", 50_000), ("takeback", -20_000), ("takeback", -20_000)]
    assert (await payment_env.payment(paid.id)).refunded_amount == 40_000


async def test_a_refund_from_the_cabinet_leaves_nothing_for_ours(payment_env: PaymentEnv) -> None:
    """All of it was refunded in the cabinet first: YooKassa refuses ours, and what was taken for it is back."""
    paid = await payment_env.paid()
    await begun(payment_env, paid.id, 50_000)
    theirs = await payment_env.control("/refunds", payment_id=paid.provider_payment_id)
    await sweep(payment_env)
    assert (await payment_env.refund("r1")).status is RefundStatus.CANCELED
    await told(payment_env, [theirs["id"]])
    assert await payment_env.db.get_balance(1) == 0
    assert await payment_env.db.read(ledger.open_debts, 1) == []
    assert (await payment_env.payment(paid.id)).status is PaymentStatus.REFUNDED


async def test_a_refund_booked_under_another_id_is_not_taken_twice(payment_env: PaymentEnv) -> None:
    """Our id was lost on the way and the refund was booked as another one: ours is undone when that is found."""
    paid = await payment_env.paid()
    await payment_env.control("/settings", refund_outcome="pending")
    await payment_env.refunds.refund(ADMIN, paid.id, 20_000, refund_id="r1")
    (theirs,) = await made(payment_env)
    await change(payment_env, "UPDATE refunds SET provider_refund_id = NULL")
    await payment_env.control(f"/refunds/{theirs['id']}/settle", status="succeeded")
    await payment_env.db.write(
        refund_rows.take_back,
        paid.id,
        refund_id=f"yk-{theirs['id']}",
        provider_refund_id=theirs["id"],
        amount=20_000,
        own_id="somebody-else",
    )
    await sweep(payment_env)
    assert (await payment_env.refund("r1")).status is RefundStatus.CANCELED
    assert await payment_env.db.get_balance(1) == 30_000
    assert (await payment_env.payment(paid.id)).refunded_amount == 20_000


async def test_a_refund_undone_too_early_is_taken_again_when_it_succeeds(payment_env: PaymentEnv) -> None:
    """YooKassa refused, and then it succeeded after all: what YooKassa has counts, once."""
    paid = await payment_env.paid()
    await begun(payment_env, paid.id, 20_000)
    await payment_env.db.write(refund_rows.cancel, "r1", "no")
    body = build_refund_body(
        payment_id=paid.provider_payment_id or "",
        amount_kopecks=20_000,
        description="x",
        metadata={"refund_id": "r1"},
    )
    theirs = await payment_env.yookassa.create_refund(body, idempotency_key="late")
    await told(payment_env, [theirs.id] * 2)
    assert await payment_env.db.get_balance(1) == 30_000
    assert (await payment_env.payment(paid.id)).refunded_amount == 20_000


@pytest.mark.parametrize("amount", [None, 40_000_000, 1_000])
async def test_a_payment_larger_than_any_that_we_begin_can_be_refunded(
    payment_env: PaymentEnv, amount: int | None
) -> None:
    """Version 1.3 took what the shop's contract allowed; what was paid can be refunded, whole or in part."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    payment_env.sandbox.world.faces["yookassa"].payments[payment.provider_payment_id].amount = Decimal("400000.00")
    await change(payment_env, "UPDATE payments SET provider_payment_id = 'lost'")
    await change(
        payment_env,
        "INSERT INTO payments (id, user_id, provider, provider_payment_id, amount, status, created_at, paid_at, "
        "idempotency_key, legacy) VALUES ('v1', 1, 'yookassa', :there, 40000000, 'paid', 1, 1, 'v1', 1)",
        there=payment.provider_payment_id,
    )
    if amount is not None:
        assert (await payment_env.refunds.offer("v1", amount)).left == 40_000_000
    refund = await payment_env.refunds.refund(ADMIN, "v1", amount, refund_id="r")
    assert (refund.status, refund.amount) == (RefundStatus.SUCCEEDED, amount or 40_000_000)
    assert [one["amount"]["value"] for one in await made(payment_env)] == [f"{refund.amount // 100}.00"]


# --- receipts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("now", [None, Receipt(email="", vat_code=11, payment_subject="payment", tax_system_code=3)])
async def test_a_part_is_refunded_by_the_terms_of_its_sale(payment_env: PaymentEnv, now: Receipt | None) -> None:
    """Address, rate and system of the payment's own receipt, whatever was set since; the whole needs no receipt."""
    sale = Receipt(email="anna@example.org", vat_code=4, payment_mode="advance", tax_system_code=2)
    gateway = YooKassaRefunds(payment_env.db, payment_env.yookassa, receipt=now)
    opened = await payment_env.open_payment()
    body = build_payment_body(
        amount_kopecks=opened.amount, return_url="https://t.me", description="x", order_id=opened.id, receipt=sale
    )
    await change(
        payment_env,
        "UPDATE payments SET request_body = :body WHERE id = :id",
        id=opened.id,
        body=json.dumps(body),
    )
    payment = await payment_env.payment(opened.id)
    part, whole = gateway.body(payment, 100, "r1"), gateway.body(payment, payment.amount, "r2")
    (sold,), (refunded,) = body["receipt"]["items"], part["receipt"]["items"]
    assert refunded == {**sold, "amount": {"value": "1.00", "currency": "RUB"}, "description": refunded["description"]}
    assert (part["receipt"]["customer"], part["receipt"]["tax_system_code"]) == ({"email": "anna@example.org"}, 2)
    assert "receipt" not in whole


async def test_a_part_of_what_had_no_receipt_is_not_refunded_by_a_shop_that_sends_them(payment_env: PaymentEnv) -> None:
    """YooKassa would want a receipt, and nobody knows whom to send it to; the whole goes back."""
    gateway = YooKassaRefunds(payment_env.db, payment_env.yookassa, receipt=Receipt(email="", vat_code=4))
    payment = await payment_env.open_payment()
    with pytest.raises(IllegalMove):
        gateway.body(payment, 100, "r1")
    assert "receipt" not in gateway.body(payment, payment.amount, "r2")
