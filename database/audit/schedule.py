"""When the daily audit is due and what the last one said: values in rows, so that no restart repeats or skips one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from database import flags as flag_rows
from database import outbox
from database.clock import DAY_MS, HOUR_MS
from database.engine import Tx

DUE = "audit_due_ms"
LAST = "audit_last"  # JSON: what the last audit said
AT_MS = 6 * HOUR_MS  # of the day, UTC: nine in the morning in Moscow


def due(tx: Tx) -> int | None:
    """The time (UTC ms) for which an audit is due now; None when it is not time yet. The first one is tomorrow's."""
    text = flag_rows.get(tx, DUE)
    planned = int(text) if text.isdecimal() else None
    # Further ahead than any plan of ours: written under a wrong clock.
    if planned is None or planned > tx.now + 2 * DAY_MS:
        flag_rows.put(tx, DUE, str(_next(tx.now)))
        return None
    return planned if planned <= tx.now else None


def record(tx: Tx, planned: int, said: Mapping[str, Any], admins: Sequence[int]) -> bool:
    """Write down what the audit planned for `planned` said, and owe every admin a message, once for the day.

    False when another process was quicker; then nothing is written.
    """
    if flag_rows.get(tx, DUE) != str(planned):
        return False
    flag_rows.put(tx, DUE, str(_next(tx.now)))
    flag_rows.put(tx, LAST, json.dumps({**said, "at": tx.now}, ensure_ascii=False))
    day = datetime.fromtimestamp(planned / 1000, UTC).date().isoformat()
    for admin in admins:
        outbox.post(tx, f"audit:{day}:{admin}", admin, "audit", payload={**said, "at": tx.now})
    return True


def last(tx: Tx) -> Mapping[str, Any] | None:
    """What the last audit said, with `at` (UTC ms); None when there was none."""
    try:
        said = json.loads(flag_rows.get(tx, LAST))
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def _next(now: int) -> int:
    """The next time of day at which audits are made."""
    today = now - now % DAY_MS + AT_MS
    return today if today > now else today + DAY_MS
