"""What orders earned and what their providers cost, by day and model.

An order counts on the day it was placed, with everything that happened to it later: money given back later lowers the
margin of that day and of no other. Orders that are still open are counted, but their money is not added.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from database.clock import DAY_MS
from database.engine import Tx

LOST = """j.status IN ('failed', 'cancelled') AND EXISTS (
    SELECT 1 FROM provider_calls c WHERE c.job_id = j.id AND c.outcome = 'ok'
      AND (c.cost_micro_usd > 0 OR j.error_code = 'hold_timeout'))"""
"""An order for which the provider worked and the user did not pay: its result was late or could not be stored."""


@dataclass(frozen=True)
class Line:
    """Orders of one model placed on one day; `charged` in kopecks, net of all that was given back."""

    day: int  # days since 1970 in the zone asked for
    model: str
    orders: int
    open: int
    completed: int
    lost: int
    charged: int
    cost_micro_usd: int


def lines(tx: Tx, since: int, until: int, *, zone_ms: int) -> list[Line]:
    """Orders placed in [since, until) (UTC milliseconds), days in a zone that is `zone_ms` ahead of UTC."""
    query = text(
        f"""SELECT day, model, COUNT(*) AS orders, SUM(is_open) AS open, SUM(status = 'completed') AS completed,
                   SUM(lost) AS lost, -SUM(CASE WHEN is_open THEN 0 ELSE net END) AS charged,
                   SUM(cost) AS cost_micro_usd
            FROM (SELECT (j.created_at + :zone) / :day AS day, j.model, j.status,
                         j.status IN ('pending', 'processing') AS is_open, {LOST} AS lost,
                         (SELECT COALESCE(SUM(l.amount), 0) FROM ledger l WHERE l.job_id = j.id) AS net,
                         (SELECT COALESCE(SUM(c.cost_micro_usd), 0) FROM provider_calls c WHERE c.job_id = j.id) AS cost
                  FROM jobs j WHERE j.legacy = 0 AND j.created_at >= :since AND j.created_at < :until)
            GROUP BY day, model ORDER BY day, model"""  # noqa: S608 - our own constants
    )
    found = tx.rows(query, {"since": since, "until": until, "zone": zone_ms, "day": DAY_MS})
    return [Line(**row) for row in found]


def lost(tx: Tx, since: int = 0) -> int:
    """How many orders placed since a UTC time in milliseconds were a loss."""
    query = text(f"SELECT COUNT(*) FROM jobs j WHERE j.legacy = 0 AND j.created_at >= :since AND {LOST}")  # noqa: S608
    return int(tx.execute(query, {"since": since}).scalar() or 0)
