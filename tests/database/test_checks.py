"""The audit finds what it is there to find: each rule is broken behind the guards, and its rows are named."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from database import assets as asset_rows
from database import jobs as job_rows
from database import outbox
from database import payments as payment_rows
from database import provider_calls as call_rows
from database import refunds as refund_rows
from database.audit.checks import RULES, check_file, run_checks
from database.audit.findings import MOST_IDS
from database.models import Database, JobStep, JobType
from tests.support.database_fixture import Clock, assert_books

ANNA = 7001


def tamper(path: Path, *statements: str, guards: bool = True) -> None:
    """Change the file as a person with access to it could: without guards, checks and references."""
    with sqlite3.connect(path, isolation_level=None) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        connection.execute("PRAGMA ignore_check_constraints=ON")
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        for _, sql in triggers if guards else []:
            connection.execute(sql)
    connection.close()


@pytest.fixture
async def shop(empty_db: Database, clock: Clock) -> Database:
    """A job of each end, a payment of each state, debts and holds: everything that the rules speak of."""
    for payment_id in ("paid", "back", "open"):
        new = payment_rows.NewPayment(payment_id, ANNA, "yookassa", 5_000, f"key-{payment_id}", None)
        await empty_db.write(payment_rows.open_payment, new, poll_in_ms=1_000)
    for payment_id in ("paid", "back"):
        await empty_db.write(payment_rows.settle, payment_id)
    for job_id in ("done", "failed", "working"):
        order = job_rows.NewJob(job_id, ANNA, JobType.IMAGE, "m", "p", {}, 300, hold_ms=900_000)
        await empty_db.write(job_rows.start, order, max_active=9)
    job = await empty_db.write(job_rows.claim, "done", JobStep.IMAGE)
    assert job is not None
    await empty_db.write(call_rows.begin_call, "done", job.attempt, provider="p", model="m")
    asset = asset_rows.NewAsset("asset", ANNA, "results/done.png", "0" * 64, "image/png", 10, 1, 1)
    assert await empty_db.write(job_rows.finish, "done", job.attempt, asset, keep_ms=86_400_000, price=250)
    await empty_db.write(job_rows.compensate, "done", "admin", amount=50)
    await empty_db.write(job_rows.fail, "failed", "refused")
    await empty_db.add_balance(7002, 100, key="other", reason="r")
    await empty_db.subtract_balance(ANNA, 9_000, key="spent", reason="r")
    await empty_db.write(refund_rows.take_back, "back", refund_id="r", provider_refund_id="yr", amount=5_000)
    for item in await empty_db.write(outbox.claim):
        await empty_db.write(outbox.retry, item.id, delay_ms=0)
    await assert_books(empty_db)
    await empty_db.close()
    return empty_db


ENTRY = "INSERT INTO ledger (id, user_id, kind, amount, reason, job_id, key, created_at)"
BREAKS: dict[str, tuple[str, str, str]] = {
    "a balance below zero": ("I1", "7001", "UPDATE balances SET balance = -1 WHERE user_id = 7001"),
    "a ledger below zero": (
        "I1", "7002",
        "INSERT INTO ledger (user_id, kind, amount, reason, key, created_at) "
        "VALUES (7002, 'debit', -500, 'x', 'x', 1780000000000)",
    ),
    "money beside a debt": ("I1", "7001", "UPDATE balances SET balance = 5 WHERE user_id = 7001"),
    "a debt forgiven": ("I1", "1", "UPDATE debts SET settled = 1"),
    "a reserve of another sum": ("I2", "working", "UPDATE ledger SET amount = -299 WHERE key = 'reserve:working'"),
    "a reserve of another user": ("I2", "working", "UPDATE ledger SET user_id = 7002 WHERE key = 'reserve:working'"),
    "a reserve gone": ("I2", "working", "DELETE FROM ledger WHERE key = 'reserve:working'"),
    "a refund gone": ("I2", "failed", "DELETE FROM ledger WHERE key = 'refund:failed'"),
    "a refund of a finished job": ("I2", "done", "UPDATE ledger SET job_id = 'done' WHERE key = 'refund:failed'"),
    "a difference that grew": ("I2", "done", "UPDATE ledger SET amount = 51 WHERE key = 'difference:done'"),
    "a reservation gone": ("I2", "working", "DELETE FROM reservations WHERE job_id = 'working'"),
    "an open hold on a closed job": ("I2", "failed", "UPDATE reservations SET state = 'reserved'"),
    "a closed hold on an open job": ("I2", "working", "UPDATE reservations SET state = 'refunded'"),
    "a job of another price": ("I2", "working", "UPDATE jobs SET cost_estimate = 1 WHERE id = 'working'"),
    "a cost that was not charged": ("I2", "done", "UPDATE jobs SET cost_actual = 249 WHERE id = 'done'"),
    "a compensation above the charge": ("I2", "done", "UPDATE ledger SET amount = 251 WHERE reason = 'compensation'"),
    "paid and not credited": ("I3", "open", "UPDATE payments SET status = 'paid' WHERE id = 'open'"),
    "credited with another sum": ("I3", "paid", "UPDATE ledger SET amount = 4999 WHERE key = 'payment:paid'"),
    "credited and not paid": ("I3", "paid", "UPDATE payments SET status = 'pending' WHERE id = 'paid'"),
    "credited twice by two programs": ("I3", "paid", "UPDATE payments SET legacy = 1 WHERE id = 'paid'"),
    "returned more than was taken": ("I3", "back", "UPDATE payments SET refunded_amount = 4000 WHERE id = 'back'"),
    "a return without a debt": ("I3", "r", "DELETE FROM debts"),
    "a return without its debit": ("I3", "r", "UPDATE ledger SET amount = -1 WHERE reason = 'takeback'"),
    "a canceled return not given back": ("I3", "r", "UPDATE refunds SET status = 'canceled'"),
    "a credit of no payment": (
        "I3", "900", f"{ENTRY} VALUES (900, 7002, 'credit', 500, 'topup', NULL, 'payment:none', 1780000000000)"
    ),
    "a reserve given back once more, beside its job": (
        "I3", "900", f"{ENTRY} VALUES (900, 7001, 'refund', 300, 'refund', NULL, 'refund:failed+', 1780000000000)"
    ),
    "money taken for a return that there is not": (
        "I3", "900", f"{ENTRY} VALUES (900, 7002, 'debit', -50, 'takeback', NULL, 'takeback:none', 1780000000000)"
    ),
    "money of another's return": (
        "I3", "900", f"{ENTRY} VALUES (900, 7002, 'debit', -50, 'takeback', NULL, 'takeback:yr', 1780000000000)"
    ),
    "a return undone that there is not": (
        "I3", "900", f"{ENTRY} VALUES (900, 7002, 'refund', 50, 'returned', NULL, 'returned:none', 1780000000000)"
    ),
    "a debt of nobody paid off": (
        "I3", "900", f"{ENTRY} VALUES (900, 7002, 'debit', -50, 'debt', NULL, 'debt:99:1', 1780000000000)"
    ),
    "a correction that nobody decided": (
        "I3", "900", f"{ENTRY} VALUES (900, 7002, 'credit', 50, 'correction', NULL, 'fix:1', 1780000000000)"
    ),
    "a wallet carried over twice": (
        "I3", "900", f"{ENTRY} VALUES (900, 7002, 'credit', 50, 'migration', NULL, 'migration:1', 1780000000000)"
    ),
    "a debt for nothing": (
        "I3", "9", "INSERT INTO debts (id, user_id, amount, cause, created_at) VALUES (9, 7001, 5, 'takeback:none', 1)"
    ),
    "a decision that was not booked": (
        "I3", "9",
        "INSERT INTO differences (id, key, kind, provider, user_id, proposal, state, created_at, decided_at)"
        " VALUES (9, 'k', 'not-credited', 'yookassa', 7002,"
        " json_object('user_id', 7002, 'amount', 5), 'applied', 1, 1)",
    ),
    "a return that nobody finishes": ("I6", "r", "UPDATE refunds SET status = 'sent'"),
    "an entry gone": ("I4", "3", "DELETE FROM ledger WHERE id = 2"),
    "a shadow that drifted": ("I5", "7002", "UPDATE balances SET balance = 101 WHERE user_id = 7002"),
    "a shadow that missed an entry": ("I5", "7002", "UPDATE balances SET entries = 5 WHERE user_id = 7002"),
    "a shadow gone": ("I5", "7002", "DELETE FROM balances WHERE user_id = 7002"),
    "an open job that nobody looks after": ("I6", "working", "UPDATE jobs SET due_at = NULL WHERE id = 'working'"),
    "a hold that ended before it began": ("I6", "working", "UPDATE reservations SET hold_until = 5"),
    "a token among the reasons": (
        "I9", "paid",
        "UPDATE payments SET quarantined_reason = 'asked bot123456789:AAHabcdefghijklmnopqrstuvwxyz0123456'"
        " WHERE id = 'paid'",
    ),
    "a stack trace in a message": (
        "I9", "1", "UPDATE outbox SET payload = json_object('x', 'Traceback (most recent call last):') WHERE id = 1"
    ),
    "a password in an error": (
        "I9", "77",
        "INSERT INTO inbox (id, source, key, body, received_at, error)"
        " VALUES (77, 'kling', 'k', '', 1, 'redis://shop:hunter2@10.0.0.1:6379 refused')",
    ),
    "a key in an error code": ("I9", "failed", "UPDATE jobs SET error_code = 'live_aBcdefgh1jklmnopqrstuvwx'"
                               " WHERE id = 'failed'"),
    "a message about another's order": ("I9", "900", "INSERT INTO outbox (id, key, user_id, kind, job_id, created_at)"
                                        " VALUES (900, 'x', 7002, 'failed', 'failed', 1)"),
    "a message about another's payment": (
        "I9", "900", "INSERT INTO outbox (id, key, user_id, kind, payment_id, created_at)"
        " VALUES (900, 'x', 7002, 'credited', 'paid', 1)",
    ),
    "a charge without a result": ("I8", "done", "DELETE FROM assets"),
}  # fmt: skip


@pytest.mark.parametrize(("rule", "row", "statement"), BREAKS.values(), ids=BREAKS)
async def test_a_broken_rule_is_found(shop: Database, database_path: Path, rule: str, row: str, statement: str) -> None:
    """Each break is found under its rule, with the row named."""
    tamper(database_path, statement)
    found = await shop.read(run_checks)
    assert row in {name for finding in found if finding.check == rule for name in finding.ids}, found
    assert {finding.check for finding in found} <= set(RULES)
    await shop.close()


async def test_an_undelivered_result_that_nobody_owes_is_found(shop: Database, database_path: Path) -> None:
    """I8: charged, stored, never sent, not owed any more and not paid back."""
    tamper(database_path, "DELETE FROM ledger WHERE reason = 'compensation'", "DELETE FROM outbox")
    assert ("I8", ("done",)) in [(finding.check, finding.ids) for finding in await shop.read(run_checks)]
    await shop.close()


async def test_an_undelivered_result_whose_message_nobody_will_send_is_found(
    shop: Database, database_path: Path
) -> None:
    """I8: a row of the outbox that is neither due nor given up is no promise to anybody."""
    tamper(
        database_path,
        "DELETE FROM ledger WHERE reason = 'compensation'",
        "UPDATE outbox SET due_at = NULL WHERE key = 'result:done'",
    )
    assert ("I8", ("done",)) in [(finding.check, finding.ids) for finding in await shop.read(run_checks)]
    await shop.close()


async def test_missing_guards_are_found(shop: Database, database_path: Path) -> None:
    """I4: missing guards are found, even when the rows are still right."""
    tamper(database_path, guards=False)
    found = await shop.read(run_checks)
    assert [finding.check for finding in found] == ["I4"]
    assert {"ledger_no_UPDATE".lower(), "ledger_no_rewrite"} <= {name.lower() for name in found[0].ids}
    await shop.close()


async def test_totals_are_compared(shop: Database, database_path: Path) -> None:
    """I5: what all balances hold, and what is held, is compared with the ledger in one number each."""
    tamper(database_path, "UPDATE balances SET balance = 101 WHERE user_id = 7002")
    tamper(database_path, "UPDATE reservations SET amount = 299")
    sentences = [finding.sentence for finding in await shop.read(run_checks) if not finding.ids]
    assert any("the balances" in sentence for sentence in sentences)
    assert any("reservations hold 299" in sentence for sentence in sentences)
    await shop.close()


async def test_legacy_rows_stand_outside(shop: Database, database_path: Path) -> None:
    """Jobs and payments of version 1.3 were settled by the old program: they need no reserve and no credit."""
    tamper(
        database_path,
        "INSERT INTO jobs (id, user_id, type, model, status, cost_estimate, created_at, legacy) "
        "VALUES ('old', 7001, 'image', 'm', 'completed', 100, 1, 1), ('older', 7001, 'edit', 'm', 'failed', 0, 1, 1)",
        "INSERT INTO payments (id, user_id, provider, amount, status, created_at, idempotency_key, legacy) "
        "VALUES ('old', 7001, 'yookassa', 100, 'paid', 1, 'x', 1)",
    )
    await assert_books(shop)
    await shop.close()


async def test_words_of_people_and_of_providers_are_no_leak(shop: Database, database_path: Path) -> None:
    """What a user wrote to the admins, an address without a password, ids and codes are no leak."""
    tamper(
        database_path,
        "INSERT INTO outbox (key, user_id, kind, payload, created_at) VALUES"
        " ('support:1:2', 1, 'alert', json_object('text', 'Traceback (most recent call last): why?'), 1),"
        " ('a', 1, 'alert', json_object('detail', 'see https://example.org/a:b and live_video, test_mode'), 1),"
        " ('b', 1, 'alert', json_object('payment', '32961061-000f-5000-8000-479122827736', 'at', '20261122:abc'), 1)",
    )
    await assert_books(shop)
    await shop.close()


async def test_findings_are_bounded(shop: Database, database_path: Path) -> None:
    """However much is broken, a finding names at most twenty rows."""
    rows = ", ".join(f"({number}, 5, 1, 1)" for number in range(1, 200))
    tamper(database_path, f"INSERT INTO balances (user_id, balance, entries, last_id) VALUES {rows}")
    found = [finding for finding in await shop.read(run_checks) if finding.check == "I5" and finding.ids]
    assert [len(finding.ids) for finding in found] == [MOST_IDS]
    await shop.close()


async def test_a_row_that_refers_to_nothing_is_found(shop: Database, database_path: Path) -> None:
    """The file check names rows whose user or payment is not there."""
    tamper(database_path, "DELETE FROM users WHERE id = 7002")
    assert {finding.check for finding in await shop.read(check_file)} == {"file"}
    await shop.close()


async def test_a_damaged_index_is_found(shop: Database, database_path: Path) -> None:
    """An index that does not fit its table is found by SQLite's own check."""
    with sqlite3.connect(database_path, isolation_level=None) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = 'CREATE INDEX ix_ledger_user_id_amount ON ledger (amount, user_id)' "
            "WHERE name = 'ix_ledger_user_id_amount'"
        )
    connection.close()
    found = await shop.read(check_file)
    assert [finding.check for finding in found] == ["file"]
    assert "ix_ledger_user_id_amount" in found[0].sentence
    await shop.close()
