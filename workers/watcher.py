"""Clips in flight: one look at the provider for many of them, and the row of each moved by what it says."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence

from database import clock
from database import jobs as job_rows
from database.models import DatabaseError, Job
from services.base_provider import Blame, ErrorCode, Failure, ProviderError, TaskStatus, VideoTask
from services.catalogue import UnknownModel
from services.jobs import message_of
from services.log import event
from services.queue import Queue
from workers.runtime import Runtime
from workers.step import fail_unmade

LOOK_MS = 8_000
LATE_LOOK_MS = 30_000
LATE_SECONDS = 300
AT_ONCE = 4  # questions to a provider at a time: one that hangs must not keep the others waiting
TYPICAL_SECONDS = 150  # a clip's usual time, for the bar in the live message (docs/reference/kling.md, section 12)

_log = logging.getLogger(__name__)


async def watch(here: Runtime, queue: Queue, *, limit: int = 200) -> int:
    """Ask about every clip whose look is due; answers how many were asked about."""
    due = await here.db.read(job_rows.due_to_watch, limit=limit)
    by_provider: dict[str, list[Job]] = defaultdict(list)
    for job in due:
        try:
            by_provider[here.catalogue.video(job.model).provider].append(job)
        except UnknownModel:
            await fail_unmade(here, job, ErrorCode.MODEL_GONE)
    size = here.catalogue.limits.look_batch
    slots = asyncio.Semaphore(AT_ONCE)
    async with asyncio.TaskGroup() as group:
        for name, jobs in by_provider.items():
            for start in range(0, len(jobs), size):
                group.create_task(_look(here, queue, name, jobs[start : start + size], slots))
    return len(due)


async def _look(here: Runtime, queue: Queue, name: str, jobs: Sequence[Job], slots: asyncio.Semaphore) -> None:
    """One question for a batch. Whatever goes wrong with it or with one of its clips is no other clip's trouble."""
    async with slots:
        tasks = await _ask(here, name, jobs)
        for job in jobs:
            try:
                await _move(here, queue, job, tasks.get(job.external_id or ""))
            except Exception as error:
                event(_log, "watch.move_failed", level=logging.ERROR, job_id=job.id, error=type(error).__name__)


async def _ask(here: Runtime, name: str, jobs: Sequence[Job]) -> dict[str, VideoTask]:
    provider = here.providers.video(name)
    if provider is None:
        off = ProviderError(ErrorCode.KEY_INVALID, Failure.PERMANENT, Blame.OPERATOR, "no key is set, and clips wait")
        await _tell_owner(here, off, name, jobs[0].model)
        return {}
    try:
        return await provider.look([job.external_id for job in jobs if job.external_id])
    except ProviderError as error:
        if error.code is ErrorCode.BAD_REQUEST and len(jobs) > 1:
            # How many ids one look may carry is not known (docs/reference/kling.md, section 3).
            return await _ask_in_halves(here, name, jobs)
        # A failed look never means a failed task.
        event(_log, "watch.look_failed", level=logging.WARNING, provider=name, error=str(error))
        await _tell_owner(here, error, name, jobs[0].model)
        return {}
    except ValueError as error:
        # An id that can't be asked for: find out which, so that the others are answered.
        event(_log, "watch.odd_id", level=logging.ERROR, provider=name, jobs=len(jobs), error=str(error))
        if len(jobs) == 1:
            return {}
        return await _ask_in_halves(here, name, jobs)


async def _ask_in_halves(here: Runtime, name: str, jobs: Sequence[Job]) -> dict[str, VideoTask]:
    half = len(jobs) // 2
    return {**await _ask(here, name, jobs[:half]), **await _ask(here, name, jobs[half:])}


async def _tell_owner(here: Runtime, error: ProviderError, name: str, model: str) -> None:
    """Clips that can't be looked at are paid for and go back at their hold's end: while it is time, the owner hears."""
    try:
        await here.alert_operator(error, name, model, now_ms=clock.now_ms())
    except DatabaseError as failed:
        event(_log, "watch.owner_not_told", level=logging.WARNING, error=type(failed).__name__)


async def _move(here: Runtime, queue: Queue, job: Job, task: VideoTask | None) -> None:
    waited = clock.now() - (job.started_at or job.created_at) / 1000
    if task is not None and task.is_final and task.cost_micro_usd:
        await here.db.write(job_rows.record_cost, job.id, task.cost_micro_usd)
    if task is not None and task.status is TaskStatus.FAILED:
        code = (task.error_code or ErrorCode.GENERATION_FAILED).value
        await here.db.write(job_rows.fail, job.id, code, attempt=job.attempt)
        event(_log, "clip.failed", job_id=job.id, code=code, message=task.message[:200])
        return
    if task is not None and task.status is TaskStatus.SUCCEEDED and task.url:
        ready = await here.db.write(job_rows.ready_to_finish, job.id, url=task.url)
        if ready is not None:
            await queue.submit(message_of(ready))
        return
    pause = LATE_LOOK_MS if waited > LATE_SECONDS else LOOK_MS
    progress = 25 + int(60 * min(waited / TYPICAL_SECONDS, 1.0))
    await here.db.write(job_rows.look_later, job.id, look_in_ms=pause, progress=progress)
