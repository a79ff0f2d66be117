"""Cancelling: /cancel drops the draft that was begun last; jobs that still wait get a button that stops them."""

from __future__ import annotations

from aiogram import Bot, F, Router
from aiogram.filters import Command
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message

from database import jobs as job_rows
from database.models import Database, IllegalMove, JobStatus, User
from handlers.chat import MESSAGE_LIMIT, NO_LIMIT, CallbackAnswer, message_ref
from handlers.orders.drafts import Drafts, Stale
from handlers.orders.own_job import own_job
from handlers.views import keyboards
from handlers.views.callbacks import JobTap
from handlers.views.localizer import Localizer
from handlers.views.messages import ChatMessages, title_of
from services.common.keyed_lock import KeyedLock
from services.jobs import Jobs
from services.messaging.telegram import Screen, change, change_or_show, show

router = Router(name="cancel")


@router.message(Command("cancel"), flags=MESSAGE_LIMIT)
async def cancel(
    message: Message, state: FSMContext, bot: Bot, person: User, localizer: Localizer, drafts: Drafts, db: Database
) -> None:
    """Drop the draft that was begun last and stop waiting for an answer; then list the open jobs."""
    had_something = await state.get_state() is not None
    try:
        draft = await drafts.load(str((await state.get_data()).get("draft", "")), person.id)
    except Stale:
        pass
    else:
        had_something = True
        await drafts.drop(draft.id, person.id)
        if draft.message_id is not None:
            await change(bot, draft.chat_id, draft.message_id, Screen(localizer.t("order-dropped")))
    await state.clear()
    lines = [localizer.t("cancelled-draft")] if had_something else []
    screen = await _open_jobs(localizer, db, person.id, lines)
    await show(bot, message.chat.id, screen if screen.text else Screen(localizer.t("nothing-to-cancel")))


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
    """Cancel the job as long as no provider was called; after that say what happens to the money.

    The button is under the live message or in the list of /cancel, which then shows the other open jobs.
    """
    await own_job(db, callback_data.job, person.id)
    chat_id, message_id = message_ref(query)
    async with chats.hold(chat_id):
        try:
            job = await jobs.cancel(callback_data.job, person.id)
        except IllegalMove:
            await callback.answer(localizer.plain("stop-too-late"), alert=True)
            job, _ = await own_job(db, callback_data.job, person.id)
            if job.is_open and message_id is not None and job.status_message_id == message_id:
                # The live message still has the button: show the stage that has begun since.
                now_ms = await db.read(lambda tx: tx.now)
                screen = renderer.progress(localizer.language, job, ahead=0, now_ms=now_ms)
                await change(bot, chat_id, message_id, screen)
            return
        await callback.answer(localizer.plain("stop-done", price=localizer.rubles(job.cost_estimate)))
        screen = renderer.cancelled(localizer.language, job)
        if job.status_message_id not in (None, message_id):
            await change_or_show(bot, chat_id, job.status_message_id, screen)
            done = localizer.t("stop-done", price=localizer.rubles(job.cost_estimate))
            screen = await _open_jobs(localizer, db, person.id, [done])
        await change_or_show(bot, chat_id, message_id, screen)


async def _open_jobs(localizer: Localizer, db: Database, user_id: int, lines: list[str]) -> Screen:
    """`lines` (HTML), then the person's open jobs, with a button for each that can still be stopped."""
    open_jobs = await db.read(job_rows.open_of_user, user_id)
    lines, buttons = list(lines), []
    if open_jobs:
        lines.append(f"<b>{localizer.t('open-jobs-title')}</b>")
    for job in open_jobs:
        title, can_stop = title_of(localizer, job), job.status is JobStatus.PENDING
        lines.append(localizer.t("open-job-waiting" if can_stop else "open-job-running", title=title))
        if can_stop:
            buttons.append([keyboards.button(f"✖️ {title}", JobTap(job=job.id, act="stop"), style="danger")])
    return Screen("\n".join(lines), keyboards.keyboard(*buttons) if buttons else None)
