"""The buttons under a finished job: repeat it, edit its image, animate it, show it again."""

from __future__ import annotations

from typing import Final

from aiogram import Bot, F, Router
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery

from database import jobs as job_rows
from database import outbox
from database.models import Asset, Database, Job, JobStatus, JobType, User
from handlers.chat import CallbackAnswer, message_ref
from handlers.orders.cards import Cards
from handlers.orders.drafts import Drafts, stable_id
from handlers.orders.own_job import own_job
from handlers.orders.video_photo import video_fault_text
from handlers.states import Waiting
from handlers.views.callbacks import JobTap
from handlers.views.localizer import Localizer
from handlers.views.messages import ChatMessages
from services.common.keyed_lock import KeyedLock
from services.errors import BadDraft
from services.jobs import draft_of
from services.messaging.delivery import Delivery, ResultGone, ResultTooLarge
from services.messaging.notifier import Notifier
from services.messaging.photos import PhotoGone, Photos
from services.messaging.telegram import Screen, show

router = Router(name="result")

RESULT: Final = {"rate_limit": "result"}


@router.callback_query(JobTap.filter(F.act == "again"), flags=RESULT)
async def again(
    query: CallbackQuery,
    callback_data: JobTap,
    state: FSMContext,
    callback: CallbackAnswer,
    bot: Bot,
    person: User,
    localizer: Localizer,
    drafts: Drafts,
    cards: Cards,
    db: Database,
) -> None:
    """Open a draft like the one that this job came from; nothing is taken before its price is confirmed."""
    job, _ = await own_job(db, callback_data.job, person.id)
    before = draft_of(job)
    if len(await drafts.photos(before)) != len(before.inputs):
        raise BadDraft("photo_gone")
    draft = await drafts.open(
        stable_id("again", query.id),
        person.id,
        before.type,
        chat_id=message_ref(query)[0],
        prompt=before.prompt,
        inputs=before.inputs,
        model=before.model,
        params=before.params,
        parent_job_id=job.id,
    )
    await cards.send_new(bot, localizer, draft, state, callback=callback)


@router.callback_query(JobTap.filter(F.act.in_({"edit", "animate"})), flags=RESULT)
async def from_result(
    query: CallbackQuery,
    callback_data: JobTap,
    state: FSMContext,
    callback: CallbackAnswer,
    bot: Bot,
    person: User,
    localizer: Localizer,
    drafts: Drafts,
    cards: Cards,
    photos: Photos,
    db: Database,
) -> None:
    """Open a draft whose photo is the finished image."""
    job, result = await own_job(db, callback_data.job, person.id)
    if result is None:
        raise PhotoGone(job.id)
    await callback.answer()
    photo = await photos.keep_result(bot, person.id, result)
    limits = drafts.storefront.catalogue.limits
    animate = callback_data.act == "animate"
    if animate and (fault := video_fault_text(photo, limits)):
        await show(bot, message_ref(query)[0], Screen(localizer.t(fault, pixels=limits.video_photo_min_side)))
        return
    draft = await drafts.open(
        stable_id(callback_data.act, query.id),
        person.id,
        JobType.ANIMATE if animate else JobType.EDIT,
        chat_id=message_ref(query)[0],
        inputs=(photo.id,),
        parent_job_id=job.id,
    )
    await cards.send_new(bot, localizer, draft, state, waiting=Waiting.prompt)


@router.callback_query(JobTap.filter(F.act == "open"), flags=RESULT)
async def open_job(
    query: CallbackQuery,
    callback_data: JobTap,
    callback: CallbackAnswer,
    bot: Bot,
    person: User,
    localizer: Localizer,
    renderer: ChatMessages,
    delivery: Delivery,
    notifier: Notifier,
    db: Database,
    chats: KeyedLock,
) -> None:
    """Show a job of the history again: how far it is, its result, or why it has none."""
    await callback.answer()
    chat_id, _ = message_ref(query)
    job, asset = await own_job(db, callback_data.job, person.id)
    if job.is_open:
        async with chats.hold(chat_id):
            ahead = await db.read(job_rows.ahead_in_queue, job)
            now_ms = await db.read(lambda tx: tx.now)
            screen = renderer.progress(localizer.language, job, ahead=ahead, now_ms=now_ms)
            message = await show(bot, chat_id, screen)
            await db.write(job_rows.set_status_message, job.id, chat_id, message.message_id)
        return
    if job.status is not JobStatus.COMPLETED:
        render = renderer.cancelled if job.status is JobStatus.CANCELLED else renderer.failed
        await show(bot, chat_id, render(localizer.language, job))
        return
    if job.delivered_at is None:
        revived = await db.write(outbox.revive_results, person.id)
        if revived:
            notifier.nudge()  # it never arrived: the notifier delivers it and marks the job as delivered
            return
    await _send_again(bot, chat_id, localizer, job, asset, renderer, delivery)


async def _send_again(
    bot: Bot,
    chat_id: int,
    localizer: Localizer,
    job: Job,
    asset: Asset | None,
    renderer: ChatMessages,
    delivery: Delivery,
) -> None:
    """Send the result, or a message that it is too large or no longer stored."""
    try:
        if asset is None:
            raise ResultGone(job.id)
        await delivery.send(bot, chat_id, job, asset, localizer.language)
    except ResultGone:
        await show(bot, chat_id, renderer.expired(localizer.language, job))
    except ResultTooLarge:
        await show(bot, chat_id, renderer.too_large(localizer.language))
