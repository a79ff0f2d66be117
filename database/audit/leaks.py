"""I9: no row whose text ends in a chat or a log holds a secret, a stack trace or another user's order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sqlalchemy import text

from database.audit.findings import Finding, broken_rows, with_ids
from database.engine import Tx


def nothing_leaks(tx: Tx) -> Iterator[Finding]:
    """I9: shown or logged columns hold no key, token, password or stack trace, and messages are about own orders.

    Chats and logs themselves are not in the database; tests of the log and of the routes check those.
    """
    for table, columns in SHOWN.items():
        # A message that a user writes to the admins is passed on unchanged: that is no leak.
        others = " AND key NOT GLOB 'support:*'" if table == "outbox" else ""
        suspects = " OR ".join(f"{column} GLOB '{shape}'" for column in columns for shape in LEAK_SHAPES)
        rows = tx.execute(text(f"SELECT id, {', '.join(columns)} FROM {table} WHERE ({suspects}){others}"))  # noqa: S608
        leaks = (row[0] for row in map(tuple, rows) if any(LEAK.search(str(value)) for value in row[1:]))
        yield from with_ids("I9", leaks, f"these rows of {table} hold something like a secret or a stack trace")
    yield from broken_rows(
        tx,
        "I9",
        "these messages are about somebody else's order",
        """SELECT o.id FROM outbox o JOIN jobs j ON j.id = o.job_id
           WHERE o.kind <> 'alert' AND j.user_id <> o.user_id""",
    )
    yield from broken_rows(
        tx,
        "I9",
        "these messages are about somebody else's payment",
        """SELECT o.id FROM outbox o JOIN payments p ON p.id = o.payment_id
           WHERE o.kind <> 'alert' AND p.user_id <> o.user_id""",
    )


SHOWN: Mapping[str, tuple[str, ...]] = {
    "outbox": ("payload", "dead_reason"),
    "inbox": ("error",),
    "jobs": ("error_code",),
    "job_events": ("cause",),
    "provider_calls": ("code",),
    "payments": ("quarantined_reason", "cancel_reason"),
    "refunds": ("cancel_reason",),
    "differences": ("details",),
    "admin_log": ("details",),
}
"""Columns whose text is shown in a chat or written to a log, by table."""
LEAK = re.compile(
    r"Traceback \(most recent call last\)|File \\?\"[^\"]+\", line \d+"  # a stack trace of ours
    r"|(?<!\d)\d{6,12}:[A-Za-z0-9_-]{30,}"  # a bot's token
    r"|(?<![/\w])(?:live|test)_(?=[\w-]*\d)(?=[\w-]*[A-Z])[\w-]{20,}"  # YooKassa's keys, but no name of a folder
    r"|\bAIza[A-Za-z0-9_-]{30,}|\bsk-[A-Za-z0-9_-]{20,}"  # keys of providers
    r"|\b(?:Bearer|Basic) +[A-Za-z0-9._~+/=-]{12,}|-----BEGIN"
    r"|[a-z]+://[^\s/:@]+:[^\s/@]+@"  # an address with its password
)
LEAK_SHAPES = (
    "*Traceback (*",
    "*File *line *",
    "*[0-9][0-9][0-9][0-9][0-9][0-9]:[A-Za-z0-9_-][A-Za-z0-9_-]*",
    "*live_*",
    "*test_*",
    "*AIza*",
    "*sk-*",
    "*Bearer *",
    "*Basic *",
    "*-----BEGIN*",
    "*://*:*@*",
)
"""Simpler patterns for the same, with which SQLite excludes most rows by itself."""
