"""How a process under test may be changed before it begins: one setting, and bugs that the harness must see."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest import mock

from database import assets as asset_rows
from database import jobs as job_rows
from database import outbox
from database.models import Job, JobStep, OutboxItem, Tx
from services.job_context import JobContext
from services.messaging.notifier import Notifier
from tests.faults.override import override
from workers import runtime, step, video_worker


def renew_leases_often() -> None:
    """A lease is renewed every 0.2 s, so that a short call of a provider takes longer than that."""
    override(runtime, "RENEW_SECONDS", 0.2)


# --- bugs -------------------------------------------------------------------------------------------


def finish_in_two_transactions() -> None:
    """The charge, and only then the message that is owed."""

    async def complete(ctx: JobContext, job: Job, asset: asset_rows.NewAsset) -> Job | None:
        done = await ctx.db.write(finish_without_message, job.id, job.attempt, asset, keep_ms=ctx.keep_ms)
        if done is not None:
            await ctx.db.write(owe_message, job)
        return done

    override(step, "_complete", complete)


def finish_without_message(tx: Tx, /, job_id: str, attempt: int, asset: asset_rows.NewAsset, **more: Any) -> Job | None:
    with mock.patch.object(job_rows, "outbox", SimpleNamespace(post=lambda *_, **__: None)):
        return job_rows.finish(tx, job_id, attempt, asset, **more)


def owe_message(tx: Tx, job: Job) -> None:
    outbox.post(tx, f"result:{job.id}", job.user_id, "result", job_id=job.id)


def mark_as_sent_before_sending() -> None:
    """A message is recorded as sent before it is."""
    attempt = Notifier._attempt

    async def early(self: Notifier, item: OutboxItem) -> None:
        await self._db.write(outbox.sent, item.id)
        await attempt(self, item)

    override(Notifier, "_attempt", early)


def submit_without_search() -> None:
    """A video is submitted again under another name, without a search for the first one."""
    claim = job_rows.claim

    async def nothing_found(*_: object) -> bool:
        return True

    def renamed(tx: Tx, job_id: str, wanted: JobStep) -> Job | None:
        job = claim(tx, job_id, wanted)
        return job and replace(job, external_key=f"{job.id}-{job.attempt}")

    renamed.__module__, renamed.__qualname__ = claim.__module__, claim.__qualname__
    override(video_worker, "_search", nothing_found)
    override(job_rows, "claim", renamed)
