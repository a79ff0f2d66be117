"""The calls of providers for jobs: the intent before each call, its outcome, and what the newest calls show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Select, and_, func, insert, or_, select, update

from database import jobs as job_rows
from database import spending
from database.engine import Tx
from database.rows import ProviderCall, RecentCall
from database.schema import jobs, provider_calls
from database.states import CallOutcome, JobStatus

RECENT_CALLS = 1_000  # of all models
RECENT_OF_A_MODEL = 30


def of_job(tx: Tx, job_id: str) -> list[ProviderCall]:
    """All calls for a job, oldest first."""
    query = select(provider_calls).where(provider_calls.c.job_id == job_id).order_by(provider_calls.c.id)
    return [ProviderCall.read(row) for row in tx.rows(query)]


def recent_query(now_ms: int, provider: str, model: str) -> Select[Any]:
    """The newest calls of a provider's model, newest first.

    It reads only the last `RECENT_CALLS` calls of all models, so a large table does not slow it down. Older calls say
    nothing about the provider's present state.
    """
    c = provider_calls.c
    newest = select(func.max(c.id)).scalar_subquery()
    is_running = and_(
        c.outcome.is_(None),
        jobs.c.status == JobStatus.PROCESSING,
        jobs.c.attempt == c.attempt,
        jobs.c.lease_until.between(now_ms + 1, now_ms + job_rows.FAR_MS),
    )
    return (
        select(c.outcome, c.code, c.started_at, c.ended_at, func.coalesce(is_running, 0).label("is_running"))
        .join_from(provider_calls, jobs, jobs.c.id == c.job_id)
        .where(c.id > newest - RECENT_CALLS, c.provider == provider, c.model == model)
        .order_by(c.id.desc())
        .limit(RECENT_OF_A_MODEL)
    )


def recent_calls(tx: Tx, provider: str, model: str) -> list[RecentCall]:
    """The newest calls of a provider's model, newest first."""
    return [RecentCall.read(row) for row in tx.rows(recent_query(tx.now, provider, model))]


def begin_call(
    tx: Tx,
    job_id: str,
    attempt: int,
    *,
    provider: str,
    model: str,
    open_circuit: Callable[[Sequence[RecentCall], int], Exception | None] | None = None,
) -> int | None:
    """Write the intent down before the provider is called; None when the lease is lost and no call may be made.

    Raises the error that `open_circuit` returns for the newest calls and the time. It is asked in this transaction, so
    that of two workers at the same time the second one sees the intent of the first.
    """
    held = tx.row(select(jobs.c.id).where(job_rows.held_by(job_id, attempt), jobs.c.lease_until > tx.now))
    if held is None:
        return None
    if open_circuit is not None and (why := open_circuit(recent_calls(tx, provider, model), tx.now)) is not None:
        raise why
    values = {"job_id": job_id, "attempt": attempt, "provider": provider, "model": model, "started_at": tx.now}
    return int(tx.execute(insert(provider_calls).values(**values).returning(provider_calls.c.id)).scalar_one())


def end_call(tx: Tx, call_id: int, outcome: CallOutcome, *, code: str | None = None, cost_micro_usd: int = 0) -> None:
    """Write the outcome of a call. If it has one already, that one stays."""
    ended = tx.changed(
        update(provider_calls)
        .where(provider_calls.c.id == call_id, provider_calls.c.outcome.is_(None))
        .values(outcome=outcome, code=code, cost_micro_usd=cost_micro_usd, ended_at=tx.now)
    )
    if ended:
        spending.add(tx, cost_micro_usd)


def spent_calls(tx: Tx, job_id: str) -> int:
    """How many calls were, or may have been, done and billed. For an open job their results were lost."""
    query = select(func.count()).where(
        provider_calls.c.job_id == job_id,
        or_(provider_calls.c.outcome.is_(None), provider_calls.c.outcome != CallOutcome.REFUSED),
    )
    return int(tx.execute(query).scalar() or 0)


def resolve_calls(tx: Tx, job_id: str, outcome: CallOutcome, *, code: str) -> None:
    """Set the outcome of the calls whose outcome was unknown, after the provider was asked about them."""
    tx.execute(
        update(provider_calls)
        .where(
            provider_calls.c.job_id == job_id,
            or_(provider_calls.c.outcome.is_(None), provider_calls.c.outcome == CallOutcome.UNKNOWN),
        )
        .values(outcome=outcome, code=code, ended_at=tx.now)
    )


def record_cost(tx: Tx, job_id: str, cost_micro_usd: int) -> None:
    """Write down what the provider billed for the task that it accepted."""
    accepted = (provider_calls.c.job_id == job_id, provider_calls.c.outcome == CallOutcome.OK)
    before = tx.rows(select(provider_calls.c.cost_micro_usd).where(*accepted))
    tx.execute(update(provider_calls).where(*accepted).values(cost_micro_usd=cost_micro_usd))
    spending.add(tx, sum(cost_micro_usd - int(row["cost_micro_usd"]) for row in before))
