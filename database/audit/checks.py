"""The books, checked: each function looks for the rows that break one rule; a sound database answers nothing.

The queries run set-based on one snapshot, name at most `MOST_IDS` offenders each and need no memory of their own.
Each function holds by itself on any snapshot, so `database/audit/run.py` runs them side by side on several. Rows that
came from version 1.3 (`legacy`) stand outside the rules on jobs and payments: the old program settled their money.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from database import flags as flag_rows
from database.audit import seals
from database.audit.seals import Seal
from database.engine import Tx
from database.schema import NO_SEAL, SQLITE_TRIGGERS, metadata
from database.states import JobType

RULES: Mapping[str, str] = {
    "I1": "no balance is below zero, and whoever owes has nothing to spend",
    "I2": "each job reserved its price once and kept what it cost, or nothing",
    "I3": "each paid payment was credited once, each return taken back or owed, and no entry names what is not there",
    "I4": "the ledger only grew: seals and guards are in place, every sealed entry is as it was",
    "I5": "balances are the sum of the ledger, held money is what was reserved",
    "I6": "each open job and hold has somebody who looks after it, and an end",
    "I7": "no provider was called more often than allowed",
    "I8": "each completed job has a result that was delivered, is owed, or was paid back",
    "I9": "no row that people or logs are shown holds a secret, a stack trace or a stranger's order",
}
MOST_IDS = 20
REPEATS_BY_TYPE: Mapping[str, int] = {JobType.IMAGE: 1, JobType.EDIT: 1, JobType.VIDEO: 0, JobType.ANIMATE: 0}
"""How often a provider may be called again for a job when the outcome of a call is not known."""


@dataclass(frozen=True)
class Finding:
    """One broken rule: which, whose rows (at most 20 of them), and what is wrong in a sentence."""

    check: str
    ids: tuple[str, ...]
    sentence: str

    def __str__(self) -> str:
        return ": ".join((self.sentence, ", ".join(self.ids))) if self.ids else self.sentence


def run_checks(tx: Tx) -> list[Finding]:
    """Every rule, on one snapshot."""
    found = [finding for _, check in PIECES for finding in check(tx)]
    found += sealed_entries_stay(tx, seals.chain(tx))
    return sorted(found, key=lambda finding: finding.check)


def no_balance_below_zero(tx: Tx) -> Iterator[Finding]:
    """I1: no balance below zero; a debt stands beside it, and whoever owes has nothing left to spend."""
    yield from _broken(
        tx,
        "I1",
        "the ledger of these users adds up to less than nothing",
        "SELECT user_id FROM ledger GROUP BY user_id HAVING SUM(amount) < 0",
    )
    yield from _broken(tx, "I1", "these balances are below zero", "SELECT user_id FROM balances WHERE balance < 0")
    yield from _broken(
        tx,
        "I1",
        "these users owe money and have some: money that came in did not settle their debts",
        """SELECT b.user_id FROM balances b WHERE b.balance > 0
           AND EXISTS (SELECT 1 FROM debts d WHERE d.user_id = b.user_id AND d.settled < d.amount)""",
    )
    yield from _broken(
        tx,
        "I1",
        "what was paid back of these debts is not what the ledger says",
        """SELECT d.id FROM debts d WHERE d.settled <> (
             SELECT COALESCE(-SUM(l.amount), 0) FROM ledger l
             WHERE l.key >= 'debt:' || d.id || ':' AND l.key < 'debt:' || d.id || ';' AND l.user_id = d.user_id)""",
    )


def one_reserve_per_job(tx: Tx) -> Iterator[Finding]:
    """I2: one reserve a job; what stays taken is its cost, or nothing; job and reservation tell the same story."""
    yield from _sorted_out(
        tx,
        "I2",
        (
            "the reserve in the ledger is missing or of another sum or user than the reservation",
            "the entries of these jobs do not add up to what their reservation says",
        ),
        """SELECT r.job_id,
             COALESCE(SUM(CASE l.reason WHEN 'reserve' THEN l.amount = -r.amount AND l.user_id = r.user_id END), 0)
               <> 1,
             COALESCE(SUM(CASE WHEN l.reason IN ('reserve', 'refund', 'difference') THEN l.amount END), 0)
               <> CASE r.state WHEN 'reserved' THEN -r.amount WHEN 'charged' THEN -r.charged ELSE 0 END
           FROM reservations r LEFT JOIN ledger l ON l.job_id = r.job_id GROUP BY r.rowid""",
    )
    yield from _broken(
        tx,
        "I2",
        "these entries belong to a job that never held money",
        """SELECT l.id FROM ledger l WHERE l.job_id IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM reservations r WHERE r.job_id = l.job_id)""",
    )


def jobs_fit_their_money(tx: Tx) -> Iterator[Finding]:
    """I2: job and reservation tell the same story, and no more is given back than was charged."""
    yield from _sorted_out(
        tx,
        "I2",
        ("these jobs have no reservation of their price and user", "job and reservation tell different stories"),
        """SELECT j.id,
             r.job_id IS NULL OR r.amount <> j.cost_estimate OR r.user_id <> j.user_id,
             r.job_id IS NOT NULL AND (
               r.state <> CASE j.status WHEN 'completed' THEN 'charged' WHEN 'failed' THEN 'refunded'
                            WHEN 'cancelled' THEN 'refunded' ELSE 'reserved' END
               OR (j.status = 'completed' AND r.charged <> j.cost_actual))
           FROM jobs j LEFT JOIN reservations r ON r.job_id = j.id WHERE j.legacy = 0""",
    )
    yield from _broken(
        tx,
        "I2",
        "more was given back after the charge than had been charged",
        """SELECT l.job_id FROM ledger l JOIN reservations r ON r.job_id = l.job_id
           WHERE l.reason = 'compensation' AND l.job_id IS NOT NULL
           GROUP BY l.job_id HAVING SUM(l.amount) > MAX(r.charged)""",
    )


def one_credit_per_payment(tx: Tx) -> Iterator[Finding]:
    """I3: a paid payment is credited once and whole, an unpaid one never; what was returned is taken back or owed."""
    yield from _broken(
        tx,
        "I3",
        "these payments are paid without a credit of exactly their sum to their user",
        """SELECT p.id FROM payments p LEFT JOIN ledger l ON l.payment_id = p.id AND l.kind = 'credit'
           WHERE p.legacy = 0 AND p.status IN ('paid', 'refunded')
             AND (l.id IS NULL OR l.amount <> p.amount OR l.user_id <> p.user_id)""",
    )
    yield from _broken(
        tx,
        "I3",
        "these payments were credited though nobody paid, or though the old program had credited them",
        """SELECT p.id FROM payments p JOIN ledger l ON l.payment_id = p.id AND l.kind = 'credit'
           WHERE p.legacy = 1 OR p.status NOT IN ('paid', 'refunded')""",
    )
    yield from _broken(
        tx,
        "I3",
        "the refunds of these payments do not add up to what was returned",
        """SELECT p.id FROM payments p WHERE p.legacy = 0 AND (
             p.refunded_amount <> (SELECT COALESCE(SUM(f.amount), 0) FROM refunds f
                                   WHERE f.payment_id = p.id AND f.status = 'succeeded')
             OR (p.status = 'refunded') <> (p.refunded_amount = p.amount))""",
    )
    yield from _broken(
        tx,
        "I3",
        "what these refunds took from the balance or left as a debt is not in the books",
        """SELECT f.id FROM refunds f
           WHERE f.taken <> COALESCE((SELECT SUM(-l.amount) FROM ledger l
                   WHERE l.key IN ('takeback:' || f.id, 'takeback:' || f.provider_refund_id)), 0)
              OR f.owed <> COALESCE((SELECT SUM(d.amount) FROM debts d
                   WHERE d.cause IN ('takeback:' || f.id, 'takeback:' || f.provider_refund_id)), 0)""",
    )
    yield from _broken(
        tx,
        "I3",
        "the customer did not get back what was taken for these refunds though they were canceled, or got it too early",
        """SELECT f.id FROM refunds f
           WHERE (CASE f.status WHEN 'canceled' THEN f.amount ELSE 0 END)
              <> COALESCE((SELECT l.amount FROM ledger l WHERE l.key = 'returned:' || f.id), 0)""",
    )


def entries_come_from_something(tx: Tx) -> Iterator[Finding]:
    """I3: what we write beside another row has that row: no money comes or goes in the name of nothing.

    Entries whose keys are other programs' own, as all of `add_balance` are, have no such row.
    """
    # S608: the statements here are put together from words of ours alone, never from anything that came from outside.
    named = " OR ".join(_named_by(name) for name in OF_JOBS)
    counts = " + ".join(f"(SELECT COUNT(*) FROM ledger WHERE {_named_by(name)})" for name in OF_JOBS)  # noqa: S608
    # Two counts in indexes tell in nearly every shop that no row has to be looked at.
    if tx.execute(text(f"SELECT {counts} <> COUNT(*) FROM ledger WHERE job_id IS NOT NULL")).scalar():  # noqa: S608
        yield from _broken(
            tx,
            "I3",
            "these entries are named after a job and belong to none",
            f"SELECT id FROM ledger WHERE job_id IS NULL AND ({named})",  # noqa: S608 - words of ours
        )
    for name, origin in ORIGINS.items():
        yield from _broken(
            tx,
            "I3",
            f"these entries ({name}) have no row that explains them",
            f"SELECT l.id FROM ledger l WHERE {_named_by(name, 'l.key')} AND NOT EXISTS ({origin})",  # noqa: S608
        )
    yield from _broken(
        tx,
        "I3",
        "these debts have no row that explains them",
        """SELECT d.id FROM debts d
           WHERE (d.cause GLOB 'takeback:*' OR d.cause GLOB 'fix:*' OR d.cause GLOB 'migration:*') AND NOT (
             d.cause = 'migration:' || d.user_id
             OR EXISTS (SELECT 1 FROM refunds f JOIN payments p ON p.id = f.payment_id
                        WHERE d.cause IN ('takeback:' || f.id, 'takeback:' || f.provider_refund_id)
                          AND p.user_id = d.user_id)
             OR EXISTS (SELECT 1 FROM differences i WHERE d.cause = 'fix:' || i.id AND i.state = 'applied'))""",
    )
    yield from _broken(
        tx,
        "I3",
        "what was decided about these differences was not booked, or with another sum",
        """SELECT i.id FROM differences i WHERE i.state = 'applied' AND json_extract(i.proposal, '$.amount') <>
             COALESCE((SELECT l.amount FROM ledger l WHERE l.key = 'fix:' || i.id), 0)
             - COALESCE((SELECT d.amount FROM debts d WHERE d.cause = 'fix:' || i.id), 0)
           AND NOT (i.kind IN ('quarantined', 'unknown-payment') AND EXISTS (
             SELECT 1 FROM payments p WHERE p.status IN ('paid', 'refunded')
               AND (p.id = i.payment_id OR p.provider_payment_id = json_extract(i.details, '$.about'))))""",
    )


OF_JOBS = ("reserve", "refund", "difference", "compensation")
"""What the keys of entries begin with that move the money of a job."""
ORIGINS: Mapping[str, str] = {
    "payment": "SELECT 1 FROM payments p WHERE p.id = substr(l.key, 9)",
    "takeback": """SELECT 1 FROM refunds f JOIN payments p ON p.id = f.payment_id
        WHERE (f.id = substr(l.key, 10) OR f.provider_refund_id = substr(l.key, 10)) AND p.user_id = l.user_id""",
    "returned": """SELECT 1 FROM refunds f JOIN payments p ON p.id = f.payment_id
        WHERE f.id = substr(l.key, 10) AND f.status = 'canceled' AND p.user_id = l.user_id""",
    "fix": """SELECT 1 FROM differences i WHERE i.id = CAST(substr(l.key, 5) AS INTEGER)
        AND l.key = 'fix:' || i.id AND i.state = 'applied'""",
    "debt": """SELECT 1 FROM debts d WHERE d.id = CAST(substr(l.key, 6) AS INTEGER) AND d.user_id = l.user_id""",
    "migration": "SELECT 1 WHERE l.key = 'migration:' || l.user_id",
}
"""For each kind of entry that has one, the row that it comes from."""


def _named_by(name: str, key: str = "key") -> str:
    return f"({key} >= '{name}:' AND {key} < '{name};')"


def guards_are_in_place(tx: Tx) -> Iterator[Finding]:
    """I4: the triggers that refuse to change the past are those of the schema."""
    present = {_plain(row["sql"]) for row in tx.rows(text("SELECT sql FROM sqlite_master WHERE type = 'trigger'"))}
    missing = tuple(sql.split()[2] for sql in SQLITE_TRIGGERS if _plain(sql) not in present)
    if missing:
        yield Finding("I4", missing, "these guards of the schema are missing or changed")


def no_id_is_missing(tx: Tx) -> Iterator[Finding]:
    """I4: ids begin with 1 and have no gaps."""
    yield from _broken(tx, "I4", "these entries were put before the first one", "SELECT id FROM ledger WHERE id < 1")
    if tx.execute(text("SELECT COUNT(*) <> COALESCE(MAX(id), 0) FROM ledger")).scalar():
        yield from _broken(
            tx,
            "I4",
            "entries before these ids are missing",
            "SELECT id FROM ledger l WHERE id > 1 AND NOT EXISTS (SELECT 1 FROM ledger e WHERE e.id = l.id - 1)",
        )


def seals_are_chained(tx: Tx) -> Iterator[Finding]:
    """I4: each seal follows the one before and is as it was written; the newest that anybody was told of is there."""
    torn, changed, after, prev = [], [], 0, NO_SEAL
    chain = seals.chain(tx)  # of the same snapshot as what was noted of it
    for one in chain:
        if (one.prev, one.first_id) != (prev, after + 1):
            torn.append(_range(one))
        if seals.own_hash(tx, one) != one.hash:
            changed.append(_range(one))
        after, prev = one.upto_id, one.hash
    yield from _named("I4", changed, "the seals over these entries were changed")
    yield from _named("I4", torn, "the seal before those over these entries is missing or another one")
    noted = flag_rows.get(tx, seals.NEWEST)
    if noted != (chain[-1].hash if chain else ""):
        yield Finding("I4", (noted or "none",), "the newest seal is not the one that was noted when it was written")
    there = {one.hash for one in chain}
    told = tx.rows(text(TOLD_HEADS))
    lost = {str(row["head"]) for row in told if row["head"] not in (None, "", "–")} - there
    yield from _named("I4", sorted(lost), "these heads were sent to administrators and are no seals any more")


TOLD_HEADS = """SELECT CASE WHEN json_valid(payload) THEN payload ->> '$.head' END AS head FROM outbox
    WHERE key >= 'audit:' AND key < 'audit;'"""


def sealed_entries_stay(tx: Tx, chain: Sequence[Seal]) -> Iterator[Finding]:
    """I4: the entries under each of these seals are those that were sealed; what was changed is named where it can."""
    missing: list[str] = []
    changed: list[str] = []
    unknown: list[str] = []
    claims: list[str] = []
    for one in chain:
        body = seals.body(tx, one)
        if body.entries_hash == one.entries_hash:
            if (body.n, body.total) != (one.n, one.total):
                claims.append(_range(one))
            continue
        # To find the very entry takes long, and who has rewritten everything is seen by the ranges as well.
        gone, other = seals.changes(tx, one) if len(unknown) < MOST_IDS else ([], [])
        missing, changed = missing + _ranges(gone), changed + _ranges(other)
        if (not gone and not other) or len(missing) + len(changed) > MOST_IDS:
            unknown.append(_range(one))
    yield from _named("I4", missing, "these entries were deleted after they had been sealed")
    yield from _named("I4", changed, "these entries were changed after they had been sealed")
    yield from _named("I4", unknown, "the entries in these ranges are not those that were sealed")
    yield from _named("I4", claims, "the seals over these entries tell another count or sum than their entries have")


def _range(one: Seal) -> str:
    return f"{one.first_id}-{one.upto_id}"


def _ranges(ids: Sequence[int]) -> list[str]:
    """Growing ids with those that follow one another put together: 5, 7-12."""
    runs: list[list[int]] = []
    for number in ids:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return [str(first) if first == last else f"{first}-{last}" for first, last in runs]


def head_is_known(tx: Tx, head: str) -> Iterator[Finding]:
    """I4: a head that left the machine earlier is still a seal of the chain, so nothing before it was rewritten."""
    if seals.find(tx, head) is None:
        yield Finding("I4", (head,), "no seal has this hash: the ledger was rewritten, cut off, or is another shop's")


def sums_agree(tx: Tx) -> Iterator[Finding]:
    """I5: the ledger and its shadow agree for each user and over all; held money is what open reservations reserved."""
    yield from _broken(
        tx,
        "I5",
        "the balance of these users is not the sum of their ledger",
        """SELECT b.user_id FROM balances b LEFT JOIN (
             SELECT user_id, SUM(amount) AS total, COUNT(*) AS entries, MAX(id) AS last_id FROM ledger GROUP BY user_id
           ) l ON l.user_id = b.user_id
           WHERE b.balance <> COALESCE(l.total, 0) OR b.entries <> COALESCE(l.entries, 0)
              OR b.last_id <> COALESCE(l.last_id, 0)""",
    )
    yield from _broken(
        tx,
        "I5",
        "these users have entries and no balance",
        "SELECT user_id FROM ledger l GROUP BY user_id"
        " HAVING NOT EXISTS (SELECT 1 FROM balances b WHERE b.user_id = l.user_id)",
    )
    totals = tx.rows(
        text(
            """SELECT (SELECT COALESCE(SUM(amount), 0) FROM ledger) AS ledger,
                      (SELECT COALESCE(SUM(balance), 0) FROM balances) AS balances,
                      (SELECT COALESCE(SUM(amount), 0) FROM reservations WHERE state = 'reserved') AS held,
                      (SELECT COALESCE(-SUM((SELECT SUM(l.amount) FROM ledger l
                         WHERE l.job_id = r.job_id AND l.reason = 'reserve')), 0)
                       FROM reservations r WHERE r.state = 'reserved') AS reserved"""
        )
    )[0]
    if totals["ledger"] != totals["balances"]:
        yield Finding("I5", (), f"the ledger holds {totals['ledger']} kopecks, the balances {totals['balances']}")
    if totals["held"] != totals["reserved"]:
        yield Finding("I5", (), f"reservations hold {totals['held']} kopecks, the ledger {totals['reserved']}")


def open_work_has_an_owner(tx: Tx) -> Iterator[Finding]:
    """I6: every open job and refund has a time at which somebody looks; every open hold has a job's or its own end."""
    yield from _broken(
        tx,
        "I6",
        "nobody will ever look after these open jobs",
        """SELECT id FROM jobs WHERE status IN ('pending', 'processing') AND (step IS NULL OR due_at IS NULL)""",
    )
    yield from _broken(
        tx,
        "I6",
        "nobody will ever finish these refunds",
        "SELECT id FROM refunds WHERE (status IN ('taken', 'sent')) <> (next_look_at IS NOT NULL)",
    )
    yield from _broken(
        tx,
        "I6",
        "these open holds have no end",
        "SELECT job_id FROM reservations WHERE state = 'reserved' AND (hold_until IS NULL OR hold_until < created_at)",
    )


def completed_jobs_reach_people(tx: Tx) -> Iterator[Finding]:
    """I8: a completed job has its result, which is delivered, owed to the person, or paid back."""
    yield from _broken(
        tx,
        "I8",
        "these jobs were charged without a stored result",
        """SELECT j.id FROM jobs j WHERE j.legacy = 0 AND j.status = 'completed'
           AND NOT EXISTS (SELECT 1 FROM assets a WHERE a.job_id = j.id AND a.role = 'result')""",
    )
    yield from _broken(
        tx,
        "I8",
        "the result of these jobs was neither delivered nor is it owed, and nothing was paid back",
        """SELECT j.id FROM jobs j WHERE j.legacy = 0 AND j.status = 'completed' AND j.delivered_at IS NULL
           AND NOT EXISTS (SELECT 1 FROM ledger l WHERE l.job_id = j.id AND l.reason = 'compensation')
           AND NOT (EXISTS (SELECT 1 FROM outbox o WHERE o.key = 'result:' || j.id
                            AND (o.due_at IS NOT NULL OR o.dead_reason IS NOT NULL))
                    AND EXISTS (SELECT 1 FROM assets a WHERE a.job_id = j.id AND a.role = 'result'
                                AND a.deleted_at IS NULL))""",
    )


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
        yield from _named("I9", leaks, f"these rows of {table} hold something like a secret or a stack trace")
    yield from _broken(
        tx,
        "I9",
        "these messages are about somebody else's order",
        """SELECT o.id FROM outbox o JOIN jobs j ON j.id = o.job_id
           WHERE o.kind <> 'alert' AND j.user_id <> o.user_id""",
    )
    yield from _broken(
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


def provider_calls_are_bounded(tx: Tx, repeats: Mapping[str, int] = REPEATS_BY_TYPE) -> Iterator[Finding]:
    """I7: of each job at most one call was or may have been billed, and those that `repeats` allows for its type."""
    allowed = " ".join(f"WHEN '{JobType(kind)}' THEN {1 + int(count)}" for kind, count in repeats.items())
    yield from _broken(
        tx,
        "I7",
        "the provider was called more often for these jobs than is allowed",
        # Nearly every job has one call at most, which its index tells; only the others are looked at.
        f"""SELECT j.id FROM (SELECT job_id FROM provider_calls GROUP BY job_id HAVING COUNT(*) > 1) more
            JOIN jobs j ON j.id = more.job_id
            WHERE (SELECT COUNT(*) FROM provider_calls c WHERE c.job_id = j.id
                   AND (c.outcome IS NULL OR c.outcome IN ('ok', 'unknown'))) > CASE j.type {allowed} END""",  # noqa: S608 - words and ints of ours
    )


PIECES: tuple[tuple[str, Callable[[Tx], Iterator[Finding]]], ...] = (
    ("I2", one_reserve_per_job),
    ("I2", jobs_fit_their_money),
    ("I8", completed_jobs_reach_people),
    ("I5", sums_agree),
    ("I3", one_credit_per_payment),
    ("I3", entries_come_from_something),
    ("I9", nothing_leaks),
    ("I1", no_balance_below_zero),
    ("I4", no_id_is_missing),
    ("I4", seals_are_chained),
    ("I4", guards_are_in_place),
    ("I6", open_work_has_an_owner),
    ("I7", provider_calls_are_bounded),
)
"""The checks that need only a snapshot, each with its rule; those that take long come first."""


def check_file(tx: Tx) -> list[Finding]:
    """SQLite's own checks of the file: its pages and indexes, and that no row refers to one that is not there."""
    said = [str(row["integrity_check"]) for row in tx.rows(text(f"PRAGMA integrity_check({MOST_IDS})"))]
    findings = [] if said == ["ok"] else [Finding("file", (), "; ".join(said))]
    return findings + [finding for table in metadata.tables for finding in references_lead_somewhere(tx, table)]


def check_table(tx: Tx, table: str, *, deep: bool) -> Iterator[Finding]:
    """SQLite's own check of one table; `deep` compares every index with it, row by row: many times longer."""
    pragma = "integrity_check" if deep else "quick_check"
    said = [str(row[0]) for row in tx.execute(text(f"PRAGMA {pragma}('{table}')"))]
    if said != ["ok"]:
        yield Finding("file", (), "; ".join(said[:MOST_IDS]))


def references_lead_somewhere(tx: Tx, table: str) -> Iterator[Finding]:
    """No row of the table refers to one that is not there. Only ours: an old table kept for history may."""
    lost = tx.rows(text(f"SELECT rowid FROM pragma_foreign_key_check('{table}') LIMIT {MOST_IDS}"))  # noqa: S608
    if lost:
        ids = tuple(str(row["rowid"]) for row in lost)
        yield Finding("file", ids, f"rows of {table} refer to rows that are not there")


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Findings of the same kind as one, with at most `MOST_IDS` of their ids."""
    ids: dict[tuple[str, str], tuple[str, ...]] = {}
    for one in findings:
        kind = (one.check, one.sentence)
        ids[kind] = (ids.get(kind, ()) + one.ids)[:MOST_IDS]
    return [Finding(check, names, sentence) for (check, sentence), names in ids.items()]


def _broken(tx: Tx, check: str, sentence: str, query: str) -> Iterator[Finding]:
    ids = tuple(str(row[0]) for row in tx.execute(text(f"{query} LIMIT {MOST_IDS}")))
    if ids:
        yield Finding(check, ids, sentence)


def _sorted_out(tx: Tx, check: str, sentences: tuple[str, str], query: str) -> Iterator[Finding]:
    """Two rules about the same rows in one pass: the query answers an id and, for each rule, whether it is broken."""
    one, other = sentences
    rows = tx.execute(
        text(f"WITH looked(id, one, other) AS ({query}) SELECT * FROM looked WHERE one OR other")  # noqa: S608
    )
    first: list[str] = []
    second: list[str] = []
    for row in rows:
        first += [str(row.id)] * bool(row.one)
        second += [str(row.id)] * bool(row.other)
        if len(first) >= MOST_IDS or len(second) >= MOST_IDS:
            break
    rows.close()
    yield from _named(check, first, one)
    yield from _named(check, second, other)


def _named(check: str, ids: Iterable[object], sentence: str) -> Iterator[Finding]:
    """A finding over the first of these ids, if there are any."""
    first = tuple(str(one) for one, _ in zip(ids, range(MOST_IDS), strict=False))
    if first:
        yield Finding(check, first, sentence)


def _plain(sql: str) -> str:
    """A statement without its layout."""
    return " ".join(sql.split())
