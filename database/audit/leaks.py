"""I9: no row that people or logs are shown holds a secret, a stack trace or a stranger's order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sqlalchemy import text

from database.audit.findings import Finding, broken_rows, with_ids
from database.engine import Tx


def nothing_leaks(tx: Tx) -> Iterator[Finding]:
    """I9: what is shown or logged from rows holds no key, token, password or stack trace, and only one's own orders.

    What was said in chats and written to logs is not in rows; tests of the log and of the routes hold that side.
    """
    for table, columns in SHOWN.items():
        # What a person writes to the owner goes on as it was written: the shop did not leak it.
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
"""Columns whose words end in a chat or a log, by table."""
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
"""The same, coarser, for the database to sort most rows out by itself."""
