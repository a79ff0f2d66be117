"""The circuit breaker as people and providers meet it: each step in a runtime of its own, as a worker runs it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text

from database import clock
from database import provider_calls as call_rows
from database.engine import Tx
from database.models import Database, Draft, JobStatus, JobType
from services.errors import BadDraft
from services.job_context import JobContext
from services.jobs import Jobs
from services.settings import Settings
from tests.support.database_fixture import change
from tests.support.job_env import JobEnv, until
from workers import image_worker, video_worker
from workers.runtime import install

BOUGHT = [("test", 10_000), ("reserve", -1200)]
REFUNDED = [*BOUGHT, ("refund", 1200)]
FORBIDDEN = {"status": 403, "body": {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "leaked"}}}
OVERLOADED = {"status": 503, "body": {"error": {"code": 503, "status": "UNAVAILABLE", "message": "later"}}}
EMPTY_PACK = {"status": 429, "body": {"code": 1102, "message": "pack used up", "request_id": "x"}}


async def apart(settings: Settings, step: Callable[[str], Awaitable[None]], job_id: str) -> None:
    """Run a step as a forked worker does: with nothing in memory from any step before."""
    own = JobContext.open(settings)
    install(own)
    try:
        await step(job_id)
    finally:
        await own.close()


async def pass_time(job_env: JobEnv, seconds: int) -> None:
    """As if so much time had passed since the calls, and what waits is due."""
    await change(job_env, f"UPDATE provider_calls SET ended_at = ended_at - {seconds * 1000}")
    await change(job_env, "UPDATE jobs SET due_at = 1 WHERE step IS NOT NULL")


def asked(job_env: JobEnv, face: str) -> int:
    return sum(count for what, count in job_env.sandbox.world.counts.items() if what.startswith(f"{face}:fault"))


async def test_a_key_without_rights_is_tried_once_and_every_order_is_paid_back_at_once(
    job_env: JobEnv, shop_settings: Settings
) -> None:
    """The second worker knows what the first has learned: one call, two orders failed, all money back."""
    for user in (1, 2):
        await job_env.give(user, 100)
    orders = [await job_env.order(user_id=user) for user in (1, 2)]
    job_env.sandbox.fault("gemini", "generateContent", times=9, **FORBIDDEN)
    for job in orders:
        await apart(shop_settings, image_worker.run, job.id)
    assert asked(job_env, "gemini") == 1
    for user, job in zip((1, 2), orders, strict=True):
        ended = await job_env.job(job.id)
        assert (ended.status, ended.error_code) == (JobStatus.FAILED, "forbidden")
        assert await job_env.entries(user) == REFUNDED
    assert len(await job_env.db.read(call_rows.of_job, orders[1].id)) == 0


async def test_an_empty_pack_of_clips_is_tried_once_in_a_pause(job_env: JobEnv, shop_settings: Settings) -> None:
    """Kling's 1102 stops the clips, not the pictures; after five minutes one order tries, and its yes opens the way."""
    await job_env.give(1, 100)
    first, second, third = [await job_env.order(type=JobType.VIDEO) for _ in range(3)]
    job_env.sandbox.fault("kling", "text-to-video", times=1, **EMPTY_PACK)
    await apart(shop_settings, video_worker.submit, first.id)
    await apart(shop_settings, video_worker.submit, second.id)
    assert [(await job_env.job(job.id)).error_code for job in (first, second)] == ["funds", "funds"]
    assert job_env.sandbox.calls("kling", "create") == 0
    picture = await job_env.order()
    await apart(shop_settings, image_worker.run, picture.id)
    assert (await job_env.job(picture.id)).status is JobStatus.COMPLETED
    await pass_time(job_env, 301)
    await apart(shop_settings, video_worker.submit, third.id)
    assert (await job_env.job(third.id)).external_id
    assert job_env.sandbox.calls("kling", "create") == 1


async def test_an_outage_lets_orders_wait_in_their_rows(job_env: JobEnv, shop_settings: Settings) -> None:
    """After five outages in a row nobody asks for a minute; the order waits without holding a worker, then is drawn."""
    await job_env.give(1, 100)
    await job_env.give(2, 100)
    first, second = await job_env.order(), await job_env.order(user_id=2)
    job_env.sandbox.fault("gemini", "generateContent", times=5, **OVERLOADED)
    await apart(shop_settings, image_worker.run, first.id)
    await apart(shop_settings, image_worker.run, second.id)
    assert asked(job_env, "gemini") == 5
    waiting = await job_env.job(second.id)
    assert waiting.is_open
    assert waiting.due_at is not None
    assert 50_000 < waiting.due_at - clock.now_ms() <= 60_000
    await pass_time(job_env, 61)
    await apart(shop_settings, image_worker.run, second.id)
    assert (await job_env.job(second.id)).status is JobStatus.COMPLETED
    assert await job_env.entries(2) == BOUGHT


async def test_of_two_workers_at_once_one_tries_after_the_pause(job_env: JobEnv, shop_settings: Settings) -> None:
    """While a trial is under way nobody else asks, however long the trial takes; its yes lets the other through."""
    await job_env.give(1, 100)
    first, one, other = [await job_env.order() for _ in range(3)]
    job_env.sandbox.fault("gemini", "generateContent", times=1, **FORBIDDEN)
    await apart(shop_settings, image_worker.run, first.id)
    await pass_time(job_env, 301)
    job_env.sandbox.fault("gemini", "generateContent", times=1, delay=3.0)
    trial = asyncio.create_task(apart(shop_settings, image_worker.run, one.id))

    async def under_way() -> Any:
        return await job_env.db.read(call_rows.of_job, one.id)

    await until(under_way)
    await apart(shop_settings, image_worker.run, other.id)
    assert await job_env.db.read(call_rows.of_job, other.id) == []
    assert (await job_env.job(other.id)).is_open
    await trial
    assert (await job_env.job(one.id)).status is JobStatus.COMPLETED
    await pass_time(job_env, 0)
    await apart(shop_settings, image_worker.run, other.id)
    assert (await job_env.job(other.id)).status is JobStatus.COMPLETED


@pytest.mark.parametrize("wait", [0, 301])
async def test_new_orders_are_told_before_they_pay(job_env: JobEnv, wait: int) -> None:
    """While only an administrator can mend it nothing is sold; afterwards the next order is the trial."""
    await job_env.give(1, 100)
    job = await job_env.order()
    job_env.sandbox.fault("gemini", "generateContent", times=1, **FORBIDDEN)
    await image_worker.run(job.id)
    await pass_time(job_env, wait)
    payment_env = Jobs(job_env.db, job_env.queue, job_env.ctx.catalogue, max_active=5)
    draft = Draft(
        id="d1",
        user_id=1,
        chat_id=1,
        message_id=None,
        type=JobType.IMAGE,
        model=job.model,
        prompt="a fox",
        params={},
        inputs=(),
        parent_job_id=None,
        revision=1,
        created_at=1,
        updated_at=1,
    )
    if wait:
        await payment_env.start(draft, chat_id=1, status_message_id=None)
        return
    with pytest.raises(BadDraft) as refused:
        await payment_env.start(draft, chat_id=1, status_message_id=None)
    assert refused.value.code == "provider_off"
    assert await job_env.entries() == REFUNDED


async def test_the_newest_calls_are_found_at_the_end_of_the_table(empty_db: Database) -> None:
    """A shop of years has millions of calls; the breaker reads the last of them by their number and sorts nothing."""

    def plan(tx: Tx) -> list[str]:
        query = str(call_rows.recent_query(tx.now, "p", "m").compile(compile_kwargs={"literal_binds": True}))
        return [str(row["detail"]) for row in tx.rows(text(f"EXPLAIN QUERY PLAN {query}"))]

    steps = await empty_db.read(plan)
    assert any("SEARCH provider_calls USING INTEGER PRIMARY KEY (rowid>?)" in step for step in steps), steps
    assert not any("SCAN" in step or "TEMP B-TREE" in step for step in steps), steps
