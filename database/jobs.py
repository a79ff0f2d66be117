"""The life of a job, each step one transaction: start, claim, finish, fail, cancel, compensate.

A worker that changes an open job names the `attempt` of its claim. When it has lost the lease, another attempt has a
higher number, and the late worker changes nothing. The job and its money are closed in the same transaction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, case, func, insert, or_, select, update

from database import assets as asset_rows
from database import flags as flag_rows
from database import ledger, outbox, spending
from database import users as user_rows
from database.clock import HOUR_MS
from database.engine import Tx
from database.errors import Banned, IllegalMove, KeyReused, NotFound, SpendLimitReached, TooManyJobs, UnderMaintenance
from database.rows import Job
from database.schema import IS_OPEN, job_events, jobs, provider_calls
from database.schema import ledger as entries
from database.states import EntryKind, JobStatus, JobStep, JobType, Reason, ReservationState

LEASE_MS = 30_000
FAR_MS = HOUR_MS  # further ahead than any lease or pause of ours: written under a wrong clock
REDISPATCH_MS = 20_000  # after this time a job whose queue message was lost is sent again


@dataclass(frozen=True)
class NewJob:
    """An order as the user confirmed it: the price in kopecks is the one that was shown."""

    id: str
    user_id: int
    type: JobType
    model: str
    prompt: str
    params: Mapping[str, Any]
    price: int
    hold_ms: int
    chat_id: int | None = None
    status_message_id: int | None = None
    parent_job_id: str | None = None
    inputs: tuple[str, ...] = ()  # ids of the user's photos, in order
    provider_cost: int = 0  # micro-dollars, by the catalogue


# --- reading --------------------------------------------------------------------------------------


def get(tx: Tx, job_id: str) -> Job | None:
    return Job.maybe(tx.row(select(jobs).where(jobs.c.id == job_id)))


def of_user(tx: Tx, user_id: int, *, limit: int = 10, offset: int = 0) -> list[Job]:
    """The jobs of a user, newest first."""
    query = select(jobs).where(jobs.c.user_id == user_id).order_by(jobs.c.created_at.desc(), jobs.c.id)
    return [Job.read(row) for row in tx.rows(query.limit(limit).offset(offset))]


def open_of_user(tx: Tx, user_id: int) -> list[Job]:
    """Open jobs of a user, oldest first. Sorted here, because for sorting SQLite would read all jobs of the user."""
    query = select(jobs).where(jobs.c.user_id == user_id, IS_OPEN)
    return sorted((Job.read(row) for row in tx.rows(query)), key=lambda job: job.created_at)


def open_with_status_message(tx: Tx, *, limit: int = 500) -> list[Job]:
    """Open jobs that have a status message in the chat."""
    query = select(jobs).where(IS_OPEN, jobs.c.status_message_id.is_not(None))
    return [Job.read(row) for row in tx.rows(query.order_by(jobs.c.due_at).limit(limit))]


def ahead_in_queue(tx: Tx, job: Job) -> int:
    """How many pending jobs were confirmed before this one."""
    query = select(func.count()).where(IS_OPEN, jobs.c.status == JobStatus.PENDING, jobs.c.created_at < job.created_at)
    return int(tx.execute(query).scalar() or 0)


def pending_times(tx: Tx) -> list[int]:
    """When each pending job was confirmed, oldest first."""
    query = select(jobs.c.created_at).where(IS_OPEN, jobs.c.status == JobStatus.PENDING)
    return sorted(tx.execute(query).scalars())


def due(tx: Tx, *, limit: int = 200) -> list[Job]:
    """Open jobs whose next step is due, except videos that are polled; oldest first."""
    query = (
        select(jobs)
        .where(IS_OPEN, tx.is_due(jobs.c.due_at, FAR_MS), jobs.c.step != JobStep.WATCH)
        .order_by(jobs.c.due_at)
        .limit(limit)
    )
    return [Job.read(row) for row in tx.rows(query)]


def noted(tx: Tx, job_id: str, cause: str, *, after_attempt: int) -> int:
    """How many events of the job have this cause and a later attempt."""
    query = select(func.count()).where(
        job_events.c.job_id == job_id, job_events.c.cause == cause, job_events.c.attempt > after_attempt
    )
    return int(tx.execute(query).scalar() or 0)


# --- start ----------------------------------------------------------------------------------------


def start(tx: Tx, new: NewJob, *, max_active: int, spend_per_day: int | None = None) -> tuple[Job, bool]:
    """Reserve the price and write the job; returns the job and whether it is new.

    `spend_per_day`: micro-dollars that providers may cost in a day, None for no limit. The same id again (a double tap)
    gives the same job. Raises Banned, UnderMaintenance, SpendLimitReached, TooManyJobs, InsufficientFunds, or KeyReused
    when the id belongs to another user's job.
    """
    earlier = get(tx, new.id)
    if earlier is not None:
        if earlier.user_id != new.user_id:
            raise KeyReused(f"job {new.id} belongs to another user")
        return earlier, False
    user_rows.ensure(tx, new.user_id)
    person = user_rows.get(tx, new.user_id)
    if person is not None and person.is_banned:
        raise Banned(f"user {new.user_id}")
    if flag_rows.get(tx, flag_rows.MAINTENANCE):
        raise UnderMaintenance("new jobs are paused")
    if len(open_of_user(tx, new.user_id)) >= max_active:
        raise TooManyJobs(max_active)
    if spend_per_day is not None and spending.today(tx) + new.provider_cost > spend_per_day:
        raise SpendLimitReached("providers have cost as much as a day may")
    held = ledger.reserve(tx, new.user_id, ledger.check_amount(new.price), new.id, hold_until=tx.now + new.hold_ms)
    if held.state is not ReservationState.RESERVED:
        raise KeyReused(f"the money once held for {new.id} was charged or given back: a new job needs a new id")
    ledger.hold_until(tx, new.id, tx.now + new.hold_ms)
    step = JobStep.IMAGE if new.type in (JobType.IMAGE, JobType.EDIT) else JobStep.SUBMIT
    values = {
        "id": new.id,
        "user_id": new.user_id,
        "type": new.type,
        "model": new.model,
        "prompt": new.prompt,
        "params": json.dumps(
            {**new.params, "inputs": list(new.inputs), spending.EXPECTED: new.provider_cost}, ensure_ascii=False
        ),
        "cost_estimate": new.price,
        "created_at": tx.now,
        "step": step,
        "due_at": tx.now + REDISPATCH_MS,
        "dispatches": 1,
        "external_key": new.id if step is JobStep.SUBMIT else None,
        "chat_id": new.chat_id,
        "status_message_id": new.status_message_id,
        "parent_job_id": new.parent_job_id,
    }
    tx.execute(insert(jobs).values(**values))
    asset_rows.keep_assets(tx, new.inputs, keep_ms=2 * new.hold_ms)
    job = get_or_raise(tx, new.id)
    note_event(tx, job, "confirmed")
    return job, True


def set_status_message(tx: Tx, job_id: str, chat_id: int, message_id: int) -> None:
    tx.execute(update(jobs).where(jobs.c.id == job_id).values(chat_id=chat_id, status_message_id=message_id))


# --- dispatch and claim ---------------------------------------------------------------------------


def redispatch(tx: Tx, job: Job) -> Job | None:
    """Count one more message to the queue for a due job; None when the job has changed meanwhile."""
    moved = tx.changed(
        update(jobs)
        .where(_as_seen(job), jobs.c.due_at == job.due_at, jobs.c.dispatches == job.dispatches)
        .values(dispatches=jobs.c.dispatches + 1, due_at=tx.now + REDISPATCH_MS)
    )
    return get(tx, job.id) if moved else None


def still_waiting(tx: Tx, job: Job) -> None:
    """The job's message is still in the queue: check again later."""
    tx.execute(update(jobs).where(_as_seen(job), jobs.c.due_at == job.due_at).values(due_at=tx.now + REDISPATCH_MS))


def claim(tx: Tx, job_id: str, step: JobStep) -> Job | None:
    """Take the job for one attempt, with a lease of 30 s.

    None when another worker has it, when its next step is another one, or when it is final. All of these are normal.
    """
    moved = tx.changed(
        update(jobs)
        .where(
            jobs.c.id == job_id,
            IS_OPEN,
            jobs.c.step == step,
            or_(jobs.c.lease_until.is_(None), tx.is_due(jobs.c.lease_until, FAR_MS)),
        )
        .values(
            status=JobStatus.PROCESSING,
            attempt=jobs.c.attempt + 1,
            started_at=func.coalesce(jobs.c.started_at, tx.now),
            progress=at_least(jobs.c.progress, 10),
            lease_until=tx.now + LEASE_MS,
            due_at=tx.now + LEASE_MS,
        )
    )
    if not moved:
        return None
    job = get_or_raise(tx, job_id)
    note_event(tx, job, "claimed")
    return job


def renew(tx: Tx, job_id: str, attempt: int) -> bool:
    """Extend the lease by 30 s; False when it was lost or given up: a late renewal must not take it again."""
    return tx.changed(
        update(jobs)
        .where(held_by(job_id, attempt), jobs.c.lease_until.is_not(None))
        .values(lease_until=tx.now + LEASE_MS, due_at=tx.now + LEASE_MS)
    )


def put_back(tx: Tx, job_id: str, attempt: int, *, delay_ms: int, cause: str, failed: bool = True) -> bool:
    """Give the lease up; the step is tried again after `delay_ms`."""
    moved = tx.changed(
        update(jobs)
        .where(held_by(job_id, attempt))
        .values(lease_until=None, due_at=tx.now + delay_ms, failures=jobs.c.failures + int(failed))
    )
    if moved:
        note_event(tx, get_or_raise(tx, job_id), cause)
    return moved


# --- the end: job and money in one transaction -----------------------------------------------------


def finish(
    tx: Tx, job_id: str, attempt: int, asset: asset_rows.NewAsset, *, keep_ms: int, price: int | None = None
) -> Job | None:
    """The result is stored: complete the job, charge, post the delivery. None when the lease or the hold was lost."""
    job = get(tx, job_id)
    if job is None or job.attempt != attempt or job.status is not JobStatus.PROCESSING:
        return None
    cost = job.cost_estimate if price is None else min(price, job.cost_estimate)
    moved = tx.changed(
        update(jobs)
        .where(held_by(job_id, attempt))
        .values(
            status=JobStatus.COMPLETED,
            progress=100,
            cost_actual=cost,
            completed_at=tx.now,
            step=None,
            due_at=None,
            lease_until=None,
        )
    )
    if not moved:
        return None
    asset_rows.add_result(tx, asset, job_id, keep_ms=keep_ms)
    ledger.charge(tx, job_id, cost)
    outbox.post(tx, f"result:{job_id}", job.user_id, "result", job_id=job_id)
    done = get_or_raise(tx, job_id)
    note_event(tx, done, "stored and charged")
    return done


def fail(tx: Tx, job_id: str, code: str, *, attempt: int | None = None) -> Job | None:
    """No result will come: give the reserve back and post a message. With `attempt`, only if it still has the job."""
    return _close_unpaid(tx, job_id, JobStatus.FAILED, code, attempt=attempt)


def cancel(tx: Tx, job_id: str, user_id: int) -> Job:
    """The user cancels the job. Raises NotFound, or IllegalMove once a provider call is written down."""
    job = get(tx, job_id)
    if job is None or job.user_id != user_id:
        raise NotFound(f"job {job_id}")
    if job.status is JobStatus.CANCELLED:
        return job
    if not job.is_open or _was_called(tx, job_id):
        raise IllegalMove(f"job {job_id} can't be cancelled any more")
    cancelled = _close_unpaid(tx, job_id, JobStatus.CANCELLED, "cancelled")
    if cancelled is None:
        raise IllegalMove(f"job {job_id} can't be cancelled any more")
    return cancelled


def _was_called(tx: Tx, job_id: str) -> bool:
    return tx.row(select(provider_calls.c.id).where(provider_calls.c.job_id == job_id).limit(1)) is not None


def _close_unpaid(tx: Tx, job_id: str, status: JobStatus, code: str, *, attempt: int | None = None) -> Job | None:
    job = get(tx, job_id)
    if job is None or not job.is_open or attempt not in (None, job.attempt):
        return None
    moved = tx.changed(
        update(jobs)
        .where(_as_seen(job))
        .values(status=status, error_code=code[:100], completed_at=tx.now, step=None, due_at=None, lease_until=None)
    )
    if not moved:
        return None
    ledger.refund(tx, job_id)
    if status is JobStatus.FAILED:
        outbox.post(tx, f"failed:{job_id}", job.user_id, "failed", job_id=job_id)
    closed = get_or_raise(tx, job_id)
    note_event(tx, closed, code)
    return closed


def expire_hold(tx: Tx, job_id: str) -> bool:
    """The hold is over: give the money back, and fail the job if there is one. True if this call did it.

    A hold that a wrong clock made too long gets its normal length instead.
    """
    ledger.begin_far_hold_anew(tx, job_id)
    held = ledger.get_reservation(tx, job_id)
    if held is None or held.state is not ReservationState.RESERVED or held.hold_until > tx.now:
        return False
    job = get(tx, job_id)
    if job is not None and job.is_open:
        return fail(tx, job_id, "hold_timeout") is not None
    ledger.refund(tx, job_id)
    return True


def compensate(tx: Tx, job_id: str, cause: str, *, amount: int | None = None) -> int:
    """Give money back after the charge, once per cause; the job stays completed. Returns the kopecks given back.

    Raises NotFound for an unknown job, IllegalMove when nothing is left to give back.
    """
    job = get(tx, job_id)
    if job is None:
        raise NotFound(f"job {job_id}")
    key = f"compensation:{job_id}:{cause}"
    earlier = ledger.find_entry(tx, key)
    if earlier is not None:
        return earlier.amount
    back = _still_charged(tx, job)
    if amount is not None:
        back = min(back, ledger.check_amount(amount))
    if job.status is not JobStatus.COMPLETED or back <= 0:
        raise IllegalMove(f"job {job_id} has no charge to give back")
    entry = ledger.add_entry(tx, job.user_id, EntryKind.REFUND, back, Reason.COMPENSATION, key, job_id=job_id)
    ledger.settle_debts(tx, job.user_id, entry)
    outbox.post(tx, key, job.user_id, "compensated", job_id=job_id, payload={"amount": back, "cause": cause})
    note_event(tx, job, f"compensated: {cause}")
    return back


def _still_charged(tx: Tx, job: Job) -> int:
    given = select(func.coalesce(func.sum(entries.c.amount), 0)).where(
        entries.c.job_id == job.id, entries.c.reason == Reason.COMPENSATION
    )
    return (job.cost_actual or 0) - int(tx.execute(given).scalar() or 0)


def asset_deleted(tx: Tx, asset_id: str, *, end: int | None = None) -> bool:
    """Its file is to be deleted. A result that was never delivered is paid back in the same transaction.

    `end`: its `expires_at` as the caller read it. False when that has changed since, or was of a wrong clock and is
    corrected now: then the file stays.
    """
    asset = asset_rows.get_asset(tx, asset_id)
    if end is not None and (asset.expires_at != end or asset_rows.begin_far_anew(tx, asset)):
        return False
    if not asset_rows.mark_deleted(tx, asset_id):
        return True
    job = get(tx, asset.job_id) if asset.job_id and asset.role == "result" else None
    if job is not None and job.delivered_at is None and not job.legacy and _still_charged(tx, job) > 0:
        compensate(tx, job.id, "undelivered")
    return True


# --- helpers, some of them for the other modules of jobs -------------------------------------------


def get_or_raise(tx: Tx, job_id: str) -> Job:
    job = get(tx, job_id)
    if job is None:
        raise NotFound(f"job {job_id}")
    return job


def at_least(column: Any, value: int) -> Any:
    """The greater of a column and a number, in SQL that both SQLite and PostgreSQL understand."""
    return case((column < value, value), else_=column)


def held_by(job_id: str, attempt: int) -> Any:
    """The condition that this attempt still has the job."""
    return and_(jobs.c.id == job_id, jobs.c.attempt == attempt, jobs.c.status == JobStatus.PROCESSING)


def _as_seen(job: Job) -> Any:
    same = {name: getattr(job, name) for name in ("id", "status", "attempt", "step")}
    return and_(*(jobs.c[name] == value for name, value in same.items()))


def note_event(tx: Tx, job: Job, cause: str) -> None:
    """Write an event row for a change of the job, in the same transaction."""
    values = {"job_id": job.id, "status": job.status, "step": job.step, "attempt": job.attempt, "cause": cause[:200]}
    tx.execute(insert(job_events).values(**values, at=tx.now))
