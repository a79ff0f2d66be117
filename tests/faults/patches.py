"""What a child process may be made to do otherwise: a knob no story can reach, and bugs that the harness must see."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from database import assets as asset_rows
from database import jobs as job_rows
from database import outbox
from database.models import Job, OutboxItem, Tx
from services.job_context import JobContext
from services.messaging.notifier import Notifier
from workers import runtime, step, video_worker


def hasty_renewal() -> None:
    """The lease is renewed every 0.2 s, so that a short drawing outlives a renewal."""
    runtime.RENEW_SECONDS = 0.2


# --- bugs -------------------------------------------------------------------------------------------


def forgetful_finish() -> None:
    """The charge and the owed delivery in two transactions."""

    async def complete(ctx: JobContext, job: Job, asset: asset_rows.NewAsset) -> Job | None:
        done = await ctx.db.write(finish_silently, job.id, job.attempt, asset, keep_ms=ctx.keep_ms)
        if done is not None:
            await ctx.db.write(owe, job)
        return done

    step._complete = complete


def finish_silently(tx: Tx, *args: Any, **kwargs: Any) -> Job | None:
    job_rows.outbox = SimpleNamespace(post=lambda *_, **__: None)  # type: ignore[assignment]
    try:
        return job_rows.finish(tx, *args, **kwargs)
    finally:
        job_rows.outbox = outbox


def owe(tx: Tx, job: Job) -> None:
    outbox.post(tx, f"result:{job.id}", job.user_id, "result", job_id=job.id)


def sent_first() -> None:
    """A message is noted as sent before it is."""
    attempt = Notifier._attempt

    async def early(self: Notifier, item: OutboxItem) -> None:
        await self._db.write(outbox.sent, item.id)
        await attempt(self, item)

    Notifier._attempt = early  # type: ignore[method-assign]


def blind_submit() -> None:
    """A clip is submitted anew under another name, without looking whether the first submit arrived."""

    async def nothing(*_: Any) -> bool:
        return True

    video_worker._search = nothing
    start = job_rows.claim

    def renamed(tx: Tx, job_id: str, wanted: Any) -> Job | None:
        from dataclasses import replace

        job = start(tx, job_id, wanted)
        return job and replace(job, external_key=f"{job.id}-{job.attempt}")

    renamed.__module__, renamed.__qualname__ = start.__module__, start.__qualname__
    job_rows.claim = renamed
