"""What admins do about a job: read its story, and give its money back."""

from __future__ import annotations

import json
from typing import Final

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import Message

from database import admin
from database import jobs as job_rows
from database import provider_calls as call_rows
from database.models import Database, IllegalMove, Job, JobStatus, NotFound, ProviderCall, Tx, User
from handlers.chat import NO_LIMIT
from handlers.views.localizer import Localizer
from services.messaging.telegram import cut

router = Router(name="jobs")

MAX_CALLS: Final = 10
_EVENTS: Final = {
    "confirmed": "confirmed",
    "claimed": "claimed",
    "submitted": "submitted",
    "rendered": "rendered",
    "stored and charged": "stored",
    "crashed": "crashed",
    "cut off": "cut-off",
    "not found yet": "not-found",
    "lost": "lost",
    "search": "search",
    "fetch": "fetch",
    "compensated": "compensated",
    "cancelled": "cancelled",
    "refunded_by_admin": "refunded",
    "hold_timeout": "timeout",
}


@router.message(Command("job"), flags=NO_LIMIT)
async def job_story(message: Message, command: CommandObject, person: User, localizer: Localizer, db: Database) -> None:
    """Show the job with this id, what happened to it and which provider calls were made."""
    wanted = (command.args or "").strip()
    if not wanted:
        await message.answer(localizer.t("admin-usage-job"))
        return

    def read(tx: Tx) -> tuple[Job | None, list[tuple[int, str, str]], list[ProviderCall]]:
        admin.log(tx, person.id, "job", wanted[:100])
        return job_rows.get(tx, wanted), admin.job_events_of(tx, wanted), call_rows.of_job(tx, wanted)

    job, events, calls = await db.write(read)
    if job is None:
        await message.answer(localizer.t("admin-not-found"))
        return
    await message.answer(_story(localizer, job, events, calls))


def _event(localizer: Localizer, status: JobStatus, cause: str) -> str:
    """An event of a job in words. An unknown cause is shown as it is."""
    known, _, code = cause.partition(": ")
    text = _EVENTS.get(known)
    if text is None:
        text, code = "failed" if status is JobStatus.FAILED else "again", cause
    return cut(localizer.plain(f"job-event-{text}", code=code), 60)


def _story(localizer: Localizer, job: Job, events: list[tuple[int, str, str]], calls: list[ProviderCall]) -> str:
    """The text of the answer (HTML). An event is (UTC time in ms, status, cause)."""
    lines = [
        localizer.t(
            "admin-job",
            id=job.id,
            kind=localizer.plain(f"kind-{job.type}"),
            model=job.model,
            status=localizer.plain(f"admin-jobs-{job.status}"),
            user=str(job.user_id),
            price=localizer.rubles(job.cost_estimate),
            charged=localizer.rubles(job.cost_actual or 0),
            error=job.error_code or "–",
            delivered=localizer.when(job.delivered_at) if job.delivered_at else "–",
            params=cut(json.dumps(dict(job.params), ensure_ascii=False), 400),
            prompt=cut(job.prompt, 800) or "–",
        ),
        localizer.t("admin-job-events"),
        *(
            localizer.t(
                "statement-line",
                when=localizer.when(at),
                amount=localizer.plain(f"admin-jobs-{status}"),
                what=_event(localizer, JobStatus(status), cause),
            )
            for at, status, cause in events
        ),
    ]
    if calls:
        lines.append(localizer.t("admin-job-calls"))
    for call in calls[:MAX_CALLS]:
        lines.append(
            localizer.t(
                "admin-job-call",
                model=call.model,
                outcome=call.outcome.value if call.outcome else "…",
                code=call.code or "",
                cost=localizer.dollars(call.cost_micro_usd),
            )
        )
    return "\n".join(lines)


@router.message(Command("refund"), flags=NO_LIMIT)
async def refund(message: Message, command: CommandObject, person: User, localizer: Localizer, db: Database) -> None:
    """Give the money of a job back, once: an open job fails, a completed one is compensated."""
    job_id, _, note = (command.args or "").strip().partition(" ")
    if not job_id:
        await message.answer(localizer.t("admin-usage-refund"))
        return
    try:
        back = await db.write(admin.refund_job, person.id, job_id, note=note.strip()[:200])
    except NotFound:
        await message.answer(localizer.t("admin-not-found"))
    except IllegalMove:
        await message.answer(localizer.t("admin-refund-impossible"))
    else:
        amount = localizer.rubles(back.amount)
        if back.new:
            await message.answer(localizer.t("admin-refunded", amount=amount, id=job_id))
        else:
            when = localizer.when(back.at)
            await message.answer(localizer.t("admin-refunded-before", amount=amount, id=job_id, when=when))
