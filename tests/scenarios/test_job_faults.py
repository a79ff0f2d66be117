"""Attacks on the way of a job: lost answers, poison rows, wrong clocks and stops in the middle of a step."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import text

from database import assets as asset_rows
from database import flags as flag_rows
from database import inbox, outbox
from database import jobs as job_rows
from database import provider_calls as call_rows
from database import video_jobs as video_rows
from database.clock import DAY_MS
from database.models import CallOutcome, Job, JobStatus, JobStep, JobType, Tx
from scheduler.sweeper import Sweeper
from scheduler.video_poller import poll_videos
from services.jobs import message_of
from services.queue import Queue
from tests.support.database_fixture import change
from tests.support.job_env import JobEnv, until
from workers import image_worker, video_worker
from workers.runtime import lease
from workers.step import MAX_ROUNDS

BOUGHT = [("test", 10_000), ("reserve", -1200)]


@pytest_asyncio.fixture
async def sweeper(job_env: JobEnv) -> AsyncIterator[Sweeper]:
    yield Sweeper(job_env.ctx, job_env.queue)


async def claimed(job_env: JobEnv, job: Job, step: JobStep) -> Job:
    taken = await job_env.db.write(job_rows.claim, job.id, step)
    assert taken is not None
    return taken


async def in_flight(job_env: JobEnv, external_id: str) -> Job:
    """A video at its provider whose poll is due."""
    job = await job_env.order(type=JobType.VIDEO)
    taken = await claimed(job_env, job, JobStep.SUBMIT)
    await job_env.db.write(video_rows.submitted, job.id, taken.attempt, external_id=external_id, poll_in_ms=0)
    return await job_env.job(job.id)


# --- a provider is never asked twice without need --------------------------------------------------------


async def test_a_submit_that_timed_out_is_not_sent_anew_after_one_empty_look(job_env: JobEnv) -> None:
    """The call itself took longer than the search may: only what happened after its end counts as searching."""
    await job_env.give(1, 100)
    job = await job_env.order(type=JobType.VIDEO)
    taken = await claimed(job_env, job, JobStep.SUBMIT)
    call = await job_env.db.write(call_rows.begin_call, job.id, taken.attempt, provider="kling", model="x")
    assert call is not None
    await change(job_env, "UPDATE provider_calls SET started_at = started_at - 80000")
    await job_env.db.write(call_rows.end_call, call, CallOutcome.UNKNOWN, code="timeout")
    await job_env.db.write(job_rows.put_back, job.id, taken.attempt, delay_ms=0, cause="lost")
    await video_worker.submit(job.id)
    assert job_env.sandbox.calls("kling", "create") == 0
    assert (await job_env.job(job.id)).step is JobStep.SUBMIT


async def test_a_submit_goes_out_again_only_after_the_third_empty_look(job_env: JobEnv) -> None:
    """Found nowhere, three times, long after the call: then, and only then, it did not arrive."""
    await job_env.give(1, 100)
    job = await job_env.order(type=JobType.VIDEO)
    taken = await claimed(job_env, job, JobStep.SUBMIT)
    await job_env.db.write(call_rows.begin_call, job.id, taken.attempt, provider="kling", model="x")
    await job_env.db.write(job_rows.put_back, job.id, taken.attempt, delay_ms=0, cause="killed")
    await change(job_env, "UPDATE provider_calls SET started_at = started_at - 3600000")
    for looks in range(1, 4):
        assert job_env.sandbox.calls("kling", "create") == 0, f"sent after {looks - 1} looks"
        await video_worker.submit(job.id)
    assert job_env.sandbox.calls("kling", "create") == 1
    assert (await job_env.job(job.id)).step is JobStep.WATCH


async def test_a_repeat_that_could_outlive_the_hold_is_not_begun(job_env: JobEnv) -> None:
    """The first call's worker was killed near the hold's end: a second one would draw for nobody, so money back."""
    await job_env.give(1, 100)
    job = await job_env.order(hold_ms=100_000)
    taken = await claimed(job_env, job, JobStep.IMAGE)
    await job_env.db.write(call_rows.begin_call, job.id, taken.attempt, provider="nano_banana", model="x")
    await job_env.db.write(job_rows.put_back, job.id, taken.attempt, delay_ms=0, cause="killed")
    await image_worker.run(job.id)
    assert job_env.sandbox.calls("gemini", "generateContent") == 0
    assert (await job_env.job(job.id)).error_code == "unknown_outcome"
    assert await job_env.entries() == [*BOUGHT, ("refund", 1200)]


async def test_a_clip_is_not_bought_when_its_hold_ends_before_it_can_be_there(job_env: JobEnv) -> None:
    """It waited too long for a free place: the money goes back instead of a clip that nobody pays for."""
    await job_env.give(1, 100)
    job = await job_env.order(type=JobType.VIDEO, hold_ms=60_000)
    await video_worker.submit(job.id)
    assert job_env.sandbox.calls("kling", "create") == 0
    assert (await job_env.job(job.id)).error_code == "hold_timeout"
    assert await job_env.entries() == [*BOUGHT, ("refund", 1200)]


async def test_a_paid_result_survives_a_bookkeeping_failure(job_env: JobEnv) -> None:
    """The outcome of the call can't be written, the picture is there: it is stored and charged, not bought again."""
    await job_env.give(1, 100)
    job = await job_env.order()
    await change(
        job_env, "CREATE TRIGGER broken BEFORE UPDATE ON provider_calls BEGIN SELECT RAISE(ABORT, 'no room'); END"
    )
    await image_worker.run(job.id)
    await change(job_env, "DROP TRIGGER broken")
    assert (await job_env.job(job.id)).status is JobStatus.COMPLETED
    assert job_env.sandbox.calls("gemini", "generateContent") == 1
    assert await job_env.entries() == BOUGHT


async def test_a_completion_that_could_not_be_written_is_tried_again_with_the_same_picture(job_env: JobEnv) -> None:
    """The disk is full for a second while the money is due: the stored picture waits, no second one is bought."""
    await job_env.give(1, 100)
    job = await job_env.order()
    await change(job_env, "CREATE TRIGGER broken BEFORE INSERT ON assets BEGIN SELECT no_such_function(); END")
    running = asyncio.create_task(image_worker.run(job.id))

    async def drawn() -> bool:
        calls = await job_env.db.read(call_rows.of_job, job.id)
        return bool(calls) and calls[0].outcome is CallOutcome.OK

    await until(drawn)
    await asyncio.sleep(0.3)  # whether or not the first try to complete has failed by now, the last one must not
    await change(job_env, "DROP TRIGGER broken")
    await running
    assert (await job_env.job(job.id)).status is JobStatus.COMPLETED
    assert job_env.sandbox.calls("gemini", "generateContent") == 1


# --- one bad row among good ones ---------------------------------------------------------------------------


async def test_a_task_whose_id_can_not_be_asked_for_does_not_stop_the_poller(job_env: JobEnv) -> None:
    """One odd id from the provider: the other videos are polled, and the odd one waits for its hold's end."""
    await job_env.give(1, 1000)
    await in_flight(job_env, "odd.id:1")
    good = await job_env.order(type=JobType.VIDEO)
    await video_worker.submit(good.id)

    async def rendered() -> bool:
        await job_env.db.write(video_rows.poll_now, (await job_env.job(good.id)).external_id, None)
        await poll_videos(job_env.ctx, job_env.queue)
        return (await job_env.job(good.id)).step is JobStep.FINISH

    await until(rendered, what="the good clip is seen as rendered")


async def test_a_poll_for_too_many_is_halved(job_env: JobEnv) -> None:
    """How many ids one question may carry is not known (docs/reference/kling.md, section 3): a batch that is refused
    for its length is asked in parts."""
    await job_env.give(1, 1000)
    clips = [await job_env.order(type=JobType.VIDEO, prompt="a fox #sim:late_moderation") for _ in range(5)]
    for clip in clips:
        await video_worker.submit(clip.id)
    tasks = job_env.sandbox.world.faces["kling"].store.tasks.values()

    async def all_ended() -> bool:
        return all(task.final for task in tasks)

    await until(all_ended)
    job_env.sandbox.world.faces["kling"].change({"max_ids": 2})
    await change(job_env, "UPDATE jobs SET due_at = 1")
    await poll_videos(job_env.ctx, job_env.queue)
    assert {(await job_env.job(clip.id)).status for clip in clips} == {JobStatus.FAILED}
    assert not [kind for _, kind, _ in await job_env.told() if kind == "alert"]


async def test_a_poll_that_fails_delays_only_its_own_batch(job_env: JobEnv) -> None:
    """Two questions, one of them refused: the other is answered and acted upon, and nothing is left at the head."""
    await job_env.give(1, 1000)
    size = job_env.ctx.catalogue.limits.look_batch
    ended = []
    for batch in range(2):
        for number in range(size - 1):
            await in_flight(job_env, f"unknown-{batch}-{number}")
        clip = await job_env.order(type=JobType.VIDEO, prompt="a fox #sim:late_moderation")
        await video_worker.submit(clip.id)
        await change(job_env, "UPDATE jobs SET due_at = :batch WHERE due_at > 10", batch=batch + 1)
        ended.append(clip.id)
    tasks = job_env.sandbox.world.faces["kling"].store.tasks.values()

    async def all_ended() -> bool:
        return all(task.final for task in tasks)

    await until(all_ended)
    job_env.sandbox.fault("kling", "tasks", status=500)
    await poll_videos(job_env.ctx, job_env.queue)
    states = sorted([(await job_env.job(clip)).status for clip in ended])
    assert states == [JobStatus.FAILED, JobStatus.PROCESSING]
    assert await job_env.db.read(video_rows.due) == []


async def test_a_row_that_can_not_be_read_stops_no_task_and_gives_its_money_back(
    job_env: JobEnv, sweeper: Sweeper
) -> None:
    """Broken parameters: the other jobs are sent again, and this one ends with a refund as soon as it is tried."""
    await job_env.give(1, 100)
    broken, good = await job_env.order(), await job_env.order()
    await change(job_env, "UPDATE jobs SET params = '{broken' WHERE id = :id", id=broken.id)
    await change(job_env, "UPDATE jobs SET due_at = 1")
    await sweeper.resend_lost_steps()
    assert {step.job_id for step in job_env.queue.sent} == {broken.id, good.id}
    while job_env.queue.sent:
        await job_env.queue.run_next()
    assert (await job_env.job(broken.id)).status is JobStatus.FAILED
    assert (await job_env.job(good.id)).status is JobStatus.COMPLETED
    assert await job_env.balance() == 10_000 - 1_200


async def test_holds_that_end_are_released_past_one_that_can_not_be(job_env: JobEnv, sweeper: Sweeper) -> None:
    """The oldest of the overdue holds breaks its release: the younger ones come back all the same."""
    await job_env.give(1, 100)
    stuck, free = await job_env.order(hold_ms=1), await job_env.order(hold_ms=2)
    await change(
        job_env,
        f"CREATE TRIGGER stuck BEFORE UPDATE ON reservations WHEN OLD.job_id = '{stuck.id}'"
        " BEGIN SELECT RAISE(ABORT, 'stuck'); END",
    )
    await asyncio.sleep(0.01)
    await sweeper.release_overdue_holds()
    assert (await job_env.job(free.id)).error_code == "hold_timeout"
    await change(job_env, "DROP TRIGGER stuck")
    await sweeper.release_overdue_holds()
    assert await job_env.balance() == 10_000


async def test_files_expire_past_one_that_can_not_be_deleted(job_env: JobEnv, sweeper: Sweeper) -> None:
    """A key that leads nowhere is one row's trouble: undelivered results behind it are paid back in the same round."""
    await job_env.give(1, 100)
    odd, good = await job_env.order(), await job_env.order()
    for job in (odd, good):
        await image_worker.run(job.id)
    for item in await job_env.db.write(outbox.claim):
        await job_env.db.write(outbox.give_up, item.id, "blocked")
    await change(
        job_env, "UPDATE assets SET store_key = '../../etc/passwd', expires_at = 1 WHERE job_id = :id", id=odd.id
    )
    await change(job_env, "UPDATE assets SET expires_at = 2 WHERE job_id = :id", id=good.id)
    await sweeper.delete_expired_assets()
    assert await job_env.balance() == 10_000


async def test_whatever_heap_of_old_rows_there_is_one_round_forgets_it(job_env: JobEnv, sweeper: Sweeper) -> None:
    """What comes in faster than it is forgotten fills the disk."""
    await change(
        job_env,
        "INSERT INTO inbox (source, key, body, received_at) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1"
        " FROM n WHERE i < 3000) SELECT 'telegram', i, '{}', 1 FROM n",
    )
    await sweeper.forget_old_rows()

    def left(tx: Tx) -> int:
        return int(tx.execute(text("SELECT count(*) FROM inbox")).scalar() or 0)

    assert await job_env.db.read(left) == 0


# --- the clock -----------------------------------------------------------------------------------------------


async def test_a_clock_set_back_by_a_day_leaves_no_row_asleep(job_env: JobEnv, sweeper: Sweeper) -> None:
    """Leases and due times from the future are longer than any of ours: they bind nobody."""
    await job_env.give(1, 100)
    job = await job_env.order()
    await claimed(job_env, job, JobStep.IMAGE)
    clip = await in_flight(job_env, "clip-1")
    await change(job_env, "UPDATE jobs SET due_at = due_at + :day, lease_until = lease_until + :day", day=DAY_MS)
    assert [due.id for due in await job_env.db.read(job_rows.due)] == [job.id]
    assert [due.id for due in await job_env.db.read(video_rows.due)] == [clip.id]
    await sweeper.resend_lost_steps()
    await job_env.queue.run_next()
    assert (await job_env.job(job.id)).status is JobStatus.COMPLETED
    await change(job_env, "UPDATE outbox SET lease_until = due_at + :day", day=DAY_MS)
    assert [item.kind for item in await job_env.db.write(outbox.claim)] == ["result"]
    await job_env.db.write(inbox.receive, "yookassa", "x", "{}")
    await change(job_env, "UPDATE inbox SET due_at = due_at + :day", day=DAY_MS)
    assert len(await job_env.db.write(inbox.due, source="yookassa")) == 1


async def test_a_dead_leader_of_a_wrong_clock_is_followed_at_once(job_env: JobEnv) -> None:
    """A leader's lease that ends further ahead than a lease can: the next one to ask takes it."""
    assert await job_env.db.write(flag_rows.take_lease, "x", "dead", ttl_ms=DAY_MS)
    assert await job_env.db.write(flag_rows.take_lease, "x", "alive", ttl_ms=10_000)
    assert not await job_env.db.write(flag_rows.take_lease, "x", "third", ttl_ms=10_000)


# --- stops in the middle -------------------------------------------------------------------------------------


async def test_a_step_cut_off_by_the_stop_is_handed_back_at_once(job_env: JobEnv) -> None:
    """SIGTERM in mid-call: the intent stays open as a doubt, the lease is given up, the next process goes on."""
    await job_env.give(1, 100)
    job = await job_env.order()
    job_env.sandbox.fault("gemini", "generateContent", delay=30)
    queue = Queue(None)
    await queue.submit(message_of(job))

    async def asked() -> bool:
        return job_env.sandbox.calls("gemini", "generateContent") > 0 or bool(
            await job_env.db.read(call_rows.of_job, job.id)
        )

    await until(asked)
    await queue.close(0.05)
    left = await job_env.job(job.id)
    (call,) = await job_env.db.read(call_rows.of_job, job.id)
    assert (left.status, left.lease_until, call.outcome) == (JobStatus.PROCESSING, None, None)
    assert [due.id for due in await job_env.db.read(job_rows.due)] == [job.id]
    await image_worker.run(job.id)
    assert (await job_env.job(job.id)).status is JobStatus.COMPLETED
    assert len(await job_env.db.read(call_rows.of_job, job.id)) == 2
    assert await job_env.entries() == BOUGHT


async def test_a_cancel_from_outside_is_not_mistaken_for_a_lost_lease(job_env: JobEnv) -> None:
    """Who cancels the task must see it cancelled; only the keeper's own cancel becomes LeaseLost."""
    await job_env.give(1, 100)
    taken = await claimed(job_env, await job_env.order(), JobStep.IMAGE)

    async def body() -> None:
        async with lease(job_env.db, taken):
            await asyncio.sleep(60)

    task = asyncio.create_task(body())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


@pytest.mark.parametrize("round_", [*range(5), None], ids=[*map(str, range(5)), "while it is drawn"])
async def test_a_cancel_that_races_with_the_worker_ends_in_exactly_one_of_two_ways(
    job_env: JobEnv, round_: int | None
) -> None:
    """Either released and never drawn, or too late and charged: never both, never neither."""
    from database.models import IllegalMove

    await job_env.give(1, 100)
    job = await job_env.order()

    async def asked() -> bool:
        return bool(await job_env.db.read(call_rows.of_job, job.id))

    async def cancel() -> None:
        if round_ is None:
            await until(asked, what="the provider is called")
        else:
            await asyncio.sleep(0.002 * round_)
        try:
            await job_env.db.write(job_rows.cancel, job.id, 1)
        except IllegalMove:
            return

    if round_ is None:
        job_env.sandbox.fault("gemini", "generateContent", delay=0.5)
    await asyncio.gather(image_worker.run(job.id), cancel())
    ended = await job_env.job(job.id)
    drawn = job_env.sandbox.calls("gemini", "generateContent") - job_env.sandbox.calls("gemini", "fault:")
    assert (ended.status, drawn) in [(JobStatus.COMPLETED, 1), (JobStatus.CANCELLED, 0)]
    assert await job_env.balance() == (8_800 if drawn else 10_000)


# --- every failure gives the money back ----------------------------------------------------------------------


async def test_a_full_account_at_the_provider_lets_the_clip_wait(job_env: JobEnv) -> None:
    """No free place is no failure: the order waits in its row with its money, and goes out when there is one."""
    await job_env.give(1, 100)
    first, second = await job_env.order(type=JobType.VIDEO), await job_env.order(type=JobType.VIDEO)
    kling = job_env.sandbox.world.faces["kling"]
    kling.settings = dataclasses.replace(kling.settings, concurrency=1)
    job_env.ctx.catalogue.retries.submit.__dict__.update(first_delay=0.01, max_delay=0.02, jitter=0.0, tries=1)
    job_env.sandbox.world.clock.set_speed(1)
    await video_worker.submit(first.id)
    for _ in range(MAX_ROUNDS + 1):  # oftener than anything that counts as a failure is tried
        await video_worker.submit(second.id)
    waiting = await job_env.job(second.id)
    assert (waiting.status, waiting.step, waiting.lease_until) == (JobStatus.PROCESSING, JobStep.SUBMIT, None)
    kling.settings = dataclasses.replace(kling.settings, concurrency=2)
    await video_worker.submit(second.id)
    assert (await job_env.job(second.id)).step is JobStep.WATCH
    assert await job_env.entries() == [*BOUGHT, ("reserve", -1200)]


async def test_a_result_that_can_not_be_stored_gives_the_money_back(job_env: JobEnv) -> None:
    """The folder of results is gone and can't be made: one refund, the right word, nothing charged."""
    await job_env.give(1, 100)
    job = await job_env.order()
    root = job_env.ctx.assets.root  # type: ignore[attr-defined]
    shutil.rmtree(root)
    root.write_text("a file stands where the folder belongs")
    await image_worker.run(job.id)
    failed = await job_env.job(job.id)
    assert (failed.status, failed.error_code) == (JobStatus.FAILED, "storage")
    assert await job_env.entries() == [*BOUGHT, ("refund", 1200)]
    assert await job_env.db.read(asset_rows.result_of, job.id) is None


async def test_money_goes_back_to_who_paid_and_to_nobody_else(job_env: JobEnv) -> None:
    """Ten people, every second order refused: each balance is its own, whatever the others' orders came to."""
    orders = []
    for user in range(1, 11):
        await job_env.give(user, 20)
        orders.append(await job_env.order(user, prompt="a fox #sim:prompt_block=SAFETY" if user % 2 else "a fox"))
    await asyncio.gather(*(image_worker.run(job.id) for job in orders))
    assert [await job_env.balance(user) for user in range(1, 11)] == [2_000, 800] * 5
