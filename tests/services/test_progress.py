"""The live message: edited when something changed, never more often than every 3 s, and never after the last word."""

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
class Stage:
    """Orders with a live message each, a clock moved by hand, and the loop's rounds one at a time."""

    db: Database
    clock: Clock
    bot: Bot
    live: LiveMessages
    sandbox: Sandbox
    count: int = 0

    async def order(self, type: JobType = JobType.IMAGE, user_id: int = ANYA) -> Job:
        self.count += 1
        await self.db.add_balance(user_id, 20_000, key=f"k{self.count}", reason="test")
        message = await self.bot.send_message(ANYA, f"order {self.count}")
        picture = type is JobType.IMAGE
        new = job_rows.NewJob(
            id=f"job{self.count}",
            user_id=user_id,
            type=type,
            model="nb21" if picture else "k30t",
            prompt="лиса",
            params={"ratio": "1:1", "size": "1K"} if picture else {"duration": 5, "resolution": "720p"},
            price=1200,
            hold_ms=900_000,
            chat_id=ANYA,
            status_message_id=message.message_id,
        )
        self.clock.forward(1)
        job, _ = await self.db.write(job_rows.start, new, max_active=10)
        return job

    async def after(self, seconds: float) -> list[str]:
        """Let time pass, do a round; answers what was written by it."""
        before = self.edits
        self.clock.forward(int(seconds * 1000))
        await self.live.round()
        calls = [call for call in self.sandbox.world.calls if call.name == "editMessageText"]
        return [str(call.detail["params"]["text"]).splitlines()[0] for call in calls[before:]]

    @property
    def edits(self) -> int:
        return sum(call.name == "editMessageText" for call in self.sandbox.world.calls)


@pytest_asyncio.fixture
async def stage(sandbox: Sandbox, tmp_path: Path, db: Database, clock: Clock) -> AsyncIterator[Stage]:
    bot = make_bot(sandbox.settings(tmp_path), pace=Pace(per_second=10_000, chat_per_second=10_000, chat_burst=10_000))
    catalogue = shipped_catalogue()
    renderer = ChatMessages(Texts(strict=True), Storefront(catalogue, partial(quote, catalogue)))
    yield Stage(db, clock, bot, LiveMessages(bot, db, renderer, KeyedLock()), sandbox)
    await bot.session.close()


async def test_stages_one_after_the_other(stage: Stage) -> None:
    """Waiting, handed over, filming with the time so far: each is told, and only when it is new."""
    await stage.order()
    job = await stage.order(JobType.VIDEO)
    assert await stage.after(3) == ["🕓 <b>В очереди</b>", "🕓 <b>В очереди</b>, перед вами 1 заказ"]
    assert await stage.after(60) == []
    claimed = await stage.db.write(job_rows.claim, job.id, JobStep.SUBMIT)
    assert claimed is not None
    assert await stage.after(3) == ["📤 <b>Передаю клип в работу…</b>"]
    await stage.db.write(video_rows.submitted, job.id, claimed.attempt, external_id="x", poll_in_ms=5000)
    assert await stage.after(9) == ["🎬 <b>Снимаю клип…</b> Прошло 10 с, обычно 1–4 минуты."]
    assert await stage.after(3) == []
    assert await stage.after(60) == ["🎬 <b>Снимаю клип…</b> Прошло 1 мин 10 с, обычно 1–4 минуты."]


async def test_a_round_reads_no_more_often_for_a_long_queue(stage: Stage) -> None:
    """Every second's look at the open orders is as many statements for many of them as for one."""
    await stage.order()
    for_one = await stage.db.read(plan_of, watched_jobs)
    for number in range(5):
        await stage.order(user_id=ANYA + number)
    assert await stage.db.read(plan_of, watched_jobs) == for_one
    _, watched = await stage.db.read(watched_jobs)
    assert sorted(one.ahead for one in watched) == [0, 1, 2, 3, 4, 5]


async def test_a_slow_handing_over_is_told_of(stage: Stage) -> None:
    """A provider that does not answer a submit: the person reads how long it has been and what is done about it."""
    job = await stage.order(JobType.VIDEO)
    await stage.db.write(job_rows.claim, job.id, JobStep.SUBMIT)
    assert await stage.after(3) == ["📤 <b>Передаю клип в работу…</b>"]
    assert await stage.after(6) == []
    waiting = "жду ответа; если его не будет, попробую ещё раз."
    assert await stage.after(3) == [f"📤 <b>Передаю клип в работу…</b> Прошло 10 с: {waiting}"]
    assert await stage.after(3) == []
    assert await stage.after(30) == [f"📤 <b>Передаю клип в работу…</b> Прошло 40 с: {waiting}"]


async def test_a_slow_picture_is_told_of(stage: Stage) -> None:
    """Past the time that a picture usually takes, the person reads how long it has been, and reads on."""
    job = await stage.order()
    await stage.db.write(job_rows.claim, job.id, JobStep.IMAGE)
    assert await stage.after(3) == ["🎨 <b>Рисую…</b> Обычно это 10–40 секунд."]
    assert await stage.after(36) == []
    assert await stage.after(3) == ["🎨 <b>Рисую…</b> Прошло 40 с: дольше обычного, но работа идёт."]
    assert await stage.after(3) == []
    assert await stage.after(60) == ["🎨 <b>Рисую…</b> Прошло 1 мин 40 с: дольше обычного, но работа идёт."]
    await stage.db.write(user_rows.choose_language, ANYA, "en")
    assert await stage.after(3) == ["🎨 <b>Drawing…</b> 1 min 40 s so far. Longer than usual, but still in progress."]


async def test_never_more_often_than_every_three_seconds(stage: Stage) -> None:
    """Changes that come faster are told by the next edit that is due."""
    job = await stage.order()
    await stage.after(3)
    claimed = await stage.db.write(job_rows.claim, job.id, JobStep.IMAGE)
    assert claimed is not None
    assert await stage.after(1) == []
    assert await stage.after(1) == []
    assert await stage.after(1) == ["🎨 <b>Рисую…</b> Обычно это 10–40 секунд."]


async def test_nothing_after_the_end(stage: Stage) -> None:
    """A finished order is not touched any more, and nothing about it is remembered."""
    job = await stage.order()
    await stage.db.write(job_rows.cancel, job.id, ANYA)
    assert await stage.after(10) == []
    assert stage.live._shown == {}


async def test_a_message_that_is_gone_is_left_alone(stage: Stage) -> None:
    """A deleted live message is tried once; the order goes on without it."""
    job = await stage.order()
    assert job.status_message_id is not None
    await stage.bot.delete_message(ANYA, job.status_message_id)
    assert len(await stage.after(3)) == 1
    await stage.db.write(job_rows.claim, job.id, JobStep.IMAGE)
    assert await stage.after(30) == []


async def test_progress_waits_for_room(stage: Stage) -> None:
    """While Telegram asks for silence no progress is sent; later one edit tells where things are."""
    await stage.order()
    body = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 1}}
    stage.sandbox.fault("telegram", "editMessageText", status=429, body=body)
    assert await stage.after(3) == []
    assert await stage.after(1) == []  # our own pace keeps the second, no call is made
    assert stage.sandbox.calls("telegram", "editMessageText") == 1


@pytest.mark.parametrize("status", [404, 409, 429])
async def test_an_odd_refusal_ends_nothing(stage: Stage, status: int) -> None:
    """Whatever Telegram says to an edit, be it 429 without a time to wait, the loop goes on and edits again."""
    await stage.order()
    body = {"ok": False, "error_code": status, "description": "Odd"}
    stage.sandbox.fault("telegram", "editMessageText", status=status, body=body)
    assert await stage.after(3) == []
    assert await stage.after(3) == ["🕓 <b>В очереди</b>"]


async def test_the_person_reads_their_language(stage: Stage) -> None:
    """The live message speaks the language the person chose, in the middle of an order as well."""
    await stage.order()
    await stage.db.write(user_rows.choose_language, ANYA, "en")
    assert await stage.after(3) == ["🕓 <b>In the queue</b>"]


async def test_one_process_edits(stage: Stage) -> None:
    """Of two bots on one database the lease lets one edit; when it is gone the other takes over."""
    other = LiveMessages(stage.bot, stage.db, stage.live._renderer, KeyedLock())
    assert await stage.live._leads()
    assert not await other._leads()
    stage.clock.forward(11_000)
    assert await other._leads()
