"""Faults of payments: refunded money, poison rows, silent gateways and crashes between two steps of a payment."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from database import inbox, ledger, outbox
from database import payments as payment_rows
from database.models import PaymentStatus, Tx
from services.errors import TopUpUnavailable
from services.payments.notifications import TRIES
from tests.support.database_fixture import ROOT, assert_books, program
from tests.support.job_env import until
from tests.support.payment_env import PaymentEnv


async def entries(payment_env: PaymentEnv, user_id: int = 1) -> list[tuple[str, int]]:
    lines = await payment_env.db.read(ledger.history, user_id, limit=100)
    return [(line.reason, line.amount) for line in reversed(lines)]


async def change(payment_env: PaymentEnv, statement: str, **values: object) -> None:
    """What an admin's shell, an older version or time would have left in the database."""

    def run(tx: Tx) -> None:
        tx.execute(text(statement), values)

    await payment_env.db.write(run)


async def make_due(payment_env: PaymentEnv, payment_id: str | None = None) -> None:
    """The time of the next poll has come, where there is to be one."""
    await change(
        payment_env,
        "UPDATE payments SET next_look_at = 1 WHERE next_look_at IS NOT NULL AND (:id IS NULL OR id = :id)",
        id=payment_id,
    )


async def notifications_due(payment_env: PaymentEnv) -> None:
    """Every notification that waits is due now."""
    await change(payment_env, "UPDATE inbox SET due_at = 1 WHERE due_at IS NOT NULL")


async def alerts(payment_env: PaymentEnv) -> list[str]:
    items = await payment_env.db.write(outbox.claim, limit=1000)
    return [str(item.payload["text"]) for item in items if item.kind == "alert"]


# --- money that was refunded --------------------------------------------------------------------------


async def test_a_payment_refunded_before_it_was_settled_is_never_credited_without_its_take_back(
    payment_env: PaymentEnv,
) -> None:
    """The list of refunds can't be read: no credit either, else nobody would ask for its take-back."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    await payment_env.control("/refunds", payment_id=payment.provider_payment_id)
    payment_env.sandbox.fault("yookassa", "v3/refunds", status=500)
    await make_due(payment_env)
    await payment_env.payments.poll_due()
    assert await entries(payment_env) == []
    await make_due(payment_env)
    await payment_env.payments.poll_due()
    assert await entries(payment_env) == [("topup", 50_000), ("takeback", -50_000)]
    assert (await payment_env.payment(payment.id)).status is PaymentStatus.REFUNDED


async def test_a_refund_whose_notification_was_lost_is_found_by_reconciliation(payment_env: PaymentEnv) -> None:
    """Refunded in the cabinet long after the credit, without a notification: the comparison takes it back, once."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    await payment_env.payments.settle(payment.id)
    await payment_env.control("/refunds", payment_id=payment.provider_payment_id, amount="200.00")
    for _ in range(2):
        await payment_env.reconciliation.run()
        await payment_env.acted()
    assert await entries(payment_env) == [("topup", 50_000), ("takeback", -20_000)]
    assert (await payment_env.payment(payment.id)).refunded_amount == 20_000


async def test_money_of_a_payment_that_is_not_polled_is_found_by_reconciliation(
    payment_env: PaymentEnv,
) -> None:
    """The poller does not ask about it and the notification was lost: the comparison credits it."""
    payment = await payment_env.open_payment()
    await change(payment_env, "UPDATE payments SET next_look_at = NULL")
    await payment_env.pay(payment)
    await payment_env.reconciliation.run()
    assert await entries(payment_env) == [("topup", 50_000)]


async def test_reconciliation_goes_on_behind_a_payment_that_is_not_ours(payment_env: PaymentEnv) -> None:
    """The shop also sells elsewhere: the admins are told of the unknown payment once, ours are settled all the same."""
    ours, unknown = await payment_env.open_payment(), await payment_env.open_payment()
    for payment in (ours, unknown):
        await payment_env.pay(payment)
    await change(payment_env, "UPDATE payments SET provider_payment_id = 'lost' WHERE id = :id", id=unknown.id)
    payment_env.sandbox.world.faces["yookassa"].payments[unknown.provider_payment_id].metadata["order_id"] = (
        "web-shop-7"
    )
    for _ in range(2):
        await payment_env.reconciliation.run()
    assert await entries(payment_env) == [("topup", 50_000)]
    assert await alerts(payment_env) == ["alert-difference"]


async def test_a_refund_is_taken_back_however_long_the_gateway_was_silent(payment_env: PaymentEnv) -> None:
    """YooKassa was told 200 and will not repeat it: the notification is kept until the refund is booked."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    await payment_env.payments.settle(payment.id)
    refund = await payment_env.control("/refunds", payment_id=payment.provider_payment_id)
    payment_env.sandbox.fault("yookassa", "v3/refunds", status=500, times=12)
    await payment_env.notify("refund.succeeded", refund["id"])
    await payment_env.acted()
    for _ in range(12):
        await notifications_due(payment_env)
        await payment_env.payments.handle_due_notifications()
    assert await entries(payment_env) == [("topup", 50_000), ("takeback", -50_000)]


async def test_a_notification_that_is_given_up_alerts_the_admins(payment_env: PaymentEnv) -> None:
    """After days of trying it is not tried again, so a person is told."""
    payment = await payment_env.open_payment()
    await payment_env.notify("refund.succeeded", "30c1a7e4-000f-5000-8000-1f0b6c2d9e55")
    await payment_env.acted()
    body = json.dumps({"event": "payment.succeeded", "object": {"id": payment.provider_payment_id}})
    await payment_env.db.write(inbox.receive, "yookassa", "x", body)
    await change(payment_env, "UPDATE inbox SET attempts = :n WHERE key = 'x'", n=TRIES)
    await notifications_due(payment_env)
    payment_env.sandbox.fault("yookassa", "v3/payments", status=500)
    await payment_env.payments.handle_due_notifications()
    assert await alerts(payment_env) == ["alert-hint-lost"]
    await notifications_due(payment_env)
    assert await payment_env.db.write(inbox.due, source="yookassa") == []


async def test_a_refund_that_is_told_before_it_can_be_read_is_asked_about_once_more(payment_env: PaymentEnv) -> None:
    """A just made id may be unknown for a moment: the notification is tried once more, and then dropped."""
    payment = await payment_env.paid()
    refund = await payment_env.control("/refunds", payment_id=payment.provider_payment_id, amount="100.00")
    payment_env.sandbox.fault("yookassa", "v3/refunds/", status=404, body={"type": "error", "code": "not_found"})
    for refund_id in (refund["id"], "00000000-0015-5000-a000-000000000000"):
        await payment_env.notify("refund.succeeded", refund_id)
        await payment_env.acted()
    assert await entries(payment_env) == [("topup", 50_000)]
    await notifications_due(payment_env)
    await payment_env.payments.handle_due_notifications()
    assert await payment_env.db.get_balance(1) == 40_000
    await notifications_due(payment_env)
    assert await payment_env.db.write(inbox.due, source="yookassa") == []


# --- one bad row among good ones ------------------------------------------------------------------------


async def test_sixty_rows_that_can_not_be_sent_do_not_hide_a_paid_one(payment_env: PaymentEnv) -> None:
    """Payments whose stored body is broken come first: each is put off, and the paid one is reached."""
    paid = await payment_env.open_payment()
    await payment_env.pay(paid)
    for number in range(60):
        payment = payment_rows.NewPayment(f"bad-{number}", 2, "yookassa", 100, f"key {number} with spaces", "{broken")
        await payment_env.db.write(payment_rows.open_payment, payment, poll_in_ms=0)
    await change(payment_env, "UPDATE payments SET next_look_at = 1 WHERE id LIKE 'bad%'")
    await change(payment_env, "UPDATE payments SET next_look_at = 2 WHERE id = :id", id=paid.id)
    for _ in range(2):
        await payment_env.payments.poll_due()
    assert await entries(payment_env) == [("topup", 50_000)]


async def test_a_poll_that_never_ends_does_not_come_first_again(payment_env: PaymentEnv) -> None:
    """Cut off in the middle of a poll (a task's time limit, a kill): the next round asks about the others."""
    slow = [await payment_env.open_payment() for _ in range(12)]
    paid = await payment_env.open_payment()
    await payment_env.pay(paid)
    await change(payment_env, "UPDATE payments SET next_look_at = 1")
    await change(payment_env, "UPDATE payments SET next_look_at = 2 WHERE id = :id", id=paid.id)
    for payment in slow:
        payment_env.sandbox.fault("yookassa", f"v3/payments/{payment.provider_payment_id}", times=10, delay=30)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await payment_env.payments.poll_due()
    assert await payment_env.db.read(payment_rows.due) == []
    await make_due(payment_env, paid.id)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(25):  # the cut-off polls still hold the gateway's threads until these give up
            await payment_env.payments.poll_due()
    assert await entries(payment_env) == [("topup", 50_000)]
    payment_env.sandbox.world.faults.clear()


async def test_a_poison_notification_does_not_hold_up_the_others(payment_env: PaymentEnv) -> None:
    """A row that breaks its handler is put off with its reason, and those behind it are acted upon."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    await payment_env.db.write(inbox.receive, "yookassa", "a-poison", "[]", handling_ms=0)
    good = json.dumps({"event": "payment.succeeded", "object": {"id": payment.provider_payment_id}})
    await payment_env.db.write(inbox.receive, "yookassa", "b-good", good, handling_ms=0)
    await payment_env.payments.handle_due_notifications()
    assert await entries(payment_env) == [("topup", 50_000)]


async def test_a_pending_payment_of_version_1_3_settles_like_any_other(payment_env: PaymentEnv) -> None:
    """It was made before our ids: YooKassa's own id is what it is known by, and the sum is compared."""
    made = await payment_env.open_payment(payment_id="made-by-the-old-bot")
    await change(payment_env, "UPDATE payments SET provider_payment_id = NULL, next_look_at = NULL")
    old = payment_rows.NewPayment("v1_3-1", 1, "yookassa", 50_000, "v1_3-1", None)
    await payment_env.db.write(payment_rows.open_payment, old, poll_in_ms=0)
    await payment_env.db.write(
        payment_rows.accepted,
        "v1_3-1",
        provider_payment_id=str(made.provider_payment_id),
        confirmation_url=None,
        poll_in_ms=0,
    )
    await payment_env.pay(made)
    await make_due(payment_env, "v1_3-1")
    await payment_env.payments.poll_due()
    assert await entries(payment_env) == [("topup", 50_000)]
    assert (await payment_env.payment("v1_3-1")).status is PaymentStatus.PAID


async def test_a_payment_that_stays_open_for_weeks_is_still_asked_about(payment_env: PaymentEnv) -> None:
    """Cash and bank transfers may take days: there is no age at which paid money is lost."""
    payment = await payment_env.open_payment()
    await change(payment_env, "UPDATE payments SET created_at = created_at - :age", age=10 * 24 * 3600 * 1000)
    await make_due(payment_env)
    await payment_env.payments.poll_due()
    waiting = await payment_env.payment(payment.id)
    assert waiting.next_look_at is not None
    await payment_env.pay(payment)
    await make_due(payment_env)
    await payment_env.payments.poll_due()
    assert await entries(payment_env) == [("topup", 50_000)]


# --- a payment whose key is forgotten --------------------------------------------------------------------

LONG_AGO = 90_000_000  # milliseconds: 25 hours


async def lost(payment_env: PaymentEnv, drop: str, payment_id: str = "lost") -> None:
    """YooKassa's answer was lost a day ago, `drop` it had the request or after."""
    payment_env.sandbox.fault("yookassa", "v3/payments", times=2, drop=drop)
    with pytest.raises(TopUpUnavailable):
        await payment_env.open_payment(payment_id=payment_id)
    await change(
        payment_env, "UPDATE payments SET sent_at = sent_at - :age, created_at = created_at - :age", age=LONG_AGO
    )
    for payment in payment_env.sandbox.world.faces["yookassa"].payments.values():
        payment.created_at -= LONG_AGO / 1000
    payment_env.sandbox.world.faces["yookassa"].keys.clear()


async def test_after_the_keys_time_the_payment_is_found_in_the_list(payment_env: PaymentEnv) -> None:
    """It was created and its answer lost: the list knows it by our id, and no second one is made."""
    await lost(payment_env, "after")
    (made,) = payment_env.sandbox.world.faces["yookassa"].payments.values()
    made.deadline = payment_env.sandbox.world.clock.now() + 3600
    await payment_env.control(f"/payments/{made.id}/pay")
    await make_due(payment_env)
    await payment_env.payments.poll_due()
    assert await entries(payment_env) == [("topup", 50_000)]
    assert len(payment_env.sandbox.world.faces["yookassa"].payments) == 1


async def test_a_payment_that_a_backup_holds_unsent_is_looked_for_before_it_is_sent(payment_env: PaymentEnv) -> None:
    """Copied right before it was sent, restored a day later: by then it is paid, and YooKassa has forgotten the key."""
    await lost(payment_env, "after")
    (made,) = payment_env.sandbox.world.faces["yookassa"].payments.values()
    made.deadline = payment_env.sandbox.world.clock.now() + 3600
    await payment_env.control(f"/payments/{made.id}/pay")
    await change(payment_env, "UPDATE payments SET sent_at = NULL")
    await make_due(payment_env)
    await payment_env.payments.poll_due()
    assert await entries(payment_env) == [("topup", 50_000)]
    assert len(payment_env.sandbox.world.faces["yookassa"].payments) == 1


@pytest.mark.parametrize("drop", ["before", "after"])
async def test_a_payment_of_a_clock_that_ran_ahead_is_looked_for_before_it_is_sent(
    payment_env: PaymentEnv, drop: str
) -> None:
    """Nobody knows how old it is, so its key may be forgotten: what YooKassa has counts, and no second is made."""
    await lost(payment_env, drop)
    ahead = 2 * LONG_AGO
    await change(
        payment_env, "UPDATE payments SET sent_at = sent_at + :ahead, created_at = created_at + :ahead", ahead=ahead
    )
    made = payment_env.sandbox.world.faces["yookassa"].payments
    for payment in made.values():
        payment.deadline = payment_env.sandbox.world.clock.now() + 3600
        await payment_env.control(f"/payments/{payment.id}/pay")
    await make_due(payment_env)
    await payment_env.payments.poll_due()
    assert len(made) == (drop == "after")
    assert await entries(payment_env) == [("topup", 50_000)][: len(made)]
    assert (await payment_env.payment("lost")).cancel_reason == (None if made else "never_created")


async def test_after_the_keys_time_a_payment_that_never_arrived_is_closed(payment_env: PaymentEnv) -> None:
    """Nobody has its link, so the poller closes it instead of making a payment that nobody will see."""
    await lost(payment_env, "before")
    await make_due(payment_env)
    await payment_env.payments.poll_due()
    closed = await payment_env.payment("lost")
    assert (closed.status, closed.cancel_reason) == (PaymentStatus.CANCELED, "never_created")
    assert len(payment_env.sandbox.world.faces["yookassa"].payments) == 0


async def test_after_the_keys_time_a_person_who_waits_gets_a_new_key(payment_env: PaymentEnv) -> None:
    """They tap the old message again: looked up first, then one payment under a new key."""
    await lost(payment_env, "before")
    payment = await payment_env.open_payment(payment_id="lost")
    assert payment.confirmation_url is not None
    assert payment.idempotency_key == "topup-lost.1"
    await payment_env.pay(payment)
    await payment_env.payments.settle("lost")
    assert await entries(payment_env) == [("topup", 50_000)]


async def test_after_the_keys_time_a_silent_list_changes_nothing(payment_env: PaymentEnv) -> None:
    """As long as nobody can tell whether it arrived, it is neither sent nor closed."""
    await lost(payment_env, "after")
    payment_env.sandbox.fault("yookassa", "v3/payments", times=2, status=500)
    await make_due(payment_env)
    await payment_env.payments.poll_due()
    waiting = await payment_env.payment("lost")
    assert (waiting.status, waiting.provider_payment_id) == (PaymentStatus.PENDING, None)
    assert len(payment_env.sandbox.world.faces["yookassa"].payments) == 1


# --- faults that other shops had ---------------------------------------------------------------------------


async def test_success_told_too_early_is_credited_when_it_becomes_true(payment_env: PaymentEnv) -> None:
    """The notification says paid, YooKassa says pending: nothing now, the credit later and by itself."""
    payment = await payment_env.open_payment()
    assert payment.provider_payment_id is not None
    await payment_env.notify("payment.succeeded", payment.provider_payment_id)
    await payment_env.acted()
    assert await entries(payment_env) == []
    await payment_env.pay(payment)
    await make_due(payment_env)
    await payment_env.payments.poll_due()
    assert await entries(payment_env) == [("topup", 50_000)]


@pytest.mark.parametrize("their_poll", [60_000, -7_200_000], ids=["not due yet", "due since an outage"])
async def test_ten_thousand_abandoned_invoices_do_not_hide_a_paid_one(payment_env: PaymentEnv, their_poll: int) -> None:
    """Old invoices wait behind their growing gaps; a new one is asked about in the first round, though all are due."""

    def abandon(tx: Tx) -> None:
        tx.execute(
            text(
                "INSERT INTO payments (id, user_id, provider, provider_payment_id, amount, created_at, idempotency_key,"
                " next_look_at, looks) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)"
                " SELECT 'old-' || i, 1, 'yookassa', 'gone-' || i, 100, :now - 7200000, 'old-' || i, :now + :look, 20"
                " FROM n"
            ),
            {"now": tx.now, "look": their_poll},
        )

    payment = await payment_env.open_payment()
    await payment_env.db.write(abandon)
    await payment_env.pay(payment)
    await payment_env.db.write(payment_rows.schedule_poll, payment.id, delay_ms=0)
    await payment_env.payments.poll_due()
    assert await entries(payment_env) == [("topup", 50_000)]


async def test_a_payment_keeps_its_sum_whatever_is_asked_for_later(payment_env: PaymentEnv) -> None:
    """The invoice was written down with its sum: another sum under its name is refused, the promised one credited."""
    payment = await payment_env.open_payment(payment_id="promised", rubles=500)
    with pytest.raises(Exception, match="another sum"):
        await payment_env.open_payment(payment_id="promised", rubles=100)
    await payment_env.pay(payment)
    await payment_env.payments.settle(payment.id)
    assert await entries(payment_env) == [("topup", 50_000)]


async def test_a_clock_set_back_by_a_day_does_not_stop_the_poller(payment_env: PaymentEnv) -> None:
    """Due times that lie further ahead than any pause of ours were written under a wrong clock."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    await change(payment_env, "UPDATE payments SET next_look_at = next_look_at + 86400000")
    await payment_env.payments.poll_due()
    assert await entries(payment_env) == [("topup", 50_000)]


# --- real deaths ------------------------------------------------------------------------------------------

PAYING = """
import asyncio, sys
from database.models import Database
from services.common.i18n import Texts
from services.payments.payments import Payments
from services.payments.yookassa.client import YooKassaGateway

async def main():
    db = Database(sys.argv[1])
    gateway = YooKassaGateway("100500", "test_sandbox_key", sys.argv[2], timeout=(2, 20))
    payments = Payments(db, gateway, Texts(), shop_id="100500", test_mode=True, return_url=sys.argv[2])
    print("ready", flush=True)
    await payments.open_topup(1, 50000, chat_id=1, language="ru", payment_id="dying")

asyncio.run(main())
"""


async def test_killed_between_yookassas_answer_and_our_row_the_payment_is_found_and_finished(
    payment_env: PaymentEnv,
) -> None:
    """SIGKILL while YooKassa's answer is on its way: the same key again, one payment, one link, one credit."""
    payment_env.sandbox.fault("yookassa", "v3/payments", after=True, delay=15, status=500)
    shop = payment_env.sandbox.world.faces["yookassa"]
    with program(PAYING, payment_env.db.url, f"{payment_env.sandbox.url}/yookassa/v3") as process:

        async def made() -> bool:
            return len(shop.payments) == 1

        await until(made, what="YooKassa has the payment")
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait, 10)
    orphan = await payment_env.payment("dying")
    assert (orphan.status, orphan.provider_payment_id) == (PaymentStatus.PENDING, None)
    await make_due(payment_env)
    await payment_env.payments.poll_due()
    found = await payment_env.payment("dying")
    assert len(shop.payments) == 1
    assert found.confirmation_url is not None
    await payment_env.pay(found)
    await make_due(payment_env)
    await payment_env.payments.poll_due()
    assert await entries(payment_env) == [("topup", 50_000)]
    await assert_books(payment_env.db)


def test_the_programs_above_start_from_the_projects_root() -> None:
    """The processes that these tests kill are the product's own code."""
    assert (ROOT / "services" / "payments" / "topups.py").is_file()
    assert Path(sys.executable).is_file()
