"""Attacks on what comes in: callbacks nobody acts upon, updates that break their reader, repeats of what is done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiogram import Dispatcher
from aiogram.types import Message
from sqlalchemy import text

from database import inbox
from database import jobs as job_rows
from database import video_jobs as video_rows
from database.models import Database, DatabaseUnavailable, JobStep, JobType, Tx
from handlers.polling import Polling
from handlers.updates import MAX_ATTEMPTS, MAX_RUNNING, MAX_WAITING, Updates
from services.messaging.telegram import make_bot
from tests.support.database_fixture import Clock
from tests.support.job_env import JobEnv, until
from tests.support.payment_env import PaymentEnv
from tests.support.route_fixture import Heard, deliver, good, inbox_rows, open_heard, opened
from tests.support.sandbox_fixture import TOKEN, Sandbox


async def test_a_callback_leaves_nothing_undone_even_when_nobody_has_time(payment_env: PaymentEnv) -> None:
    """However many come at once, each row is finished in the transaction that wrote it down, so it can be forgotten."""
    payment_env.context.background.update(asyncio.create_task(asyncio.sleep(60)) for _ in range(200))
    assert await deliver(payment_env, "kling", good("kling", 7)) == 200
    assert [due for _, _, due in await inbox_rows(payment_env)] == [False]
    for task in payment_env.context.background:
        task.cancel()


async def test_a_forged_callback_only_brings_the_poll_forward(payment_env: PaymentEnv, job_env: JobEnv) -> None:
    """Whatever status it claims, and however often: the job is polled now, and nothing else of it changes."""
    await job_env.give(1, 100)
    job = await job_env.order(type=JobType.VIDEO)
    taken = await job_env.db.write(job_rows.claim, job.id, JobStep.SUBMIT)
    assert taken is not None
    await job_env.db.write(video_rows.submitted, job.id, taken.attempt, external_id="task-1", poll_in_ms=600_000)
    before = await job_env.job(job.id)
    for status in ("succeed", "failed", "succeed"):
        body = {"id": "task-1", "status": status, "outputs": [{"type": "video", "url": "https://evil.example/x.mp4"}]}
        assert await deliver(payment_env, "kling", json.dumps(body).encode()) == 200
    await payment_env.acted()
    after = await job_env.job(job.id)
    assert (after.due_at or 0) < (before.due_at or 0)
    assert (after.step, after.status, after.external_url) == (before.step, before.status, None)


async def test_a_repeat_of_a_handled_update_is_not_handled_again(sandbox: Sandbox, tmp_path: Path) -> None:
    """Our 200 was lost on its way, Telegram sends once more: the person sees one answer, not two."""
    heard = open_heard()
    async with opened(sandbox, tmp_path, heard=heard) as shop:
        for _ in range(3):
            assert await deliver(shop, "telegram", good("telegram")) == 200
            await shop.acted()
            assert shop.context.updates is not None
            await asyncio.wait_for(heard.arrived.wait(), timeout=10)
            await shop.context.updates.drain(5)
        assert heard.texts == ["hello 1"]


async def test_another_update_under_a_used_number_is_not_lost(sandbox: Sandbox, tmp_path: Path) -> None:
    """Numbers begin anew after a quiet week or with another bot's token: what is new is handled."""
    heard = open_heard()
    async with opened(sandbox, tmp_path, heard=heard) as shop:
        for words in ("first", "second"):
            body = json.loads(good("telegram"))
            body["message"]["text"] = words
            assert await deliver(shop, "telegram", json.dumps(body).encode()) == 200
            await shop.acted()
            assert shop.context.updates is not None
            await shop.context.updates.drain(5)
        assert heard.texts == ["first", "second"]


async def test_an_update_that_always_fails_is_given_up(sandbox: Sandbox, tmp_path: Path, clock: Clock) -> None:
    """A handler that meets the same fault each time, or kills its process: not for ever."""
    dispatcher, tries = Dispatcher(), 0

    @dispatcher.message()
    async def fail(_: Message) -> None:
        nonlocal tries
        tries += 1
        raise DatabaseUnavailable("always")

    settings = sandbox.settings(tmp_path)
    db = Database(settings.database_url, clock=clock)
    await db.init_db()
    bot = make_bot(settings)
    updates = Updates(bot, dispatcher, db)
    item = await updates.write_down(good("telegram").decode(), 1)
    assert item is not None
    await updates.take(item)
    for _ in range(MAX_ATTEMPTS + 5):
        await updates.drain(5)
        clock.forward(600_000)
        await updates.take_due()
    await updates.drain(5)
    assert tries <= MAX_ATTEMPTS
    assert await db.write(inbox.due, source="telegram") == []
    await bot.session.close()
    await db.close()


async def test_an_update_is_taken_by_one_hand_only(sandbox: Sandbox, tmp_path: Path) -> None:
    """All places are taken: the update that waits for one must not be started a second time by the catching up."""
    hung = Heard()
    async with opened(sandbox, tmp_path, heard=hung) as shop:
        updates = shop.context.updates
        assert updates is not None
        items = [await updates.write_down(good("telegram", number).decode(), number) for number in range(1, 202)]
        takers = [asyncio.create_task(updates.take(item)) for item in items if item is not None]
        await asyncio.sleep(0.1)
        last = items[-1]
        assert last is not None
        takers.append(asyncio.create_task(updates.take(last)))
        hung.gate.set()
        await asyncio.gather(*takers)
        await updates.drain(10)
        assert sorted(hung.texts) == sorted(f"hello {number}" for number in range(1, 202))


async def test_one_update_that_our_library_can_not_read_does_not_stop_polling(sandbox: Sandbox, tmp_path: Path) -> None:
    """A kind of content from the future: it is passed over, and the messages behind it are answered."""
    heard = open_heard()
    settings = sandbox.settings(tmp_path)
    db = Database(settings.database_url)
    await db.init_db()
    bot = make_bot(settings)
    updates = Updates(bot, heard.dispatcher(), db)
    strange = {"update_id": 5, "message": {"message_id": 1, "date": "tomorrow", "chat": 7}}
    plain = json.loads(good("telegram", 6))
    sandbox.fault("telegram", "getUpdates", status=200, body={"ok": True, "result": [strange, plain]})
    stop = asyncio.Event()
    polling = asyncio.create_task(Polling(bot, updates).run(stop))
    await asyncio.wait_for(heard.arrived.wait(), timeout=10)
    stop.set()
    await polling
    await updates.drain(5)
    assert heard.texts == ["hello 6"]

    def keys(tx: Tx) -> list[str]:
        return [str(row[0]) for row in tx.execute(text("SELECT key FROM inbox WHERE due_at IS NULL ORDER BY id"))]

    assert await db.read(keys) == ["5", "6"]
    await bot.session.close()
    await db.close()


@asynccontextmanager
async def polling(
    sandbox: Sandbox, folder: Path, heard: Heard, *, max_running: int = MAX_RUNNING, max_waiting: int = MAX_WAITING
) -> AsyncIterator[tuple[Updates, Database]]:
    """A bot that polls while the body runs."""
    settings = sandbox.settings(folder)
    db = Database(settings.database_url)
    await db.init_db()
    bot = make_bot(settings)
    updates = Updates(bot, heard.dispatcher(), db, max_running=max_running, max_waiting=max_waiting)
    stop = asyncio.Event()
    poll = asyncio.create_task(Polling(bot, updates).run(stop))
    try:
        yield updates, db
    finally:
        stop.set()
        heard.gate.set()
        await asyncio.wait_for(poll, timeout=20)
        await updates.drain(20)
        await bot.session.close()
        await db.close()


async def test_polling_hears_who_comes_after_a_quiet_week(sandbox: Sandbox, tmp_path: Path) -> None:
    """Telegram's numbers begin anew then: with a lower one the first update is heard as well, and so are all others."""
    heard, clock = open_heard(), sandbox.world.clock
    telegram = sandbox.world.faces["telegram"]
    bot = telegram.bot(int(TOKEN.split(":")[0]))
    async with polling(sandbox, tmp_path, heard):
        for week in range(6):
            telegram.receive(bot, telegram.chat(bot, 1001), {"text": f"week {week}"})
            await so(lambda: len(heard.texts) == week + 1)  # noqa: B023 - awaited at once
            asked = sandbox.calls("telegram", "getUpdates")
            await so(lambda: sandbox.calls("telegram", "getUpdates") > asked + 2)  # noqa: B023
            clock.advance(8 * 86_400)
    assert heard.texts == [f"week {week}" for week in range(6)]


async def so(condition: Callable[[], bool]) -> None:
    """Wait until it is."""

    async def asked() -> bool:
        return condition()

    await until(asked)


def sold(number: int) -> dict[str, Any]:
    """An update from the counter."""
    ann = {"id": 7, "is_bot": False, "first_name": "Ann"}
    query = {"id": "q", "from": ann, "currency": "XTR", "total_amount": 1, "invoice_payload": f"order {number}"}
    return {"update_id": number, "pre_checkout_query": query}


def send(sandbox: Sandbox, *updates: dict[str, Any]) -> None:
    """The next answer to getUpdates."""
    sandbox.fault("telegram", "getUpdates", status=200, body={"ok": True, "result": list(updates)})


def written(number: int, words: str = "") -> dict[str, Any]:
    update: dict[str, Any] = json.loads(good("telegram", number))
    update["message"]["text"] = words or update["message"]["text"]
    return update


async def test_the_counter_is_answered_behind_any_line(sandbox: Sandbox, tmp_path: Path) -> None:
    """All places are taken by slow handlers and as many wait: a checkout that is polled then is answered at once."""
    heard, crowd = Heard(), 2 * MAX_RUNNING
    send(sandbox, *(written(number) for number in range(1, crowd + 1)))
    send(sandbox, sold(crowd + 1))
    async with polling(sandbox, tmp_path, heard):
        await so(lambda: heard.texts == [f"order {crowd + 1}"])
    assert heard.texts[1:] == [f"hello {number}" for number in range(1, crowd + 1)]


async def test_a_line_that_is_full_stops_the_fetching_and_loses_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """What waits is bounded and stands in the inbox; what has no place is left with Telegram, and all come in order."""
    heard = Heard()
    send(sandbox, *(written(number) for number in range(1, 5)))
    send(sandbox, *(written(number) for number in range(5, 9)))
    async with polling(sandbox, tmp_path, heard, max_running=2, max_waiting=3) as (_, db):

        def unfinished(tx: Tx) -> list[str]:
            rows = tx.execute(text("SELECT key FROM inbox WHERE due_at IS NOT NULL ORDER BY id"))
            return [str(row[0]) for row in rows]

        async def full() -> bool:
            return len(await db.read(unfinished)) == 6

        await until(full)
        await asyncio.sleep(0.2)
        assert await db.read(unfinished) == ["1", "2", "3", "4", "5", "6"]  # five have places, the sixth waits for one
        heard.gate.set()
        await so(lambda: len(heard.texts) == 8)
    assert heard.texts == [f"hello {number}" for number in range(1, 9)]


async def test_no_words_of_a_person_jump_the_line(sandbox: Sandbox, tmp_path: Path) -> None:
    """Only what Telegram itself puts into its place is about money; a text or an answered message is not."""
    heard = Heard()
    paid = {
        "currency": "XTR",
        "total_amount": 1,
        "invoice_payload": "x",
        "telegram_payment_charge_id": "c",
        "provider_payment_charge_id": "",
    }
    answered = written(4)
    answered["message"]["reply_to_message"] = {**written(9)["message"], "successful_payment": paid}
    bought = written(5, "bought")
    bought["message"]["successful_payment"] = paid
    send(sandbox, written(1), written(2, "pre_checkout_query"), written(3, "successful_payment"), answered, bought)
    async with polling(sandbox, tmp_path, heard, max_running=1):
        await so(lambda: len(heard.begun) == 2)
        await asyncio.sleep(0.2)
        assert sorted(heard.begun) == ["bought", "hello 1"]


async def test_what_only_waits_in_line_is_not_given_up(sandbox: Sandbox, tmp_path: Path, clock: Clock) -> None:
    """However long the line stands, its end is not taken for an update that fails again and again."""
    settings = sandbox.settings(tmp_path)
    db = Database(settings.database_url, clock=clock)
    await db.init_db()
    heard, bot = Heard(), make_bot(settings)
    updates = Updates(bot, heard.dispatcher(), db)
    item = await updates.write_down(good("telegram").decode(), 1)
    assert item is not None
    await updates.take(item)
    for _ in range(MAX_ATTEMPTS + 1):
        clock.forward(600_000)
        await updates.take_due()
    await updates.drain(0)  # the process ends before its turn
    clock.forward(600_000)
    heard.gate.set()
    await updates.take_due()
    await updates.drain(5)
    assert heard.texts == ["hello 1"]
    await bot.session.close()
    await db.close()


@pytest.mark.parametrize("secret", [b"\xff\xfe", "секрет".encode(), b""])
async def test_no_bytes_in_the_secrets_header_get_past_a_401(sandbox: Sandbox, tmp_path: Path, secret: bytes) -> None:
    """A header that is no text at all is a wrong secret like any other."""
    from tests.support.route_fixture import raw_status

    async with opened(sandbox, tmp_path, heard=open_heard()) as shop:
        body = good("telegram")
        head = b"POST /webhooks/telegram HTTP/1.1\nHost: x\nConnection: close\nContent-Length: %d\n" % len(body)
        assert await raw_status(shop, head + b"X-Telegram-Bot-Api-Secret-Token: " + secret + b"\n", body) == 401
        assert await inbox_rows(shop) == []


async def test_a_database_that_is_away_is_never_acknowledged(payment_env: PaymentEnv) -> None:
    """What could not be written down is a 500, so that it is sent again; afterwards the repeat credits."""
    order = await payment_env.open_payment()
    await payment_env.pay(order)
    assert order.provider_payment_id is not None

    def close_the_door(tx: Tx) -> None:
        tx.execute(text("CREATE TRIGGER away BEFORE INSERT ON inbox BEGIN SELECT no_such_function(); END"))

    def open_the_door(tx: Tx) -> None:
        tx.execute(text("DROP TRIGGER away"))

    await payment_env.db.write(close_the_door)
    assert await payment_env.notify("payment.succeeded", order.provider_payment_id) == 500
    await payment_env.db.write(open_the_door)
    assert await payment_env.db.get_balance(1) == 0
    assert await payment_env.notify("payment.succeeded", order.provider_payment_id) == 200
    await payment_env.acted()

    async def credited() -> bool:
        return await payment_env.db.get_balance(1) == 50_000

    await until(credited)


def test_the_token_of_these_tests_is_no_real_one() -> None:
    """Nothing here may ever reach the real Telegram."""
    assert TOKEN.startswith("900:")
