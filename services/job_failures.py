"""Closes a job without a result: the money goes back and the person is told; admins, when they can fix the cause."""

from __future__ import annotations

import logging

from database import jobs as job_rows
from database.models import Job
from services.base_provider import ErrorCode, ProviderError
from services.common.log import event
from services.job_context import JobContext

_log = logging.getLogger(__name__)


async def fail(ctx: JobContext, job: Job, code: str) -> None:
    """Fail the job with an error code; the refund and the message to the person are written in the same transaction.

    Does nothing when the job has moved on since it was read.
    """
    failed = await ctx.db.write(job_rows.fail, job.id, code, attempt=job.attempt)
    event(_log, "job.failed" if failed else "job.moved_on", code=code)


async def fail_unmade(ctx: JobContext, job: Job, code: ErrorCode) -> None:
    """Fail a job that can't be made: its model left the catalogue or its provider has no key. Alerts the admins."""
    await ctx.alert_admins(f"unmade:{job.model}:{code}", "alert-unmade", model=job.model, code=code.value)
    await fail(ctx, job, code.value)


async def fail_interrupted(ctx: JobContext, job: Job) -> None:
    """Fail a job whose step has failed too often because of an error in our own code. Alerts the admins."""
    await ctx.alert_admins("interrupted", "alert-interrupted", job_id=job.id)
    await fail(ctx, job, "interrupted")


async def fail_for(ctx: JobContext, job: Job, error: ProviderError, provider: str, model: str) -> None:
    """Fail a job that the provider has refused for good. Alerts the admins when they can fix the cause."""
    await ctx.alert_provider_fault(error, provider, model)
    await fail(ctx, job, error.code.value)
