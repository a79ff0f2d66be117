"""Videos at their provider. From the submit to the finished file the job is only a row; no process waits for it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, or_, select, update

from database import jobs as job_rows
from database.engine import Tx
from database.rows import Job
from database.schema import IS_OPEN, jobs
from database.states import JobStatus, JobStep


def due(tx: Tx, *, limit: int = 200) -> list[Job]:
    """Videos at their provider whose next poll is due."""
    query = (
        select(jobs)
        .where(IS_OPEN, tx.is_due(jobs.c.due_at, job_rows.FAR_MS), jobs.c.step == JobStep.WATCH)
        .order_by(jobs.c.due_at)
        .limit(limit)
    )
    return [Job.read(row) for row in tx.rows(query)]


def submitted(tx: Tx, job_id: str, attempt: int, *, external_id: str, poll_in_ms: int) -> bool:
    """The provider has accepted the task; from now on it is polled."""
    moved = tx.changed(
        update(jobs)
        .where(job_rows.held_by(job_id, attempt), jobs.c.step == JobStep.SUBMIT)
        .values(
            step=JobStep.WATCH,
            external_id=external_id,
            lease_until=None,
            due_at=tx.now + poll_in_ms,
            progress=job_rows.at_least(jobs.c.progress, 25),
            failures=0,
        )
    )
    if moved:
        job_rows.note_event(tx, job_rows.get_or_raise(tx, job_id), "submitted")
    return moved


def schedule_poll(tx: Tx, job_id: str, *, poll_in_ms: int, progress: int | None = None) -> None:
    """The task is not finished; poll again after `poll_in_ms`."""
    values: dict[str, Any] = {"due_at": tx.now + poll_in_ms}
    if progress is not None:
        values["progress"] = job_rows.at_least(jobs.c.progress, min(progress, 90))
    tx.execute(update(jobs).where(_watched(job_id)).values(**values))


def poll_now(tx: Tx, external_id: str | None, external_key: str | None) -> str | None:
    """A callback says that something changed: poll now. Returns the job's id if the task is ours."""
    which = or_(jobs.c.external_id == (external_id or ""), jobs.c.external_key == (external_key or ""))
    found = tx.row(select(jobs.c.id).where(which, jobs.c.step == JobStep.WATCH).limit(1))
    if found is None:
        return None
    tx.execute(update(jobs).where(_watched(found["id"])).values(due_at=tx.now))
    return str(found["id"])


def ready_to_finish(tx: Tx, job_id: str, *, url: str) -> Job | None:
    """The video is finished at the provider: the next step is to download it. None when the job has changed."""
    moved = tx.changed(
        update(jobs)
        .where(_watched(job_id))
        .values(
            step=JobStep.FINISH,
            external_url=url,
            progress=job_rows.at_least(jobs.c.progress, 90),
            due_at=tx.now + job_rows.REDISPATCH_MS,
            dispatches=jobs.c.dispatches + 1,
        )
    )
    if not moved:
        return None
    job = job_rows.get_or_raise(tx, job_id)
    job_rows.note_event(tx, job, "rendered")
    return job


def return_to_polling(tx: Tx, job_id: str, attempt: int, *, cause: str) -> bool:
    """The video could not be downloaded from its address: poll again for a new address."""
    moved = tx.changed(
        update(jobs)
        .where(job_rows.held_by(job_id, attempt), jobs.c.step == JobStep.FINISH)
        .values(step=JobStep.WATCH, lease_until=None, due_at=tx.now + 2_000, failures=jobs.c.failures + 1)
    )
    if moved:
        job_rows.note_event(tx, job_rows.get_or_raise(tx, job_id), cause)
    return moved


def _watched(job_id: str) -> Any:
    return and_(jobs.c.id == job_id, jobs.c.status == JobStatus.PROCESSING, jobs.c.step == JobStep.WATCH)
