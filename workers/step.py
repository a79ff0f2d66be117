"""What all steps have in common: claim the row, hold the lease, and turn failures into the row's next state.

A step may be run twice, late, or at the same time as a copy of it: the claim and the attempt's number decide. It raises
no errors to the queue, because the queue's result of a message means nothing; only the row does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from database import assets as asset_rows
from database import clock, ledger
from database import jobs as job_rows
from database import provider_calls as call_rows
from database.models import DatabaseError, DatabaseUnavailable, Job, JobStep
from database.rows import UNREADABLE
from services.base_provider import ErrorCode, Failure, ProviderError
from services.common.log import event, log_context
from services.job_context import JobContext
from services.job_failures import fail, fail_interrupted
from services.media.store import AssetError, AssetStoreFull
from services.providers.circuit_breaker import OUTAGES
from workers.paid_call import CircuitOpen
from workers.runtime import LeaseLost, job_context, lease

# These mean "not now": the provider has begun nothing, so the job waits in its row as long as its hold lasts.
PATIENT = frozenset(
    {
        ErrorCode.CONCURRENCY,
        ErrorCode.RATE_LIMITED,
        ErrorCode.QUOTA_MINUTE,
        ErrorCode.SPEND_LIMIT,
        ErrorCode.OVERLOADED,
        ErrorCode.MAINTENANCE,
        ErrorCode.CIRCUIT_OPEN,
    }
)
MAX_ROUNDS = 3  # how often a step is tried after other temporary failures
FIRST_PAUSE_MS = 5_000
LONGEST_PAUSE_MS = 60_000
WRITE_PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # seconds between tries to write down what was paid for

_log = logging.getLogger(__name__)


async def run_step(job_id: str, step: JobStep, body: Callable[[JobContext, Job], Awaitable[None]]) -> None:
    """Claim the job for `step` and run `body` with its lease. To lose the claim or the lease is normal."""
    async with job_context() as ctx:
        with log_context(job_id=job_id, step=step.value):
            try:
                job = await ctx.db.write(job_rows.claim, job_id, step)
                if job is None:
                    event(_log, "step.not_ours", level=logging.DEBUG)
                    return
                with log_context(user_id=job.user_id, attempt=job.attempt):
                    await _held(ctx, job, body)
            except DatabaseError as error:
                # The row was not changed, or we can't know: its lease runs out and its step is sent again.
                event(_log, "step.database_failed", level=logging.ERROR, error=type(error).__name__, detail=str(error))


async def _held(ctx: JobContext, job: Job, body: Callable[[JobContext, Job], Awaitable[None]]) -> None:
    event(_log, "step.claimed")
    try:
        if job.params is UNREADABLE:
            await fail_interrupted(ctx, job)
            return
        async with lease(ctx.db, job):
            await body(ctx, job)
    except asyncio.CancelledError:
        await _hand_back(ctx, job)
        raise
    except CircuitOpen as blocked:
        await _wait_for_circuit(ctx, job, blocked)
    except LeaseLost:
        event(_log, "step.lease_lost", level=logging.WARNING)
    except AssetError as error:
        event(_log, "step.storage_failed", level=logging.ERROR, error=type(error).__name__)
        if isinstance(error, AssetStoreFull):
            await ctx.alert_admins("storage", "alert-storage")
        await fail(ctx, job, "storage")
    except DatabaseError:
        raise
    except Exception:
        event(_log, "step.crashed", level=logging.ERROR)
        await ctx.db.write(job_rows.put_back, job.id, job.attempt, delay_ms=FIRST_PAUSE_MS, cause="crashed")
        if job.failures + 1 >= MAX_ROUNDS:
            await fail_interrupted(ctx, job)


async def _wait_for_circuit(ctx: JobContext, job: Job, blocked: CircuitOpen) -> None:
    """Wait until the circuit closes. If an outage in this attempt opened it, that outage is the step's failure."""
    error, calls = blocked.error, await ctx.db.read(call_rows.of_job, job.id)
    if calls and calls[-1].attempt == job.attempt and calls[-1].code in OUTAGES:
        own = ErrorCode(calls[-1].code)
        error = ProviderError(own, Failure.TEMPORARY, error.blame, error.detail, retry_after=error.retry_after)
    await again_later(ctx, job, error, blocked.provider, blocked.model)


async def _hand_back(ctx: JobContext, job: Job) -> None:
    """This process stops, or the step took too long: give the lease up, so that the next worker need not wait for it.

    An intent without an outcome stays without one.
    """
    back = ctx.db.write(job_rows.put_back, job.id, job.attempt, delay_ms=0, cause="cut off", failed=False)
    try:
        await asyncio.shield(back)
    except DatabaseError as error:
        event(_log, "step.not_handed_back", level=logging.WARNING, error=type(error).__name__)


async def complete(ctx: JobContext, job: Job, asset: asset_rows.NewAsset) -> Job | None:
    """Complete the job with its stored result: charge, and post the delivery. None when the job changed meanwhile.

    The provider is already paid, so when the database can't write for a while, this waits and tries again.
    """
    for pause in WRITE_PAUSES:
        try:
            return await _complete(ctx, job, asset)
        except DatabaseUnavailable as error:
            event(_log, "step.completion_waits", level=logging.WARNING, error=str(error)[:200])
            await asyncio.sleep(pause)
    return await _complete(ctx, job, asset)


async def _complete(ctx: JobContext, job: Job, asset: asset_rows.NewAsset) -> Job | None:
    done = await ctx.db.write(job_rows.finish, job.id, job.attempt, asset, keep_ms=ctx.keep_ms)
    event(_log, "job.completed" if done else "result.late", price=done.cost_actual if done else 0, model=job.model)
    return done


async def time_left(ctx: JobContext, job: Job) -> float:
    """Seconds until the hold ends and the money goes back, even during a call."""
    held = await ctx.db.read(ledger.get_reservation, job.id)
    return held.hold_until / 1000 - clock.now() if held is not None else 0.0


async def again_later(ctx: JobContext, job: Job, error: ProviderError, provider: str, model: str) -> None:
    """All retries failed: put the job back for later, or give up after a few rounds."""
    await ctx.alert_provider_fault(error, provider, model)
    if error.code not in PATIENT and job.failures + 1 >= MAX_ROUNDS:
        await fail(ctx, job, error.code.value)
        return
    pause = asked_pause(error, min(FIRST_PAUSE_MS * 2 ** min(job.failures, 8), LONGEST_PAUSE_MS))
    await ctx.db.write(job_rows.put_back, job.id, job.attempt, delay_ms=pause, cause=error.code.value)
    event(_log, "step.put_back", code=error.code.value, pause_ms=pause)


def asked_pause(error: ProviderError, least_ms: int) -> int:
    """Milliseconds before the next call: at least `least_ms`, longer if the provider asks for it, with a limit."""
    return max(least_ms, min(int((error.retry_after or 0.0) * 1000), 10 * LONGEST_PAUSE_MS))
