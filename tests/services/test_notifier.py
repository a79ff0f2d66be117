"""What people are owed arrives once, in order, whatever Telegram answers; nothing is generated again for it."""

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
from tests.support.bot_env import ANYA, BotEnv, Person, labels_of, open_bot_env, until, words_of
from tests.support.sandbox_fixture import ADMIN, Sandbox

NBSP = "\u00a0"


def refusal(status: int, description: str, **parameters: Any) -> dict[str, Any]:
    """A fault that answers as the Bot API refuses."""
    body = {"ok": False, "error_code": status, "description": description}
    return {"status": status, "body": {**body, **({"parameters": parameters} if parameters else {})}}


async def order(bot_env: BotEnv, anya: Person, words: str = "рыжая лиса") -> dict[str, Any]:
    await bot_env.give(ANYA, 200)
    await anya.say(words)
    card = await anya.sees(words, new=True)
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
    """What the bot sent beside words, in order."""
    return [
        kind
        for message in await anya.messages()
        for kind in ("photo", "video", "document")
        if kind in message and not message.get("outgoing")
    ]


async def test_preview_and_original(bot_env: BotEnv) -> None:
    """A picture comes as a preview with words and buttons, then quietly as the untouched original."""
    anya = bot_env.person()
    await order(bot_env, anya)
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
    ids=["bad gateway", "broken line", "server error", "too many requests"],
)
async def test_the_original_is_sent_again_and_the_preview_is_not(bot_env: BotEnv, fault: dict[str, Any]) -> None:
    """When the line breaks between preview and original, only what is missing is sent, and nothing is drawn again."""
    anya = bot_env.person()
    bot_env.sandbox.fault("telegram", "sendDocument", **fault)
    await order(bot_env, anya)
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
async def test_a_result_does_not_wait_for_the_word_that_it_is_coming(bot_env: BotEnv, fault: dict[str, Any]) -> None:
    """ "Sending a photo…" is only a courtesy: whatever Telegram says to it, the result goes out at once, at the first
    try."""
    anya = bot_env.person()
    bot_env.sandbox.fault("telegram", "sendChatAction", **fault)
    await order(bot_env, anya)
    await anya.gets("document", seconds=15)
    await delivered(bot_env)
    assert await kinds(anya) == ["photo", "document"]
    assert [row["attempts"] for row in await rows(bot_env) if row["kind"] == "result"] == [1]


async def test_a_lost_answer_may_show_the_preview_twice_but_never_charges_twice(bot_env: BotEnv) -> None:
    """Telegram has the preview but its answer is lost: a second copy is better than none."""
    anya = bot_env.person()
    bot_env.sandbox.fault("telegram", "sendPhoto", drop="after")
    await order(bot_env, anya)
    await delivered(bot_env)
    assert await kinds(anya) == ["photo", "photo", "document"]
    assert await bot_env.db.get_balance(ANYA) == 18_800


@pytest.mark.parametrize("word", ["PHOTO_INVALID_DIMENSIONS", "IMAGE_PROCESS_FAILED"])
async def test_a_picture_that_is_no_photo_for_telegram(bot_env: BotEnv, word: str) -> None:
    """What Telegram does not take as a photo comes as a file alone, with the words and buttons on it."""
    anya = bot_env.person()
    bot_env.sandbox.fault("telegram", "sendPhoto", **refusal(400, f"Bad Request: {word}"))
    await order(bot_env, anya)
    await delivered(bot_env)
    (file,) = await anya.gets("document")
    assert "🎨 Картинка" in words_of(file)
    assert "✏️ Изменить" in labels_of(file)
    assert await kinds(anya) == ["document"]


async def test_a_result_too_large_for_telegram(bot_env: BotEnv) -> None:
    """413: the person reads where the result is; it counts as not delivered, so the money would come back."""
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
    """Blocked while it was drawn: nothing is lost, and the result comes when the person is back."""
    anya = bot_env.person()
    bot_env.sandbox.fault("gemini", "generateContent", delay=1.0)
    await order(bot_env, anya)
    await anya.block()

    async def given_up() -> bool:
        return any(row["dead_reason"] for row in await rows(bot_env))

    await until(given_up, seconds=40, what="the chat is seen to be closed")
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
    """Who has the original and blocks the bot before the last word is written has what was paid for: it counts as
    delivered, so it is neither paid back when it expires nor sent again."""
    anya = bot_env.person()
    bot_env.sandbox.fault("telegram", "sendDocument", delay=1.0)
    await order(bot_env, anya)
    await anya.gets("photo")
    blocked = refusal(403, "Forbidden: bot was blocked by the user")
    bot_env.sandbox.fault("telegram", "editMessageText", times=9, **blocked)

    async def ended() -> bool:
        return all(row["due_at"] is None for row in await rows(bot_env) if row["kind"] == "result")

    await until(ended, seconds=40, what="the delivery is over")
    assert await kinds(anya) == ["photo", "document"]
    assert (await the_job(bot_env)).delivered_at is not None


async def test_start_and_history_bring_what_did_not_arrive(bot_env: BotEnv) -> None:
    """A result given up is sent at /start, and the history opens it through the same delivery, counted once."""
    anya = bot_env.person()
    bot_env.sandbox.fault("telegram", "sendPhoto", **refusal(403, "Forbidden: bot was blocked by the user"))
    await order(bot_env, anya)

    async def given_up() -> bool:
        return any(row["dead_reason"] for row in await rows(bot_env))

    await until(given_up, seconds=40, what="given up")
    await anya.say("/history")
    await delivered(bot_env)  # any word of the person's shows that the chat is open again
    await anya.sees("История")
    assert await kinds(anya) == ["photo", "document"]


async def test_a_result_due_while_the_bot_was_down(sandbox: Sandbox, tmp_path: Path) -> None:
    """What became due with no bot running is delivered by the next one."""
    async with open_bot_env(sandbox, tmp_path) as bot_env:
        anya = bot_env.person()
        sandbox.fault(
            "telegram", "sendPhoto", status=500, body={"ok": False, "error_code": 500, "description": "x"}, times=50
        )
        await order(bot_env, anya)

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


async def test_the_last_word_is_sent_anew_when_the_card_is_gone(bot_env: BotEnv) -> None:
    """When the live message was deleted, why the order failed comes as a new message."""
    anya = bot_env.person()
    bot_env.sandbox.fault("gemini", "generateContent", delay=0.7)
    bot_env.sandbox.fault("gemini", tag="prompt_block")
    card = await order(bot_env, anya)
    telegram = bot_env.sandbox.world.faces["telegram"]
    telegram.chat(telegram.bot(900), ANYA).messages.pop(card["message_id"])
    end = await anya.sees("Не получилось")
    assert end["message_id"] > card["message_id"]
    assert f"Деньги вернулись на баланс: 12{NBSP}₽" in words_of(end)


async def test_messages_of_a_chat_keep_their_order(bot_env: BotEnv) -> None:
    """What is owed to one person goes out in the order it was owed, even when a first one must be tried again."""
    anya = bot_env.person()
    await anya.say("/start")
    await anya.sees("Напишите, что нарисовать")

    def owe(tx: Tx) -> None:
        for number in range(1, 7):
            outbox.post(tx, f"test:{number}", ANYA, "granted", payload={"amount": number * 100})

    await bot_env.db.write(owe)
    bot_env.shop.notifier.nudge()
    await anya.sees(f"начислено 6{NBSP}₽")
    given = [words_of(one).split("начислено ")[1][0] for one in await anya.messages() if "начислено" in words_of(one)]
    assert given == list("123456")


async def test_every_kind_has_words(bot_env: BotEnv) -> None:
    """Gifts, take-backs, debts and alerts each say the sum; an unknown kind or alert never stops the rest."""
    anya, oleg = bot_env.person(), bot_env.person(ADMIN)

    def owe(tx: Tx) -> None:
        outbox.post(tx, "k0", ANYA, "news from the future")
        outbox.post(tx, "k1", ANYA, "took_back", payload={"amount": 5000, "owed": 0})
        outbox.post(tx, "k2", ANYA, "took_back", payload={"amount": 5000, "owed": 2000})
        outbox.alert_admins(tx, [ADMIN], "k3", "alert-storage")
        outbox.alert_admins(tx, [ADMIN], "k4", "alert-from-the-future", code="<odd>")
        ledger.credit(tx, ANYA, 100, reason="test", key="test:k5")

    await bot_env.db.write(owe)
    await anya.sees(f"вернулся туда, откуда пришёл: 50{NBSP}₽ списано")
    await anya.sees(f"долг 20{NBSP}₽")
    await oleg.sees("некуда сохранять")
    await oleg.sees("alert-from-the-future code=<odd>")

    async def all_done() -> bool:
        return all(row["sent_at"] for row in await rows(bot_env))

    await until(all_done, what="all rows are done")


async def test_stopping_lets_a_delivery_end(sandbox: Sandbox, tmp_path: Path) -> None:
    """A stop in the middle of an upload waits for it: the row is done, not left to be sent twice."""
    async with open_bot_env(sandbox, tmp_path) as bot_env:
        sandbox.fault("telegram", "sendDocument", delay=1.0)
        await order(bot_env, bot_env.person())
        await bot_env.person().gets("photo")
    async with open_bot_env(sandbox, tmp_path) as bot_env:
        await delivered(bot_env)
        await asyncio.sleep(0.5)
        assert await kinds(bot_env.person()) == ["photo", "document"]
