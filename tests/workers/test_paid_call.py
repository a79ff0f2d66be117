"""The row of each paid call: intent before the call, outcome after it, and what stays when one of them is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from database import jobs as job_rows
from database import provider_calls as call_rows
from database.models import CallOutcome, DatabaseError, Job, JobStep
from services.base_provider import Blame, ErrorCode, Failure, ProviderError, RetryPolicy, generate_with_retry
from tests.support.job_env import JobEnv
from workers.paid_call import PaidCall

PROVIDER, MODEL = "nano_banana", "pro"
AT_ONCE = RetryPolicy(tries=4, first_delay=0.0, max_delay=0.0, jitter=0.0)


async def paid(job_env: JobEnv, job: Job, call: Callable[[], Awaitable[int]]) -> int:
    """A call as the workers make it; its answer is also its cost."""
    row = await PaidCall.begin(job_env.ctx, job, PROVIDER, MODEL)
    try:
        cost = await call()
    except ProviderError as error:
        await row.failed(error)
        raise
    await row.succeeded(cost)
    return cost


async def claimed(job_env: JobEnv) -> Job:
    await job_env.give(1, 100)
    job = await job_env.db.write(job_rows.claim, (await job_env.order()).id, JobStep.IMAGE)
    assert job is not None
    return job


async def rows(job_env: JobEnv, job: Job) -> list[tuple[CallOutcome | None, str | None, int]]:
    calls = await job_env.db.read(call_rows.of_job, job.id)
    return [(call.outcome, call.code, call.cost_micro_usd) for call in calls]


async def test_each_call_is_surrounded_by_its_rows(job_env: JobEnv) -> None:
    """Intent before, outcome after, for every single call of a retry, in this order."""
    job = await claimed(job_env)
    seen: list[list[tuple[CallOutcome | None, str | None, int]]] = []
    failed = (CallOutcome.REFUSED, "overloaded", 3)

    async def call() -> int:
        seen.append(await rows(job_env, job))
        if len(seen) == 1:
            raise ProviderError(
                ErrorCode.OVERLOADED, Failure.TEMPORARY, Blame.PROVIDER, "told", cost_micro_usd=failed[2]
            )
        return 5

    assert await generate_with_retry(partial(paid, job_env, job, call), policy=AT_ONCE) == 5
    assert seen == [[(None, None, 0)], [failed, (None, None, 0)]]
    assert await rows(job_env, job) == [failed, (CallOutcome.OK, None, 5)]


async def test_a_cancelled_call_leaves_its_intent_open(job_env: JobEnv) -> None:
    """A call that is cut off has no outcome, and none may be written."""
    job = await claimed(job_env)
    begun = asyncio.Event()

    async def hanging() -> int:
        begun.set()
        await asyncio.sleep(60)
        return 5

    running = asyncio.create_task(generate_with_retry(partial(paid, job_env, job, hanging), policy=AT_ONCE))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await rows(job_env, job) == [(None, None, 0)]


async def test_nothing_is_called_when_the_intent_cannot_be_written(job_env: JobEnv) -> None:
    """An intent that fails stops the call: no row, no purchase."""
    job = await claimed(job_env)
    calls: list[int] = []

    async def call() -> int:
        calls.append(1)
        return 5

    await job_env.ctx.db.write(
        lambda tx: tx.connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON provider_calls BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    )
    with pytest.raises(DatabaseError, match="disk full"):
        await generate_with_retry(partial(paid, job_env, job, call), policy=AT_ONCE)
    await job_env.ctx.db.write(lambda tx: tx.connection.exec_driver_sql("DROP TRIGGER full"))
    assert calls == []
    assert await rows(job_env, job) == []
