"""Images: call the provider, check and store the bytes, then charge and complete the job in one transaction."""

from __future__ import annotations

import asyncio
from functools import partial

from database import assets as asset_rows
from database import clock
from database import jobs as job_rows
from database import provider_calls as call_rows
from database.models import Job, JobStep
from services.base_provider import (
    Blame,
    ErrorCode,
    Failure,
    ImageProvider,
    ImageRequest,
    ImageResult,
    Photo,
    ProviderError,
)
from services.catalogue import ImageModel, UnknownModel
from services.job_context import JobContext
from services.job_failures import fail, fail_for, fail_unmade
from services.media.inspect import BadMedia, fit_photos, inspect_image
from services.media.store import AssetNotFound
from workers.paid_call import PaidCall
from workers.step import again_later, complete, run_step, time_left

_SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp"}


async def run(job_id: str) -> None:
    """The step "image" of a job. The queue may call it any number of times."""
    await run_step(job_id, JobStep.IMAGE, _make_image)


async def _make_image(ctx: JobContext, job: Job) -> None:
    try:
        model = ctx.catalogue.image(job.model)
    except UnknownModel:
        await fail_unmade(ctx, job, ErrorCode.MODEL_GONE)
        return
    provider = ctx.providers.image(model.provider)
    if provider is None:
        await fail_unmade(ctx, job, ErrorCode.KEY_INVALID)
        return
    photos = await load_photos(ctx, job)
    if photos is None:
        await fail(ctx, job, "photo_gone")
        return
    request = model.request(job.prompt, ratio=job.params.get("ratio"), size=job.params.get("size"), photos=photos)
    if not await _may_call(ctx, job, model.max_unknown_repeats, request.timeout):
        await fail(ctx, job, "unknown_outcome")
        return
    call = partial(_generate, ctx, job, provider, model, request)
    try:
        result = await provider.generate_with_retry(call, policy=ctx.catalogue.retries.image.policy)
        await _store(ctx, job, result)
    except ProviderError as error:
        if error.failure is Failure.PERMANENT:
            await fail_for(ctx, job, error, provider.name, model.key)
        elif error.failure is Failure.TEMPORARY:
            await again_later(ctx, job, error, provider.name, model.key)
        else:
            await _lost(ctx, job, error, provider.name, model, request.timeout)


async def _generate(
    ctx: JobContext, job: Job, provider: ImageProvider, model: ImageModel, request: ImageRequest
) -> ImageResult:
    """One paid call. Each try of a retry is one of these, with a row of its own."""
    paid = await PaidCall.begin(ctx, job, provider.name, model.key)
    try:
        result = await provider.generate(request)
    except ProviderError as error:
        await paid.failed(error)
        raise
    await paid.succeeded(result.cost_micro_usd)
    return result


async def _may_call(ctx: JobContext, job: Job, repeats: int, seconds: float) -> bool:
    """Whether it is a first call, or a repeat that is still allowed and ends before the hold does."""
    spent = await ctx.db.read(call_rows.spent_calls, job.id)
    return spent == 0 or (spent <= repeats and seconds < await time_left(ctx, job))


async def _lost(
    ctx: JobContext, job: Job, error: ProviderError, provider: str, model: ImageModel, seconds: float
) -> None:
    """The image may be made and billed, but we don't have it: call once more without charging for it, then give up."""
    if not await _may_call(ctx, job, model.max_unknown_repeats, seconds):
        await fail_for(ctx, job, error, provider, model.key)
        return
    await ctx.db.write(job_rows.put_back, job.id, job.attempt, delay_ms=0, cause=f"lost: {error.code.value}")


async def load_photos(ctx: JobContext, job: Job) -> tuple[Photo, ...] | None:
    """The photos of the order, in order, small enough for one request; None when one of them is deleted."""
    wanted = tuple(job.params.get("inputs", ()))
    found = await ctx.db.read(asset_rows.get_assets, wanted)
    if len(found) != len(wanted):
        return None
    try:
        photos = [Photo(await ctx.assets.get(asset.store_key), asset.mime) for asset in found]
    except AssetNotFound:
        return None
    limits = ctx.catalogue.limits
    return await asyncio.to_thread(fit_photos, photos, total_bytes=limits.body_bytes, max_side=limits.photo_side)


async def _store(ctx: JobContext, job: Job, result: ImageResult) -> None:
    """Check, store and fsync the bytes; only then is anything charged."""
    limits = ctx.catalogue.limits
    try:
        info = await asyncio.to_thread(
            inspect_image, result.data, max_bytes=limits.picture_bytes, max_pixels=limits.picture_pixels
        )
    except BadMedia as bad:
        # Paid for and unusable: for the user that is the same as a lost answer.
        raise ProviderError(ErrorCode.BAD_RESULT, Failure.UNKNOWN, Blame.PROVIDER, str(bad)) from bad
    stored = await ctx.assets.put(result.data, suffix=_SUFFIXES.get(info.mime, ".bin"))
    asset = asset_rows.NewAsset(
        id=clock.token(8),
        user_id=job.user_id,
        store_key=stored.key,
        sha256=stored.sha256,
        mime=info.mime,
        size=stored.size,
        width=info.width,
        height=info.height,
    )
    await complete(ctx, job, asset)
