"""Messages to users and admins, written in the transaction that is their cause and sent later, at least once.

A row is due until it is sent or given up. A lease keeps two senders from sending the same row. Its key makes it one
message, even when the cause is repeated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import and_, delete, exists, not_, or_, select, update
from sqlalchemy.dialects.sqlite import insert

from database.clock import HOUR_MS
from database.engine import Tx
from database.rows import OutboxItem
from database.schema import assets, jobs, outbox

LEASE_MS = 120_000
FAR_MS = 6 * HOUR_MS  # further ahead than any lease or pause of ours: written under a wrong clock


def post(
    tx: Tx,
    key: str,
    user_id: int,
    kind: str,
    *,
    job_id: str | None = None,
    payment_id: str | None = None,
    payload: Mapping[str, Any] | None = None,
) -> None:
    """Add a message for the user. The same key is added once."""
    values = {
        "key": key,
        "user_id": user_id,
        "kind": kind,
        "job_id": job_id,
        "payment_id": payment_id,
        "payload": json.dumps(dict(payload or {}), ensure_ascii=False),
        "created_at": tx.now,
        "due_at": tx.now,
    }
    tx.execute(insert(outbox).values(**values).on_conflict_do_nothing())


def alert_admins(tx: Tx, admins: Sequence[int], key: str, text: str, /, **args: object) -> None:
    """Add a message for every admin; `text` is the id of a text in `locales`, `args` are its variables."""
    for admin in admins:
        post(tx, f"{key}:{admin}", admin, "alert", payload={"text": text, "args": args})


def claim(tx: Tx, *, limit: int = 20) -> list[OutboxItem]:
    """Take due rows for sending, results first. If the sender dies, the lease runs out and another takes the rows."""
    free = or_(outbox.c.lease_until.is_(None), tx.is_due(outbox.c.lease_until, FAR_MS))
    due = (
        select(outbox)
        .where(tx.is_due(outbox.c.due_at, FAR_MS), free)
        .order_by(outbox.c.kind != "result", outbox.c.due_at, outbox.c.id)
        .limit(limit)
    )
    items = [OutboxItem.read(row) for row in tx.rows(due)]
    if items:
        tx.execute(
            update(outbox)
            .where(outbox.c.id.in_([item.id for item in items]))
            .values(lease_until=tx.now + LEASE_MS, attempts=outbox.c.attempts + 1)
        )
    return items


def sent(tx: Tx, item_id: int) -> None:
    """Telegram has the message. A job's result counts as delivered from now on."""
    row = tx.row(select(outbox.c.job_id, outbox.c.kind).where(outbox.c.id == item_id))
    tx.execute(update(outbox).where(outbox.c.id == item_id).values(due_at=None, lease_until=None, sent_at=tx.now))
    if row is not None and row["kind"] == "result":
        tx.execute(
            update(jobs).where(jobs.c.id == row["job_id"], jobs.c.delivered_at.is_(None)).values(delivered_at=tx.now)
        )


def retry(tx: Tx, item_id: int, *, delay_ms: int) -> None:
    tx.execute(update(outbox).where(outbox.c.id == item_id).values(due_at=tx.now + delay_ms, lease_until=None))


def give_up(tx: Tx, item_id: int, reason: str) -> None:
    """The chat can't be reached. A result stays in the user's history."""
    tx.execute(
        update(outbox).where(outbox.c.id == item_id).values(due_at=None, lease_until=None, dead_reason=reason[:200])
    )


def revive_results(tx: Tx, user_id: int) -> int:
    """The user is back: results that could not be delivered are due again. Returns how many."""
    waiting = (
        select(outbox.c.id)
        .join(jobs, jobs.c.id == outbox.c.job_id)
        .join(assets, assets.c.job_id == jobs.c.id)
        .where(
            jobs.c.user_id == user_id,  # the same as the message's; with it SQLite need not read all results
            outbox.c.user_id == user_id,
            outbox.c.kind == "result",
            outbox.c.sent_at.is_(None),
            outbox.c.dead_reason.is_not(None),
            assets.c.role == "result",
            assets.c.deleted_at.is_(None),
        )
    )
    revived = tx.execute(
        update(outbox).where(outbox.c.id.in_(waiting)).values(due_at=tx.now, dead_reason=None, attempts=0)
    )
    return int(revived.rowcount)


def forget_old(tx: Tx, *, before: int, limit: int = 500) -> int:
    """Delete rows that were sent or given up and are older than `before` (UTC ms).

    A result that was given up stays as long as its file: until then the user may come back for it.
    """
    kept = and_(assets.c.job_id == outbox.c.job_id, assets.c.role == "result", assets.c.deleted_at.is_(None))
    waits = and_(outbox.c.kind == "result", outbox.c.sent_at.is_(None), exists().where(kept))
    old = select(outbox.c.id).where(outbox.c.created_at < before, outbox.c.due_at.is_(None), not_(waits)).limit(limit)
    return int(tx.execute(delete(outbox).where(outbox.c.id.in_(old))).rowcount)
