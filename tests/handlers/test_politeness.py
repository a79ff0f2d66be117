"""Everything a person may send that is no order gets a kind answer, costs nothing and leaks nothing."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from aiogram.types import Update

from database import admin, schema
from database import flags as flag_rows
from database import users as user_rows
from database.models import Tx
from handlers.commands import FLAG, PEOPLE, set_commands
from tests.support.bot_env import (
    ANYA,
    BOB,
    BOT_ID,
    BotEnv,
    buttons_of,
    labels_of,
    open_bot_env,
    picture,
    until,
    words_of,
)
from tests.support.sandbox_fixture import ADMIN, Sandbox

FILE = {"file_id": "x", "file_unique_id": "y", "file_size": 100}

KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "sticker": (
        {"sticker": {**FILE, "type": "regular", "width": 9, "height": 9, "is_animated": False, "is_video": False}},
        "Стикер хорош",
    ),
    "dice": ({"dice": {"emoji": "🎲", "value": 3}}, "Стикер хорош"),
    "voice": ({"voice": {**FILE, "duration": 3}}, "Голосовые пока не понимаю"),
    "video note": ({"video_note": {**FILE, "length": 9, "duration": 3}}, "Голосовые пока не понимаю"),
    "video": ({"video": {**FILE, "width": 9, "height": 9, "duration": 3}}, "Из видео пока ничего"),
    "animation": ({"animation": {**FILE, "width": 9, "height": 9, "duration": 3}}, "Из видео пока ничего"),
    "audio": ({"audio": {**FILE, "duration": 3}}, "С музыкой"),
    "location": ({"location": {"longitude": 1.0, "latitude": 2.0}}, "С местами на карте"),
    "contact": ({"contact": {"phone_number": "+7", "first_name": "Ира"}}, "С контактами"),
    "document": ({"document": {**FILE, "mime_type": "application/pdf", "file_name": "a.pdf"}}, "Это не картинка"),
    "document without a type": ({"document": FILE}, "Это не картинка"),
}


async def nothing_was_ordered(bot_env: BotEnv) -> None:
    for table in (schema.drafts, schema.jobs, schema.ledger):
        assert await bot_env.db.read(lambda tx, one=table: tx.rows(one.select())) == []


async def test_kinds_of_messages_it_cannot_use(bot_env: BotEnv) -> None:
    """Stickers, voice, video, places, contacts and files each get a sentence of their own."""
    anya = bot_env.person()
    for content, answer in KINDS.values():
        await anya.write(**content)
        await anya.sees(answer, new=True)
    await nothing_was_ordered(bot_env)


@pytest.mark.parametrize("words", ["\u200b\u200d\u2060", "\u2800 \u3164", "\u202e\ufeff"])
async def test_words_of_which_nothing_can_be_seen(bot_env: BotEnv, words: str) -> None:
    """Zero-width characters and blank letters are no prompt, alone or under a photo; among words they stay."""
    anya = bot_env.person()
    await anya.say(words)
    await anya.sees("Такое сообщение я не понимаю", new=True)
    await nothing_was_ordered(bot_env)
    await anya.photo(picture(), caption=words)
    await anya.sees("Что сделать с фото?")
    await anya.say(f"кот{words}пёс")
    await anya.sees(f"кот{words}пёс")


async def test_service_messages_are_passed_over(bot_env: BotEnv) -> None:
    """What Telegram itself writes into a chat gets no answer, and neither does an edited message."""
    anya = bot_env.person()
    await anya.write(pinned_message={"message_id": 1, "date": 0, "chat": {"id": ANYA, "type": "private"}})
    await anya.write(delete_chat_photo=True)
    dispatcher = bot_env.shop.updates._dispatcher
    assert "edited_message" not in dispatcher.resolve_used_update_types()
    await anya.say("/help")
    await anya.sees("Как это работает")
    assert len([one for one in await anya.messages() if not one.get("outgoing")]) == 1


async def test_an_album_it_cannot_use_is_answered_once(bot_env: BotEnv) -> None:
    """Clips or files that are no pictures, sent together, are one message to the person: they get one answer."""
    anya = bot_env.person()
    clip = {"video": {**FILE, "width": 9, "height": 9, "duration": 3}}
    for number in range(4):
        await anya.write(**clip, media_group_id="77")
        heic = {**FILE, "mime_type": "image/heic", "file_name": f"{number}.heic"}
        await anya.write(document=heic, media_group_id="78")
    await anya.say("/balance")
    await anya.sees("На балансе", new=True)
    told = [words_of(one) for one in await anya.messages() if not one.get("outgoing")]
    assert len([one for one in told if "Из видео пока ничего" in one]) == 1
    assert len(told) == 3, told
    await anya.write(**clip, media_group_id="79")
    await anya.sees("Из видео пока ничего", new=True)


async def test_unknown_commands(bot_env: BotEnv) -> None:
    """A command that does not exist, an administrator's one too, is answered with where the real ones are."""
    anya = bot_env.person()
    for command in ("/foo", "/START_NOW", "/", "/admin", "/stats", "/grant 1001 1000", "/refund x", "/maintenance on"):
        await anya.say(command)
        await anya.sees("Такой команды нет", new=True)
    await nothing_was_ordered(bot_env)


async def test_every_command_and_menu_button_answers(bot_env: BotEnv) -> None:
    """All listed commands and all buttons of the main menu lead somewhere, in both languages."""
    anya = bot_env.person()
    for command in ("start", "image", "video", "balance", "topup", "history", "language", "cancel", "help"):
        await anya.say(f"/{command}")
        await anya.sees("", new=True)
    for word in ("🎨 Картинка", "🎬 Клип", "💰 Баланс", "🗂 История", "❓ Помощь", "🎨 Picture", "❓ Help"):
        await anya.say(word)
        await anya.sees("", new=True)
    await nothing_was_ordered(bot_env)


async def test_help_names_every_command(bot_env: BotEnv) -> None:
    """An unknown command is answered with "all commands: /help", so all that the menu lists stand there."""
    anya, bob = bot_env.person(), bot_env.person(BOB)
    await anya.say("/help")
    await bob.say("/help")
    for said in (words_of(await anya.sees("Как это работает")), words_of(await bob.sees("How it works"))):
        assert [name for name in PEOPLE if f"/{name} " not in said] == ["start", "help"]


async def test_a_newcomer_is_greeted_by_name(bot_env: BotEnv) -> None:
    """The name is the person's own text: markup in it is shown, not obeyed."""
    ira = await bot_env.newcomer("<b>Ира</b> & Ко")
    await ira.say("/start ref_42")
    assert "<b>Ира</b> & Ко" in words_of(await ira.sees("Здравствуйте"))


async def test_a_button_of_another_age(bot_env: BotEnv) -> None:
    """Data that no button of ours holds gets a polite answer on the tap."""
    anya = bot_env.person()
    await anya.say("/start")
    await anya.sees("Напишите, что нарисовать")
    for data in (
        "",
        "old:button",
        "go:abc",
        "go:abc:12:13",
        "go:abc:-5",
        "c:x:fly",
        "j::open",
        "v:a:b:c",
        "p|",
        "t:x:",
        "n:jobs:99999999999999999999",
        "m:nowhere",
        "s:99",
        "l:de",
        "\x00",
        "go:" + "я" * 20 + ":1",
    ):
        answer = await anya.press_raw(data)
        assert "Traceback" not in answer
        assert "Номер ошибки" not in answer, data
    await nothing_was_ordered(bot_env)


async def test_a_tap_whose_message_is_no_longer_accessible(bot_env: BotEnv) -> None:
    """Telegram may tell no more of an old message than its number: the answer comes in a new one."""
    anya = bot_env.person()
    await anya.say("рыжая лиса")
    await anya.sees("рыжая лиса", new=True)
    card = await anya.sees("Nano Banana")
    data = card["reply_markup"]["inline_keyboard"][2][0]["callback_data"]
    gone = {"message_id": 999_999, "date": 0, "chat": card["chat"]}
    bot = bot_env.sandbox.world.faces["telegram"].bot(BOT_ID)
    sender = {"id": ANYA, "is_bot": False, "first_name": "Аня", "language_code": "ru"}
    bot.updates.push(
        "callback_query", {"id": "77", "from": sender, "message": gone, "chat_instance": "1", "data": data}, ANYA
    )
    fresh = await anya.sees("Выберите формат")
    assert fresh["message_id"] != card["message_id"]


async def test_in_a_group_it_says_where_it_works(bot_env: BotEnv) -> None:
    """A command in a group gets one pointer to the private chat; other talk there is none of its business."""
    chat = {"id": -100500, "type": "supergroup", "title": "Друзья"}
    sender = {"id": BOB, "is_bot": False, "first_name": "Bob", "language_code": "en"}
    for number, text in enumerate(("hello all", "/start", "/image"), start=1):
        message = {"message_id": number, "date": 1, "chat": chat, "from": sender, "text": text}
        update = {"update_id": number, "message": message}
        await bot_env.shop.updates._dispatcher.feed_update(
            bot_env.shop.bot, Update.model_validate(update, context={"bot": bot_env.shop.bot})
        )
    sent = [
        str(call.detail["params"].get("text")) for call in bot_env.sandbox.world.calls if call.name == "sendMessage"
    ]
    assert len(sent) == 1
    assert "private chat" in sent[0]
    assert await bot_env.db.read(user_rows.get, BOB) is None


async def test_too_many_messages_get_one_warning(sandbox: Sandbox, tmp_path: Path) -> None:
    """Beyond the limit the person is told once how long to wait; options stay comfortable."""
    async with open_bot_env(sandbox, tmp_path, RATE_LIMIT_PER_MINUTE="3") as bot_env:
        anya = bot_env.person()
        for number in range(6):
            await anya.say(f"картинка {number}")
        await anya.sees("Слишком часто")
        await asyncio.sleep(0.3)
        answers = [one for one in await anya.messages() if not one.get("outgoing")]
        assert sum("Слишком часто" in words_of(one) for one in answers) == 1
        assert sum("Nano Banana" in words_of(one) for one in answers) == 3
        for _ in range(6):
            await anya.press("📐")
            await anya.press("Назад")


async def test_somebody_banned_is_told_once(bot_env: BotEnv) -> None:
    """A closed shop answers politely, not at every message, and every tap gets its answer."""
    anya = bot_env.person()
    await anya.say("/start")
    await anya.sees("Напишите, что нарисовать")
    await bot_env.db.write(admin.set_banned, ADMIN, ANYA, True)
    for _ in range(3):
        await anya.say("рыжая лиса")
    await anya.sees("Доступ к боту закрыт")
    assert "Доступ к боту закрыт" in await anya.press("Лиса на Луне")
    assert len([one for one in await anya.messages() if "Доступ к боту" in words_of(one)]) == 1
    await bot_env.db.write(admin.set_banned, ADMIN, ANYA, False)
    await anya.say("белая лиса")
    assert "Создать" in labels_of(await anya.sees("белая лиса", new=True))[0]


async def test_a_fault_of_ours_has_a_number_and_no_details(bot_env: BotEnv, caplog: pytest.LogCaptureFixture) -> None:
    """What nobody foresaw: an apology with an incident number that stands in the log, and nothing of the inside."""
    anya = bot_env.person()

    def spoil(tx: Tx) -> None:
        tx.connection.exec_driver_sql("ALTER TABLE drafts RENAME COLUMN prompt TO prompt_")

    await bot_env.db.write(spoil)
    with caplog.at_level(logging.ERROR):
        await anya.say("рыжая лиса")
        told = words_of(await anya.sees("", new=True))
    assert "SQL" not in told
    assert "prompt" not in told
    assert "Попробуйте ещё раз" in told or "Номер ошибки" in told
    assert [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_flood_of_taps_does_not_stop_others(bot_env: BotEnv) -> None:
    """One person's hundred taps at once are cut short; somebody else is served meanwhile."""
    anya, bob = bot_env.person(), bot_env.person(BOB)
    await anya.say("рыжая лиса")
    await anya.sees("рыжая лиса", new=True)
    card = await anya.sees("Nano Banana")
    data = next(button["callback_data"] for button in buttons_of(card) if button["text"].startswith("📐"))
    for _ in range(100):
        anya.tap_raw(data)
    await bob.say("/help")
    await bob.sees("How it works", seconds=5)

    async def calm() -> bool:
        return not bot_env.shop.updates._tasks

    await until(calm, what="the flood is over")
    await anya.say("/help")
    await anya.sees("Как это работает", new=True)


async def test_the_menu_lists_commands_for_people_and_administrators(bot_env: BotEnv) -> None:
    """Commands are set per language and for administrators; a second start of the bot, or of a chat, sends nothing."""
    oleg = bot_env.person(ADMIN)

    async def all_sent() -> bool:  # one list after the other; what was sent is noted after the last
        return bool(await bot_env.db.read(flag_rows.get, FLAG))

    await until(all_sent, what="the commands")
    before = bot_env.sandbox.calls("telegram", "setMyCommands")
    assert not await set_commands(bot_env.shop.bot, {ADMIN}, db=bot_env.db, texts=bot_env.shop.texts)
    assert bot_env.sandbox.calls("telegram", "setMyCommands") == before
    # The list was sent before Oleg ever wrote, so Telegram did not know his chat: his first word brings it.
    await oleg.say("/start")

    async def listed_for_oleg() -> bool:
        listed = {entry["command"] for entry in (await oleg._call("messages", verb="GET"))["commands"]}
        return {"start", "help", "grant", "refund"} <= listed

    await until(listed_for_oleg, what="the administrator's commands")
    await oleg.say("/help")  # answered when all that the first /start had to send is sent
    await oleg.sees("Как это работает", new=True)
    sent = bot_env.sandbox.calls("telegram", "setMyCommands")
    for words, answer in (("/start", "на балансе"), ("/help", "Как это работает")):
        await oleg.say(words)
        await oleg.sees(answer, new=True)
    assert bot_env.sandbox.calls("telegram", "setMyCommands") == sent
    anya = bot_env.person()
    listed = (await anya._call("messages", verb="GET"))["commands"]
    assert {"command": "balance", "description": "Баланс и операции"} in listed
    assert "grant" not in {entry["command"] for entry in listed}


async def test_nobody_waits_for_the_menu(sandbox: Sandbox, tmp_path: Path) -> None:
    """Telegram limits the setting of menus hard: a bot that starts answers people instead of waiting for that."""
    body = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 50}}
    sandbox.fault("telegram", "setMyCommands", status=429, body=body, times=9)
    async with open_bot_env(sandbox, tmp_path) as bot_env:
        anya = bot_env.person()
        await anya.say("/help")
        await anya.sees("Как это работает", new=True, seconds=20)
