"""Turns drafts into jobs: price, checks, start and cancel, and the queue message for the next step of a job."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal, cast

from database import assets as asset_rows
from database import clock, outbox
from database import jobs as job_rows
from database import provider_calls as call_rows
from database.models import Asset, Database, Draft, Job, JobStatus, JobStep, JobType, SpendLimitReached
from database.spending import EXPECTED
from services.base_provider import Failure
from services.catalogue import Catalogue, Limits, UnknownModel
from services.common.log import event
from services.errors import BadDraft
from services.media.inspect import BadMedia, MediaFault, check_sides
from services.pricing import (
    Quote,
    normalise_image_options,
    normalise_video_options,
    quote_image,
    quote_video,
)
from services.providers.circuit_breaker import open_circuit
from services.queue import Queue, Step, StepName

Stage = Literal["queued", "working", "submitting", "rendering", "saving", "done", "failed", "cancelled"]

FROM_PHOTOS = (JobType.EDIT, JobType.ANIMATE)

_log = logging.getLogger(__name__)


def stage(job: Job) -> Stage:
    """How far the job is, as the live message shows it."""
    if job.status is JobStatus.COMPLETED:
        return "done"
    if job.status is JobStatus.FAILED:
        return "failed"
    if job.status is JobStatus.CANCELLED:
        return "cancelled"
    if job.status is JobStatus.PENDING:
        return "queued"
    match job.step:
        case JobStep.SUBMIT:
            return "submitting"
        case JobStep.WATCH:
            return "rendering"
        case JobStep.FINISH:
            return "saving"
        case _:
            return "working"


def message_of(job: Job) -> Step:
    """The queue message for the current step of an open job. Each dispatch of a step has an id of its own.

    Raises ValueError for a job that has no step for a worker.
    """
    if job.step is None or job.step is JobStep.WATCH:
        raise ValueError(f"job {job.id} has no step for a worker")
    name = cast(StepName, job.step.value)
    return Step(name=name, job_id=job.id, message_id=f"{job.id}-{name}-{job.dispatches}")


def quote(catalogue: Catalogue, draft: Draft) -> Quote:
    """The price (kopecks) of the draft with the nearest options that its model has.

    Raises BadDraft for a model that is no longer sold.
    """
    options = draft.params
    try:
        if draft.type.is_image:
            image = catalogue.image(draft.model)
            photos = min(len(draft.inputs), image.max_photos)
            image_options = normalise_image_options(
                image, ratio=options.get("ratio"), size=options.get("size"), photos=photos
            )
            return quote_image(catalogue, image.key, image_options, photos=photos)
        video = catalogue.video(draft.model)
    except UnknownModel as error:
        raise BadDraft("unknown_model") from error
    video_options = normalise_video_options(
        video,
        duration=options.get("duration"),
        resolution=options.get("resolution"),
        ratio=options.get("ratio"),
        audio=bool(options.get("audio")),
        photo=draft.type is JobType.ANIMATE,
    )
    return quote_video(catalogue, video.key, video_options)


def draft_of(job: Job) -> Draft:
    """A draft like the one that the job came from, to be priced or opened again. It has no id and is not stored."""
    return Draft(
        id="",
        user_id=job.user_id,
        chat_id=job.chat_id or job.user_id,
        message_id=None,
        type=job.type,
        model=job.model,
        prompt=job.prompt,
        params={name: value for name, value in job.params.items() if name not in ("inputs", EXPECTED)},
        inputs=tuple(job.params.get("inputs") or ()),
        parent_job_id=job.id,
        revision=0,
        created_at=job.created_at,
        updated_at=job.created_at,
    )


def prompt_limit(catalogue: Catalogue, type: JobType, model: str) -> int:
    """How many characters a prompt for this model may have."""
    if type.is_image:
        return catalogue.limits.prompt_chars
    try:
        return min(catalogue.limits.prompt_chars, catalogue.video(model).prompt_chars)
    except UnknownModel:
        return catalogue.limits.prompt_chars


def video_photo_fault(photo: Asset, limits: Limits) -> MediaFault | None:
    """Why a video can't begin with this stored photo (too small, too narrow); None when it can."""
    try:
        check_sides(
            photo.width, photo.height, min_side=limits.video_photo_min_side, max_aspect=limits.video_photo_max_aspect
        )
    except BadMedia as error:
        return error.code
    return None


class Jobs:
    """Starts and cancels jobs.

    `max_active`: open jobs that a person may have at a time. `images_on`, `videos_on`: what this installation has a key
    for. `spend_per_day`: micro-dollars that providers may cost from one midnight UTC to the next, None for no limit.
    `admins`: their Telegram ids.
    """

    def __init__(
        self,
        db: Database,
        queue: Queue,
        catalogue: Catalogue,
        *,
        max_active: int,
        images_on: bool = True,
        videos_on: bool = True,
        spend_per_day: int | None = None,
        admins: Sequence[int] = (),
    ) -> None:
        self._db = db
        self._queue = queue
        self._catalogue = catalogue
        self._max_active = max_active
        self._images_on = images_on
        self._videos_on = videos_on
        self._spend_per_day = spend_per_day
        self._admins = admins

    def quote(self, draft: Draft) -> Quote:
        """Price (kopecks) and normalised options of a draft. Raises BadDraft."""
        return quote(self._catalogue, draft)

    async def start(self, draft: Draft, *, chat_id: int, status_message_id: int | None) -> Job:
        """Reserve the price, write the job and send its first step to the queue.

        The draft's id becomes the job's id, so a second call for the same draft returns the same job. The live message
        of the job is `status_message_id` in `chat_id`, None when it is not sent yet.
        Raises BadDraft, Banned, UnderMaintenance, SpendLimitReached, TooManyJobs, InsufficientFunds, KeyReused.
        """
        earlier = await self._db.read(job_rows.get, draft.id)
        if earlier is not None and earlier.user_id == draft.user_id:
            return earlier
        quoted = await self._validated_quote(draft)
        holds = self._catalogue.holds
        new_job = job_rows.NewJob(
            id=draft.id,
            user_id=draft.user_id,
            type=draft.type,
            model=draft.model,
            prompt=draft.prompt.strip(),
            params=quoted.params,
            price=quoted.price,
            hold_ms=int(1000 * (holds.image if draft.type.is_image else holds.video)),
            chat_id=chat_id,
            status_message_id=status_message_id,
            parent_job_id=draft.parent_job_id,
            inputs=draft.inputs,
            provider_cost=quoted.cost_micro_usd,
        )
        try:
            job, is_new = await self._db.write(
                job_rows.start, new_job, max_active=self._max_active, spend_per_day=self._spend_per_day
            )
        except SpendLimitReached:
            await self._alert_spend_limit()
            raise
        if is_new:
            event(_log, "job.started", job_id=job.id, user_id=job.user_id, type=job.type, price=job.cost_estimate)
            await self._queue.submit(message_of(job))
        return job

    async def _alert_spend_limit(self) -> None:
        """Tell the admins, once a day. Nothing was reserved; the caller tells the person."""
        event(_log, "spend.limit_reached", level=logging.ERROR, micro_usd=self._spend_per_day)
        day, limit = clock.now_ms() // clock.DAY_MS, (self._spend_per_day or 0) / 1_000_000
        await self._db.write(outbox.alert_admins, self._admins, f"spend:{day}", "alert-spend", limit=f"{limit:.2f}")

    async def cancel(self, job_id: str, user_id: int) -> Job:
        """Cancel a person's own job as long as no provider was called; the reserve goes back.

        Raises NotFound, and IllegalMove when it is too late.
        """
        job = await self._db.write(job_rows.cancel, job_id, user_id)
        event(_log, "job.cancelled", job_id=job_id, user_id=user_id)
        return job

    async def _validated_quote(self, draft: Draft) -> Quote:
        """The quote of a draft that can be started. Raises BadDraft."""
        quoted = self.quote(draft)
        if not (self._images_on if draft.type.is_image else self._videos_on):
            raise BadDraft("provider_off")
        await self._check_circuit(draft)
        prompt = draft.prompt.strip()
        if not prompt and draft.type is not JobType.ANIMATE:
            raise BadDraft("prompt_missing")
        if len(prompt) > prompt_limit(self._catalogue, draft.type, draft.model):
            raise BadDraft("prompt_too_long")
        if draft.type in FROM_PHOTOS:
            await self._check_photos(draft)
        elif draft.type is JobType.VIDEO and not self._catalogue.video(draft.model).supports_text:
            raise BadDraft("photo_missing")
        return quoted

    async def _check_circuit(self, draft: Draft) -> None:
        """Refuse what would fail until an admin has acted. After a temporary failure the job may wait in the queue."""
        is_image = draft.type.is_image
        model = self._catalogue.image(draft.model) if is_image else self._catalogue.video(draft.model)
        calls = await self._db.read(call_rows.recent_calls, model.provider, model.key)
        blocked = open_circuit(calls, clock.now_ms())
        if blocked is not None and blocked.failure is Failure.PERMANENT:
            raise BadDraft("provider_off")

    async def _check_photos(self, draft: Draft) -> None:
        if not draft.inputs:
            raise BadDraft("photo_missing")
        max_photos = 1 if draft.type is JobType.ANIMATE else self._catalogue.image(draft.model).max_photos
        if len(draft.inputs) > max_photos:
            raise BadDraft("too_many_photos")
        photos = await self._db.read(asset_rows.get_assets, draft.inputs)
        if len(photos) != len(draft.inputs):
            raise BadDraft("photo_gone")
        if draft.type is JobType.ANIMATE and video_photo_fault(photos[0], self._catalogue.limits) is not None:
            raise BadDraft("photo_unfit")
