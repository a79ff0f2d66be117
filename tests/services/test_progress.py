"""The live message: edited when its text has changed, at most every 3 s, and never after the end of the job."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from aiogram import Bot

from database import jobs as job_rows
from database import users as user_rows
from database import video_jobs as video_rows
from database.models import Database, JobStep, JobType
from database.rows import Job
from handlers.views.messages import ChatMessages
from services.catalogue import shipped_catalogue
from services.common.i18n import Texts
from services.common.keyed_lock import KeyedLock
from services.jobs import quote
from services.messaging.pace import Pace
from services.messaging.progress import LiveMessages, watched_jobs
from services.messaging.telegram import make_bot
from services.storefront import Storefront
from tests.support.bot_env import ANYA
from tests.support.database_fixture import Clock, plan_of
from tests.support.sandbox_fixture import Sandbox


@dataclass
class ProgressEnv:
    """Jobs with live messages, a clock that the test moves, and the rounds of the loop one at a time."""

    db: Database
    clock: Clock
    bot: Bot
    live: LiveMessages
    sandbox: Sandbox
    count: int = 0

    async def start_job(self, type: JobType = JobType.IMAGE, user_id: int = ANYA) -> Job:
        self.count += 1
        await self.db.add_balance(user_id, 20_000, key=f"k{self.count}", reason="test")
        message = await self.bot.send_message(ANYA, f"job {self.count}")
        is_image = type is JobType.IMAGE
        new = job_rows.NewJob(
            id=f"job{self.count}",
            user_id=user_id,
            type=type,
            model="nb21" if is_image else "k30t",
            prompt="лиса",
            params={"ratio": "1:1", "size": "1K"} if is_image else {"duration": 5, "resolution": "720p"},
            price=1200,
            hold_ms=900_000,
            chat_id=ANYA,
            status_message_id=message.message_id,
        )
        self.clock.forward(1)
        job, _ = await self.db.write(job_rows.start, new, max_active=10)
        return job

    async def after(self, seconds: float) -> list[str]:
        """Let time pass and do a round; return the first lines of the texts that it has written."""
        before = self.edits
        self.clock.forward(int(seconds * 1000))
        await self.live.round()
        calls = [call for call in self.sandbox.world.calls if call.name == "editMessageText"]
        return [str(call.detail["params"]["text"]).splitlines()[0] for call in calls[before:]]

    @property
    def edits(self) -> int:
        return sum(call.name == "editMessageText" for call in self.sandbox.world.calls)


@pytest_asyncio.fixture
async def env(sandbox: Sandbox, tmp_path: Path, db: Database, clock: Clock) -> AsyncIterator[ProgressEnv]:
    bot = make_bot(sandbox.settings(tmp_path), pace=Pace(per_second=10_000, chat_per_second=10_000, chat_burst=10_000))
    catalogue = shipped_catalogue()
    renderer = ChatMessages(Texts(strict=True), Storefront(catalogue, partial(quote, catalogue)))
    yield ProgressEnv(db, clock, bot, LiveMessages(bot, db, renderer, KeyedLock()), sandbox)
    await bot.session.close()


async def test_stages_one_after_the_other(env: ProgressEnv) -> None:
    """The message shows waiting, submitting, and rendering with the time so far, each only when it is new."""
    await env.start_job()
    job = await env.start_job(JobType.VIDEO)
    assert await env.after(3) == ["🕓 <b>В очереди</b>", "🕓 <b>В очереди</b>, перед вами 1 заказ"]
    assert await env.after(60) == []
    claimed = await env.db.write(job_rows.claim, job.id, JobStep.SUBMIT)
    assert claimed is not None
    assert await env.after(3) == ["📤 <b>Передаю клип в работу…</b>"]
    await env.db.write(video_rows.submitted, job.id, claimed.attempt, external_id="x", poll_in_ms=5000)
    assert await env.after(9) == ["🎬 <b>Снимаю клип…</b> Прошло 10 с, обычно 1–4 минуты."]
    assert await env.after(3) == []
    assert await env.after(60) == ["🎬 <b>Снимаю клип…</b> Прошло 1 мин 10 с, обычно 1–4 минуты."]


async def test_a_round_has_the_same_number_of_statements_for_many_jobs(env: ProgressEnv) -> None:
    """A round reads the open jobs with as many statements for many of them as for one."""
    await env.start_job()
    for_one = await env.db.read(plan_of, watched_jobs)
    for number in range(5):
        await env.start_job(user_id=ANYA + number)
    assert await env.db.read(plan_of, watched_jobs) == for_one
    _, watched = await env.db.read(watched_jobs)
    assert sorted(one.ahead for one in watched) == [0, 1, 2, 3, 4, 5]


async def test_a_slow_submit_is_shown(env: ProgressEnv) -> None:
    """While a provider does not answer a submit, the person reads how long it has taken and what happens next."""
    job = await env.start_job(JobType.VIDEO)
    await env.db.write(job_rows.claim, job.id, JobStep.SUBMIT)
    assert await env.after(3) == ["📤 <b>Передаю клип в работу…</b>"]
    assert await env.after(6) == []
    waiting = "жду ответа; если его не будет, попробую ещё раз."
    assert await env.after(3) == [f"📤 <b>Передаю клип в работу…</b> Прошло 10 с: {waiting}"]
    assert await env.after(3) == []
    assert await env.after(30) == [f"📤 <b>Передаю клип в работу…</b> Прошло 40 с: {waiting}"]


async def test_a_slow_image_is_shown(env: ProgressEnv) -> None:
    """After the time that an image usually takes, the message shows how long it has taken, in the person's language."""
    job = await env.start_job()
    await env.db.write(job_rows.claim, job.id, JobStep.IMAGE)
    assert await env.after(3) == ["🎨 <b>Рисую…</b> Обычно это 10–40 секунд."]
    assert await env.after(36) == []
    assert await env.after(3) == ["🎨 <b>Рисую…</b> Прошло 40 с: дольше обычного, но работа идёт."]
    assert await env.after(3) == []
    assert await env.after(60) == ["🎨 <b>Рисую…</b> Прошло 1 мин 40 с: дольше обычного, но работа идёт."]
    await env.db.write(user_rows.choose_language, ANYA, "en")
    assert await env.after(3) == ["🎨 <b>Drawing…</b> 1 min 40 s so far. Longer than usual, but still in progress."]


async def test_never_more_often_than_every_three_seconds(env: ProgressEnv) -> None:
    """Changes that come faster are shown by the next edit that is due."""
    job = await env.start_job()
    await env.after(3)
    claimed = await env.db.write(job_rows.claim, job.id, JobStep.IMAGE)
    assert claimed is not None
    assert await env.after(1) == []
    assert await env.after(1) == []
    assert await env.after(1) == ["🎨 <b>Рисую…</b> Обычно это 10–40 секунд."]


async def test_nothing_after_the_end(env: ProgressEnv) -> None:
    """The message of a finished job is not edited, and the job is forgotten."""
    job = await env.start_job()
    await env.db.write(job_rows.cancel, job.id, ANYA)
    assert await env.after(10) == []
    assert env.live._shown == {}


async def test_a_message_that_is_gone_is_left_alone(env: ProgressEnv) -> None:
    """The edit of a deleted live message is tried once; the job goes on without it."""
    job = await env.start_job()
    assert job.status_message_id is not None
    await env.bot.delete_message(ANYA, job.status_message_id)
    assert len(await env.after(3)) == 1
    await env.db.write(job_rows.claim, job.id, JobStep.IMAGE)
    assert await env.after(30) == []


async def test_progress_does_not_compete_for_the_pace(env: ProgressEnv) -> None:
    """While Telegram asks for a pause, no edit is sent."""
    await env.start_job()
    body = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 1}}
    env.sandbox.fault("telegram", "editMessageText", status=429, body=body)
    assert await env.after(3) == []
    assert await env.after(1) == []  # the second is stopped by our own pace, without a call
    assert env.sandbox.calls("telegram", "editMessageText") == 1


@pytest.mark.parametrize("status", [404, 409, 429])
async def test_a_strange_refusal_does_not_stop_the_loop(env: ProgressEnv, status: int) -> None:
    """Whatever Telegram answers to an edit, even 429 without a time to wait, the loop goes on and edits again."""
    await env.start_job()
    body = {"ok": False, "error_code": status, "description": "Odd"}
    env.sandbox.fault("telegram", "editMessageText", status=status, body=body)
    assert await env.after(3) == []
    assert await env.after(3) == ["🕓 <b>В очереди</b>"]


async def test_the_person_reads_their_language(env: ProgressEnv) -> None:
    """The live message is in the language that the person has chosen, even during a job."""
    await env.start_job()
    await env.db.write(user_rows.choose_language, ANYA, "en")
    assert await env.after(3) == ["🕓 <b>In the queue</b>"]


async def test_one_process_edits(env: ProgressEnv) -> None:
    """Of two bots on one database the one with the lease edits; when the lease ends the other takes over."""
    other = LiveMessages(env.bot, env.db, env.live._renderer, KeyedLock())
    assert await env.live._leads()
    assert not await other._leads()
    env.clock.forward(11_000)
    assert await other._leads()
