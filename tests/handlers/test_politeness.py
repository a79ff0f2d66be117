"""Whatever else people send gets a polite answer, costs nothing, and tells nothing about the inside of the bot."""

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


async def assert_nothing_opened(bot_env: BotEnv) -> None:
    def rows(tx: Tx) -> list[object]:
        return [row for table in (schema.drafts, schema.jobs, schema.ledger) for row in tx.rows(table.select())]

    assert await bot_env.db.read(rows) == []


async def test_content_that_can_not_be_used_is_answered(bot_env: BotEnv) -> None:
    """Stickers, voice messages, videos, places, contacts and files each get a text of their own."""
    anya = bot_env.person()
    for content, answer in KINDS.values():
        await anya.write(**content)
        await anya.sees(answer, new=True)
    await assert_nothing_opened(bot_env)


@pytest.mark.parametrize("text", ["\u200b\u200d\u2060", "\u2800 \u3164", "\u202e\ufeff"])
async def test_an_invisible_text_is_no_prompt(bot_env: BotEnv, text: str) -> None:
    """Zero-width characters and blank letters are no prompt, alone or as a caption; inside a text they stay."""
    anya = bot_env.person()
    await anya.say(text)
    await anya.sees("Такое сообщение я не понимаю", new=True)
    await assert_nothing_opened(bot_env)
    await anya.photo(picture(), caption=text)
    await anya.sees("Что сделать с фото?")
    await anya.say(f"кот{text}пёс")
    await anya.sees(f"кот{text}пёс")


async def test_service_messages_are_ignored(bot_env: BotEnv) -> None:
    """A service message of Telegram gets no answer, and neither does an edited message."""
    anya = bot_env.person()
    await anya.write(pinned_message={"message_id": 1, "date": 0, "chat": {"id": ANYA, "type": "private"}})
    await anya.write(delete_chat_photo=True)
    dispatcher = bot_env.app.updates._dispatcher
    assert "edited_message" not in dispatcher.resolve_used_update_types()
    await anya.say("/help")
    await anya.sees("Как это работает")
    assert len([one for one in await anya.messages() if not one.get("outgoing")]) == 1


async def test_an_album_that_can_not_be_used_is_answered_once(bot_env: BotEnv) -> None:
    """Videos or files that are not images, sent as an album, get one answer."""
    anya = bot_env.person()
    video = {"video": {**FILE, "width": 9, "height": 9, "duration": 3}}
    for number in range(4):
        await anya.write(**video, media_group_id="77")
        heic = {**FILE, "mime_type": "image/heic", "file_name": f"{number}.heic"}
        await anya.write(document=heic, media_group_id="78")
    await anya.say("/balance")
    await anya.sees("На балансе", new=True)
    told = [words_of(one) for one in await anya.messages() if not one.get("outgoing")]
    assert len([one for one in told if "Из видео пока ничего" in one]) == 1
    assert len(told) == 3, told
    await anya.write(**video, media_group_id="79")
    await anya.sees("Из видео пока ничего", new=True)


async def test_unknown_commands_are_answered(bot_env: BotEnv) -> None:
    """A command that does not exist, or that only admins may use, is answered with a pointer to /help."""
    anya = bot_env.person()
    for command in ("/foo", "/START_NOW", "/", "/admin", "/stats", "/grant 1001 1000", "/refund x", "/maintenance on"):
        await anya.say(command)
        await anya.sees("Такой команды нет", new=True)
    await assert_nothing_opened(bot_env)


async def test_every_command_and_menu_button_answers(bot_env: BotEnv) -> None:
    """All listed commands and all buttons of the main menu, in both languages, get an answer."""
    anya = bot_env.person()
    for command in ("start", "image", "video", "balance", "topup", "history", "language", "cancel", "help"):
        await anya.say(f"/{command}")
        await anya.sees("", new=True)
    for word in ("🎨 Картинка", "🎬 Клип", "💰 Баланс", "🗂 История", "❓ Помощь", "🎨 Picture", "❓ Help"):
        await anya.say(word)
        await anya.sees("", new=True)
    await assert_nothing_opened(bot_env)


async def test_help_names_every_command(bot_env: BotEnv) -> None:
    """An unknown command is answered with "all commands: /help", so /help names every command of the menu."""
    anya, bob = bot_env.person(), bot_env.person(BOB)
    await anya.say("/help")
    await bob.say("/help")
    for said in (words_of(await anya.sees("Как это работает")), words_of(await bob.sees("How it works"))):
        assert [name for name in PEOPLE if f"/{name} " not in said] == ["start", "help"]


async def test_a_new_person_is_greeted_by_name(bot_env: BotEnv) -> None:
    """The name is a text of the person: tags in it are shown, not interpreted."""
    ira = await bot_env.newcomer("<b>Ира</b> & Ко")
    await ira.say("/start ref_42")
    assert "<b>Ира</b> & Ко" in words_of(await ira.sees("Здравствуйте"))


async def test_unknown_callback_data_is_answered(bot_env: BotEnv) -> None:
    """Callback data that no button of ours has is answered politely and changes nothing."""
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
    await assert_nothing_opened(bot_env)


async def test_a_tap_on_an_inaccessible_message_is_answered(bot_env: BotEnv) -> None:
    """Of a very old message Telegram tells only the id: the answer is a new message."""
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


async def test_a_command_in_a_group_gets_a_link_to_the_private_chat(bot_env: BotEnv) -> None:
    """A command in a group is answered once; other messages there are ignored."""
    chat = {"id": -100500, "type": "supergroup", "title": "Друзья"}
    sender = {"id": BOB, "is_bot": False, "first_name": "Bob", "language_code": "en"}
    for number, text in enumerate(("hello all", "/start", "/image"), start=1):
        message = {"message_id": number, "date": 1, "chat": chat, "from": sender, "text": text}
        update = {"update_id": number, "message": message}
        await bot_env.app.updates._dispatcher.feed_update(
            bot_env.app.bot, Update.model_validate(update, context={"bot": bot_env.app.bot})
        )
    sent = [
        str(call.detail["params"].get("text")) for call in bot_env.sandbox.world.calls if call.name == "sendMessage"
    ]
    assert len(sent) == 1
    assert "private chat" in sent[0]
    assert await bot_env.db.read(user_rows.get, BOB) is None


async def test_too_many_messages_get_one_warning(sandbox: Sandbox, tmp_path: Path) -> None:
    """Above the limit the person is told once how long to wait; buttons of options are not limited."""
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


async def test_a_banned_person_is_told_once(bot_env: BotEnv) -> None:
    """A banned person is told once, not at every message; every tap is answered."""
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


async def test_an_error_of_ours_has_a_number_and_no_details(bot_env: BotEnv, caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected error is answered with an apology, without details of the error, and is logged."""
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


async def test_a_flood_of_taps_does_not_delay_others(bot_env: BotEnv) -> None:
    """Of a hundred taps at once most are refused, and another person is answered meanwhile."""
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
        return not bot_env.app.updates._tasks

    await until(calm, what="the flood is over")
    await anya.say("/help")
    await anya.sees("Как это работает", new=True)


async def test_the_command_lists_are_sent_once(bot_env: BotEnv) -> None:
    """Lists are set for each language and for admins; a second start of the bot, or a second /start, sends nothing."""
    oleg = bot_env.person(ADMIN)

    async def all_sent() -> bool:  # the flag is written after the last list
        return bool(await bot_env.db.read(flag_rows.get, FLAG))

    await until(all_sent, what="the commands")
    before = bot_env.sandbox.calls("telegram", "setMyCommands")
    assert not await set_commands(bot_env.app.bot, {ADMIN}, db=bot_env.db, texts=bot_env.app.texts)
    assert bot_env.sandbox.calls("telegram", "setMyCommands") == before
    # When the lists were sent, Oleg had no chat with the bot yet: his first /start sends his list.
    await oleg.say("/start")

    async def listed_for_oleg() -> bool:
        listed = {entry["command"] for entry in (await oleg._call("messages", verb="GET"))["commands"]}
        return {"start", "help", "grant", "refund"} <= listed

    await until(listed_for_oleg, what="the admin's commands")
    await oleg.say("/help")  # it is answered after everything that the first /start had to send
    await oleg.sees("Как это работает", new=True)
    sent = bot_env.sandbox.calls("telegram", "setMyCommands")
    for command, answer in (("/start", "на балансе"), ("/help", "Как это работает")):
        await oleg.say(command)
        await oleg.sees(answer, new=True)
    assert bot_env.sandbox.calls("telegram", "setMyCommands") == sent
    anya = bot_env.person()
    listed = (await anya._call("messages", verb="GET"))["commands"]
    assert {"command": "balance", "description": "Баланс и операции"} in listed
    assert "grant" not in {entry["command"] for entry in listed}


async def test_answers_do_not_wait_for_the_command_lists(sandbox: Sandbox, tmp_path: Path) -> None:
    """When Telegram limits the setting of commands, a bot that has just started answers people all the same."""
    body = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 50}}
    sandbox.fault("telegram", "setMyCommands", status=429, body=body, times=9)
    async with open_bot_env(sandbox, tmp_path) as bot_env:
        anya = bot_env.person()
        await anya.say("/help")
        await anya.sees("Как это работает", new=True, seconds=20)
