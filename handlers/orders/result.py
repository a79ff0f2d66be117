"""The buttons under an order: stop it, make it again, edit its picture, bring it to life, show it once more."""

from __future__ import annotations

from typing import Final

from aiogram import Bot, F, Router
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery

from database import assets as asset_rows
from database import jobs as job_rows
from database import outbox
from database.models import Asset, Database, IllegalMove, Job, JobStatus, JobType, Tx, User
from handlers.chat import NO_LIMIT, CallbackAnswer, message_ref
from handlers.orders.drafts import Cards, Drafts, Stale, token
from handlers.orders.intake import animate_fault
from handlers.start import open_orders
from handlers.states import Waiting, begun
from handlers.views.callbacks import JobTap
from handlers.views.localizer import Localizer
from handlers.views.messages import ChatMessages, draft_of
from services.common.keyed_lock import KeyedLock
from services.errors import BadOrder
from services.jobs import Jobs
from services.messaging.delivery import Delivery, ResultGone, ResultTooLarge
from services.messaging.notifier import Notifier
from services.messaging.photos import PhotoGone, Photos
from services.messaging.telegram import Screen, change, change_or_show, show

router = Router(name="result")

RESULT: Final = {"rate_limit": "result"}


async def own_job(db: Database, job_id: str, user_id: int) -> tuple[Job, Asset | None]:
    """The person's own job and its result. Raises Stale."""

    def find(tx: Tx) -> tuple[Job | None, Asset | None]:
        return job_rows.get(tx, job_id), asset_rows.result_of(tx, job_id)

    job, asset = await db.read(find)
    if job is None or job.user_id != user_id:
        raise Stale("order-stale")
    return job, asset


@router.callback_query(JobTap.filter(F.act == "stop"), flags=NO_LIMIT)
async def stop(
    query: CallbackQuery,
    callback_data: JobTap,
    callback: CallbackAnswer,
    bot: Bot,
    person: User,
    localizer: Localizer,
    jobs: Jobs,
    renderer: ChatMessages,
    chats: KeyedLock,
    db: Database,
) -> None:
    """Cancel while no provider was asked; otherwise say why not and what happens to the money."""
    await own_job(db, callback_data.job, person.id)
    chat_id, message_id = message_ref(query)
    async with chats.hold(chat_id):
        try:
            job = await jobs.cancel(callback_data.job, person.id)
        except IllegalMove:
            await callback.answer(localizer.plain("stop-too-late"), alert=True)
            job, _ = await own_job(db, callback_data.job, person.id)
            if job.is_open and message_id is not None and job.status_message_id == message_id:
                # The message still offers to stop: show at once what has begun meanwhile.
                now_ms = await db.read(lambda tx: tx.now)
                await change(
                    bot, chat_id, message_id, renderer.progress(localizer.language, job, ahead=0, now_ms=now_ms)
                )
            return
        await callback.answer(localizer.plain("stop-done", price=localizer.rubles(job.cost_estimate)))
        screen = renderer.cancelled(localizer.language, job)
        if job.status_message_id not in (None, message_id):
            await change_or_show(bot, chat_id, job.status_message_id, screen)
            done = localizer.t("stop-done", price=localizer.rubles(job.cost_estimate))
            screen = await open_orders(localizer, db, person.id, [done])
        await change_or_show(bot, chat_id, message_id, screen)


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
    """The same order as a new draft: its price stands on the button, nothing is taken yet."""
    job, _ = await own_job(db, callback_data.job, person.id)
    before = draft_of(job)
    if len(await drafts.photos(before)) != len(before.inputs):
        raise BadOrder("photo_gone")
    draft = await drafts.open(
        token("again", query.id),
        person.id,
        before.type,
        chat_id=message_ref(query)[0],
        prompt=before.prompt,
        inputs=before.inputs,
        model=before.model,
        params=before.params,
        parent_job_id=job.id,
    )
    await begun(state, draft.id)
    await callback.answer()
    await cards.send(bot, localizer, draft)


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
    """The finished picture becomes the photo of a new draft."""
    job, result = await own_job(db, callback_data.job, person.id)
    if result is None:
        raise PhotoGone(job.id)
    await callback.answer()
    photo = await photos.keep_result(bot, person.id, result)
    limits = drafts.storefront.catalogue.limits
    animate = callback_data.act == "animate"
    if animate and (fault := animate_fault(photo, limits)):
        await show(bot, message_ref(query)[0], Screen(localizer.t(fault, pixels=limits.video_photo_min_side)))
        return
    draft = await drafts.open(
        token(callback_data.act, query.id),
        person.id,
        JobType.ANIMATE if animate else JobType.EDIT,
        chat_id=message_ref(query)[0],
        inputs=(photo.id,),
        parent_job_id=job.id,
    )
    await state.set_state(Waiting.prompt)
    await state.set_data({"draft": draft.id})
    await cards.send(bot, localizer, draft)


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
    """Show an order again: its result, why there is none, or how far it is."""
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
        words = renderer.cancelled if job.status is JobStatus.CANCELLED else renderer.failed
        await show(bot, chat_id, words(localizer.language, job))
        return
    if job.delivered_at is None:
        revived = await db.write(outbox.revive_results, person.id)
        if revived:
            notifier.nudge()  # it never arrived: the delivery itself is made again, and counted
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
    try:
        if asset is None:
            raise ResultGone(job.id)
        await delivery.send(bot, chat_id, job, asset, localizer.language)
    except ResultGone:
        await show(bot, chat_id, renderer.expired(localizer.language, job))
    except ResultTooLarge:
        await show(bot, chat_id, renderer.too_large(localizer.language, job))
