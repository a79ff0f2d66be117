"""Rows that were written while the clock was wrong, and times that must not be taken for such."""

from __future__ import annotations

from tests.faults.mutants.edits import In
from tests.faults.mutants.mutant import Mutant, mutant

LEDGER = "database/ledger.py"
JOBS = "database/jobs.py"
IDEMPOTENCY = "services/payments/idempotency.py"

HOLD = "database/test_jobs.py::test_a_hold_of_a_wrong_clock_ends_in_its_own_time"
AHEAD = "scenarios/test_payment_faults.py::test_a_payment_of_a_clock_that_ran_ahead_is_looked_for_before_it_is_sent"

MUTANTS: tuple[Mutant, ...] = (
    mutant(
        "a hold whose end is too far ahead is kept as it is",
        In(JOBS, "expire_hold").remove("ledger.begin_far_hold_anew(tx, job_id)"),
        noticed_by=HOLD,
    ),
    mutant(
        "a hold whose end is too far ahead is not found",
        In(LEDGER, "expired_holds").replace("tx.is_due(...)", "reservations.c.hold_until <= tx.now"),
        noticed_by=HOLD,
    ),
    mutant(
        "a hold whose end is too far ahead is given back at once",
        In(LEDGER, "begin_far_hold_anew").replace("lasts if ... else HOLD_WITHOUT_JOB_MS", "0"),
        noticed_by=HOLD,
    ),
    mutant(
        "a result that was stored under a wrong clock is deleted at once",
        In(JOBS, "asset_deleted").remove("asset_rows.begin_far_anew(tx, asset)"),
        noticed_by="database/test_jobs.py::test_a_result_of_a_wrong_clock_is_kept_for_its_own_time",
    ),
    mutant(
        "a file is deleted although its end has moved since",
        In(JOBS, "asset_deleted").remove("asset.expires_at != end"),
        noticed_by="database/test_jobs.py::test_a_photo_that_an_order_needs_by_now_is_not_deleted",
    ),
    mutant(
        "a result that is kept for long is taken for one of a wrong clock",
        In("database/assets.py", "expired_assets").replace(
            "and_(assets.c.expires_at > tx.now + FAR_MS + keep_ms, ...)", "assets.c.expires_at > tx.now + keep_ms"
        ),
        noticed_by="database/test_jobs.py::test_a_result_that_is_kept_for_long_is_of_no_wrong_clock",
    ),
    mutant(
        "the key of a restored order counts from the time it is sent again",
        In("database/payments.py", "sending").replace("payments.c.created_at", "tx.now"),
        noticed_by="scenarios/test_payment_faults.py::"
        "test_a_payment_that_a_backup_holds_unsent_is_looked_for_before_it_is_sent",
    ),
    mutant(
        "a key with a time in the future counts as valid",
        In(IDEMPOTENCY, "key_is_alive").replace(
            "-CLOCK_SLACK_SECONDS <= clock.now() - since_ms / 1000 <= KEY_LIVES_SECONDS",
            "clock.now() - since_ms / 1000 <= KEY_LIVES_SECONDS",
        ),
        noticed_by=AHEAD,
    ),
    mutant(
        "an order with a time in the future is searched only in the future",
        In(IDEMPOTENCY, "listed_between").remove("if since > now: ..."),
        noticed_by=AHEAD,
    ),
)
