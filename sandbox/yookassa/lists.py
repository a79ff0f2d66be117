"""Lists of payments, refunds and receipts: filters, newest first, pages by cursor.

Facts: docs/reference/yookassa.md, section 5.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sandbox.yookassa.objects import Payment, Refund
from sandbox.yookassa.rules import invalid
from sandbox.yookassa.shop import THREE_YEARS, Shop

PAGE = 10
MAX_PAGE = 100
COMPARE = {"gte": operator.ge, "gt": operator.gt, "lte": operator.le, "lt": operator.lt}
BOUNDS = tuple(COMPARE)
Query = Mapping[str, str]


def payments(shop: Shop, query: Query) -> dict[str, Any]:
    """`GET /payments`; there is no filter by metadata."""
    _known(query, {"status", "payment_method", "limit", "cursor", *_times("created_at"), *_times("captured_at")})
    created, captured = _within(query, "created_at"), _within(query, "captured_at")
    chosen = []
    for payment in reversed(list(shop.payments.values())):
        shop.payment(payment.id)
        method = (payment.payment_method or {}).get("type")
        if (
            query.get("status", payment.status) == payment.status
            and query.get("payment_method", method) == method
            and created(payment.created_at)
            and captured(payment.captured_at)
            and payment.created_at > shop.world.clock.now() - THREE_YEARS
        ):
            chosen.append(payment)
    return _page(chosen, query, shop.payments, shop.show)


def refunds(shop: Shop, query: Query) -> dict[str, Any]:
    """`GET /refunds`."""
    _known(query, {"status", "payment_id", "limit", "cursor", *_times("created_at")})
    created = _within(query, "created_at")
    chosen = [
        refund
        for refund in reversed(list(shop.refunds.values()))
        if query.get("status", refund.status) == refund.status
        and query.get("payment_id", refund.payment_id) == refund.payment_id
        and created(refund.created_at)
        and refund.created_at > shop.world.clock.now() - THREE_YEARS
    ]
    return _page(chosen, query, shop.refunds, shop.show)


def receipts(shop: Shop, query: Query) -> dict[str, Any]:
    """`GET /receipts`: one receipt for each succeeded payment that has one."""
    _known(query, {"status", "payment_id", "limit", "cursor"})
    chosen = [
        payment
        for payment in reversed(list(shop.payments.values()))
        if payment.receipt is not None
        and payment.status == "succeeded"
        and query.get("payment_id", payment.id) == payment.id
        and query.get("status") in (None, payment.receipt_registration(shop.settings, shop.world.clock.now()))
    ]

    def show(payment: Payment) -> dict[str, Any]:
        assert payment.receipt is not None
        return {
            "id": f"rt-{payment.id}",
            "type": "payment",
            "payment_id": payment.id,
            "status": payment.receipt_registration(shop.settings, shop.world.clock.now()),
            "items": payment.receipt["items"],
        }

    return _page(chosen, query, shop.payments, show)


def _page(
    chosen: list[Any], query: Query, shelf: Mapping[str, Payment | Refund], show: Callable[[Any], dict[str, Any]]
) -> dict[str, Any]:
    """The page that begins where the cursor points. A cursor is the id of the page's first object, so objects made
    in the meantime, which come before it, neither repeat nor hide any other."""
    limit = _limit(query.get("limit", str(PAGE)))
    if "cursor" in query:
        start = shelf.get(query["cursor"])
        if start is None:
            raise invalid("Cursor is illegal", "cursor")
        chosen = [item for item in chosen if item.number <= start.number]
    answer: dict[str, Any] = {"type": "list", "items": [show(item) for item in chosen[:limit]]}
    if len(chosen) > limit:
        answer["next_cursor"] = chosen[limit].id
    return answer


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 3 or not 1 <= int(text) <= MAX_PAGE:
        raise invalid(f"Limit must be a number from 1 to {MAX_PAGE}", "limit")
    return int(text)


def _times(name: str) -> Iterable[str]:
    return (f"{name}.{bound}" for bound in BOUNDS)


def _known(query: Query, names: Collection[str]) -> None:
    """Refuse unknown filters: to ignore one would silently return too much."""
    for name in query:
        if name not in names:
            raise invalid("Unknown parameter", name[:64])


def _within(query: Query, name: str) -> Callable[[float | None], bool]:
    """A test of times by the filters `name.gte` and so on; an object without this time passes only without filters."""
    limits = {bound: _moment(query[key], key) for bound in BOUNDS if (key := f"{name}.{bound}") in query}

    def fits(value: float | None) -> bool:
        if value is None:
            return not limits
        return all(COMPARE[bound](value, limit) for bound, limit in limits.items())

    return fits


def _moment(text: str, parameter: str) -> float:
    try:
        read = datetime.fromisoformat(text)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise invalid("Time must be in ISO 8601", parameter) from None
