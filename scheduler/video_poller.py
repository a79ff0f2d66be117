"""Videos at their providers: one poll asks about many of them, and the answer moves each job on."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence

from database import clock
from database import jobs as job_rows
from database import provider_calls as call_rows
from database import video_jobs as video_rows
from database.models import DatabaseError, Job
from services.base_provider import Blame, ErrorCode, Failure, ProviderError, TaskStatus, VideoTask
from services.catalogue import UnknownModel
from services.common.log import event
from services.job_context import JobContext
from services.job_failures import fail_unmade
from services.jobs import message_of
from services.queue import Queue

POLL_MS = 8_000
LATE_POLL_MS = 30_000
LATE_SECONDS = 300
AT_ONCE = 4  # polls at the same time, so that one that hangs does not stop the others
TYPICAL_SECONDS = 150  # usual time of a video, for the bar in the live message (docs/reference/kling.md, section 12)

_log = logging.getLogger(__name__)


async def poll_videos(ctx: JobContext, queue: Queue, *, limit: int = 200) -> None:
    """Poll the providers for every video whose poll is due."""
    due = await ctx.db.read(video_rows.due, limit=limit)
    by_provider: dict[str, list[Job]] = defaultdict(list)
    for job in due:
        try:
            by_provider[ctx.catalogue.video(job.model).provider].append(job)
        except UnknownModel:
            await fail_unmade(ctx, job, ErrorCode.MODEL_GONE)
    size = ctx.catalogue.limits.look_batch
    slots = asyncio.Semaphore(AT_ONCE)
    async with asyncio.TaskGroup() as group:
        for name, jobs in by_provider.items():
            for start in range(0, len(jobs), size):
                group.create_task(_poll(ctx, queue, name, jobs[start : start + size], slots))


async def _poll(ctx: JobContext, queue: Queue, name: str, jobs: Sequence[Job], slots: asyncio.Semaphore) -> None:
    """One poll for a batch of videos. An error with it, or with one of its videos, affects no other video."""
    async with slots:
        tasks = await _ask(ctx, name, jobs)
        for job in jobs:
            try:
                await _move(ctx, queue, job, tasks.get(job.external_id or ""))
            except Exception as error:
                event(_log, "watch.move_failed", level=logging.ERROR, job_id=job.id, error=type(error).__name__)


async def _ask(ctx: JobContext, name: str, jobs: Sequence[Job]) -> dict[str, VideoTask]:
    provider = ctx.providers.video(name)
    if provider is None:
        off = ProviderError(ErrorCode.KEY_INVALID, Failure.PERMANENT, Blame.ADMIN, "no key is set, and clips wait")
        await _alert_admins(ctx, off, name, jobs[0].model)
        return {}
    try:
        return await provider.poll([job.external_id for job in jobs if job.external_id])
    except ProviderError as error:
        if error.code is ErrorCode.BAD_REQUEST and len(jobs) > 1:
            # How many ids one question may carry is not known (docs/reference/kling.md, section 3).
            return await _ask_in_halves(ctx, name, jobs)
        # A failed poll never means a failed task.
        event(_log, "watch.look_failed", level=logging.WARNING, provider=name, error=str(error))
        await _alert_admins(ctx, error, name, jobs[0].model)
        return {}
    except ValueError as error:
        # One of the ids can't be sent: ask in halves, so that the others are answered.
        event(_log, "watch.odd_id", level=logging.ERROR, provider=name, jobs=len(jobs), error=str(error))
        if len(jobs) == 1:
            return {}
        return await _ask_in_halves(ctx, name, jobs)


async def _ask_in_halves(ctx: JobContext, name: str, jobs: Sequence[Job]) -> dict[str, VideoTask]:
    half = len(jobs) // 2
    return {**await _ask(ctx, name, jobs[:half]), **await _ask(ctx, name, jobs[half:])}


async def _alert_admins(ctx: JobContext, error: ProviderError, name: str, model: str) -> None:
    """Tell the admins about a poll that fails: at the end of their hold the money of these videos goes back."""
    try:
        await ctx.alert_provider_fault(error, name, model)
    except DatabaseError as failed:
        event(_log, "watch.owner_not_told", level=logging.WARNING, error=type(failed).__name__)


async def _move(ctx: JobContext, queue: Queue, job: Job, task: VideoTask | None) -> None:
    waited = clock.now() - (job.started_at or job.created_at) / 1000
    if task is not None and task.is_final and task.cost_micro_usd:
        await ctx.db.write(call_rows.record_cost, job.id, task.cost_micro_usd)
    if task is not None and task.status is TaskStatus.FAILED:
        code = (task.error_code or ErrorCode.GENERATION_FAILED).value
        await ctx.db.write(job_rows.fail, job.id, code, attempt=job.attempt)
        event(_log, "clip.failed", job_id=job.id, code=code, message=task.message[:200])
        return
    if task is not None and task.status is TaskStatus.SUCCEEDED and task.url:
        ready = await ctx.db.write(video_rows.ready_to_finish, job.id, url=task.url)
        if ready is not None:
            await queue.submit(message_of(ready))
        return
    pause = LATE_POLL_MS if waited > LATE_SECONDS else POLL_MS
    progress = 25 + int(60 * min(waited / TYPICAL_SECONDS, 1.0))
    await ctx.db.write(video_rows.schedule_poll, job.id, poll_in_ms=pause, progress=progress)
