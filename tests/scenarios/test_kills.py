"""Real deaths: processes that run jobs are killed with SIGKILL, wherever they stand, and started again."""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path

import pytest
from sqlalchemy import text

from database import provider_calls as call_rows
from database.models import CallOutcome, JobStatus, JobStep, JobType, Tx
from tests.support.database_fixture import assert_books, change, program
from tests.support.job_env import JobEnv, until
from tests.support.job_programs import SHOP, STEP, environment, later
from tests.support.sandbox_fixture import SPEED
from workers import image_worker, video_worker


async def test_a_worker_killed_while_the_picture_is_drawn_costs_the_person_nothing(
    job_env: JobEnv, tmp_path: Path
) -> None:
    """SIGKILL in mid-call: the intent stays without an outcome, one repeat, one picture, one charge."""
    await job_env.give(1, 100)
    job = await job_env.order()
    job_env.sandbox.fault("gemini", "generateContent", delay=20)
    with program(STEP, "workers.image_worker.run", job.id, env=environment(job_env, tmp_path)) as worker:

        async def calling() -> bool:
            return bool(await job_env.db.read(call_rows.of_job, job.id))

        async def asked() -> bool:
            return not job_env.sandbox.world.faults.planned()

        await until(calling, what="the intent is written")
        await until(asked, what="the provider is asked")
        worker.send_signal(signal.SIGKILL)
        await asyncio.to_thread(worker.wait, 10)
    (call,) = await job_env.db.read(call_rows.of_job, job.id)
    assert call.outcome is None
    await image_worker.run(job.id)
    assert (await job_env.job(job.id)).status is JobStatus.PROCESSING  # the dead one's lease still stands
    await later(job_env)
    await image_worker.run(job.id)
    assert (await job_env.job(job.id)).status is JobStatus.COMPLETED
    assert len(await job_env.db.read(call_rows.of_job, job.id)) == 2
    assert await job_env.balance() == 8_800


async def test_a_worker_killed_after_the_submit_and_before_the_id_is_saved_buys_no_second_clip(
    job_env: JobEnv, tmp_path: Path
) -> None:
    """Kling has the task, we have only the intent: it is found by our own id and adopted."""
    await job_env.give(1, 100)
    job = await job_env.order(type=JobType.VIDEO, prompt="a fox #sim:hang_after")
    kling = job_env.sandbox.world.faces["kling"]
    with program(STEP, "workers.video_worker.submit", job.id, env=environment(job_env, tmp_path)) as worker:

        async def submitted() -> bool:
            return len(kling.store.tasks) == 1

        await until(submitted, what="Kling has the task")
        worker.send_signal(signal.SIGKILL)
        await asyncio.to_thread(worker.wait, 10)
    await later(job_env)
    for _ in range(4):
        await video_worker.submit(job.id)
        await later(job_env)
        if (await job_env.job(job.id)).step is JobStep.WATCH:
            break
    assert (await job_env.job(job.id)).step is JobStep.WATCH
    assert len(kling.store.tasks) == 1
    outcomes = [call.outcome for call in await job_env.db.read(call_rows.of_job, job.id)]
    assert outcomes.count(CallOutcome.OK) == 1


@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_kills_and_deploys_during_many_running_jobs_end_with_every_sum_right(
    job_env: JobEnv, tmp_path: Path, how: signal.Signals
) -> None:
    """Two processes one after another, each ended in the midst of it: every job ends once, every kopeck is there."""
    job_env.sandbox.world.clock.set_speed(SPEED / 4)
    ordered = []
    for user in range(1, 25):
        await job_env.give(user, 20)
        kind = JobType.VIDEO if user % 3 == 0 else JobType.IMAGE
        ordered.append(await job_env.order(user, type=kind, hold_ms=3_600_000))
    chance = random.Random(7)

    async def open_jobs() -> int:
        def count(tx: Tx) -> int:
            return int(tx.execute(text("SELECT count(*) FROM jobs WHERE step IS NOT NULL")).scalar() or 0)

        return await job_env.db.read(count)

    left = []
    for _ in range(2):
        await later(job_env)
        with program(SHOP, env=environment(job_env, tmp_path)) as process:
            before = await open_jobs()
            goal = before - chance.randint(2, 4)

            async def some_ended(goal: int = goal) -> bool:
                return await open_jobs() <= goal

            await until(some_ended, seconds=40, what="some jobs ended")
            process.send_signal(how)
            await asyncio.to_thread(process.wait, 20)
        await assert_books(job_env.db)
        left.append(await open_jobs())
    assert left[-1] > 0, "the last process was to be ended in the midst of it"
    job_env.sandbox.world.clock.set_speed(SPEED)
    await later(job_env)
    with program(SHOP, env=environment(job_env, tmp_path)) as process:

        async def all_ended() -> bool:
            # A job that was put back need not wait in real time.
            await change(job_env, "UPDATE jobs SET due_at = 1 WHERE step IS NOT NULL AND lease_until IS NULL")
            await change(job_env, "UPDATE provider_calls SET started_at = 1, ended_at = 1 WHERE outcome = 'unknown'")
            await asyncio.sleep(0.3)
            return await open_jobs() == 0

        await until(all_ended, seconds=90, what="every job ended")
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 20)
    ids = [task.order.external_id for task in job_env.sandbox.world.faces["kling"].store.tasks.values()]
    assert len(ids) == len(set(ids)), "a clip was bought twice"
    for job in ordered:
        ended = await job_env.job(job.id)
        calls = await job_env.db.read(call_rows.of_job, job.id)
        assert ended.status in (JobStatus.COMPLETED, JobStatus.FAILED)
        assert await job_env.balance(job.user_id) == (800 if ended.status is JobStatus.COMPLETED else 2_000)
        if job.type is JobType.IMAGE:
            assert len([call for call in calls if call.outcome is not CallOutcome.REFUSED]) <= 2
            assert ended.status is JobStatus.COMPLETED or ended.error_code == "unknown_outcome"
        else:
            assert ended.status is JobStatus.COMPLETED, ended.error_code
    told = [(kind, job_id) for _, kind, job_id in await job_env.told() if kind in ("result", "failed")]
    assert len(told) == len(set(told)) == len(ordered)
