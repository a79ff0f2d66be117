"""Notifications of outside systems. They are written down before the answer 200; handling them may be repeated."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import case, delete, or_, select, update
from sqlalchemy.dialects.sqlite import insert

from database.clock import HOUR_MS
from database.engine import Tx
from database.errors import BrokenRule
from database.rows import InboxItem
from database.schema import inbox

FAR_MS = 2 * HOUR_MS  # further ahead than any pause of ours: written under a wrong clock
HANDLING_MS = 30_000  # the process that wrote a row handles it at once; after this time the row counts as lost


def receive(tx: Tx, source: str, key: str, body: str, *, handling_ms: int = HANDLING_MS) -> InboxItem:
    """Write a notification down. A repeat is handled again: the first one may have been forged or too early."""
    due_at = tx.now + handling_ms
    new = insert(inbox).values(source=source, key=key, body=body, received_at=tx.now, due_at=due_at)
    row = tx.row(
        new.on_conflict_do_update(
            index_elements=["source", "key"], set_={"body": body, "due_at": due_at, "attempts": 0}
        ).returning(inbox)
    )
    if row is None:
        raise BrokenRule("the notification was not written down")
    return InboxItem.read(row)


def receive_once(tx: Tx, source: str, key: str, body: str, *, handling_ms: int) -> InboxItem | None:
    """Write down a notification of a proven sender; None for a repeat of one that is handled.

    A repeat of one that is not handled counts as another try: its first handler may have died because of it. The same
    key with another body is no repeat.
    """
    due_at = tx.now + handling_ms
    new = insert(inbox).values(source=source, key=key, body=body, received_at=tx.now, due_at=due_at)
    return InboxItem.maybe(
        tx.row(
            new.on_conflict_do_update(
                index_elements=["source", "key"],
                set_={
                    "body": body,
                    "received_at": tx.now,
                    "due_at": due_at,
                    "attempts": case((inbox.c.body == body, inbox.c.attempts + 1), else_=0),
                },
                where=or_(inbox.c.due_at.is_not(None), inbox.c.body != body),
            ).returning(inbox)
        )
    )


def due(
    tx: Tx, *, source: str, limit: int = 50, handling_ms: int = HANDLING_MS, in_hand: Collection[int] = ()
) -> list[InboxItem]:
    """Rows of a source that are not handled; the caller has `handling_ms` for them.

    This counts as another try of each row, except those `in_hand`, which already wait in the caller's queue.
    """
    query = select(inbox).where(tx.is_due(inbox.c.due_at, FAR_MS), _from(source))
    items = [InboxItem.read(row) for row in tx.rows(query.order_by(inbox.c.due_at).limit(limit))]
    if items:
        tx.execute(
            update(inbox)
            .where(inbox.c.id.in_([item.id for item in items]))
            .values(
                due_at=tx.now + handling_ms,
                attempts=inbox.c.attempts + case((inbox.c.id.in_(in_hand), 0), else_=1),
            )
        )
    return items


def done(tx: Tx, item_id: int) -> None:
    tx.execute(update(inbox).where(inbox.c.id == item_id).values(due_at=None))


def failed(tx: Tx, item_id: int, error: str, *, delay_ms: int) -> None:
    """It could not be handled now; it is due again after `delay_ms`."""
    tx.execute(update(inbox).where(inbox.c.id == item_id).values(due_at=tx.now + delay_ms, error=error[:200]))


def forget_old(tx: Tx, *, source: str, before: int, limit: int = 500) -> int:
    old = select(inbox.c.id).where(inbox.c.received_at < before, inbox.c.due_at.is_(None), _from(source)).limit(limit)
    return int(tx.execute(delete(inbox).where(inbox.c.id.in_(old))).rowcount)


def _from(source: str) -> Any:
    """The condition for rows of a source, written so that SQLite does not use the index on the source.

    By that index it would read all rows of the source. The indexes on the times find the few rows that are wanted.
    """
    return inbox.c.source.concat("") == source
