"""What providers cost on one day (UTC), so that a day can have a limit.

Billed money is counted in one row as it becomes known; the expected cost of open orders is read from them. So the
question takes the same time at any age of the database, and an order that ends without a bill no longer counts.
"""

from __future__ import annotations

import json

from sqlalchemy import select

from database import flags as flag_rows
from database.clock import DAY_MS
from database.engine import Tx
from database.schema import IS_OPEN, jobs

BILLED = "provider_spend"  # "day:micro-dollars", the day counted from 1970
EXPECTED = "provider_cost"  # the name of an order's expected micro-dollars in its params


def add(tx: Tx, micro_usd: int) -> None:
    """A provider billed this much more (micro-dollars)."""
    if micro_usd:
        flag_rows.put(tx, BILLED, f"{tx.now // DAY_MS}:{billed(tx) + micro_usd}")


def billed(tx: Tx) -> int:
    """Micro-dollars that providers billed since midnight UTC."""
    day, _, amount = flag_rows.get(tx, BILLED).partition(":")
    return int(amount) if day == str(tx.now // DAY_MS) else 0


def today(tx: Tx) -> int:
    """Micro-dollars billed since midnight UTC, plus the expected cost of open orders."""
    texts = tx.execute(select(jobs.c.params).where(IS_OPEN)).scalars()
    return billed(tx) + sum(_expected(text) for text in texts)


def _expected(params: str) -> int:
    try:
        return int(json.loads(params).get(EXPECTED, 0))
    except (ValueError, TypeError, AttributeError):
        return 0  # a row of the old program, or one that was changed by hand: its cost is unknown
