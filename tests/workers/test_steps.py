"""Steps of workers against the simulated providers: each ends in a charged result or in the money back."""

from __future__ import annotations

import asyncio

import pytest

from database import assets as asset_rows
from database import jobs as job_rows
from database import provider_calls as call_rows
from database import video_jobs as video_rows
from database.models import CallOutcome, JobStatus, JobStep, JobType
from scheduler.sweeper import Sweeper
from scheduler.video_poller import poll_videos
from services.providers import open_providers
from tests.support.database_fixture import change
from tests.support.job_env import JobEnv, until
from workers import image_worker, video_worker

BOUGHT = [("test", 10_000), ("reserve", -1200)]


async def finish_video(job_env: JobEnv, job_id: str) -> None:
    """Poll until the video is done, then download it."""

    async def rendered() -> bool:
        await job_env.db.write(video_rows.poll_now, (await job_env.job(job_id)).external_id, None)
        await poll_videos(job_env.ctx, job_env.queue)
        return (await job_env.job(job_id)).step is not JobStep.WATCH

    await until(rendered, what="the clip is rendered")
    while job_env.queue.sent:
        await job_env.queue.run_next()


async def test_a_picture_is_stored_charged_and_owed_to_its_buyer(job_env: JobEnv) -> None:
    """The plain story: reserve, one call, bytes on disk, charge, one delivery due."""
    await job_env.give(1, 100)
    job = await job_env.order()
    await image_worker.run(job.id)
    done = await job_env.job(job.id)
    asset = await job_env.db.read(asset_rows.result_of, job.id)
    assert (done.status, done.cost_actual, done.progress) == (JobStatus.COMPLETED, 1200, 100)
    assert asset is not None
    assert len(await job_env.ctx.assets.get(asset.store_key)) == asset.size
    assert await job_env.entries() == BOUGHT
    assert await job_env.told() == [(1, "result", job.id)]
    (call,) = await job_env.db.read(call_rows.of_job, job.id)
    assert call.outcome is CallOutcome.OK
    assert call.cost_micro_usd > 0


async def test_a_step_run_five_times_at_once_makes_one_picture(job_env: JobEnv) -> None:
    """A doubled message changes nothing: the claim lets one through."""
    await job_env.give(1, 100)
    job = await job_env.order()
    await asyncio.gather(*(image_worker.run(job.id) for _ in range(5)))
    assert (await job_env.job(job.id)).status is JobStatus.COMPLETED
    assert job_env.sandbox.calls("gemini", "generateContent") == 1
    assert await job_env.entries() == BOUGHT


# (scenario, calls made, the code the person is told by): each class of the provider's refusals, once.
GEMINI_REFUSALS = [
    ("prompt_block=SAFETY", 1, "prompt_blocked"),
    ("finish=IMAGE_SAFETY", None, "image_blocked"),
    ("finish=IMAGE_RECITATION", 1, "recitation"),
    ("finish=LANGUAGE", 1, "language"),
    ("400_key", 1, "key_invalid"),
    ("400_location", 1, "location"),
    ("402", 1, "funds"),
    ("403", 1, "forbidden"),
    ("429_day", 1, "quota_day"),
    ("429_free_zero", 1, "billing"),
    ("404", 1, "model_gone"),
]


@pytest.mark.parametrize(("scenario", "calls", "code"), GEMINI_REFUSALS)
async def test_a_refused_picture_gives_the_money_back_once(
    job_env: JobEnv, scenario: str, calls: int | None, code: str
) -> None:
    """A final no: one refund, the right word for the person, no call that can't help."""
    await job_env.give(1, 100)
    job = await job_env.order(prompt=f"a fox #sim:{scenario}")
    await image_worker.run(job.id)
    failed = await job_env.job(job.id)
    assert (failed.status, failed.error_code) == (JobStatus.FAILED, code)
    assert await job_env.entries() == [*BOUGHT, ("refund", 1200)]
    if calls is not None:
        assert job_env.sandbox.calls("gemini", "generateContent") == calls
    told = await job_env.told()
    assert (1, "failed", job.id) in told
    admins_to_act = code in ("key_invalid", "location", "funds", "forbidden", "quota_day", "billing", "model_gone")
    assert bool([who for who, kind, _ in told if kind == "alert"]) is admins_to_act


async def test_a_busy_provider_is_asked_again_and_then_the_job_waits_in_its_row(job_env: JobEnv) -> None:
    """503: retried as often as the policy says, then put back; the money stays reserved and the job is not failed."""
    await job_env.give(1, 100)
    job = await job_env.order()
    job_env.sandbox.fault(
        "gemini",
        "generateContent",
        status=503,
        times=1000,
        body={"error": {"code": 503, "status": "UNAVAILABLE", "message": "The model is overloaded."}},
    )
    await image_worker.run(job.id)
    waiting = await job_env.job(job.id)
    assert (waiting.status, waiting.step, waiting.lease_until) == (JobStatus.PROCESSING, JobStep.IMAGE, None)
    assert waiting.failures == 1
    calls = await job_env.db.read(call_rows.of_job, job.id)
    assert {call.outcome for call in calls} == {CallOutcome.REFUSED}
    assert len(calls) == job_env.ctx.catalogue.retries.image.tries
    job_env.sandbox.world.faults.clear()
    await image_worker.run(job.id)
    assert (await job_env.job(job.id)).status is JobStatus.COMPLETED
    assert await job_env.entries() == BOUGHT


async def test_a_lost_answer_is_repeated_once_free_of_charge_then_refunded(job_env: JobEnv) -> None:
    """Unknown outcome twice: two calls in all, then the money back; never a third."""
    await job_env.give(1, 100)
    job = await job_env.order()
    job_env.sandbox.fault("gemini", "generateContent", drop="after", times=10)
    await image_worker.run(job.id)
    assert (await job_env.job(job.id)).status is JobStatus.PROCESSING
    await image_worker.run(job.id)
    failed = await job_env.job(job.id)
    assert failed.status is JobStatus.FAILED
    assert len(await job_env.db.read(call_rows.of_job, job.id)) == 2
    assert await job_env.entries() == [*BOUGHT, ("refund", 1200)]


async def test_a_lost_answer_then_a_picture_is_charged_once(job_env: JobEnv) -> None:
    """The user pays only for the image that came."""
    await job_env.give(1, 100)
    job = await job_env.order()
    job_env.sandbox.fault("gemini", "generateContent", drop="after", times=1)
    await image_worker.run(job.id)
    await image_worker.run(job.id)
    assert (await job_env.job(job.id)).status is JobStatus.COMPLETED
    assert await job_env.entries() == BOUGHT


async def test_a_clip_is_submitted_watched_fetched_and_charged_once(job_env: JobEnv) -> None:
    """A video at its provider is a row: submit ends, a poll finds it done, finish stores and charges."""
    await job_env.give(1, 100)
    job = await job_env.order(type=JobType.VIDEO)
    await video_worker.submit(job.id)
    flying = await job_env.job(job.id)
    assert (flying.step, flying.lease_until) == (JobStep.WATCH, None)
    await finish_video(job_env, job.id)
    done = await job_env.job(job.id)
    asset = await job_env.db.read(asset_rows.result_of, job.id)
    assert (done.status, done.cost_actual) == (JobStatus.COMPLETED, 1200)
    assert asset is not None
    assert (asset.mime, (asset.duration_ms or 0) // 1000) == ("video/mp4", 5)
    assert await job_env.entries() == BOUGHT
    (call,) = await job_env.db.read(call_rows.of_job, job.id)
    assert call.cost_micro_usd > 0


@pytest.mark.parametrize("how", [{"drop": "after"}, {"status": 504, "after": True}, {"status": 500, "after": True}])
async def test_a_submit_whose_answer_was_lost_is_found_and_not_sent_again(
    job_env: JobEnv, how: dict[str, object]
) -> None:
    """The task exists at the provider: searched by our id, adopted, one task, one charge."""
    await job_env.give(1, 100)
    job = await job_env.order(type=JobType.VIDEO)
    job_env.sandbox.fault("kling", "text-to-video", times=1, **how)
    await video_worker.submit(job.id)
    assert (await job_env.job(job.id)).step is JobStep.SUBMIT
    await video_worker.submit(job.id)
    assert (await job_env.job(job.id)).step is JobStep.WATCH
    await finish_video(job_env, job.id)
    assert (await job_env.job(job.id)).status is JobStatus.COMPLETED
    assert len(job_env.sandbox.world.faces["kling"].store.tasks) == 1
    assert await job_env.entries() == BOUGHT


async def test_a_provider_under_maintenance_is_left_alone_for_minutes(job_env: JobEnv) -> None:
    """Kling answers 503/5001 to the order and to the search for it: neither is asked again before its pause is over."""
    await job_env.give(1, 100)
    job = await job_env.order(type=JobType.VIDEO)
    refused = {"status": 503, "body": {"code": 5001, "message": "Server temporarily unavailable", "request_id": "x"}}
    job_env.sandbox.fault("kling", "text-to-video", **refused)
    job_env.sandbox.fault("kling", "tasks", **refused)
    for asked in ("the order", "the search"):
        before = await job_env.db.read(lambda tx: tx.now)
        await video_worker.submit(job.id)
        due = (await job_env.job(job.id)).due_at
        assert due is not None
        assert due - before >= 120_000, asked
    assert not job_env.sandbox.world.faults.planned()


async def test_a_worker_killed_between_intent_and_submit_searches_first(job_env: JobEnv) -> None:
    """An intent without an outcome is a doubt: nothing is posted before the provider was searched long enough."""
    await job_env.give(1, 100)
    job = await job_env.order(type=JobType.VIDEO)
    claimed = await job_env.db.write(job_rows.claim, job.id, JobStep.SUBMIT)
    assert claimed is not None
    await job_env.db.write(call_rows.begin_call, job.id, claimed.attempt, provider="kling", model="x")
    await job_env.db.write(job_rows.put_back, job.id, claimed.attempt, delay_ms=0, cause="killed")
    await video_worker.submit(job.id)
    assert job_env.sandbox.calls("kling", "create") == 0
    assert (await job_env.job(job.id)).step is JobStep.SUBMIT


# As if the worker had died between the record of its call and the record of the task's id.
ID_LOST = "UPDATE jobs SET step = 'submit', external_id = NULL, lease_until = NULL"


async def test_a_worker_killed_before_the_tasks_id_was_written_searches_first(job_env: JobEnv) -> None:
    """The call is on record as accepted, the task's id is not: the task is found by our id, and not bought again."""
    await job_env.give(1, 100)
    job = await job_env.order(type=JobType.VIDEO)
    await video_worker.submit(job.id)
    await change(job_env, ID_LOST)
    await video_worker.submit(job.id)
    assert (await job_env.job(job.id)).step is JobStep.WATCH
    assert job_env.sandbox.calls("kling", "create") == 1
    await finish_video(job_env, job.id)
    assert await job_env.entries() == BOUGHT


async def test_an_accepted_task_that_cannot_be_found_is_not_bought_again(job_env: JobEnv) -> None:
    """Kling accepted the task and can't find it later: the user gets the money back, and the loss is ours."""
    await job_env.give(1, 100)
    job = await job_env.order(type=JobType.VIDEO)
    await video_worker.submit(job.id)
    await change(job_env, ID_LOST)
    job_env.sandbox.world.faces["kling"].store.tasks.clear()
    for _ in range(3):
        assert (await job_env.job(job.id)).step is JobStep.SUBMIT
        await change(job_env, "UPDATE provider_calls SET started_at = 1, ended_at = 1")
        await video_worker.submit(job.id)
    ended = await job_env.job(job.id)
    assert (ended.status, ended.error_code) == (JobStatus.FAILED, "unknown_outcome")
    assert job_env.sandbox.calls("kling", "create") == 1
    assert await job_env.balance() == 10_000


# (Kling's code, the code of the job, whether an admin has to act): each class of refusal, once.
KLING_REFUSALS = [
    (1002, "key_invalid", True),
    (1100, "account_at_risk", True),
    (1101, "funds", True),
    (1102, "funds", True),
    (1103, "forbidden", True),
    (1200, "bad_request", True),
    (1203, "model_gone", True),
    (1301, "prompt_blocked", False),
    (1304, None, True),
]


@pytest.mark.parametrize(("number", "code", "admins_to_act"), KLING_REFUSALS)
async def test_a_refused_clip_gives_the_money_back_once(
    job_env: JobEnv, number: int, code: str | None, admins_to_act: bool
) -> None:
    """A refused submit: one call, no task, one refund, and the admins told if they can correct it."""
    await job_env.give(1, 100)
    job = await job_env.order(type=JobType.VIDEO, prompt=f"a fox #sim:{number}")
    await video_worker.submit(job.id)
    failed = await job_env.job(job.id)
    assert failed.status is JobStatus.FAILED
    assert code in (None, failed.error_code)
    assert job_env.sandbox.calls("kling", "text-to-video") == 1
    assert len(job_env.sandbox.world.faces["kling"].store.tasks) == 0
    assert await job_env.entries() == [*BOUGHT, ("refund", 1200)]
    told = await job_env.told()
    assert (1, "failed", job.id) in told
    assert bool([who for who, kind, _ in told if kind == "alert"]) is admins_to_act


async def alerts(job_env: JobEnv) -> list[tuple[int, str, str | None]]:
    return [told for told in await job_env.told() if told[1] == "alert"]


@pytest.mark.parametrize("asked", ["the order", "the search", "the look"])
async def test_the_admin_hears_of_a_key_that_was_withdrawn_wherever_it_is_refused(job_env: JobEnv, asked: str) -> None:
    """Clips in flight are paid for: who can mend the key is told while it is time, not when their holds have ended."""
    await job_env.give(1, 100)
    job = await job_env.order(type=JobType.VIDEO)
    if asked == "the search":
        job_env.sandbox.fault("kling", "text-to-video", drop="after", times=1)
    if asked != "the order":
        await video_worker.submit(job.id)
    refused = {"status": 401, "body": {"code": 1002, "message": "access key not found", "request_id": "x"}}
    for operation in ("text-to-video", "tasks"):
        job_env.sandbox.fault("kling", operation, times=10, **refused)
    if asked == "the look":
        await job_env.db.write(video_rows.poll_now, (await job_env.job(job.id)).external_id, None)
        await poll_videos(job_env.ctx, job_env.queue)
    else:
        await video_worker.submit(job.id)
    assert (await job_env.job(job.id)).is_open is (asked != "the order")
    assert len(await alerts(job_env)) == len(job_env.ctx.settings.admin_ids) > 0


@pytest.mark.parametrize("step", ["image", "submit", "watch", "finish"])
@pytest.mark.parametrize("gone", ["the model", "the key"])
async def test_the_admin_hears_of_orders_that_nothing_here_can_make(job_env: JobEnv, step: str, gone: str) -> None:
    """A model that left the catalogue, a provider without its key: the user and the admins are told."""
    await job_env.give(1, 100)
    job = await job_env.order(type=JobType.IMAGE if step == "image" else JobType.VIDEO)
    if step in ("watch", "finish"):
        await video_worker.submit(job.id)
        await job_env.db.write(video_rows.poll_now, (await job_env.job(job.id)).external_id, None)
    if step == "finish":
        await change(job_env, "UPDATE jobs SET step = 'finish', external_url = 'http://127.0.0.1/clip.mp4'")
    if gone == "the model":
        await change(job_env, "UPDATE jobs SET model = 'retired'")
    else:
        providers = open_providers(gemini_api_key="", kling_api_key="")
        job_env.ctx.providers, kept = providers, job_env.ctx.providers
        await kept.close()
    if step == "watch":
        await poll_videos(job_env.ctx, job_env.queue)
    else:
        await {"image": image_worker.run, "submit": video_worker.submit, "finish": video_worker.finish}[step](job.id)
    assert len(await alerts(job_env)) == len(job_env.ctx.settings.admin_ids) > 0
    ended = await job_env.job(job.id)
    if (step, gone) == ("watch", "the key"):
        assert ended.is_open, "the key may come back before the hold ends"
    else:
        assert ended.status is JobStatus.FAILED
        assert await job_env.entries() == [*BOUGHT, ("refund", 1200)]


async def test_the_admin_hears_of_a_job_that_our_own_fault_has_stopped(job_env: JobEnv) -> None:
    """A crash on every try: one refund, the user told, and the admins told where to read why."""
    await job_env.give(1, 100)
    job = await job_env.order(type=JobType.VIDEO)
    await change(job_env, """UPDATE jobs SET params = '{"duration": "x", "resolution": "720p", "inputs": []}'""")
    for _ in range(3):
        await change(job_env, "UPDATE jobs SET due_at = 1")
        await video_worker.submit(job.id)
    ended = await job_env.job(job.id)
    assert (ended.status, ended.error_code) == (JobStatus.FAILED, "interrupted")
    assert await job_env.entries() == [*BOUGHT, ("refund", 1200)]
    assert len(await alerts(job_env)) == len(job_env.ctx.settings.admin_ids) > 0


@pytest.mark.parametrize("number", [1302, 1303])
async def test_a_full_kling_keeps_the_clip_waiting_in_its_row(job_env: JobEnv, number: int) -> None:
    """Too many tasks at once: nothing was created, the order waits and goes through later, charged once."""
    await job_env.give(1, 100)
    job = await job_env.order(
        type=JobType.VIDEO, prompt=f"a fox #sim:{number}@{job_env.ctx.catalogue.retries.submit.tries}"
    )
    await video_worker.submit(job.id)
    waiting = await job_env.job(job.id)
    assert (waiting.status, waiting.step, waiting.lease_until) == (JobStatus.PROCESSING, JobStep.SUBMIT, None)
    await video_worker.submit(job.id)
    await finish_video(job_env, job.id)
    assert (await job_env.job(job.id)).status is JobStatus.COMPLETED
    assert await job_env.entries() == BOUGHT


@pytest.mark.parametrize("scenario", ["clip_404", "clip_html", "broken_clip", "cut_clip"])
async def test_a_clip_that_can_not_be_fetched_ends_in_the_money_back(job_env: JobEnv, scenario: str) -> None:
    """Made at the provider, never in our hands: asked for again within reason, then refunded once."""
    await job_env.give(1, 100)
    job = await job_env.order(type=JobType.VIDEO, prompt=f"a fox #sim:{scenario}")
    await video_worker.submit(job.id)

    async def over() -> bool:
        await finish_video(job_env, job.id)
        return not (await job_env.job(job.id)).is_open

    await until(over, seconds=60, what="the clip is given up")
    assert (await job_env.job(job.id)).status is JobStatus.FAILED
    assert await job_env.entries() == [*BOUGHT, ("refund", 1200)]


async def test_a_clip_that_fails_at_the_provider_gives_the_money_back(job_env: JobEnv) -> None:
    """Late moderation: failed at the provider, refunded here, said once."""
    await job_env.give(1, 100)
    job = await job_env.order(type=JobType.VIDEO, prompt="a fox #sim:late_moderation")
    await video_worker.submit(job.id)
    await finish_video(job_env, job.id)
    assert (await job_env.job(job.id)).status is JobStatus.FAILED
    assert await job_env.entries() == [*BOUGHT, ("refund", 1200)]
    assert await job_env.told() == [(1, "failed", job.id)]


async def test_a_failed_video_that_was_billed_is_in_the_books(job_env: JobEnv) -> None:
    """Failed tasks need not be free: what the provider billed for one counts."""
    job_env.sandbox.world.faces["kling"].change({"bill_failures": True})
    await job_env.give(1, 100)
    job = await job_env.order(type=JobType.VIDEO, prompt="a fox #sim:fail")
    await video_worker.submit(job.id)
    await finish_video(job_env, job.id)
    (call,) = await job_env.db.read(call_rows.of_job, job.id)
    assert ((await job_env.job(job.id)).status, call.cost_micro_usd) == (JobStatus.FAILED, 5 * 112_000)
    assert await job_env.entries() == [*BOUGHT, ("refund", 1200)]


async def test_a_hold_that_ran_out_pays_back_and_a_later_result_changes_nothing(job_env: JobEnv) -> None:
    """A worker that comes after the hold's end finds the job closed, and its result is not charged."""
    await job_env.give(1, 100)
    job = await job_env.order(hold_ms=1)
    claimed = await job_env.db.write(job_rows.claim, job.id, JobStep.IMAGE)
    assert claimed is not None
    sweeper = Sweeper(job_env.ctx, job_env.queue)
    await until(lambda: _released(job_env, sweeper, job.id), what="the hold is released")
    asset = asset_rows.NewAsset("late", 1, "k" * 8, "0" * 64, "image/png", 1, 1, 1)
    assert await job_env.db.write(job_rows.finish, job.id, claimed.attempt, asset, keep_ms=1000) is None
    assert await job_env.entries() == [*BOUGHT, ("refund", 1200)]


async def _released(job_env: JobEnv, sweeper: Sweeper, job_id: str) -> bool:
    await sweeper.release_overdue_holds()
    return (await job_env.job(job_id)).status is JobStatus.FAILED


async def test_a_failure_that_could_not_be_written_down_is_not_repeated_as_if_it_had_been(job_env: JobEnv) -> None:
    """The row does not say that the provider did nothing, so the step may not call again on the strength of that."""
    await job_env.give(1, 100)
    job = await job_env.order(prompt="a fox #sim:503_overloaded")
    await change(job_env, "CREATE TRIGGER deaf BEFORE UPDATE ON provider_calls BEGIN SELECT RAISE(ABORT, 'deaf'); END")
    await image_worker.run(job.id)
    await change(job_env, "DROP TRIGGER deaf")
    assert job_env.sandbox.calls("gemini", "generateContent") == 1
    assert len(await job_env.db.read(call_rows.of_job, job.id)) == 1
    assert (await job_env.job(job.id)).is_open
