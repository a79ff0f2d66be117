"""Pages of what an accountant wants to see, in the order it happened; each page begins where the last one ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import and_, or_, select

from database.engine import Tx
from database.schema import ledger, payments, refunds

Place = tuple[int, str]
"""Where a page ended: the time in UTC milliseconds and the id."""
BEGINNING: Place = (-1, "")
Row = Mapping[str, Any]


def ledger_page(tx: Tx, since: int, until: int, after: Place, limit: int) -> list[Row]:
    """Entries of [since, until) in the ledger's own order, which is by id."""
    last = int(after[1] or 0)
    query = (
        select(ledger)
        .where(ledger.c.id > last, ledger.c.created_at >= since, ledger.c.created_at < until)
        .order_by(ledger.c.id)
        .limit(limit)
    )
    return [dict(row) for row in tx.rows(query)]


def payments_page(tx: Tx, since: int, until: int, after: Place, limit: int) -> list[Row]:
    """Payments opened in [since, until)."""
    return _page(tx, select(payments), payments, since, until, after, limit)


def refunds_page(tx: Tx, since: int, until: int, after: Place, limit: int) -> list[Row]:
    """Returns begun or first seen in [since, until), with the payment's provider and customer."""
    query = select(refunds, payments.c.user_id, payments.c.provider, payments.c.provider_payment_id).join(
        payments, payments.c.id == refunds.c.payment_id
    )
    return _page(tx, query, refunds, since, until, after, limit)


def _page(tx: Tx, query: Any, table: Any, since: int, until: int, after: Place, limit: int) -> list[Row]:
    time, row_id = after
    later = or_(table.c.created_at > time, and_(table.c.created_at == time, table.c.id > row_id))
    within = query.where(table.c.created_at >= since, table.c.created_at < until, later)
    return [dict(row) for row in tx.rows(within.order_by(table.c.created_at, table.c.id).limit(limit))]
