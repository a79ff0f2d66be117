"""The audit: each of its checks, and the seals, with a blind spot."""

from __future__ import annotations

from tests.faults.mutants.edits import In
from tests.faults.mutants.mutant import Mutant, mutant

CHECKS = "database/audit/checks.py"
BROKEN_RULE = "database/test_checks.py::test_a_broken_rule_is_found"

MUTANTS: tuple[Mutant, ...] = (
    mutant(
        "a new seal is written although the newest one was cut off",
        In("database/audit/seals.py", "add").remove("raise BooksDisagree(...)"),
        noticed_by="database/test_seals.py::test_a_cut_off_end_of_the_chain_is_found_and_not_sealed_over",
    ),
    mutant(
        "the audit accepts an entry of a job that belongs to no job",
        In(CHECKS, "entries_come_from_something").sql("WHERE job_id IS NULL AND (", "WHERE 0 AND ("),
        noticed_by=BROKEN_RULE,
    ),
    mutant(
        "the audit accepts a credit without a payment",
        In(CHECKS, "ORIGINS").sql("FROM payments p WHERE p.id = substr(l.key, 9)", ""),
        noticed_by=BROKEN_RULE,
    ),
    mutant(
        "the audit accepts money taken back for another person's refund",
        In(CHECKS, "ORIGINS").sql(
            "f.provider_refund_id = substr(l.key, 10)) AND p.user_id = l.user_id",
            "f.provider_refund_id = substr(l.key, 10))",
        ),
        noticed_by=BROKEN_RULE,
    ),
    mutant(
        "the audit accepts money given back for a refund that was not canceled",
        In(CHECKS, "ORIGINS").sql(
            "WHERE f.id = substr(l.key, 10) AND f.status = 'canceled' AND p.user_id = l.user_id", ""
        ),
        noticed_by=BROKEN_RULE,
    ),
    mutant(
        "the audit accepts a correction that nobody decided",
        In(CHECKS, "ORIGINS").sql(
            "FROM differences i WHERE i.id = CAST(substr(l.key, 5) AS INTEGER)"
            " AND l.key = 'fix:' || i.id AND i.state = 'applied'",
            "",
        ),
        noticed_by=BROKEN_RULE,
    ),
    mutant(
        "the audit accepts a payment of a debt that does not exist",
        In(CHECKS, "ORIGINS").sql(
            "FROM debts d WHERE d.id = CAST(substr(l.key, 6) AS INTEGER) AND d.user_id = l.user_id", ""
        ),
        noticed_by=BROKEN_RULE,
    ),
    mutant(
        "the audit accepts a migrated balance of another person",
        In(CHECKS, "ORIGINS").sql("WHERE l.key = 'migration:' || l.user_id", ""),
        noticed_by=BROKEN_RULE,
    ),
    mutant(
        "the audit accepts a debt without a cause",
        In(CHECKS, "entries_come_from_something").sql("d.cause = 'migration:' || d.user_id", "1"),
        noticed_by=BROKEN_RULE,
    ),
    mutant(
        "the audit accepts a decision that was not booked",
        In(CHECKS, "entries_come_from_something").sql(
            "WHERE i.state = 'applied' AND json_extract(i.proposal", "WHERE 0 AND json_extract(i.proposal"
        ),
        noticed_by=BROKEN_RULE,
    ),
    mutant(
        "the audit counts a result as owed although its message is neither due nor given up",
        In(CHECKS, "completed_jobs_reach_people").sql("AND (o.due_at IS NOT NULL OR o.dead_reason IS NOT NULL)", ""),
        noticed_by="database/test_checks.py::test_an_undelivered_result_whose_message_nobody_will_send_is_found",
    ),
)
