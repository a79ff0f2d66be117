"""Close a job without a result: the money goes back, the user is told, and the admins if they can correct the cause."""

from __future__ import annotations

import logging

from database import jobs as job_rows
from database.models import Job
from services.base_provider import ErrorCode, ProviderError
from services.common.log import event
from services.job_context import JobContext

_log = logging.getLogger(__name__)


async def fail(ctx: JobContext, job: Job, code: str) -> None:
    """Close the job without a result: the money goes back and a message is posted, in one transaction."""
    failed = await ctx.db.write(job_rows.fail, job.id, code, attempt=job.attempt)
    event(_log, "job.failed" if failed else "job.moved_on", code=code)


async def fail_unmade(ctx: JobContext, job: Job, code: ErrorCode) -> None:
    """The job can't be run here: its model is not in the catalogue, or its provider has no key. The admins are told."""
    await ctx.alert_admins(f"unmade:{job.model}:{code}", "alert-unmade", model=job.model, code=code.value)
    await fail(ctx, job, code.value)


async def fail_interrupted(ctx: JobContext, job: Job) -> None:
    """A bug of ours stops this job again and again. The admins are told."""
    await ctx.alert_admins("interrupted", "alert-interrupted", job_id=job.id)
    await fail(ctx, job, "interrupted")


async def fail_for(ctx: JobContext, job: Job, error: ProviderError, provider: str, model: str) -> None:
    """The provider refused: fail the job, and tell the admins if they can correct the cause."""
    await ctx.alert_provider_fault(error, provider, model)
    await fail(ctx, job, error.code.value)
