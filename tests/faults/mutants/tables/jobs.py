"""Orders: from the confirmation to the charge or the refund, and what a provider may be asked for."""

from __future__ import annotations

from tests.faults.mutants.edits import FOUND, In
from tests.faults.mutants.mutant import Mutant, mutant

JOBS = "database/jobs.py"
IMAGE_WORKER = "workers/image_worker.py"
VIDEO_WORKER = "workers/video_worker.py"
STEP = "workers/step.py"

LOST_ANSWER = "workers/test_steps.py::test_a_lost_answer_is_repeated_once_free_of_charge_then_refunded"

MUTANTS: tuple[Mutant, ...] = (
    # --- holds --------------------------------------------------------------------------------------
    mutant(
        "a hold is given back before its end",
        In(JOBS, "expire_hold").remove("held.hold_until > tx.now"),
        noticed_by="database/test_jobs.py::test_a_hold_without_a_job_ends",
    ),
    mutant(
        "an ended hold is paid back a second time",
        In(JOBS, "expire_hold").remove("held.state is not ReservationState.RESERVED"),
        noticed_by=(
            "database/test_jobs.py::test_a_hold_without_a_job_ends",
            "database/test_jobs.py::test_a_result_and_the_end_of_the_hold_race",
        ),
    ),
    # --- orders -------------------------------------------------------------------------------------
    mutant(
        "a second tap makes a second order",
        In(JOBS, "start").remove("return earlier, False"),
        noticed_by="database/test_jobs.py::test_a_double_tap_is_one_job",
    ),
    mutant(
        "open orders are not limited",
        In(JOBS, "start").replace("len(open_of_user(tx, new.user_id)) >= max_active", "False"),
        noticed_by="database/test_jobs.py::test_the_limit_holds_at_once_and_frees_with_the_end",
    ),
    mutant(
        "a claim takes a lease that another worker holds",
        In(JOBS, "claim").remove("or_(jobs.c.lease_until.is_(None), ...)"),
        noticed_by="database/test_jobs.py::test_one_of_many_claims_wins",
    ),
    mutant(
        "a worker that lost its lease may still finish, because no attempt is compared",
        In(JOBS, "held_by").remove("jobs.c.attempt == attempt"),
        In(JOBS, "finish").remove("job.attempt != attempt"),
        noticed_by="database/test_jobs.py::test_a_lost_lease_changes_nothing_any_more",
    ),
    mutant(
        "an order is cancelled although the provider was called",
        In(JOBS, "cancel").remove("_was_called(tx, job_id)"),
        noticed_by="database/test_jobs.py::test_a_cancel_and_a_call_race",
    ),
    mutant(
        "an order fails and its money is not given back",
        In(JOBS, "_close_unpaid").remove("ledger.refund(tx, job_id)"),
        noticed_by="database/test_jobs.py::test_fail_gives_everything_back_once",
    ),
    mutant(
        "an order is finished and not charged",
        In(JOBS, "finish").remove("ledger.charge(...)"),
        noticed_by="database/test_jobs.py::test_finish_charges_and_owes_the_delivery",
    ),
    mutant(
        "an order is charged and its result is not sent",
        In(JOBS, "finish").remove("outbox.post(...)"),
        noticed_by="database/test_jobs.py::test_finish_charges_and_owes_the_delivery",
    ),
    mutant(
        "an order is charged although its result was not stored",
        In(IMAGE_WORKER, "_store").replace(
            "stored = await ctx.assets.put(...)",
            f"""
from services.media import store
try:
    {FOUND}
except store.AssetError:
    stored = store.StoredAsset("lost", "0", len(result.data))
""",
        ),
        noticed_by="scenarios/test_job_faults.py::test_a_result_that_can_not_be_stored_gives_the_money_back",
    ),
    mutant(
        "the provider is called before the intent is written",
        In(IMAGE_WORKER, "_generate").before(
            "paid = await PaidCall.begin(...)", "early = await provider.generate(request)"
        ),
        In(IMAGE_WORKER, "_generate").replace("result = await provider.generate(request)", "result = early"),
        noticed_by=LOST_ANSWER,
    ),
    mutant(
        "the provider is called without a lease",
        In("database/provider_calls.py", "begin_call").remove("if held is None: ..."),
        noticed_by="database/test_jobs.py::test_no_call_without_a_live_lease",
    ),
    mutant(
        "a call of unknown outcome is repeated without limit",
        In(IMAGE_WORKER, "_may_call").replace("return spent == 0 or ...", "return True"),
        noticed_by=LOST_ANSWER,
    ),
    mutant(
        "a failure that could not be recorded is retried",
        In("workers/paid_call.py", "failed").replace("not written and error.failure is Failure.TEMPORARY", "False"),
        noticed_by="workers/test_steps.py::"
        "test_a_failure_that_could_not_be_written_down_is_not_repeated_as_if_it_had_been",
    ),
    mutant(
        "a video is submitted again without a search for the first one",
        In(VIDEO_WORKER, "_submit").remove("if doubts and not await _search(...): ..."),
        noticed_by="workers/test_steps.py::test_a_submit_whose_answer_was_lost_is_found_and_not_sent_again",
    ),
    mutant(
        "a video that was accepted and not recorded is bought again",
        In(VIDEO_WORKER, "_submit").replace(
            "call.outcome is not CallOutcome.REFUSED", "call.outcome in (None, CallOutcome.UNKNOWN)"
        ),
        noticed_by="workers/test_steps.py::test_a_worker_killed_before_the_tasks_id_was_written_searches_first",
    ),
    mutant(
        "a video that the first search does not find is bought again",
        In(VIDEO_WORKER, "_search").remove("earlier + 1 < len(SEARCH_PAUSES_MS)"),
        noticed_by=(
            "scenarios/test_job_faults.py::test_a_submit_goes_out_again_only_after_the_third_empty_look",
            "scenarios/test_job_faults.py::test_a_submit_that_timed_out_is_not_sent_anew_after_one_empty_look",
        ),
    ),
    # --- money back after the charge ----------------------------------------------------------------
    mutant(
        "all causes of a compensation share one key",
        In(JOBS, "compensate").replace('f"compensation:{job_id}:{cause}"', 'f"compensation:{job_id}"'),
        noticed_by="database/test_jobs.py::test_compensation_comes_once_per_cause",
    ),
    mutant(
        "more is compensated than was charged",
        In(JOBS, "_still_charged").replace("(job.cost_actual or 0) - ...", "job.cost_actual or 0"),
        noticed_by=(
            "database/test_jobs.py::test_compensation_comes_once_per_cause",
            "database/test_jobs.py::test_only_charged_jobs_are_compensated",
        ),
    ),
    mutant(
        "a result that expires before its delivery is not paid back",
        In(JOBS, "asset_deleted").remove('compensate(tx, job.id, "undelivered")'),
        noticed_by="database/test_jobs.py::test_a_result_that_expires_undelivered_is_paid_back",
    ),
    # --- waiting ------------------------------------------------------------------------------------
    mutant(
        "a slow video is polled only every two hours",
        In("scheduler/video_poller.py", "LATE_POLL_MS").replace("30_000", "7_200_000"),
        noticed_by="scenarios/test_jobs.py::test_a_clip_whose_callback_was_lost_is_found_within_a_minute",
    ),
    mutant(
        "no free place at the provider counts as a failure of the order",
        In(STEP, "PATIENT").remove("ErrorCode.CONCURRENCY"),
        noticed_by="scenarios/test_job_faults.py::test_a_full_account_at_the_provider_lets_the_clip_wait",
    ),
)
