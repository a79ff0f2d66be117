"""The messages of the outbox arrive once and in order, whatever Telegram answers; nothing is made again for it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from database import assets as asset_rows
from database import jobs as job_rows
from database import ledger, outbox, schema
from database import users as user_rows
from database.models import Tx
from database.rows import Job
from tests.support.bot_env import ANYA, BotEnv, Json, Person, labels_of, open_bot_env, until, words_of
from tests.support.sandbox_fixture import ADMIN, Sandbox

NBSP = "\u00a0"


def refusal(status: int, description: str, **parameters: Any) -> dict[str, Any]:
    """A fault that answers as the Bot API refuses."""
    body = {"ok": False, "error_code": status, "description": description}
    return {"status": status, "body": {**body, **({"parameters": parameters} if parameters else {})}}


async def start_job(bot_env: BotEnv, anya: Person, prompt: str = "рыжая лиса") -> Json:
    await bot_env.give(ANYA, 200)
    await anya.say(prompt)
    card = await anya.sees(prompt, new=True)
    await anya.press("Создать", on=card)
    return card


async def the_job(bot_env: BotEnv) -> Job:
    (job,) = await bot_env.db.read(job_rows.of_user, ANYA)
    return job


async def rows(bot_env: BotEnv) -> list[dict[str, Any]]:
    return [dict(row) for row in await bot_env.db.read(lambda tx: tx.rows(schema.outbox.select()))]


async def delivered(bot_env: BotEnv) -> Job:
    async def done() -> Job | None:
        job = await the_job(bot_env)
        return job if job.delivered_at is not None else None

    job: Job = await until(done, seconds=40, what="the delivery")
    return job


async def kinds(anya: Person) -> list[str]:
    """The kinds of the messages from the bot that are not texts, oldest first."""
    return [
        kind
        for message in await anya.messages()
        for kind in ("photo", "video", "document")
        if kind in message and not message.get("outgoing")
    ]


async def test_preview_and_original(bot_env: BotEnv) -> None:
    """An image is sent as a preview with caption and buttons, then as the original file without a sound."""
    anya = bot_env.person()
    await start_job(bot_env, anya)
    await delivered(bot_env)
    assert await kinds(anya) == ["photo", "document"]
    (photo,), (file,) = await anya.gets("photo"), await anya.gets("document")
    assert f"🎨 Картинка · 12{NBSP}₽" in words_of(photo)
    assert labels_of(photo) == [f"🔁 Повторить · 12{NBSP}₽", "✏️ Изменить", "🎬 Оживить"]
    asset = await bot_env.db.read(asset_rows.result_of, (await the_job(bot_env)).id)
    assert asset is not None
    assert asset.file_id == file["document"]["file_id"]
    assert asset.size == file["document"]["file_size"]
    assert asset.preview_file_id == photo["photo"][-1]["file_id"]


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 502, "body": "<html>Bad Gateway</html>"},
        {"drop": "before"},
        refusal(500, "Internal Server Error"),
        refusal(429, "Too Many Requests: retry after 1", retry_after=1),
    ],
    ids=["bad gateway", "lost connection", "server error", "too many requests"],
)
async def test_the_original_is_sent_again_and_the_preview_is_not(bot_env: BotEnv, fault: dict[str, Any]) -> None:
    """When sending fails between preview and original, only the original is sent again, and nothing is made again."""
    anya = bot_env.person()
    bot_env.sandbox.fault("telegram", "sendDocument", **fault)
    await start_job(bot_env, anya)
    await delivered(bot_env)
    assert await kinds(anya) == ["photo", "document"]
    assert bot_env.sandbox.calls("gemini", "generateContent") == 1
    assert await bot_env.db.get_balance(ANYA) == 18_800


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 502, "body": "<html>Bad Gateway</html>", "times": 9},
        {"times": 9, **refusal(429, "Too Many Requests: retry after 40", retry_after=40)},
    ],
    ids=["bad gateway", "too many requests"],
)
async def test_a_result_does_not_wait_for_the_chat_action(bot_env: BotEnv, fault: dict[str, Any]) -> None:
    """Whatever Telegram answers to "sending a photo…", the result is sent at once, at the first attempt."""
    anya = bot_env.person()
    bot_env.sandbox.fault("telegram", "sendChatAction", **fault)
    await start_job(bot_env, anya)
    await anya.gets("document", seconds=15)
    await delivered(bot_env)
    assert await kinds(anya) == ["photo", "document"]
    assert [row["attempts"] for row in await rows(bot_env) if row["kind"] == "result"] == [1]


async def test_a_lost_answer_may_repeat_the_preview_but_not_the_charge(bot_env: BotEnv) -> None:
    """Telegram has the preview, but its answer is lost: the preview is sent again, and the job is charged once."""
    anya = bot_env.person()
    bot_env.sandbox.fault("telegram", "sendPhoto", drop="after")
    await start_job(bot_env, anya)
    await delivered(bot_env)
    assert await kinds(anya) == ["photo", "photo", "document"]
    assert await bot_env.db.get_balance(ANYA) == 18_800


@pytest.mark.parametrize("reason", ["PHOTO_INVALID_DIMENSIONS", "IMAGE_PROCESS_FAILED"])
async def test_an_image_that_telegram_refuses_as_a_photo(bot_env: BotEnv, reason: str) -> None:
    """An image that Telegram refuses as a photo is sent as a file only, with caption and buttons."""
    anya = bot_env.person()
    bot_env.sandbox.fault("telegram", "sendPhoto", **refusal(400, f"Bad Request: {reason}"))
    await start_job(bot_env, anya)
    await delivered(bot_env)
    (file,) = await anya.gets("document")
    assert "🎨 Картинка" in words_of(file)
    assert "✏️ Изменить" in labels_of(file)
    assert await kinds(anya) == ["document"]


async def test_a_result_too_large_for_telegram(bot_env: BotEnv) -> None:
    """413: the person is told; the result counts as not delivered, so the money goes back when it expires."""
    anya = bot_env.person()
    bot_env.sandbox.fault("telegram", "sendVideo", **refusal(413, "Request Entity Too Large"))
    await bot_env.give(ANYA, 200)
    await anya.say("/video")
    await anya.sees("Опишите сцену")
    await anya.say("волны")
    await anya.sees("волны", new=True)
    await anya.press("Создать")
    await anya.sees("файл больше, чем принимает Telegram")
    job = await the_job(bot_env)
    assert job.delivered_at is None
    asset = await bot_env.db.read(asset_rows.result_of, job.id)
    assert asset is not None
    await bot_env.db.write(job_rows.asset_deleted, asset.id)
    await anya.sees("Результат не удалось вам передать")
    assert await bot_env.db.get_balance(ANYA) == 20_000


async def test_a_closed_chat_keeps_its_result(bot_env: BotEnv) -> None:
    """A result for a person who has blocked the bot is kept, and sent when the person comes back."""
    anya = bot_env.person()
    bot_env.sandbox.fault("gemini", "generateContent", delay=1.0)
    await start_job(bot_env, anya)
    await anya.block()

    async def given_up() -> bool:
        return any(row["dead_reason"] for row in await rows(bot_env))

    await until(given_up, seconds=40, what="the blocked bot is noticed")
    known = await bot_env.db.read(user_rows.get, ANYA)
    assert known is not None
    assert known.is_unreachable
    assert (await the_job(bot_env)).delivered_at is None
    await anya.unblock()
    await delivered(bot_env)
    assert await kinds(anya) == ["photo", "document"]
    known = await bot_env.db.read(user_rows.get, ANYA)
    assert known is not None
    assert not known.is_unreachable
    assert bot_env.sandbox.world.counts["gemini:generateContent"] == 1


async def test_a_chat_closed_behind_the_result_does_not_undo_the_delivery(bot_env: BotEnv) -> None:
    """A person who blocks the bot after the original was sent has the result: it counts as delivered.

    So it is neither refunded when it expires nor sent again.
    """
    anya = bot_env.person()
    bot_env.sandbox.fault("telegram", "sendDocument", delay=1.0)
    await start_job(bot_env, anya)
    await anya.gets("photo")
    blocked = refusal(403, "Forbidden: bot was blocked by the user")
    bot_env.sandbox.fault("telegram", "editMessageText", times=9, **blocked)

    async def ended() -> bool:
        return all(row["due_at"] is None for row in await rows(bot_env) if row["kind"] == "result")

    await until(ended, seconds=40, what="the delivery is over")
    assert await kinds(anya) == ["photo", "document"]
    assert (await the_job(bot_env)).delivered_at is not None


async def test_a_result_given_up_is_sent_when_the_person_writes(bot_env: BotEnv) -> None:
    """A result that was given up is sent after the next message of the person, once."""
    anya = bot_env.person()
    bot_env.sandbox.fault("telegram", "sendPhoto", **refusal(403, "Forbidden: bot was blocked by the user"))
    await start_job(bot_env, anya)

    async def given_up() -> bool:
        return any(row["dead_reason"] for row in await rows(bot_env))

    await until(given_up, seconds=40, what="given up")
    await anya.say("/history")
    await delivered(bot_env)  # every message shows that the person has not blocked the bot
    await anya.sees("История")
    assert await kinds(anya) == ["photo", "document"]


async def test_a_result_due_while_the_bot_was_down(sandbox: Sandbox, tmp_path: Path) -> None:
    """A result that became due while no bot ran is delivered by the next one."""
    async with open_bot_env(sandbox, tmp_path) as bot_env:
        anya = bot_env.person()
        sandbox.fault(
            "telegram", "sendPhoto", status=500, body={"ok": False, "error_code": 500, "description": "x"}, times=50
        )
        await start_job(bot_env, anya)

        async def tried() -> bool:
            return any(row["attempts"] for row in await rows(bot_env) if row["kind"] == "result")

        await until(tried, seconds=40, what="a first try")
    sandbox.world.faults.clear()
    async with open_bot_env(sandbox, tmp_path) as bot_env:

        def hurry(tx: Tx) -> None:
            tx.execute(schema.outbox.update().values(due_at=tx.now - 1, lease_until=None))

        await bot_env.db.write(hurry)
        await delivered(bot_env)
        assert await kinds(bot_env.person()) == ["photo", "document"]


async def test_the_end_of_a_job_is_a_new_message_when_the_live_message_is_gone(bot_env: BotEnv) -> None:
    """When the live message was deleted, the reason of a failure is sent as a new message."""
    anya = bot_env.person()
    bot_env.sandbox.fault("gemini", "generateContent", delay=0.7)
    bot_env.sandbox.fault("gemini", tag="prompt_block")
    card = await start_job(bot_env, anya)
    telegram = bot_env.sandbox.world.faces["telegram"]
    telegram.chat(telegram.bot(900), ANYA).messages.pop(card["message_id"])
    end = await anya.sees("Не получилось")
    assert end["message_id"] > card["message_id"]
    assert f"Деньги вернулись на баланс: 12{NBSP}₽" in words_of(end)


async def test_messages_of_a_chat_keep_their_order(bot_env: BotEnv) -> None:
    """The messages for one person are sent in the order in which they were written."""
    anya = bot_env.person()
    await anya.say("/start")
    await anya.sees("Напишите, что нарисовать")

    def post(tx: Tx) -> None:
        for number in range(1, 7):
            outbox.post(tx, f"test:{number}", ANYA, "granted", payload={"amount": number * 100})

    await bot_env.db.write(post)
    bot_env.app.notifier.nudge()
    await anya.sees(f"начислено 6{NBSP}₽")
    given = [words_of(one).split("начислено ")[1][0] for one in await anya.messages() if "начислено" in words_of(one)]
    assert given == list("123456")


async def test_every_kind_of_outbox_item_has_a_text(bot_env: BotEnv) -> None:
    """Credits, take-backs, debts and alerts have texts; an unknown kind or alert does not stop the others."""
    anya, oleg = bot_env.person(), bot_env.person(ADMIN)

    def post(tx: Tx) -> None:
        outbox.post(tx, "k0", ANYA, "news from the future")
        outbox.post(tx, "k1", ANYA, "took_back", payload={"amount": 5000, "owed": 0})
        outbox.post(tx, "k2", ANYA, "took_back", payload={"amount": 5000, "owed": 2000})
        outbox.alert_admins(tx, [ADMIN], "k3", "alert-storage")
        outbox.alert_admins(tx, [ADMIN], "k4", "alert-from-the-future", code="<odd>")
        ledger.credit(tx, ANYA, 100, reason="test", key="test:k5")

    await bot_env.db.write(post)
    await anya.sees(f"вернулся туда, откуда пришёл: 50{NBSP}₽ списано")
    await anya.sees(f"долг 20{NBSP}₽")
    await oleg.sees("некуда сохранять")
    await oleg.sees("alert-from-the-future code=<odd>")

    async def all_done() -> bool:
        return all(row["sent_at"] for row in await rows(bot_env))

    await until(all_done, what="all rows are done")


async def test_a_stop_waits_for_a_delivery(sandbox: Sandbox, tmp_path: Path) -> None:
    """A stop during an upload waits for it: the row is done, so that it is not sent twice."""
    async with open_bot_env(sandbox, tmp_path) as bot_env:
        sandbox.fault("telegram", "sendDocument", delay=1.0)
        await start_job(bot_env, bot_env.person())
        await bot_env.person().gets("photo")
    async with open_bot_env(sandbox, tmp_path) as bot_env:
        await delivered(bot_env)
        await asyncio.sleep(0.5)
        assert await kinds(bot_env.person()) == ["photo", "document"]
