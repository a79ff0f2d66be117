"""The rules of the books: each function finds the rows that break one rule. Sound books have none.

The queries work on whole tables and name at most `MOST_IDS` rows each. Each function needs only one snapshot, so
`database/audit/run.py` runs several at once. Rows of version 1.3 (`legacy`) are left out of the rules on jobs and
payments, because the old program had settled their money.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from sqlalchemy import text

from database.audit import append_only, seals
from database.audit.findings import MOST_IDS, Finding, broken_rows, two_rules
from database.audit.leaks import nothing_leaks
from database.engine import Tx
from database.schema import metadata
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
REPEATS_BY_TYPE: Mapping[str, int] = {JobType.IMAGE: 1, JobType.EDIT: 1, JobType.VIDEO: 0, JobType.ANIMATE: 0}
"""How often a provider may be called again for a job when the outcome of a call is unknown."""


def run_checks(tx: Tx) -> list[Finding]:
    """Every rule, on one snapshot."""
    found = [finding for _, check in PIECES for finding in check(tx)]
    found += append_only.sealed_entries_stay(tx, seals.chain(tx))
    return sorted(found, key=lambda finding: finding.check)


def no_balance_below_zero(tx: Tx) -> Iterator[Finding]:
    """I1: no balance is below zero, and a user with a debt has nothing left to spend."""
    yield from broken_rows(
        tx,
        "I1",
        "the ledger of these users adds up to less than nothing",
        "SELECT user_id FROM ledger GROUP BY user_id HAVING SUM(amount) < 0",
    )
    yield from broken_rows(tx, "I1", "these balances are below zero", "SELECT user_id FROM balances WHERE balance < 0")
    yield from broken_rows(
        tx,
        "I1",
        "these users owe money and have some: money that came in did not settle their debts",
        """SELECT b.user_id FROM balances b WHERE b.balance > 0
           AND EXISTS (SELECT 1 FROM debts d WHERE d.user_id = b.user_id AND d.settled < d.amount)""",
    )
    yield from broken_rows(
        tx,
        "I1",
        "what was paid back of these debts is not what the ledger says",
        """SELECT d.id FROM debts d WHERE d.settled <> (
             SELECT COALESCE(-SUM(l.amount), 0) FROM ledger l
             WHERE l.key >= 'debt:' || d.id || ':' AND l.key < 'debt:' || d.id || ';' AND l.user_id = d.user_id)""",
    )


def one_reserve_per_job(tx: Tx) -> Iterator[Finding]:
    """I2: each job has one reserve, and its entries add up to what its reservation says."""
    yield from two_rules(
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
    yield from broken_rows(
        tx,
        "I2",
        "these entries belong to a job that never held money",
        """SELECT l.id FROM ledger l WHERE l.job_id IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM reservations r WHERE r.job_id = l.job_id)""",
    )


def jobs_fit_their_money(tx: Tx) -> Iterator[Finding]:
    """I2: the states of job and reservation fit, and no more is given back than was charged."""
    yield from two_rules(
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
    yield from broken_rows(
        tx,
        "I2",
        "more was given back after the charge than had been charged",
        """SELECT l.job_id FROM ledger l JOIN reservations r ON r.job_id = l.job_id
           WHERE l.reason = 'compensation' AND l.job_id IS NOT NULL
           GROUP BY l.job_id HAVING SUM(l.amount) > MAX(r.charged)""",
    )


def one_credit_per_payment(tx: Tx) -> Iterator[Finding]:
    """I3: a paid payment is credited once and in full, an unpaid one never; each return is taken back or owed."""
    yield from broken_rows(
        tx,
        "I3",
        "these payments are paid without a credit of exactly their sum to their user",
        """SELECT p.id FROM payments p LEFT JOIN ledger l ON l.payment_id = p.id AND l.kind = 'credit'
           WHERE p.legacy = 0 AND p.status IN ('paid', 'refunded')
             AND (l.id IS NULL OR l.amount <> p.amount OR l.user_id <> p.user_id)""",
    )
    yield from broken_rows(
        tx,
        "I3",
        "these payments were credited though nobody paid, or though the old program had credited them",
        """SELECT p.id FROM payments p JOIN ledger l ON l.payment_id = p.id AND l.kind = 'credit'
           WHERE p.legacy = 1 OR p.status NOT IN ('paid', 'refunded')""",
    )
    yield from broken_rows(
        tx,
        "I3",
        "the refunds of these payments do not add up to what was returned",
        """SELECT p.id FROM payments p WHERE p.legacy = 0 AND (
             p.refunded_amount <> (SELECT COALESCE(SUM(f.amount), 0) FROM refunds f
                                   WHERE f.payment_id = p.id AND f.status = 'succeeded')
             OR (p.status = 'refunded') <> (p.refunded_amount = p.amount))""",
    )
    yield from broken_rows(
        tx,
        "I3",
        "what these refunds took from the balance or left as a debt is not in the books",
        """SELECT f.id FROM refunds f
           WHERE f.taken <> COALESCE((SELECT SUM(-l.amount) FROM ledger l
                   WHERE l.key IN ('takeback:' || f.id, 'takeback:' || f.provider_refund_id)), 0)
              OR f.owed <> COALESCE((SELECT SUM(d.amount) FROM debts d
                   WHERE d.cause IN ('takeback:' || f.id, 'takeback:' || f.provider_refund_id)), 0)""",
    )
    yield from broken_rows(
        tx,
        "I3",
        "the customer did not get back what was taken for these refunds though they were canceled, or got it too early",
        """SELECT f.id FROM refunds f
           WHERE (CASE f.status WHEN 'canceled' THEN f.amount ELSE 0 END)
              <> COALESCE((SELECT l.amount FROM ledger l WHERE l.key = 'returned:' || f.id), 0)""",
    )


def entries_come_from_something(tx: Tx) -> Iterator[Finding]:
    """I3: an entry whose key names another row has that row.

    Entries with a caller's own key, such as those of `add_balance`, need no such row.
    """
    # S608: these statements are built from constants of this module, never from input.
    named = " OR ".join(_named_by(name) for name in OF_JOBS)
    counts = " + ".join(f"(SELECT COUNT(*) FROM ledger WHERE {_named_by(name)})" for name in OF_JOBS)  # noqa: S608
    # Two counts in indexes show, for almost all databases, that no row has to be read.
    if tx.execute(text(f"SELECT {counts} <> COUNT(*) FROM ledger WHERE job_id IS NOT NULL")).scalar():  # noqa: S608
        yield from broken_rows(
            tx,
            "I3",
            "these entries are named after a job and belong to none",
            f"SELECT id FROM ledger WHERE job_id IS NULL AND ({named})",  # noqa: S608 - our own constants
        )
    for name, origin in ORIGINS.items():
        yield from broken_rows(
            tx,
            "I3",
            f"these entries ({name}) have no row that explains them",
            f"SELECT l.id FROM ledger l WHERE {_named_by(name, 'l.key')} AND NOT EXISTS ({origin})",  # noqa: S608
        )
    yield from broken_rows(
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
    yield from broken_rows(
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
"""What the keys of entries begin with when they move the money of a job."""
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
"""For each kind of entry that needs one: the query for the row that explains it."""


def _named_by(name: str, key: str = "key") -> str:
    return f"({key} >= '{name}:' AND {key} < '{name};')"


def sums_agree(tx: Tx) -> Iterator[Finding]:
    """I5: the ledger and its shadow agree, per user and in total; held money is what open reservations reserved."""
    yield from broken_rows(
        tx,
        "I5",
        "the balance of these users is not the sum of their ledger",
        """SELECT b.user_id FROM balances b LEFT JOIN (
             SELECT user_id, SUM(amount) AS total, COUNT(*) AS entries, MAX(id) AS last_id FROM ledger GROUP BY user_id
           ) l ON l.user_id = b.user_id
           WHERE b.balance <> COALESCE(l.total, 0) OR b.entries <> COALESCE(l.entries, 0)
              OR b.last_id <> COALESCE(l.last_id, 0)""",
    )
    yield from broken_rows(
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


def open_work_has_a_due_time(tx: Tx) -> Iterator[Finding]:
    """I6: every open job and refund has a due time, and every open hold has an end."""
    yield from broken_rows(
        tx,
        "I6",
        "nobody will ever look after these open jobs",
        """SELECT id FROM jobs WHERE status IN ('pending', 'processing') AND (step IS NULL OR due_at IS NULL)""",
    )
    yield from broken_rows(
        tx,
        "I6",
        "nobody will ever finish these refunds",
        "SELECT id FROM refunds WHERE (status IN ('taken', 'sent')) <> (next_look_at IS NOT NULL)",
    )
    yield from broken_rows(
        tx,
        "I6",
        "these open holds have no end",
        "SELECT job_id FROM reservations WHERE state = 'reserved' AND (hold_until IS NULL OR hold_until < created_at)",
    )


def completed_jobs_reach_people(tx: Tx) -> Iterator[Finding]:
    """I8: a completed job has its result, which is delivered, still to be sent, or paid back."""
    yield from broken_rows(
        tx,
        "I8",
        "these jobs were charged without a stored result",
        """SELECT j.id FROM jobs j WHERE j.legacy = 0 AND j.status = 'completed'
           AND NOT EXISTS (SELECT 1 FROM assets a WHERE a.job_id = j.id AND a.role = 'result')""",
    )
    yield from broken_rows(
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


def provider_calls_are_bounded(tx: Tx, repeats: Mapping[str, int] = REPEATS_BY_TYPE) -> Iterator[Finding]:
    """I7: of each job at most one call was or may have been billed, and those that `repeats` allows for its type."""
    allowed = " ".join(f"WHEN '{JobType(kind)}' THEN {1 + int(count)}" for kind, count in repeats.items())
    yield from broken_rows(
        tx,
        "I7",
        "the provider was called more often for these jobs than is allowed",
        # Almost every job has at most one call, which the index shows; only the other jobs are read.
        f"""SELECT j.id FROM (SELECT job_id FROM provider_calls GROUP BY job_id HAVING COUNT(*) > 1) more
            JOIN jobs j ON j.id = more.job_id
            WHERE (SELECT COUNT(*) FROM provider_calls c WHERE c.job_id = j.id
                   AND (c.outcome IS NULL OR c.outcome IN ('ok', 'unknown'))) > CASE j.type {allowed} END""",  # noqa: S608 - our own words and ints
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
    ("I4", append_only.no_id_is_missing),
    ("I4", append_only.seals_are_chained),
    ("I4", append_only.guards_are_in_place),
    ("I6", open_work_has_a_due_time),
    ("I7", provider_calls_are_bounded),
)
"""The checks that need only a snapshot, each with its rule. Those that take long come first."""


def check_file(tx: Tx) -> list[Finding]:
    """SQLite's own checks of the file: its pages, its indexes and its foreign keys."""
    said = [str(row["integrity_check"]) for row in tx.rows(text(f"PRAGMA integrity_check({MOST_IDS})"))]
    findings = [] if said == ["ok"] else [Finding("file", (), "; ".join(said))]
    return findings + [finding for table in metadata.tables for finding in references_lead_somewhere(tx, table)]


def check_table(tx: Tx, table: str, *, deep: bool) -> Iterator[Finding]:
    """SQLite's own check of one table; `deep` compares every index with it, row by row, which takes much longer."""
    pragma = "integrity_check" if deep else "quick_check"
    said = [str(row[0]) for row in tx.execute(text(f"PRAGMA {pragma}('{table}')"))]
    if said != ["ok"]:
        yield Finding("file", (), "; ".join(said[:MOST_IDS]))


def references_lead_somewhere(tx: Tx, table: str) -> Iterator[Finding]:
    """Each foreign key of the table leads to a row. Only our tables: an old table kept for history may break this."""
    lost = tx.rows(text(f"SELECT rowid FROM pragma_foreign_key_check('{table}') LIMIT {MOST_IDS}"))  # noqa: S608
    if lost:
        ids = tuple(str(row["rowid"]) for row in lost)
        yield Finding("file", ids, f"rows of {table} refer to rows that are not there")
