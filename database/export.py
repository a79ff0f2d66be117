"""Pages of rows for an accountant, in the order of time. Each page begins where the last one ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import and_, func, literal, null, or_, select, union_all

from database.engine import Tx
from database.schema import ledger, payments, refunds
from database.states import PaymentStatus, RefundStatus

Place = tuple[int, str]
"""Where a page ended: the time in UTC milliseconds and the id."""
BEGINNING: Place = (-1, "")
Row = Mapping[str, Any]


def ledger_page(tx: Tx, since: int, until: int, after: Place, limit: int) -> list[Row]:
    """Entries of [since, until) in the ledger's order, which is by id."""
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
    """Refunds begun or first seen in [since, until), with the payment's provider and user."""
    query = select(refunds, payments.c.user_id, payments.c.provider, payments.c.provider_payment_id).join(
        payments, payments.c.id == refunds.c.payment_id
    )
    return _page(tx, query, refunds, since, until, after, limit)


def receipts_page(tx: Tx, since: int, until: int, after: Place, limit: int) -> list[Row]:
    """Receipts of payments and refunds in [since, until), with the terms that were sent, without the e-mail address.

    The refund of a whole payment repeats the payment's receipt, so it has the same terms
    (docs/reference/yookassa.md, section 6).
    """
    sent = payments.c.request_body.like('%"receipt": {%')
    paid = select(
        payments.c.paid_at.label("created_at"),
        (literal("p:") + payments.c.id).label("id"),
        literal("payment").label("kind"),
        payments.c.id.label("payment_id"),
        payments.c.provider_payment_id,
        null().label("provider_refund_id"),
        payments.c.amount,
        payments.c.request_body,
    ).where(sent, payments.c.status.in_([PaymentStatus.PAID, PaymentStatus.REFUNDED]))
    returned = (
        select(
            func.coalesce(refunds.c.closed_at, refunds.c.created_at),
            literal("r:") + refunds.c.id,
            literal("refund"),
            payments.c.id,
            payments.c.provider_payment_id,
            refunds.c.provider_refund_id,
            refunds.c.amount,
            payments.c.request_body,
        )
        .join(payments, payments.c.id == refunds.c.payment_id)
        .where(sent, refunds.c.status == RefundStatus.SUCCEEDED)
    )
    both = union_all(paid, returned).subquery()
    return [_with_terms(row) for row in _page(tx, select(both), both, since, until, after, limit)]


def _with_terms(row: Row) -> Row:
    receipt = json.loads(row["request_body"])["receipt"]
    item = receipt["items"][0]
    terms = ("description", "vat_code", "payment_subject", "payment_mode")
    return {
        **{name: value for name, value in row.items() if name != "request_body"},
        **{name: item.get(name) for name in terms},
        "tax_system_code": receipt.get("tax_system_code"),
    }


def _page(tx: Tx, query: Any, table: Any, since: int, until: int, after: Place, limit: int) -> list[Row]:
    time, row_id = after
    later = or_(table.c.created_at > time, and_(table.c.created_at == time, table.c.id > row_id))
    within = query.where(table.c.created_at >= since, table.c.created_at < until, later)
    return [dict(row) for row in tx.rows(within.order_by(table.c.created_at, table.c.id).limit(limit))]
