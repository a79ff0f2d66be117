"""What must hold: at every moment the books; at the end everybody has the result or the money."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any, TypeVar

from database.audit.checks import run_checks
from database.engine import SqliteFile, Tx
from tests.faults.sim.deployment import Deployment
from tests.faults.sim.yookassa import kopecks

SECRETS = ("Traceback", "token-of-a-simulated-bot", "key-of-a-test-shop", "gemini-key", "kling-key", "sqlite")
T = TypeVar("T")


def read(deployment: Deployment, at: Callable[[Tx], T]) -> T:
    """What the file holds, read from outside."""
    file = SqliteFile.open(deployment.path)
    try:
        return file.read(at)
    finally:
        with contextlib.suppress(OSError):
            file.close()


def books(deployment: Deployment) -> list[str]:
    """What the audit finds: nothing at any moment, also while much is under way."""
    return read(deployment, lambda tx: [f"{one.check} {one.sentence}: {one.ids}" for one in run_checks(tx)])


def unfinished(deployment: Deployment) -> list[str]:
    """What is still under way; empty once the world may end."""
    return read(deployment, lambda tx: _unfinished(tx, deployment))


def _unfinished(tx: Tx, deployment: Deployment) -> list[str]:
    def ids(sql: str) -> list[str]:
        return [str(row[0]) for row in tx.connection.exec_driver_sql(sql)]

    found = [f"job {one} is open" for one in ids("SELECT id FROM jobs WHERE status IN ('pending','processing')")]
    found += [f"refund {one} is open" for one in ids("SELECT id FROM refunds WHERE status IN ('taken','sent')")]
    found += [f"message {one} is owed" for one in ids("SELECT key FROM outbox WHERE due_at IS NOT NULL")]
    found += [f"hold {one}" for one in ids("SELECT job_id FROM reservations WHERE state = 'reserved'")]
    found += [f"note {one}" for one in ids("SELECT key FROM inbox WHERE due_at IS NOT NULL")]
    waiting = ids(
        "SELECT id FROM payments WHERE provider = 'yookassa' AND status = 'pending' AND quarantined_reason IS NULL"
    )
    found += [f"payment {one} is pending" for one in waiting]
    if deployment.telegram.updates:
        found.append("updates wait")
    return found


def at_the_end(deployment: Deployment) -> list[str]:
    """At the end of a world: what was paid is credited, what was charged is delivered, the rest is given back."""
    return read(deployment, lambda tx: [*_money(tx, deployment), *_results(tx, deployment), *_messages(tx, deployment)])


def _money(tx: Tx, deployment: Deployment) -> list[str]:
    """Each balance, less what is owed, as it follows from what happened outside and what was delivered."""
    expected: defaultdict[int, int] = defaultdict(int)
    bad = []
    orders = {str(row["id"]): row for row in _rows(tx, "SELECT * FROM payments")}
    for paid in deployment.yookassa.payments.values():
        order = orders.get(paid["metadata"].get("order_id", ""))
        if paid["status"] != "succeeded" or paid["id"] in deployment.yookassa.altered:
            if (
                order is not None
                and order["provider_payment_id"] == paid["id"]
                and order["status"] in ("paid", "refunded")
            ):
                bad.append(f"{order['id']} was credited though it must not be")
            continue
        if order is None:
            bad.append(f"{paid['id']} was paid and stands for no order")
            continue
        returned = kopecks(paid["refunded_amount"]) if "refunded_amount" in paid else 0
        expected[order["user_id"]] += kopecks(paid["amount"]) - returned
        if order["refunded_amount"] != returned:
            bad.append(f"{order['id']}: {returned} returned, {order['refunded_amount']} taken back")
    for charge, body in deployment.telegram.charges.items():
        order = orders[body["invoice_payload"]]
        expected[order["user_id"]] += 0 if charge in deployment.telegram.refunded else order["amount"]
    for row in _rows(
        tx,
        "SELECT user_id, SUM(amount) AS total FROM ledger"
        " WHERE reason IN ('gift', 'grant', 'compensation') GROUP BY user_id",
    ):
        expected[row["user_id"]] += row["total"]
    for row in _rows(
        tx, "SELECT user_id, SUM(cost_actual) AS total FROM jobs WHERE status = 'completed' GROUP BY user_id"
    ):
        expected[row["user_id"]] -= row["total"]
    owed = {
        row["user_id"]: row["left"]
        for row in _rows(tx, "SELECT user_id, SUM(amount - settled) AS left FROM debts GROUP BY user_id")
    }
    actual = {row["user_id"]: row["balance"] for row in _rows(tx, "SELECT user_id, balance FROM balances")}
    for user_id in sorted({*expected, *actual}):
        has = actual.get(user_id, 0) - owed.get(user_id, 0)
        if has != expected[user_id]:
            bad.append(f"user {user_id} has {has} kopecks instead of {expected[user_id]}")
    return bad


def _results(tx: Tx, deployment: Deployment) -> list[str]:
    """One provider task an order; one result in the chat for each that was charged, none for any other."""
    bad = [f"{key} was given to Kling {count} times" for key, count in deployment.kling.submitted.items() if count > 1]
    ordered: Counter[str] = Counter(
        row["prompt"] for row in _rows(tx, "SELECT prompt FROM jobs WHERE type IN ('image', 'edit')")
    )
    for prompt, count in deployment.gemini.made.items():
        if count > 2 * ordered[prompt]:
            bad.append(f"{prompt!r} was made {count} times for {ordered[prompt]} orders")
    bad += [
        f"{row['job_id']} was cancelled after it was bought"
        for row in _rows(
            tx,
            "SELECT c.job_id FROM provider_calls c JOIN jobs j ON j.id = c.job_id"
            " WHERE j.status = 'cancelled' AND (c.outcome IS NULL OR c.outcome <> 'refused')",
        )
    ]
    for job in _rows(tx, "SELECT * FROM jobs"):
        came = deployment.telegram.results[job["id"]]
        chat = deployment.telegram.chats[job["user_id"]]
        if job["status"] != "completed":
            if came:
                bad.append(f"{job['id']} is {job['status']} and was delivered")
        elif job["delivered_at"] is not None and not came:
            bad.append(f"{job['id']} counts as delivered and never came")
        elif not came and not chat.blocked and job["delivered_at"] is None:
            bad.append(f"{job['id']} was charged and never came")
    return bad


def _messages(tx: Tx, deployment: Deployment) -> list[str]:
    """Nobody reads a secret or an internal word."""
    bad = []
    for user_id, chat in deployment.telegram.chats.items():
        for message in chat.messages.values():
            text = str(message.get("text") or message.get("caption") or "")
            bad += [f"user {user_id} read {word!r}: {text[:80]}" for word in SECRETS if word in text]
    return bad


def _rows(tx: Tx, sql: str) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in tx.connection.exec_driver_sql(sql)]


def counts(deployment: Deployment) -> dict[str, int]:
    """How many jobs and payments ended in which state: a world in which nothing happens proves nothing."""
    return read(
        deployment,
        lambda tx: {
            **{
                f"{row['type']} {row['status']}": row["n"]
                for row in _rows(tx, "SELECT type, status, COUNT(*) AS n FROM jobs GROUP BY type, status")
            },
            **{
                f"{row['provider']} {row['status']}": row["n"]
                for row in _rows(tx, "SELECT provider, status, COUNT(*) AS n FROM payments GROUP BY provider, status")
            },
        },
    )
