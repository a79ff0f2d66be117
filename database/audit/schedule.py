"""When the daily audit is due, and the result of the last one. Both are rows, so a restart repeats or skips none."""

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
LAST = "audit_last"  # JSON: the result of the last audit
AT_MS = 6 * HOUR_MS  # of the day, UTC: nine in the morning in Moscow


def due(tx: Tx) -> int | None:
    """The planned time (UTC ms) of an audit that is due now, else None. The first call only plans one."""
    text = flag_rows.get(tx, DUE)
    planned = int(text) if text.isdecimal() else None
    # A time further ahead than any plan was written under a wrong clock.
    if planned is None or planned > tx.now + 2 * DAY_MS:
        flag_rows.put(tx, DUE, str(_next(tx.now)))
        return None
    return planned if planned <= tx.now else None


def record(tx: Tx, planned: int, said: Mapping[str, Any], admins: Sequence[int]) -> bool:
    """Write down the result `said` of the audit planned for `planned`, and a message to every admin, once a day.

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
    """The result of the last audit, with `at` (UTC ms); None when there was none."""
    try:
        said = json.loads(flag_rows.get(tx, LAST))
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def _next(now: int) -> int:
    """The next time at which an audit is to be made."""
    today = now - now % DAY_MS + AT_MS
    return today if today > now else today + DAY_MS
