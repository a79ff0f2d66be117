"""The history: a person's jobs, newest first; each can be opened again."""

from __future__ import annotations

from typing import Final

from aiogram import Bot, F, Router
from aiogram.filters import Command
from aiogram.types import CallbackQuery, Message

from database import jobs as job_rows
from database.models import Database, Job, JobStatus, User
from handlers.chat import MESSAGE_LIMIT, NO_LIMIT, CallbackAnswer, MenuWord, answer_and_edit
from handlers.views import keyboards
from handlers.views.callbacks import JobTap, PageTap
from handlers.views.localizer import Localizer
from handlers.views.messages import title_of
from services.messaging.telegram import Screen, show

router = Router(name="history")

PAGE_SIZE: Final = 6
MAX_OFFSET: Final = 100_000


async def _page(localizer: Localizer, db: Database, user_id: int, offset: int) -> Screen:
    """A page of jobs, a button for each: status, kind, title, price."""
    found = await db.read(job_rows.of_user, user_id, limit=PAGE_SIZE + 1, offset=offset)
    if not found:
        return Screen(localizer.t("history-empty"))
    rows = [[keyboards.button(_label(localizer, job), JobTap(job=job.id, act="open"))] for job in found[:PAGE_SIZE]]
    other_pages = keyboards.pages(
        localizer,
        "jobs",
        newer=max(0, offset - PAGE_SIZE) if offset else None,
        older=offset + PAGE_SIZE if len(found) > PAGE_SIZE else None,
    )
    return Screen(localizer.t("history-title"), keyboards.keyboard(*rows, other_pages))


def _label(localizer: Localizer, job: Job) -> str:
    mark = localizer.plain(f"history-line-{job.status}")
    # Without a prompt the title is the name of the kind already.
    kind = ("🎨 " if job.type.is_image else "🎬 ") if job.prompt.strip() else ""
    label = f"{mark} {kind}{title_of(localizer, job)}"
    return f"{label} · {localizer.rubles(job.cost_actual or 0)}" if job.status is JobStatus.COMPLETED else label


@router.message(Command("history"), flags=MESSAGE_LIMIT)
@router.message(MenuWord("menu-history"), flags=MESSAGE_LIMIT)
async def history(message: Message, bot: Bot, person: User, localizer: Localizer, db: Database) -> None:
    """Show the newest jobs."""
    await show(bot, message.chat.id, await _page(localizer, db, person.id, 0))


@router.callback_query(PageTap.filter(F.what == "jobs"), flags=NO_LIMIT)
async def page(
    query: CallbackQuery,
    callback_data: PageTap,
    callback: CallbackAnswer,
    bot: Bot,
    person: User,
    localizer: Localizer,
    db: Database,
) -> None:
    """Show another page in the same message."""
    offset = min(max(0, callback_data.at), MAX_OFFSET)
    await answer_and_edit(query, callback, bot, await _page(localizer, db, person.id, offset))
