"""What has gone wrong with orders in shops of this kind, each told as a story that must end well here.

The whole list, with the tests of other files, is docs/specification.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import resource
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from database import assets as asset_rows
from database import jobs as job_rows
from database import outbox
from database import provider_calls as call_rows
from database.models import Job, JobStatus, JobStep, JobType, Tx
from scheduler.sweeper import Sweeper
from scheduler.video_poller import poll_videos
from tests.support.bot_env import ANYA, open_bot_env, picture
from tests.support.database_fixture import assert_books, change, program
from tests.support.job_env import JobEnv, until
from tests.support.job_programs import SHOP, STEP, environment, later
from tests.support.sandbox_fixture import TOKEN, Sandbox
from workers import image_worker, video_worker

BOUGHT = [("test", 10_000), ("reserve", -1200)]
REFUNDED = [*BOUGHT, ("refund", 1200)]


async def played(job_env: JobEnv, job: Job, *, rounds: int = 30) -> Job:
    """Run a job's steps, whatever they come to, as the sweeper would, until it is final."""
    for _ in range(rounds):
        now = await job_env.job(job.id)
        if not now.is_open:
            return now
        await later(job_env)
        if now.step is JobStep.IMAGE:
            await image_worker.run(job.id)
        elif now.step is JobStep.SUBMIT:
            await video_worker.submit(job.id)
        elif now.step is JobStep.FINISH:
            await video_worker.finish(job.id)
        else:
            await poll_videos(job_env.ctx, job_env.queue)
            await asyncio.sleep(0.02)
    raise AssertionError(f"still open: {await job_env.job(job.id)}")


# --- every way to fail gives the money back --------------------------------------------------------------------

PICTURES = [
    ("policy refusal", "prompt_block=SAFETY"), ("refused picture", "finish=IMAGE_SAFETY"),
    ("empty result", "candidates_empty"), ("no candidates", "candidates_missing"), ("words only", "text_only_stop"),
    ("no body", "empty_body"), ("broken picture", "broken_image"), ("server error", "500"),
    ("timeout there", "504"), ("gateway", "502_html"), ("line cut", "reset_mid_body"), ("not theirs", "not_gemini"),
]  # fmt: skip
CLIPS = [
    ("policy refusal", "1301"), ("late refusal", "late_moderation"), ("download error", "clip_404"),
    ("page for a clip", "clip_html"), ("broken clip", "broken_clip"), ("cut clip", "cut_clip"),
]  # fmt: skip


@pytest.mark.parametrize(("why", "scenario"), PICTURES, ids=[why for why, _ in PICTURES])
async def test_a_picture_that_fails_for_any_reason_is_paid_back_once(job_env: JobEnv, why: str, scenario: str) -> None:
    """Whatever the provider does instead of a picture: one refund of the whole, said once, nothing after it."""
    await job_env.give(1, 100)
    job = await job_env.order(prompt=f"a fox #sim:{scenario}@20")
    failed = await played(job_env, job)
    assert failed.status is JobStatus.FAILED, why
    await image_worker.run(job.id)
    assert await job_env.entries() == REFUNDED
    assert [kind for _, kind, _ in await job_env.told() if kind != "alert"] == ["failed"]


@pytest.mark.parametrize(("why", "scenario"), CLIPS, ids=[why for why, _ in CLIPS])
async def test_a_clip_that_fails_for_any_reason_is_paid_back_once(job_env: JobEnv, why: str, scenario: str) -> None:
    """Refused at once or late, or never to be had: one refund of the whole, said once."""
    await job_env.give(1, 100)
    job = await job_env.order(type=JobType.VIDEO, prompt=f"a fox #sim:{scenario}")
    failed = await played(job_env, job, rounds=400)
    assert failed.status is JobStatus.FAILED, why
    assert await job_env.entries() == REFUNDED
    assert [kind for _, kind, _ in await job_env.told() if kind != "alert"] == ["failed"]


def _small_files(size: int) -> Callable[[], None]:
    """What makes a process's files end at `size` bytes, refused by the kernel as on a full disk."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


async def _step_with_files_of(job_env: JobEnv, folder: Path, size: int, job: Job) -> str:
    """Run the picture step in a process of its own whose files can't grow beyond `size`; what it logged."""
    limits, env = _small_files(size), environment(job_env, folder)
    with program(STEP, "workers.image_worker.run", job.id, env=env, preexec_fn=limits) as process:
        _, said = await asyncio.to_thread(process.communicate, timeout=60)
    return said


async def test_a_disk_that_is_full_for_the_picture_gives_the_money_back(job_env: JobEnv, tmp_path: Path) -> None:
    """The kernel refuses the image's bytes in mid-step: no half file, no charge, one refund, the admins are told."""
    face = job_env.sandbox.world.faces["gemini"]
    face.settings = dataclasses.replace(face.settings, pixel_scale=1.0)
    await job_env.give(1, 100)
    job = await job_env.order(prompt="a fox #sim:ok_png", size="2K")
    database = (tmp_path / "bot.db").stat().st_size
    await job_env.db.close()  # the last to leave folds the WAL in, so that the next one's files are small
    said = await _step_with_files_of(job_env, tmp_path, database + 100_000, job)
    failed = await job_env.job(job.id)
    assert (failed.status, failed.error_code) == (JobStatus.FAILED, "storage"), said
    assert await job_env.entries() == REFUNDED
    assert sorted(kind for _, kind, _ in await job_env.told()) == ["alert", "failed"]
    assert [path for path in (tmp_path / "assets").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("readable", [True, False], ids=["can be read", "not even opened"])
async def test_a_disk_that_is_full_for_the_books_leaves_order_and_money_as_they_were(
    job_env: JobEnv, tmp_path: Path, readable: bool
) -> None:
    """Nothing can be written: no provider is called, nothing moves; with room again the same order is made."""
    await job_env.give(1, 100)
    job = await job_env.order()
    before = await job_env.job(job.id)
    room = 4_096
    if readable:
        room = (tmp_path / "bot.db-wal").stat().st_size  # what is there stays, and nothing can be added
        assert room >= (tmp_path / "bot.db-shm").stat().st_size
    else:
        await job_env.db.close()
    said = await _step_with_files_of(job_env, tmp_path, room, job)
    assert "step.database_failed" in said
    assert await job_env.job(job.id) == before
    assert job_env.sandbox.calls("gemini", "generateContent") == 0
    assert await job_env.entries() == BOUGHT
    assert (await played(job_env, job)).status is JobStatus.COMPLETED
    assert await job_env.entries() == BOUGHT


async def test_an_order_whose_shop_was_shut_down_for_good_is_paid_back_when_it_opens_again(
    job_env: JobEnv, tmp_path: Path
) -> None:
    """SIGTERM while the picture is drawn, and nobody works until the hold is over: the first round gives it back."""
    await job_env.give(1, 100)
    job = await job_env.order()
    job_env.sandbox.fault("gemini", "generateContent", delay=20)
    with program(SHOP, env=environment(job_env, tmp_path)) as process:

        async def called() -> bool:
            await change(job_env, "UPDATE jobs SET due_at = 1 WHERE attempt = 0")
            return bool(await job_env.db.read(call_rows.of_job, job.id))

        await until(called, seconds=40, what="the provider is called")
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 20)
    assert (await job_env.job(job.id)).is_open
    await change(job_env, "UPDATE reservations SET hold_until = 1")
    await Sweeper(job_env.ctx, job_env.queue).release_overdue_holds()
    assert (await job_env.job(job.id)).error_code == "hold_timeout"
    assert await job_env.entries() == REFUNDED


async def test_a_cancelled_order_is_paid_back_once(job_env: JobEnv) -> None:
    """Ten taps on "cancel" at once, then the worker's message: one refund, no call."""
    await job_env.give(1, 100)
    job = await job_env.order()
    await asyncio.gather(*(job_env.db.write(job_rows.cancel, job.id, 1) for _ in range(10)))
    await image_worker.run(job.id)
    assert (await job_env.job(job.id)).status is JobStatus.CANCELLED
    assert job_env.sandbox.calls("gemini", "generateContent") == 0
    assert await job_env.entries() == REFUNDED


async def test_a_result_that_telegram_never_takes_is_paid_back_when_it_expires(job_env: JobEnv) -> None:
    """Made and charged, given up by the notifier: money back with the file's end, once, the job stays completed."""
    await job_env.give(1, 100)
    job = await played(job_env, await job_env.order())
    (item,) = await job_env.db.write(outbox.claim)
    await job_env.db.write(outbox.give_up, item.id, "Forbidden: bot was blocked by the user")
    await change(job_env, "UPDATE assets SET expires_at = 1")
    sweeper = Sweeper(job_env.ctx, job_env.queue)
    await sweeper.delete_expired_assets()
    await sweeper.delete_expired_assets()
    assert (await job_env.job(job.id)).status is JobStatus.COMPLETED
    assert await job_env.entries() == [*BOUGHT, ("compensation", 1200)]


@pytest.mark.parametrize("ends_well", [True, False])
async def test_failures_on_the_way_are_paid_back_only_when_the_last_word_is_a_failure(
    job_env: JobEnv, ends_well: bool
) -> None:
    """Fails, is tried again: a picture in the end costs its price and is no refund; none in the end is one refund."""
    await job_env.give(1, 100)
    error = {"error": {"code": 500, "status": "INTERNAL", "message": "An internal error has occurred."}}
    tries = job_env.ctx.catalogue.retries.image.tries
    times = tries if ends_well else 1_000
    job_env.sandbox.fault("gemini", "generateContent", status=503, times=times, body=error)
    job = await job_env.order()
    await image_worker.run(job.id)
    assert (await job_env.job(job.id)).is_open
    assert await job_env.entries() == BOUGHT
    if ends_well:
        assert (await played(job_env, job)).status is JobStatus.COMPLETED
        assert await job_env.entries() == BOUGHT
        return
    await change(job_env, "UPDATE reservations SET hold_until = 1")
    sweeper = Sweeper(job_env.ctx, job_env.queue)
    await asyncio.gather(sweeper.release_overdue_holds(), image_worker.run(job.id))
    assert await job_env.entries() == REFUNDED


# --- orders and their results ----------------------------------------------------------------------------------


async def test_a_second_order_never_overwrites_the_first(job_env: JobEnv) -> None:
    """Two orders of one person at once: two rows, two charges, two files, each delivered under its own order."""
    await job_env.give(1, 100)
    first, second = await job_env.order(prompt="a red fox"), await job_env.order(prompt="a blue whale")
    await asyncio.gather(image_worker.run(first.id), image_worker.run(second.id))
    results = [await job_env.db.read(asset_rows.result_of, job.id) for job in (first, second)]
    assert all(results)
    assert len({asset.store_key for asset in results if asset}) == 2
    assert [(await job_env.job(job.id)).prompt for job in (first, second)] == ["a red fox", "a blue whale"]
    assert await job_env.told() == [(1, "result", first.id), (1, "result", second.id)]
    assert await job_env.entries() == [("test", 10_000), ("reserve", -1200), ("reserve", -1200)]


@pytest.mark.parametrize("minutes", [0, 10], ids=["young", "long under way"])
async def test_a_clip_whose_callback_was_lost_is_found_within_a_minute(job_env: JobEnv, minutes: int) -> None:
    """No callback ever comes: each poll follows within a minute, and the video is charged, not refunded."""
    await job_env.give(1, 100)
    job = await job_env.order(type=JobType.VIDEO, hold_ms=7_200_000)
    await video_worker.submit(job.id)
    await change(job_env, "UPDATE jobs SET started_at = started_at - :age", age=minutes * 60_000)
    gaps: list[int] = []

    async def over() -> bool:
        row = await job_env.db.read(lambda tx: (tx.now, job_rows.get(tx, job.id)))
        now, seen = row
        if seen is not None and seen.step is JobStep.WATCH and seen.due_at is not None:
            gaps.append(seen.due_at - now)
        await change(job_env, "UPDATE jobs SET due_at = 1 WHERE step = 'watch'")
        await poll_videos(job_env.ctx, job_env.queue)
        if job_env.queue.sent:
            await job_env.queue.run_next()
        return seen is not None and not seen.is_open

    await until(over, seconds=40, what="the clip is done")
    assert max(gaps) < 60_000
    assert (await job_env.job(job.id)).status is JobStatus.COMPLETED
    assert await job_env.entries() == BOUGHT


async def test_a_result_that_telegram_refuses_for_a_while_is_sent_again_and_not_drawn_again(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """Three errors of Telegram's in a row: the same picture is sent in the end; one call, one charge."""
    async with open_bot_env(sandbox, tmp_path) as bot_env:
        anya = bot_env.person()
        await bot_env.give(ANYA, 200)
        sandbox.fault("telegram", "sendPhoto", status=502, body="bad gateway", times=3)
        await anya.say("a red fox")
        await anya.sees("a red fox", new=True)
        await anya.press("Создать")
        await anya.gets("photo", seconds=90)
        await anya.gets("document", seconds=90)
        assert sandbox.calls("gemini", "generateContent") == 1
        assert await bot_env.db.get_balance(ANYA) == 18_800


# --- secrets stay at home ----------------------------------------------------------------------------------------


class Wiretap:
    """A line to the sandbox that keeps every byte that was sent into it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._port = int(sandbox.url.rpartition(":")[2])
        self.heard = bytearray()
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        there, back = await asyncio.open_connection("127.0.0.1", self._port)

        async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter, keep: bool) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65_536):
                    if keep:
                        self.heard += data
                    sink.write(data)
                    await sink.drain()
            sink.close()

        try:
            await asyncio.gather(carry(reader, back, True), carry(there, writer, False))
        finally:
            back.close()
            writer.close()


async def test_each_outside_system_hears_its_own_secret_and_no_other(sandbox: Sandbox, tmp_path: Path) -> None:
    """Everything the shop sent while a picture, an edit, a clip and a top-up were sold, byte for byte.

    The bot's token in particular, which every address of a Telegram file holds, reaches no provider.
    """
    taps = {name: Wiretap(sandbox) for name in ("telegram", "gemini", "kling", "yookassa")}
    async with contextlib.AsyncExitStack() as stack:
        at = {name: await stack.enter_async_context(tap.listening()) for name, tap in taps.items()}
        bot_env = await stack.enter_async_context(
            open_bot_env(
                sandbox,
                tmp_path,
                TELEGRAM_API_URL=at["telegram"],
                GEMINI_BASE_URL=f"{at['gemini']}/gemini",
                KLING_BASE_URL=f"{at['kling']}/kling",
                YOOKASSA_API_URL=f"{at['yookassa']}/yookassa/v3",
            )
        )
        anya = bot_env.person()
        await anya.say("/topup")
        await anya.press("500")
        await anya.link()
        await bot_env.give(ANYA, 1_000)
        await anya.photo(picture(), caption="make it blue")
        await anya.sees("make it blue", new=True)
        await anya.press("Создать")
        await anya.gets("document", seconds=60)
        await anya.photo(picture())
        await anya.sees("Что сделать", new=True)
        await anya.press("Оживить")
        await anya.press("Создать")
        await anya.gets("video", seconds=60)
    secrets = {
        "telegram": TOKEN.partition(":")[2], "gemini": "sandbox-gemini-key", "kling": "sandbox-kling-key",
        "yookassa": "MTAwNTAwOnRlc3Rfc2FuZGJveF9rZXk",
    }  # fmt: skip
    for name, tap in taps.items():
        assert len(tap.heard) > 200, f"{name} was never asked"
        found = {system for system, secret in secrets.items() if secret.encode() in tap.heard}
        assert found == {name}
        assert TOKEN.partition(":")[2].encode() in tap.heard or name != "telegram"
    assert b"test_sandbox_key" not in b"".join(bytes(tap.heard) for tap in taps.values())


# --- a deploy with the shop full ---------------------------------------------------------------------------------


@pytest.mark.timeout(600)
async def test_a_deploy_during_a_thousand_open_orders_ends_each_and_every_sum_agrees(
    job_env: JobEnv, tmp_path: Path
) -> None:
    """A thousand orders are open; the process that works is ended by SIGTERM three times in the midst of them.

    Each ends once, charged or paid back, and is told once; each balance is what its own orders cost.
    """
    people, each = 100, 10
    model, options = job_env.ctx.catalogue.default_image.key, {"ratio": "1:1", "size": "1K"}

    def order_all(tx: Tx) -> None:
        for number in range(people * each):
            user, drawn = number % people + 1, number % 40 == 0
            prompt = f"order {number}" if drawn else f"order {number} #sim:prompt_block=SAFETY"
            job_rows.start(
                tx,
                job_rows.NewJob(
                    id=f"full{number}",
                    user_id=user,
                    type=JobType.IMAGE,
                    model=model,
                    prompt=prompt,
                    params=options,
                    price=1_200,
                    hold_ms=3_600_000,
                ),
                max_active=each,
            )

    for user in range(1, people + 1):
        await job_env.give(user, 12 * each)
    await job_env.db.write(order_all)
    await later(job_env)

    async def open_jobs() -> int:
        return await job_env.db.read(
            lambda tx: int(tx.execute(text("SELECT count(*) FROM jobs WHERE step IS NOT NULL")).scalar() or 0)
        )

    left = [await open_jobs()]
    assert left == [people * each]
    for share in (0.9, 0.75, 0.6, 0.0):
        with program(SHOP, env=environment(job_env, tmp_path)) as process:

            async def down_to(goal: int = int(people * each * share)) -> bool:
                assert process.poll() is None, process.communicate()[1][-2000:]
                await change(job_env, "UPDATE jobs SET due_at = 1 WHERE step IS NOT NULL AND lease_until IS NULL")
                await asyncio.sleep(0.2)
                return await open_jobs() <= goal

            await until(down_to, seconds=240, what=f"{share:.0%} are open")
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait, 20)
        await assert_books(job_env.db)
        left.append(await open_jobs())
        await later(job_env)
    assert left[-1] == 0
    assert left[-2] > 0
    ended = await job_env.db.read(
        lambda tx: [tuple(row) for row in tx.execute(text("SELECT user_id, status, cost_actual FROM jobs"))]
    )
    assert {status for _, status, _ in ended} == {"completed", "failed"}
    for user in range(1, people + 1):
        cost = sum(cost for whose, status, cost in ended if whose == user and status == "completed")
        assert await job_env.balance(user) == 1_200 * each - cost
    told = [job for _, kind, job in await job_env.told() if kind in ("result", "failed")]
    assert len(told) == len(set(told)) == people * each
