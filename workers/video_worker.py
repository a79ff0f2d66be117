"""Videos: submit the order to the provider, and later download the video. In between no process waits for it.

Before any second submit the task is searched at the provider by our own id, which was in the row before the first
submit. So one order is one task, even if a process died in between.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from database import assets as asset_rows
from database import clock
from database import jobs as job_rows
from database import provider_calls as call_rows
from database import video_jobs as video_rows
from database.models import CallOutcome, Job, JobStep, ProviderCall
from services.base_provider import Blame, ErrorCode, Failure, ProviderError, VideoProvider, VideoRequest, VideoTask
from services.catalogue import UnknownModel, VideoModel
from services.common.log import event
from services.job_context import JobContext
from services.job_failures import fail, fail_for, fail_unmade
from services.media.inspect import BadMedia, inspect_video
from workers.image_worker import load_photos
from workers.paid_call import PaidCall
from workers.step import again_later, asked_pause, complete, run_step, time_left

FIRST_POLL_MS = 10_000
SEARCH_PAUSES_MS = (2_000, 10_000, 30_000)
SEARCH_SECONDS = 42.0  # a task that is not found for so long after the call's end did not arrive
ACCEPTED_SECONDS = 600.0  # the same when the provider had accepted the task
SUBMIT_SECONDS = 75.0  # a call whose worker was killed may have taken this long
NOT_FOUND = "not found yet"
SHORTEST_VIDEO_SECONDS = 300.0  # a video is not submitted when less than this is left of its hold
MAX_FETCHES = 8  # tries to download a finished video, each with a fresh address

_log = logging.getLogger(__name__)


async def submit(job_id: str) -> None:
    """The step "submit" of a job. The queue may call it any number of times."""
    await run_step(job_id, JobStep.SUBMIT, _submit)


async def finish(job_id: str) -> None:
    """The step "finish" of a job: download the video, check and store it, charge."""
    await run_step(job_id, JobStep.FINISH, _finish)


async def _submit(ctx: JobContext, job: Job) -> None:
    found = _model(ctx, job)
    if found is None:
        await fail_unmade(ctx, job, ErrorCode.MODEL_GONE)
        return
    model, provider = found
    if provider is None:
        await fail_unmade(ctx, job, ErrorCode.KEY_INVALID)
        return
    # Accepted calls count as well: the task's id is not in the row, so it must be found and not bought again.
    doubts = [call for call in await ctx.db.read(call_rows.of_job, job.id) if call.outcome is not CallOutcome.REFUSED]
    if doubts and not await _search(ctx, job, provider, doubts):
        return
    await _send(ctx, job, model, provider)


async def _search(ctx: JobContext, job: Job, provider: VideoProvider, doubts: Sequence[ProviderCall]) -> bool:
    """Search the task of an earlier submit. True when the submit certainly did not arrive and may be repeated."""
    key, last = job.external_key or job.id, doubts[-1]
    accepted = any(call.outcome is CallOutcome.OK for call in doubts)
    try:
        task = (await provider.find([key])).get(key)
    except ProviderError as error:
        # A search that failed says nothing about the task.
        await ctx.alert_provider_fault(error, provider.name, job.model)
        pause = asked_pause(error, SEARCH_PAUSES_MS[1])
        await ctx.db.write(job_rows.put_back, job.id, job.attempt, delay_ms=pause, cause=f"search: {error.code.value}")
        return False
    if task is not None:
        await ctx.db.write(call_rows.resolve_calls, job.id, CallOutcome.OK, code="found")
        await _accepted(ctx, job, task)
        return False
    earlier = await ctx.db.read(job_rows.noted, job.id, NOT_FOUND, after_attempt=last.attempt)
    ended = last.ended_at / 1000 if last.ended_at is not None else last.started_at / 1000 + SUBMIT_SECONDS
    if earlier + 1 < len(SEARCH_PAUSES_MS) or clock.now() - ended < (ACCEPTED_SECONDS if accepted else SEARCH_SECONDS):
        pause = SEARCH_PAUSES_MS[min(earlier, len(SEARCH_PAUSES_MS) - 1)]
        await ctx.db.write(job_rows.put_back, job.id, job.attempt, delay_ms=pause, cause=NOT_FOUND)
        return False
    if accepted:
        # The provider accepted the task and can't find it: the money goes back, and nothing is bought twice.
        await fail(ctx, job, "unknown_outcome")
        return False
    await ctx.db.write(call_rows.resolve_calls, job.id, CallOutcome.REFUSED, code="never_arrived")
    return True


async def _send(ctx: JobContext, job: Job, model: VideoModel, provider: VideoProvider) -> None:
    if await time_left(ctx, job) < min(SHORTEST_VIDEO_SECONDS, ctx.catalogue.holds.video / 2):
        await fail(ctx, job, "hold_timeout")
        return
    photos = await load_photos(ctx, job)
    if photos is None:
        await fail(ctx, job, "photo_gone")
        return
    request = model.request(
        job.prompt,
        duration=int(job.params["duration"]),
        resolution=str(job.params["resolution"]),
        external_id=job.external_key or job.id,
        ratio=job.params.get("ratio"),
        audio=bool(job.params.get("audio")),
        photo=photos[0] if photos else None,
        callback_url=callback_url(ctx.settings.public_url),
    )
    call = partial(_submit_task, ctx, job, provider, model, request)
    try:
        task = await provider.generate_with_retry(call, policy=ctx.catalogue.retries.submit.policy)
    except ProviderError as error:
        doubt = error.failure is Failure.UNKNOWN or error.code is ErrorCode.DUPLICATE_TASK
        if doubt:
            pause = asked_pause(error, SEARCH_PAUSES_MS[0])
            await ctx.db.write(
                job_rows.put_back, job.id, job.attempt, delay_ms=pause, cause=f"lost: {error.code.value}"
            )
        elif error.failure is Failure.PERMANENT:
            await fail_for(ctx, job, error, provider.name, model.key)
        else:
            await again_later(ctx, job, error, provider.name, model.key)
        return
    await _accepted(ctx, job, task)


async def _submit_task(
    ctx: JobContext, job: Job, provider: VideoProvider, model: VideoModel, request: VideoRequest
) -> VideoTask:
    """One paid call. Each try of a retry is one of these, with a row of its own."""
    paid = await PaidCall.begin(ctx, job, provider.name, model.key)
    try:
        task = await provider.submit(request)
    except ProviderError as error:
        await paid.failed(error)
        raise
    await paid.succeeded(cost_micro_usd=0)  # the bill comes with the finished task
    return task


async def _accepted(ctx: JobContext, job: Job, task: VideoTask) -> None:
    moved = await ctx.db.write(video_rows.submitted, job.id, job.attempt, external_id=task.id, poll_in_ms=FIRST_POLL_MS)
    event(_log, "clip.submitted" if moved else "clip.ownerless", external_id=task.id)


async def _finish(ctx: JobContext, job: Job) -> None:
    model, provider = _model(ctx, job) or (None, None)
    url = job.external_url
    if model is None or provider is None or not url:
        await fail_unmade(ctx, job, ErrorCode.MODEL_GONE if model is None else ErrorCode.KEY_INVALID)
        return
    try:
        fetch = partial(provider.download, url)
        data = await provider.generate_with_retry(fetch, policy=ctx.catalogue.retries.download.policy)
    except ProviderError as error:
        await _fetch_again(ctx, job, error, provider.name)
        return
    try:
        info = await asyncio.to_thread(inspect_video, data)
    except BadMedia as bad:
        broken = ProviderError(ErrorCode.BAD_RESULT, Failure.TEMPORARY, Blame.PROVIDER, str(bad))
        await _fetch_again(ctx, job, broken, provider.name)
        return
    stored = await ctx.assets.put(data, suffix=".mp4")
    asset = asset_rows.NewAsset(
        id=clock.token(8),
        user_id=job.user_id,
        store_key=stored.key,
        sha256=stored.sha256,
        mime="video/mp4",
        size=stored.size,
        width=info.width,
        height=info.height,
        duration_ms=info.duration_ms,
    )
    await complete(ctx, job, asset)


async def _fetch_again(ctx: JobContext, job: Job, error: ProviderError, provider: str) -> None:
    """The video exists and is paid for: get a fresh address and try again, up to `MAX_FETCHES` times."""
    if job.failures + 1 >= MAX_FETCHES:
        await fail_for(ctx, job, error, provider, job.model)
        return
    await ctx.db.write(video_rows.return_to_polling, job.id, job.attempt, cause=f"fetch: {error.code.value}")


def _model(ctx: JobContext, job: Job) -> tuple[VideoModel, VideoProvider | None] | None:
    try:
        model = ctx.catalogue.video(job.model)
    except UnknownModel:
        return None
    return model, ctx.providers.video(model.provider)


def callback_url(public_url: str | None) -> str | None:
    """The address where the provider reports changes; None without a public address: then tasks are only polled."""
    return f"{public_url}/webhooks/kling" if public_url else None
