"""What the shop owes its providers for one day (UTC), so that a day can have a limit.

What was billed is counted as it becomes known, in one row; what open orders will cost is read from them. So the cost of
asking does not grow with history, and an order that ends without a bill no longer counts.
"""

from __future__ import annotations

import json

from sqlalchemy import select

from database import flags as flag_rows
from database.clock import DAY_MS
from database.engine import Tx
from database.schema import IS_OPEN, jobs

BILLED = "provider_spend"  # "day:micro-dollars", the day counted from 1970
EXPECTED = "provider_cost"  # where an order's expected micro-dollars stand in its params


def add(tx: Tx, micro_usd: int) -> None:
    """A provider billed this much more (micro-dollars)."""
    if micro_usd:
        flag_rows.put(tx, BILLED, f"{tx.now // DAY_MS}:{billed(tx) + micro_usd}")


def billed(tx: Tx) -> int:
    """Micro-dollars that providers billed since midnight UTC."""
    day, _, amount = flag_rows.get(tx, BILLED).partition(":")
    return int(amount) if day == str(tx.now // DAY_MS) else 0


def today(tx: Tx) -> int:
    """Micro-dollars billed since midnight UTC, and those that open orders will cost."""
    texts = tx.execute(select(jobs.c.params).where(IS_OPEN)).scalars()
    return billed(tx) + sum(_expected(text) for text in texts)


def _expected(params: str) -> int:
    try:
        return int(json.loads(params).get(EXPECTED, 0))
    except (ValueError, TypeError, AttributeError):
        return 0  # a row of the old program, or one that a person changed: nothing is known
