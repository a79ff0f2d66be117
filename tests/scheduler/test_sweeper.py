"""The sweeper cleans up: lost messages, dead workers, overdue money, old files."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from sqlalchemy import text

from database import assets as asset_rows
from database import flags as flag_rows
from database import jobs as job_rows
from database import outbox
from database import provider_calls as call_rows
from database import video_jobs as video_rows
from database.models import JobStatus, JobStep, JobType, Tx
from scheduler.sweeper import Sweeper
from services.jobs import message_of
from tests.support.database_fixture import assert_books
from tests.support.job_env import JobEnv
from workers import image_worker


@pytest_asyncio.fixture
async def sweeper(job_env: JobEnv) -> AsyncIterator[Sweeper]:
    yield Sweeper(job_env.ctx, job_env.queue)


async def make_due(job_env: JobEnv, job_id: str) -> None:
    """As if the time had passed: the row is due and its lease, if any, is over."""

    def change(tx: Tx) -> None:
        tx.execute(text("UPDATE jobs SET due_at = 1, lease_until = MIN(lease_until, 1) WHERE id = :id"), {"id": job_id})

    await job_env.db.write(change)


async def test_a_job_whose_message_was_lost_is_sent_again_under_a_new_name(job_env: JobEnv, sweeper: Sweeper) -> None:
    """The row is the truth: nothing in the queue, so a message with a fresh id goes out, once."""
    await job_env.give(1, 100)
    job = await job_env.order()
    await make_due(job_env, job.id)
    await sweeper.resend_lost_steps()
    await sweeper.resend_lost_steps()
    (step,) = job_env.queue.sent
    assert (step.name, step.job_id, step.message_id) == ("image", job.id, f"{job.id}-image-2")


async def test_a_message_that_still_waits_is_not_sent_twice(job_env: JobEnv, sweeper: Sweeper) -> None:
    """A long queue is no lost message."""
    await job_env.give(1, 100)
    job = await job_env.order()
    await job_env.queue.submit(message_of(job))
    await make_due(job_env, job.id)
    await sweeper.resend_lost_steps()
    assert len(job_env.queue.sent) == 1
    assert (await job_env.job(job.id)).dispatches == 1


async def test_a_job_whose_worker_died_goes_on_after_its_lease(job_env: JobEnv, sweeper: Sweeper) -> None:
    """Killed before the provider was called: another attempt makes the picture, the first changes nothing any more."""
    await job_env.give(1, 100)
    job = await job_env.order()
    dead = await job_env.db.write(job_rows.claim, job.id, JobStep.IMAGE)
    assert dead is not None
    assert await job_env.db.write(job_rows.claim, job.id, JobStep.IMAGE) is None
    await make_due(job_env, job.id)
    await sweeper.resend_lost_steps()
    await job_env.queue.run_next()
    assert (await job_env.job(job.id)).status is JobStatus.COMPLETED
    assert not await job_env.db.write(job_rows.renew, job.id, dead.attempt)
    assert await job_env.entries() == [("test", 10_000), ("reserve", -1200)]


async def test_a_worker_killed_after_the_call_costs_the_user_nothing(job_env: JobEnv, sweeper: Sweeper) -> None:
    """The intent stands without an outcome: one repeat, then never again."""
    await job_env.give(1, 100)
    job = await job_env.order()
    for _ in range(2):
        dead = await job_env.db.write(job_rows.claim, job.id, JobStep.IMAGE)
        assert dead is not None
        await job_env.db.write(call_rows.begin_call, job.id, dead.attempt, provider="nano_banana", model="x")
        await make_due(job_env, job.id)
    await image_worker.run(job.id)
    failed = await job_env.job(job.id)
    assert (failed.status, failed.error_code) == (JobStatus.FAILED, "unknown_outcome")
    assert job_env.sandbox.calls("gemini", "generateContent") == 0
    assert await job_env.balance() == 10_000


async def test_a_video_at_its_provider_is_left_to_the_poller(job_env: JobEnv, sweeper: Sweeper) -> None:
    """A row that waits for the provider is never sent to a worker by the clock alone."""
    await job_env.give(1, 100)
    job = await job_env.order(type=JobType.VIDEO)
    taken = await job_env.db.write(job_rows.claim, job.id, JobStep.SUBMIT)
    assert taken is not None
    await job_env.db.write(video_rows.submitted, job.id, taken.attempt, external_id="1", poll_in_ms=0)
    await make_due(job_env, job.id)
    await sweeper.resend_lost_steps()
    assert job_env.queue.sent == []


async def test_a_lease_is_not_taken_from_who_holds_it(job_env: JobEnv) -> None:
    """Two want to lead: the first may stay, the second waits until the time is over."""
    assert await job_env.db.write(flag_rows.take_lease, "x", "a", ttl_ms=60_000)
    assert await job_env.db.write(flag_rows.take_lease, "x", "a", ttl_ms=60_000)
    assert not await job_env.db.write(flag_rows.take_lease, "x", "b", ttl_ms=60_000)


async def test_an_undelivered_result_is_paid_back_when_its_file_expires(job_env: JobEnv, sweeper: Sweeper) -> None:
    """The person never got it and now never can: the charge comes back once, the job stays completed."""
    await job_env.give(1, 100)
    job = await job_env.order()
    await image_worker.run(job.id)
    (item,) = await job_env.db.write(outbox.claim)
    await job_env.db.write(outbox.give_up, item.id, "blocked")

    def expire(tx: Tx) -> None:
        tx.execute(text("UPDATE assets SET expires_at = 1"))

    await job_env.db.write(expire)
    await sweeper.delete_expired_assets()
    await sweeper.delete_expired_assets()
    asset = await job_env.db.read(asset_rows.result_of, job.id)
    assert asset is not None
    assert asset.deleted_at is not None
    assert await job_env.entries() == [("test", 10_000), ("reserve", -1200), ("compensation", 1200)]
    assert (await job_env.job(job.id)).status is JobStatus.COMPLETED


async def test_the_file_of_a_result_of_a_wrong_clock_is_kept_for_its_own_time(
    job_env: JobEnv, sweeper: Sweeper
) -> None:
    """Found to be of a clock that ran ahead, it is not over yet: row and file stay until its time has passed."""
    await job_env.give(1, 100)
    job = await job_env.order()
    await image_worker.run(job.id)
    year = 365 * 24 * 3600 * 1000

    def written_ahead(tx: Tx) -> None:
        values = {"year": year}
        tx.execute(text("UPDATE assets SET created_at = created_at + :year, expires_at = expires_at + :year"), values)

    await job_env.db.write(written_ahead)
    far = await job_env.db.read(asset_rows.result_of, job.id)
    await sweeper.delete_expired_assets()
    kept = await job_env.db.read(asset_rows.result_of, job.id)
    assert far is not None
    assert kept is not None
    assert (kept.deleted_at, kept.expires_at <= far.expires_at - year + 60_000) == (None, True)
    assert await job_env.ctx.assets.get(kept.store_key)


async def test_a_delivered_result_that_expires_costs_what_it_cost(job_env: JobEnv, sweeper: Sweeper) -> None:
    """Delivered is delivered: only the file goes."""
    await job_env.give(1, 100)
    job = await job_env.order()
    await image_worker.run(job.id)
    (item,) = await job_env.db.write(outbox.claim)
    await job_env.db.write(outbox.sent, item.id)

    def expire(tx: Tx) -> None:
        tx.execute(text("UPDATE assets SET expires_at = 1"))

    await job_env.db.write(expire)
    await sweeper.delete_expired_assets()
    assert await job_env.balance() == 8_800


async def test_old_rows_are_forgotten_and_young_ones_kept(job_env: JobEnv, sweeper: Sweeper) -> None:
    """What grows with every visitor is bounded; what is still owed is never dropped."""

    def fill(tx: Tx) -> None:
        outbox.post(tx, "old-sent", 1, "granted")
        outbox.post(tx, "old-due", 1, "granted")
        outbox.post(tx, "young", 1, "granted")
        tx.execute(text("UPDATE outbox SET created_at = 1 WHERE key LIKE 'old%'"))
        tx.execute(text("UPDATE outbox SET due_at = NULL, sent_at = 1 WHERE key <> 'old-due'"))

    await job_env.db.write(fill)
    await sweeper.forget_old_rows()

    def keys(tx: Tx) -> list[str]:
        return [str(row[0]) for row in tx.execute(text("SELECT key FROM outbox ORDER BY id"))]

    assert await job_env.db.read(keys) == ["old-due", "young"]


async def test_a_result_that_can_not_be_delivered_is_owed_as_long_as_it_is_kept(
    job_env: JobEnv, sweeper: Sweeper
) -> None:
    """It is kept longer than other messages: a user who comes back gets it, and until then the books are right."""
    await job_env.give(1, 100)
    job = await job_env.order()
    await image_worker.run(job.id)
    (item,) = await job_env.db.write(outbox.claim)
    await job_env.db.write(outbox.give_up, item.id, "blocked")

    def grow_old(tx: Tx) -> None:
        tx.execute(text("UPDATE outbox SET created_at = 1"))

    await job_env.db.write(grow_old)
    await sweeper.forget_old_rows()
    await assert_books(job_env.db)
    assert await job_env.db.write(outbox.revive_results, 1) == 1
    (again,) = await job_env.db.write(outbox.claim)
    await job_env.db.write(outbox.give_up, again.id, "blocked")

    def expire(tx: Tx) -> None:
        tx.execute(text("UPDATE assets SET expires_at = 1"))

    await job_env.db.write(expire)
    await sweeper.delete_expired_assets()
    await sweeper.forget_old_rows()
    assert [item.kind for item in await job_env.db.write(outbox.claim)] == ["compensated"]
    await assert_books(job_env.db)
