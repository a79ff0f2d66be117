"""What people are owed arrives once, in order, whatever Telegram answers; nothing is generated again for it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from database import assets as asset_rows
from database import jobs, ledger, outbox, payments, schema, users
from database.models import Tx
from database.rows import Job
from tests.bot_fixture import ANYA, House, Person, labels_of, open_house, until, words_of
from tests.sandbox_fixture import ADMIN, Sandbox

NBSP = "\u00a0"


def refusal(status: int, description: str, **parameters: Any) -> dict[str, Any]:
    """A fault that answers as the Bot API refuses."""
    body = {"ok": False, "error_code": status, "description": description}
    return {"status": status, "body": {**body, **({"parameters": parameters} if parameters else {})}}


async def order(house: House, anya: Person, words: str = "рыжая лиса") -> dict[str, Any]:
    await house.give(ANYA, 200)
    await anya.say(words)
    card = await anya.sees(words, new=True)
    await anya.press("Создать", on=card)
    return card


async def the_job(house: House) -> Job:
    (job,) = await house.db.read(jobs.of_user, ANYA)
    return job


async def rows(house: House) -> list[dict[str, Any]]:
    return [dict(row) for row in await house.db.read(lambda tx: tx.rows(schema.outbox.select()))]


async def delivered(house: House) -> Job:
    async def done() -> Job | None:
        job = await the_job(house)
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


async def test_preview_and_original(house: House) -> None:
    """A picture comes as a preview with words and buttons, then quietly as the untouched original."""
    anya = house.person()
    await order(house, anya)
    await delivered(house)
    assert await kinds(anya) == ["photo", "document"]
    (photo,), (file,) = await anya.gets("photo"), await anya.gets("document")
    assert f"🎨 Картинка · 12{NBSP}₽" in words_of(photo)
    assert labels_of(photo) == [f"🔁 Повторить · 12{NBSP}₽", "✏️ Изменить", "🎬 Оживить"]
    asset = await house.db.read(asset_rows.result_of, (await the_job(house)).id)
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
async def test_the_original_is_sent_again_and_the_preview_is_not(house: House, fault: dict[str, Any]) -> None:
    """When the line breaks between preview and original, only what is missing is sent, and nothing is drawn again."""
    anya = house.person()
    house.sandbox.fault("telegram", "sendDocument", **fault)
    await order(house, anya)
    await delivered(house)
    assert await kinds(anya) == ["photo", "document"]
    assert house.sandbox.calls("gemini", "generateContent") == 1
    assert await house.db.get_balance(ANYA) == 18_800


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 502, "body": "<html>Bad Gateway</html>", "times": 9},
        {"times": 9, **refusal(429, "Too Many Requests: retry after 40", retry_after=40)},
    ],
    ids=["bad gateway", "too many requests"],
)
async def test_a_result_does_not_wait_for_the_word_that_it_is_coming(house: House, fault: dict[str, Any]) -> None:
    """ "Sending a photo…" is only a courtesy: whatever Telegram says to it, the result goes out at once, at the first
    try."""
    anya = house.person()
    house.sandbox.fault("telegram", "sendChatAction", **fault)
    await order(house, anya)
    await anya.gets("document", seconds=15)
    await delivered(house)
    assert await kinds(anya) == ["photo", "document"]
    assert [row["attempts"] for row in await rows(house) if row["kind"] == "result"] == [1]


async def test_a_lost_answer_may_show_the_preview_twice_but_never_charges_twice(house: House) -> None:
    """Telegram has the preview but its answer is lost: a second copy is better than none."""
    anya = house.person()
    house.sandbox.fault("telegram", "sendPhoto", drop="after")
    await order(house, anya)
    await delivered(house)
    assert await kinds(anya) == ["photo", "photo", "document"]
    assert await house.db.get_balance(ANYA) == 18_800


@pytest.mark.parametrize("word", ["PHOTO_INVALID_DIMENSIONS", "IMAGE_PROCESS_FAILED"])
async def test_a_picture_that_is_no_photo_for_telegram(house: House, word: str) -> None:
    """What Telegram does not take as a photo comes as a file alone, with the words and buttons on it."""
    anya = house.person()
    house.sandbox.fault("telegram", "sendPhoto", **refusal(400, f"Bad Request: {word}"))
    await order(house, anya)
    await delivered(house)
    (file,) = await anya.gets("document")
    assert "🎨 Картинка" in words_of(file)
    assert "✏️ Изменить" in labels_of(file)
    assert await kinds(anya) == ["document"]


async def test_a_result_too_large_for_telegram(house: House) -> None:
    """413: the person reads where the result is; it counts as not delivered, so the money would come back."""
    anya = house.person()
    house.sandbox.fault("telegram", "sendVideo", **refusal(413, "Request Entity Too Large"))
    await house.give(ANYA, 200)
    await anya.say("/video")
    await anya.sees("Опишите сцену")
    await anya.say("волны")
    await anya.sees("волны", new=True)
    await anya.press("Создать")
    await anya.sees("файл больше, чем принимает Telegram")
    job = await the_job(house)
    assert job.delivered_at is None
    asset = await house.db.read(asset_rows.result_of, job.id)
    assert asset is not None
    await house.db.write(jobs.asset_deleted, asset.id)
    await anya.sees("Результат не удалось вам передать")
    assert await house.db.get_balance(ANYA) == 20_000


async def test_a_closed_chat_keeps_its_result(house: House) -> None:
    """Blocked while it was drawn: nothing is lost, and the result comes when the person is back."""
    anya = house.person()
    house.sandbox.fault("gemini", "generateContent", delay=1.0)
    await order(house, anya)
    await anya.block()

    async def given_up() -> bool:
        return any(row["dead_reason"] for row in await rows(house))

    await until(given_up, seconds=40, what="the chat is seen to be closed")
    known = await house.db.read(users.get, ANYA)
    assert known is not None
    assert known.is_unreachable
    assert (await the_job(house)).delivered_at is None
    await anya.unblock()
    await delivered(house)
    assert await kinds(anya) == ["photo", "document"]
    known = await house.db.read(users.get, ANYA)
    assert known is not None
    assert not known.is_unreachable
    assert house.sandbox.world.counts["gemini:generateContent"] == 1


async def test_a_chat_closed_behind_the_result_does_not_undo_the_delivery(house: House) -> None:
    """Who has the original and blocks the bot before the last word is written has what was paid for: it counts as
    delivered, so it is neither paid back when it expires nor sent again."""
    anya = house.person()
    house.sandbox.fault("telegram", "sendDocument", delay=1.0)
    await order(house, anya)
    await anya.gets("photo")
    blocked = refusal(403, "Forbidden: bot was blocked by the user")
    house.sandbox.fault("telegram", "editMessageText", times=9, **blocked)

    async def ended() -> bool:
        return all(row["due_at"] is None for row in await rows(house) if row["kind"] == "result")

    await until(ended, seconds=40, what="the delivery is over")
    assert await kinds(anya) == ["photo", "document"]
    assert (await the_job(house)).delivered_at is not None


async def test_start_and_history_bring_what_did_not_arrive(house: House) -> None:
    """A result given up is sent at /start, and the history opens it through the same delivery, counted once."""
    anya = house.person()
    house.sandbox.fault("telegram", "sendPhoto", **refusal(403, "Forbidden: bot was blocked by the user"))
    await order(house, anya)

    async def given_up() -> bool:
        return any(row["dead_reason"] for row in await rows(house))

    await until(given_up, seconds=40, what="given up")
    await anya.say("/history")
    await delivered(house)  # any word of the person's shows that the chat is open again
    await anya.sees("История")
    assert await kinds(anya) == ["photo", "document"]


async def test_a_result_due_while_the_bot_was_down(sandbox: Sandbox, tmp_path: Path) -> None:
    """What became due with no bot running is delivered by the next one."""
    async with open_house(sandbox, tmp_path) as house:
        anya = house.person()
        sandbox.fault(
            "telegram", "sendPhoto", status=500, body={"ok": False, "error_code": 500, "description": "x"}, times=50
        )
        await order(house, anya)

        async def tried() -> bool:
            return any(row["attempts"] for row in await rows(house) if row["kind"] == "result")

        await until(tried, seconds=40, what="a first try")
    sandbox.world.faults.clear()
    async with open_house(sandbox, tmp_path) as house:

        def hurry(tx: Tx) -> None:
            tx.execute(schema.outbox.update().values(due_at=tx.now - 1, lease_until=None))

        await house.db.write(hurry)
        await delivered(house)
        assert await kinds(house.person()) == ["photo", "document"]


async def test_the_last_word_is_sent_anew_when_the_card_is_gone(house: House) -> None:
    """When the live message was deleted, why the order failed comes as a new message."""
    anya = house.person()
    house.sandbox.fault("gemini", "generateContent", delay=0.7)
    house.sandbox.fault("gemini", tag="prompt_block")
    card = await order(house, anya)
    telegram = house.sandbox.world.faces["telegram"]
    telegram.chat(telegram.bot(900), ANYA).messages.pop(card["message_id"])
    end = await anya.sees("Не получилось")
    assert end["message_id"] > card["message_id"]
    assert f"Деньги вернулись на баланс: 12{NBSP}₽" in words_of(end)


async def test_messages_of_a_chat_keep_their_order(house: House) -> None:
    """What is owed to one person goes out in the order it was owed, even when a first one must be tried again."""
    anya = house.person()
    await anya.say("/start")
    await anya.sees("Напишите, что нарисовать")

    def owe(tx: Tx) -> None:
        for number in range(1, 7):
            outbox.post(tx, f"test:{number}", ANYA, "granted", payload={"amount": number * 100})

    await house.db.write(owe)
    house.shop.notifier.nudge()
    await anya.sees(f"начислено 6{NBSP}₽")
    given = [words_of(one).split("начислено ")[1][0] for one in await anya.messages() if "начислено" in words_of(one)]
    assert given == list("123456")


async def test_every_kind_has_words(house: House) -> None:
    """Gifts, take-backs, debts and alerts each say the sum; an unknown kind or alert never stops the rest."""
    anya, oleg = house.person(), house.person(ADMIN)

    def owe(tx: Tx) -> None:
        outbox.post(tx, "k0", ANYA, "news from the future")
        outbox.post(tx, "k1", ANYA, "took_back", payload={"amount": 5000, "owed": 0})
        outbox.post(tx, "k2", ANYA, "took_back", payload={"amount": 5000, "owed": 2000})
        payments.alert(tx, [ADMIN], "k3", "alert-storage")
        payments.alert(tx, [ADMIN], "k4", "alert-from-the-future", code="<odd>")
        ledger.credit(tx, ANYA, 100, reason="test", key="test:k5")

    await house.db.write(owe)
    await anya.sees(f"вернулся туда, откуда пришёл: 50{NBSP}₽ списано")
    await anya.sees(f"долг 20{NBSP}₽")
    await oleg.sees("некуда сохранять")
    await oleg.sees("alert-from-the-future code=<odd>")

    async def all_done() -> bool:
        return all(row["sent_at"] for row in await rows(house))

    await until(all_done, what="all rows are done")


async def test_stopping_lets_a_delivery_end(sandbox: Sandbox, tmp_path: Path) -> None:
    """A stop in the middle of an upload waits for it: the row is done, not left to be sent twice."""
    async with open_house(sandbox, tmp_path) as house:
        sandbox.fault("telegram", "sendDocument", delay=1.0)
        await order(house, house.person())
        await house.person().gets("photo")
    async with open_house(sandbox, tmp_path) as house:
        await delivered(house)
        await asyncio.sleep(0.5)
        assert await kinds(house.person()) == ["photo", "document"]
