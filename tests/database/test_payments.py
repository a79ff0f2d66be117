"""The life of a top-up in its table: one credit for money that came, one take-back for money that went."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from database import ledger
from database import payments as payment_rows
from database import refunds as refund_rows
from database.models import (
    BrokenRule,
    Database,
    IllegalMove,
    KeyReused,
    NotFound,
    Payment,
    PaymentStatus,
)
from tests.support.database_fixture import Clock, snapshot

ANNA, BORIS = 7001, 7002


def top_up(payment_id: str = "p", user_id: int = ANNA, amount: int = 10_000, **changes: Any) -> payment_rows.NewPayment:
    values: dict[str, Any] = {"provider": "yookassa", "idempotency_key": f"key-{payment_id}", "request_body": "{}"}
    return payment_rows.NewPayment(payment_id, user_id, amount=amount, **{**values, **changes})


async def opened(db: Database, payment_id: str = "p", **changes: Any) -> Payment:
    return await db.write(payment_rows.open_payment, top_up(payment_id, **changes), poll_in_ms=1_000)


async def paid(db: Database, payment_id: str = "p", **changes: Any) -> Payment:
    await opened(db, payment_id, **changes)
    return (await db.write(payment_rows.settle, payment_id))[0]


async def payment_of(db: Database, payment_id: str = "p") -> Payment:
    payment = await db.read(payment_rows.get, payment_id)
    assert payment is not None
    return payment


async def refunded(db: Database, refund_id: str, amount: int, payment_id: str = "p") -> bool:
    _, new = await db.write(
        refund_rows.take_back, payment_id, refund_id=f"r-{refund_id}", provider_refund_id=refund_id, amount=amount
    )
    return new


async def debts_of(db: Database, user_id: int = ANNA) -> list[int]:
    return [debt.amount - debt.settled for debt in await db.read(ledger.open_debts, user_id)]


async def told(db: Database) -> list[str]:
    return [row[0] for row in await db.read(lambda tx: tx.execute(text("SELECT key FROM outbox ORDER BY id")).all())]


# --- open and sent ----------------------------------------------------------------------------------


async def test_a_payment_is_written_before_anybody_is_asked(db: Database, clock: Clock) -> None:
    """The row has its key, its exact body and its next poll; the same id again is the same row."""
    payment = await opened(db)
    assert (payment.status, payment.amount, payment.idempotency_key, payment.request_body) == (
        "pending", 10_000, "key-p", "{}",
    )  # fmt: skip
    assert payment.next_look_at == clock.now + 1_000
    assert await opened(db) == payment
    assert await db.get_balance(ANNA) == 0


@pytest.mark.parametrize("changes", [{"amount": 10_001}, {"user_id": BORIS}])
async def test_a_payment_of_another_sum_or_user_is_refused(db: Database, changes: dict[str, Any]) -> None:
    """An id stands for one sum of one user."""
    await opened(db)
    before = await snapshot(db)
    with pytest.raises(KeyReused):
        await opened(db, **changes)
    assert await snapshot(db) == before


@pytest.mark.parametrize("amount", [0, -1, 10**11 + 1])
async def test_impossible_sums_are_refused(db: Database, amount: int) -> None:
    """A top-up of nothing, less or too much is refused before it is written."""
    with pytest.raises(ValueError):
        await opened(db, amount=amount)


async def test_the_providers_id_is_one_payment(db: Database) -> None:
    """A row keeps the first id it was given, and no two rows can share one."""
    await opened(db, "p")
    await opened(db, "q")
    accept: dict[str, Any] = {"confirmation_url": "https://pay", "poll_in_ms": 5_000}
    first = await db.write(payment_rows.accepted, "p", provider_payment_id="y1", **accept)
    assert await db.write(payment_rows.accepted, "p", provider_payment_id="y1", **accept) == first
    with pytest.raises(KeyReused):
        await db.write(payment_rows.accepted, "p", provider_payment_id="y2", **accept)
    with pytest.raises(BrokenRule):
        await db.write(payment_rows.accepted, "q", provider_payment_id="y1", **accept)
    assert (await db.read(payment_rows.by_provider_id, "y1")) == first
    with pytest.raises(NotFound):
        await db.write(payment_rows.accepted, "nothing", provider_payment_id="y3", **accept)


async def test_the_first_send_sets_the_age_of_the_key(db: Database, clock: Clock) -> None:
    """The moment of the first send stays, however often the request is sent again."""
    await opened(db)
    first = await db.write(payment_rows.sending, "p")
    clock.forward(60_000)
    assert (await db.write(payment_rows.sending, "p")).sent_at == first.sent_at


# --- settle -----------------------------------------------------------------------------------------


async def test_fifty_settles_at_once_are_one_credit(db: Database) -> None:
    """Webhook, button and poller at once: one credit of exactly the sum, one message."""
    await opened(db)
    answers = await asyncio.gather(*(db.write(payment_rows.settle, "p") for _ in range(50)))
    assert sum(new for _, new in answers) == 1
    assert {payment.status for payment, _ in answers} == {PaymentStatus.PAID}
    assert await db.get_balance(ANNA) == 10_000
    entries = await db.read(ledger.history, ANNA)
    assert [(entry.kind, entry.amount, entry.payment_id, entry.reason) for entry in entries] == [
        ("credit", 10_000, "p", "topup")
    ]
    assert await told(db) == ["credited:p"]
    assert (await payment_of(db)).next_look_at is None


async def test_fifty_settles_from_two_connections(db: Database) -> None:
    """Two processes' worth of connections settle at once: still one credit."""
    await opened(db)
    other = Database(db.url)
    answers = await asyncio.gather(
        *(connection.write(payment_rows.settle, "p") for _ in range(25) for connection in (db, other))
    )
    await other.close()
    assert sum(new for _, new in answers) == 1
    assert await db.get_balance(ANNA) == 10_000


async def test_paying_twice_is_two_credits(db: Database) -> None:
    """Two payments of one person are two credits."""
    await paid(db, "p")
    await paid(db, "q")
    assert await db.get_balance(ANNA) == 20_000


async def test_money_after_a_cancellation_is_credited(db: Database) -> None:
    """A canceled payment that turns out paid is credited; a paid one can't be canceled."""
    await opened(db)
    assert [await db.write(payment_rows.cancel, "p", "expired") for _ in range(2)] == [True, False]
    assert (await payment_of(db)).status == "canceled"
    assert (await db.write(payment_rows.settle, "p"))[1]
    assert await db.get_balance(ANNA) == 10_000
    assert await db.write(payment_rows.cancel, "p", "too late") is False
    assert (await payment_of(db)).status == "paid"


async def test_a_quarantined_payment_credits_nothing(db: Database) -> None:
    """What does not fit is set aside once, the admins are told once, and it is polled no more."""
    await opened(db)
    for reason in ("amount", "currency"):
        await db.write(payment_rows.quarantine, "p", reason, admins=[1, 2])
    for _ in range(2):
        with pytest.raises(IllegalMove):
            await db.write(payment_rows.settle, "p")
    assert await db.get_balance(ANNA) == 0
    assert (await payment_of(db)).quarantined_reason == "amount"
    assert await told(db) == ["quarantine:p:1", "quarantine:p:2"]


async def test_an_unknown_payment_is_not_found(db: Database) -> None:
    """Settling what was never opened raises NotFound."""
    with pytest.raises(NotFound):
        await db.write(payment_rows.settle, "nothing")


async def test_polls_are_taken_by_time(db: Database, clock: Clock) -> None:
    """What is due, longest first, and the newest where not all have room; put off or given up is not due."""
    for number in range(3):
        await opened(db, f"p{number}")
        clock.forward(10)
    clock.forward(1_000)
    assert [payment.id for payment in await db.read(payment_rows.due, limit=4)] == ["p0", "p1", "p2"]
    assert [payment.id for payment in await db.read(payment_rows.due, limit=2)] == ["p0", "p2"]
    await db.write(payment_rows.schedule_poll, "p0", delay_ms=60_000)
    await db.write(payment_rows.schedule_poll, "p1", delay_ms=None)
    await db.write(payment_rows.settle, "p2")
    assert await db.read(payment_rows.due) == []
    clock.forward(60_000)
    assert [(payment.id, payment.looks) for payment in await db.read(payment_rows.due)] == [("p0", 1)]


# --- taken back -------------------------------------------------------------------------------------


async def test_a_full_refund_takes_everything_back(db: Database) -> None:
    """A whole refund debits the whole sum and makes the payment refunded; the same refund again is nothing."""
    await paid(db)
    assert [await refunded(db, "y", 10_000) for _ in range(3)] == [True, False, False]
    payment = await payment_of(db)
    assert (payment.status, payment.refunded_amount) == ("refunded", 10_000)
    assert await db.get_balance(ANNA) == 0
    assert await debts_of(db) == []
    assert (await db.write(payment_rows.settle, "p"))[1] is False


async def test_partial_refunds_add_up(db: Database) -> None:
    """Partial refunds are taken back one by one; refunded only when all went back; more than that is refused."""
    await paid(db)
    assert await refunded(db, "y1", 4_000)
    assert (await payment_of(db)).status == "paid"
    assert await db.get_balance(ANNA) == 6_000
    before = await snapshot(db)
    with pytest.raises(IllegalMove):
        await refunded(db, "y2", 6_001)
    assert await snapshot(db) == before
    assert await refunded(db, "y2", 6_000)
    payment = await payment_of(db)
    assert (payment.status, payment.refunded_amount) == ("refunded", 10_000)
    with pytest.raises(IllegalMove):
        await refunded(db, "y3", 1)


async def test_what_is_spent_becomes_a_debt(db: Database) -> None:
    """When the balance holds less than was refunded, it is emptied and the rest is owed, in one transaction."""
    await paid(db)
    await db.subtract_balance(ANNA, 7_000, key="spent", reason="r")
    await refunded(db, "y", 10_000)
    assert await db.get_balance(ANNA) == 0
    assert await debts_of(db) == [7_000]


async def test_a_refund_of_spent_money_is_only_a_debt(db: Database) -> None:
    """With nothing left there is no debit at all, only the debt."""
    await paid(db)
    await db.subtract_balance(ANNA, 10_000, key="spent", reason="r")
    await refunded(db, "y", 2_500)
    assert await debts_of(db) == [2_500]
    assert [entry.reason for entry in await db.read(ledger.history, ANNA)] == ["r", "topup"]


async def test_the_next_credit_settles_the_debt(db: Database) -> None:
    """A credit pays what is owed first; the rest is there to spend; a repeat of it settles nothing twice."""
    await paid(db)
    await db.subtract_balance(ANNA, 10_000, key="spent", reason="r")
    await refunded(db, "y", 10_000)
    for _ in range(2):
        await db.add_balance(ANNA, 12_000, key="next", reason="r")
    assert await db.get_balance(ANNA) == 2_000
    assert await debts_of(db) == []


async def test_several_credits_settle_several_debts(db: Database) -> None:
    """Debts are settled oldest first, by as many credits as it takes: gifts, top-ups, refunds of jobs."""
    await paid(db, "p")
    await paid(db, "q")
    await db.reserve_balance(ANNA, 500, "job")
    await db.subtract_balance(ANNA, 19_500, key="spent", reason="r")
    await refunded(db, "y1", 1_000, "p")
    await refunded(db, "y2", 2_000, "q")
    assert await debts_of(db) == [1_000, 2_000]
    await db.add_balance(ANNA, 400, key="gift", reason="r")
    assert await debts_of(db) == [600, 2_000]
    await db.refund_balance("job")
    assert await debts_of(db) == [100, 2_000]
    await db.add_balance(ANNA, 1_000, key="gift 2", reason="r")
    assert await debts_of(db) == [1_100]
    assert await db.get_balance(ANNA) == 0
    await paid(db, "third", amount=1_500)
    assert await debts_of(db) == []
    assert await db.get_balance(ANNA) == 400


@pytest.mark.parametrize("state", ["pending", "canceled"])
async def test_a_refund_before_the_money_is_refused(db: Database, state: str) -> None:
    """A payment that is not credited has nothing to take back: settle first, then take back."""
    await opened(db)
    if state == "canceled":
        await db.write(payment_rows.cancel, "p", "expired")
    before = await snapshot(db)
    with pytest.raises(IllegalMove):
        await refunded(db, "y", 100)
    assert await snapshot(db) == before
    await db.write(payment_rows.settle, "p")
    assert await refunded(db, "y", 100)


async def test_a_refund_of_another_sum_or_payment_is_refused(db: Database) -> None:
    """The provider's refund id stands for one sum of one payment."""
    await paid(db, "p")
    await paid(db, "q")
    await refunded(db, "y", 100, "p")
    for amount, payment_id in ((101, "p"), (100, "q")):
        with pytest.raises(KeyReused):
            await refunded(db, "y", amount, payment_id)


async def test_thirty_refunds_at_once(db: Database) -> None:
    """The same refund told thirty times at once is taken back once."""
    await paid(db)
    answers = await asyncio.gather(*(refunded(db, "y", 3_000) for _ in range(30)))
    assert sum(answers) == 1
    assert await db.get_balance(ANNA) == 7_000


# --- what the schema refuses ------------------------------------------------------------------------

FORBIDDEN = {
    "another sum": "UPDATE payments SET amount = 1 WHERE id = 'paid'",
    "another user": "UPDATE payments SET user_id = 7002 WHERE id = 'paid'",
    "forgetting a payment": "DELETE FROM payments WHERE id = 'open'",
    "unpaying": "UPDATE payments SET status = 'pending' WHERE id = 'paid'",
    "canceling what is paid": "UPDATE payments SET status = 'canceled' WHERE id = 'paid'",
    "refunding what is not paid": "UPDATE payments SET status = 'refunded' WHERE id = 'open'",
    "returning more than was paid": "UPDATE payments SET refunded_amount = 10001 WHERE id = 'paid'",
    "a provider nobody knows": "INSERT INTO payments (id, user_id, provider, amount, created_at, idempotency_key) "
    "VALUES ('x', 7001, 'cash', 1, 1, 'x')",
    "a second credit": "INSERT INTO ledger (user_id, kind, amount, reason, payment_id, key, created_at) "
    "VALUES (7001, 'credit', 5, 'x', 'paid', 'x', 1780000000000)",
    "a credit of no payment": "INSERT INTO ledger (user_id, kind, amount, reason, payment_id, key, created_at) "
    "VALUES (7001, 'credit', 5, 'x', 'nothing', 'x', 1780000000000)",
    "forgetting a debt": "DELETE FROM debts",
    "settling more than is owed": "UPDATE debts SET settled = amount + 1",
}


@pytest.mark.parametrize("statement", FORBIDDEN.values(), ids=FORBIDDEN)
async def test_the_schema_refuses(db: Database, statement: str) -> None:
    """From any program: payments keep their sum, user and order of states, debts stay, credits come once."""
    await paid(db, "paid")
    await opened(db, "open")
    await db.subtract_balance(ANNA, 10_000, key="spent", reason="r")
    await refunded(db, "y", 300, "paid")
    before = await snapshot(db)
    with pytest.raises(BrokenRule):
        await db.write(lambda tx: tx.execute(text(statement)))
    assert await snapshot(db) == before
