"""The simulated Telegram's wire: polling, encodings, refusals, pace, webhook; aiogram runs against it."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
import telegram
from aiohttp import web
from telegram import error as refused

from sandbox.telegram.call import METHODS
from tests.support.telegram_fixture import ANYA, BOB, GO, TOKEN, Receiver, Wire, bot, picture, receiver, wait_for, wire

__all__ = ["bot", "receiver", "wire"]  # fixtures, used by their names


# --- who is who, polling -----------------------------------------------------------------------------


async def test_any_token_is_a_bot(wire: Wire, bot: telegram.Bot) -> None:
    """Every token `digits:rest` is a bot of that id, and a malformed one is 401."""
    assert (await bot.get_me()).id == 900
    assert (await wire.api("getMe", token="901:x"))["result"]["id"] == 901
    for token in ("nonsense", "900", "0:x", "x:y"):
        async with wire.http.get(f"{wire.base}/bot{token}/getMe") as answer:
            assert answer.status == 401
            assert (await answer.json())["description"] == "Unauthorized: invalid token specified"


async def test_a_revoked_token_is_unauthorized(wire: Wire, bot: telegram.Bot) -> None:
    """A revoked token gets 401 `Unauthorized`."""
    await wire.settings(revoked=[TOKEN])
    with pytest.raises(refused.InvalidToken, match="Unauthorized"):
        await bot.get_me()


async def test_bots_do_not_share_anything(wire: Wire) -> None:
    """What a person says to one bot is unknown to the other, and so are its files."""
    await wire.result("getMe", token="901:x")
    await wire.chat(f"/_chat/users/{ANYA}/send?bot=901", {"text": "hello 901"})
    assert await wire.result("getUpdates", token="902:x") == []
    assert len(await wire.result("getUpdates", token="901:x")) == 1


async def test_polling_confirms_by_offset(wire: Wire, bot: telegram.Bot) -> None:
    """Updates rise by one, are repeated until a higher offset confirms them, and a negative offset keeps the newest."""
    for text in ("one", "two", "three"):
        await wire.say(ANYA, text)
    first = await bot.get_updates(timeout=0)
    assert [update.message.text for update in first if update.message] == ["one", "two", "three"]
    numbers = [update.update_id for update in first]
    assert numbers == list(range(numbers[0], numbers[0] + 3))
    assert first[0].message is not None
    assert first[0].message.from_user is not None
    assert first[0].message.from_user.language_code == "ru"
    rest = await bot.get_updates(offset=numbers[1])
    assert [update.update_id for update in rest] == numbers[1:]
    newest = await bot.get_updates(offset=-1)
    assert [update.update_id for update in newest] == numbers[2:]
    assert [one["update_id"] for one in await wire.result("getUpdates", offset=numbers[0])] == numbers[2:]


async def test_limit_and_the_same_offset_twice(wire: Wire) -> None:
    """`limit` bounds an answer, and the same offset again within half a second yields one update."""
    for number in range(5):
        await wire.say(ANYA, str(number))
    assert len(await wire.result("getUpdates", limit=2)) == 2
    assert len(await wire.result("getUpdates", limit=4)) == 1
    wire.world.clock.advance(1)
    assert len(await wire.result("getUpdates", limit=4)) == 4


async def test_long_polling_wakes_for_an_update(wire: Wire, bot: telegram.Bot) -> None:
    """A waiting getUpdates answers as soon as something is said."""
    waiting = asyncio.create_task(bot.get_updates(timeout=50, read_timeout=55))
    await wait_for(lambda: wire.world.counts["telegram:getUpdates"] == 1)
    await wire.say(BOB, "wake up")
    async with asyncio.timeout(5):
        updates = await waiting
    assert updates[0].message is not None
    assert updates[0].message.text == "wake up"


async def test_a_long_poll_ends_after_fifty_seconds_at_most(wire: Wire) -> None:
    """A timeout above 50 s counts as 50 s."""
    waiting = asyncio.create_task(wire.result("getUpdates", timeout=500))
    await wait_for(lambda: wire.world.counts["telegram:getUpdates"] == 1)
    wire.world.clock.advance(51)
    async with asyncio.timeout(5):
        assert await waiting == []


async def test_the_older_poller_loses(wire: Wire, bot: telegram.Bot) -> None:
    """A second getUpdates ends the waiting one with 409."""
    older = asyncio.create_task(bot.get_updates(timeout=50, read_timeout=55))
    await wait_for(lambda: wire.world.counts["telegram:getUpdates"] == 1)
    newer = asyncio.create_task(wire.result("getUpdates", timeout=30))
    with pytest.raises(refused.Conflict, match="terminated by other getUpdates request; make sure that only one"):
        await older
    await wire.say(ANYA, "for the newer")
    assert (await newer)[0]["message"]["text"] == "for the newer"


async def test_allowed_updates_are_remembered(wire: Wire) -> None:
    """`allowed_updates` holds for later calls and for new updates only; an empty list is the default again."""
    await wire.say(ANYA, "kept: it came before")
    await wire.api("getUpdates", allowed_updates=["callback_query"])
    await wire.say(ANYA, "not wanted")
    wire.world.clock.advance(5)
    texts = [one["message"]["text"] for one in await wire.result("getUpdates")]
    assert texts == ["kept: it came before"]
    wire.world.clock.advance(5)
    await wire.api("getUpdates", allowed_updates=[])
    await wire.say(ANYA, "wanted again")
    wire.world.clock.advance(5)
    assert [one["message"]["text"] for one in await wire.result("getUpdates")][-1] == "wanted again"


async def test_taps_spoil_in_the_queue(wire: Wire) -> None:
    """A tap not fetched for 150 s is lost, a message waits for a day."""
    await wire.say(ANYA, "/start")
    message = await wire.result("sendMessage", chat_id=ANYA, text="Go?", reply_markup=GO)
    await wire.press(ANYA, message["message_id"], "gen:17:go")
    wire.world.clock.advance(151)
    assert [list(one)[1] for one in await wire.result("getUpdates")] == ["message"]
    wire.world.clock.advance(86_400)
    assert await wire.result("getUpdates", offset=-5) == []


async def test_numbers_begin_anew_after_a_quiet_week(wire: Wire) -> None:
    """Numbers rise by one; the first update after a week without any gets a number from anywhere, a lower one too."""

    async def next_number() -> int:
        await wire.say(ANYA, "hello")
        wire.world.clock.advance(5)
        number: int = (await wire.result("getUpdates", offset=-1))[0]["update_id"]
        return number

    steps = []
    for days in (6, 8, 8, 8, 8, 8, 8):
        before = await next_number()
        assert await next_number() == before + 1
        wire.world.clock.advance(days * 86_400)
        steps.append(await next_number() - before - 1)
    assert steps[0] == 1
    assert min(steps[1:]) < 0 < max(steps[1:])


# --- the wire ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["query", "form", "multipart", "json", "shout"])
async def test_parameters_come_in_any_encoding(wire: Wire, way: str) -> None:
    """Query, form, multipart and JSON mean the same, and the method's case does not matter."""
    flat = {"chat_id": str(ANYA), "text": "Go?", "reply_markup": json.dumps(GO)}
    url = f"{wire.base}/bot{TOKEN}/sendMessage"
    if way == "query":
        request = wire.http.get(url, params=flat)
    elif way == "form":
        request = wire.http.post(url, data=flat)
    elif way == "multipart":
        form = aiohttp.FormData(flat)
        form.add_field("unused", b"x", filename="x.bin")
        request = wire.http.post(url, data=form)
    elif way == "json":
        request = wire.http.post(url, json={"chat_id": ANYA, "text": "Go?", "reply_markup": GO})
    else:
        request = wire.http.post(url.replace("sendMessage", "SENDMESSAGE"), data=flat)
    async with request as answer:
        body = await answer.json()
    assert body["result"]["reply_markup"] == GO
    assert body["result"]["chat"] == {"id": ANYA, "first_name": "Аня", "username": "anya", "type": "private"}


@pytest.mark.parametrize("by_reference", [True, False])
async def test_both_ways_to_attach_a_file(wire: Wire, by_reference: bool) -> None:
    """A file is taken from the part of the field's name or from where `attach://` points."""
    form = aiohttp.FormData({"chat_id": str(ANYA)})
    if by_reference:
        form.add_field("photo", "attach://Xk3")
    form.add_field("Xk3" if by_reference else "photo", picture(50, 40), filename="a.png", content_type="image/png")
    async with wire.http.post(f"{wire.base}/bot{TOKEN}/sendPhoto", data=form) as answer:
        body = await answer.json()
    assert body["result"]["photo"][-1]["width"] == 50


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{"),
        ("application/json", b"[1]"),
        ("application/json", b"\xff\xfe"),
        ("application/json", b"[" * 100_000),
        ("application/json", b'{"chat_id": {"a": 1}, "text": ["x"]}'),
        ("application/json", b'{"chat_id": 1001, "text": "x", "reply_markup": "{"}'),
        ("application/json", b'{"chat_id": 1001, "text": "x", "reply_markup": {"inline_keyboard": 5}}'),
        ("application/json", b'{"chat_id": 1001, "text": "x", "entities": [{"type": "b", "offset": 0, "length": 9}]}'),
        ("application/json", b'{"chat_id": 1001, "text": "\\ud800", "reply_to_message_id": "9e9"}'),
        ("multipart/form-data; boundary=b", b"no parts"),
        ("multipart/form-data", b"--b\r\n"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\n\xff\r\n--b--'),
        ("application/x-www-form-urlencoded", b"chat_id=%FF%FE"),
        ("text/plain; charset=nonsense", b"chat_id"),
        ("application/x-www-form-urlencoded; charset=nonsense", b"chat_id=1"),
    ],
)
async def test_bad_bytes_get_a_clear_refusal(wire: Wire, content_type: str, body: bytes) -> None:
    """Whatever bytes come, the answer is Telegram's error object, never a crash."""
    headers = {"Content-Type": content_type}
    async with wire.http.post(f"{wire.base}/bot{TOKEN}/sendMessage", data=body, headers=headers) as answer:
        refusal = await answer.json()
    assert (answer.status, refusal["ok"], refusal["error_code"]) == (400, False, 400)
    assert refusal["description"].startswith("Bad Request: ")
    assert await wire.seen(ANYA) == []


ODD: list[Any] = [
    None,
    "",
    0,
    -1,
    10**30,
    "9" * 25,
    1.5,
    True,
    [],
    {},
    [1],
    [{}],
    {"a": 1},
    "x" * 5_000,
    "<b>",
    "*",
    "[a](",
    "{",
    "[1,2]",
    "attach://x",
    "http://[::1",
    "@channel",
    -100,
    "1e5",
    {"inline_keyboard": [[{"text": "a", "url": "http://["}]]},
    {"inline_keyboard": [[{"text": "a", "callback_data": 5}]]},
    {"keyboard": [[5]]},
    {"type": []},
    {"message_id": [1]},
    {"inline_keyboard": [[{"text": "a", "callback_data": "b", "style": []}]]},
    {"type": "photo", "media": []},
    [{"type": "photo", "media": None}] * 2,
    [{"type": [], "offset": 0, "length": 1}],
    [{"label": "a", "amount": "5"}],
    [{"command": 5, "description": []}],
    {"type": "chat", "chat_id": []},
    "HTML",
    "MarkdownV2",
    "Markdown",
    "XTR",
    "ru",
]
NAMES = (
    "text parse_mode entities reply_markup message_id message_ids from_chat_id photo video animation document "
    "audio voice sticker media caption caption_entities file_id user_id scope language_code commands prices title "
    "description payload currency callback_query_id url action draft_id reaction offset limit allowed_updates "
    "name menu_button thumbnail width reply_parameters reply_to_message_id link_preview_options "
    "pre_checkout_query_id error_message emoji secret_token "
)


async def test_no_parameters_crash_a_method(wire: Wire) -> None:
    """Whatever JSON stands in whatever parameter, every method answers or refuses; none fails inside."""
    await wire.settings(rate_limits=False)
    await wire.say(ANYA, "hi")
    dice = random.Random(11)
    for name in sorted(METHODS):
        for _ in range(15):
            params = {one: dice.choice(ODD) for one in dice.sample(NAMES.split(), dice.randrange(20))}
            wire.world.clock.advance(4)
            body = await wire.api(name, **{"chat_id": ANYA, "message_id": dice.randrange(9), "text": "hi", **params})
            assert body["ok"] or body["error_code"] < 500, (name, params, body)


async def test_an_unknown_method_is_loud(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    """What the sandbox lacks is 404 `method not found`, an error in its log and in the list of calls."""
    assert await wire.refusal("sendTeleport") == "Not Found: method not found"
    assert "sendTeleport" in caplog.text
    assert wire.world.counts["telegram:sendTeleport"] == 1


async def test_chats_that_refuse(wire: Wire, bot: telegram.Bot) -> None:
    """An unknown chat is 400, a chat whose person blocked the bot is 403 until unblocked; both moves are told."""
    with pytest.raises(refused.BadRequest, match="Chat not found"):
        await bot.send_message(5, "hi")
    await wire.chat(f"/_chat/users/{ANYA}/block", {})
    with pytest.raises(refused.Forbidden, match="bot was blocked by the user"):
        await bot.send_message(ANYA, "hi")
    await wire.chat(f"/_chat/users/{ANYA}/send", {"text": "hi"}, status=400)
    await wire.chat(f"/_chat/users/{ANYA}/unblock", {})
    assert (await bot.send_message(ANYA, "hi")).text == "hi"
    moves = [update.my_chat_member for update in await bot.get_updates()]
    assert [move.new_chat_member.status for move in moves if move] == ["kicked", "member"]


async def test_nobody_is_written_to_first_when_so_set(wire: Wire, bot: telegram.Bot) -> None:
    """With `must_start` a bot can only answer those who wrote to it."""
    await wire.settings(must_start=True)
    with pytest.raises(refused.Forbidden, match="bot can't initiate conversation with a user"):
        await bot.send_message(ANYA, "hi")
    await wire.say(ANYA, "/start")
    await bot.send_message(ANYA, "hi")


async def test_pace(wire: Wire, bot: telegram.Bot) -> None:
    """A chat takes a burst, then about a message a second: 429 says how long to wait, and waiting helps."""
    for number in range(20):
        await bot.send_message(ANYA, str(number))
    with pytest.raises(refused.RetryAfter) as caught:
        await bot.send_message(ANYA, "too fast")
    assert caught.value.retry_after == timedelta(seconds=1)
    async with wire.http.post(f"{wire.base}/bot{TOKEN}/sendMessage", json={"chat_id": ANYA, "text": "x"}) as answer:
        assert answer.headers["Retry-After"] == "1"
        assert await answer.json() == {
            "ok": False,
            "error_code": 429,
            "description": "Too Many Requests: retry after 1",
            "parameters": {"retry_after": 1},
        }
    await bot.send_message(BOB, "another chat is free")
    wire.world.clock.advance(1)
    await bot.send_message(ANYA, "in time")
    album = [telegram.InputMediaPhoto(picture(20 + number, 20)) for number in range(2)]
    with pytest.raises(refused.RetryAfter):
        await bot.send_media_group(ANYA, album)
    wire.world.clock.advance(2)
    await bot.send_media_group(ANYA, album)
    await wire.settings(rate_limits=False)
    for number in range(30):
        await bot.send_message(ANYA, str(number))


async def test_planned_faults_hit_a_client(wire: Wire, bot: telegram.Bot) -> None:
    """A planned 429 answers in place of the face, once."""
    fault = {
        "face": "telegram",
        "match": "sendMessage",
        "status": 429,
        "body": {
            "ok": False,
            "error_code": 429,
            "description": "Too Many Requests: retry after 7",
            "parameters": {"retry_after": 7},
        },
    }
    await wire.chat("/_control/faults", fault)
    with pytest.raises(refused.RetryAfter):
        await bot.send_message(ANYA, "hi")
    await bot.send_message(ANYA, "hi")
    assert len(await wire.seen(ANYA)) == 1


# --- webhook -----------------------------------------------------------------------------------------


async def test_webhook_delivers_with_the_secret(wire: Wire, bot: telegram.Bot, receiver: Receiver) -> None:
    """Updates, also those that waited, are posted with the secret; getUpdates is 409 until deleteWebhook."""
    await wire.say(ANYA, "waited")
    await bot.set_webhook(receiver.url, secret_token="s3cret_-")
    await wire.say(ANYA, "fresh")
    await wait_for(lambda: len(receiver.came) == 2)
    assert receiver.texts == ["waited", "fresh"]
    assert {secret for secret, _ in receiver.came} == {"s3cret_-"}
    with pytest.raises(refused.Conflict, match="can't use getUpdates method while webhook is active; use deleteWeb"):
        await bot.get_updates()
    info = await bot.get_webhook_info()
    assert (info.url, info.pending_update_count, info.max_connections) == (receiver.url, 0, 40)
    await bot.delete_webhook()
    assert await bot.get_updates() == ()


async def test_webhook_repeats_in_order(wire: Wire, bot: telegram.Bot, receiver: Receiver) -> None:
    """A refused update comes again at once, then after 2, 4 … s, and holds up the later ones of that person only."""
    receiver.answers = [web.Response(status=500) for _ in range(3)]
    await bot.set_webhook(receiver.url)
    await wire.say(ANYA, "first")
    await wait_for(lambda: len(receiver.came) == 2)
    await wire.say(ANYA, "second")
    wire.world.clock.advance(1.5)
    info = await bot.get_webhook_info()
    assert receiver.texts == ["first", "first"]
    assert info.last_error_message == "Wrong response from the webhook: 500 Internal Server Error"
    assert info.pending_update_count == 2
    wire.world.clock.advance(0.6)
    await wait_for(lambda: len(receiver.came) == 3)
    await wire.say(BOB, "not held up")
    await wait_for(lambda: "not held up" in receiver.texts)
    wire.world.clock.advance(4.1)
    await wait_for(lambda: "second" in receiver.texts)
    assert receiver.texts == ["first", "first", "first", "not held up", "first", "second"]


async def test_webhook_obeys_retry_after_and_shelf_life(wire: Wire, bot: telegram.Bot, receiver: Receiver) -> None:
    """`Retry-After` is obeyed, and an update past its shelf life is dropped."""
    message = await wire.result("sendMessage", chat_id=ANYA, text="Go?", reply_markup=GO)
    receiver.answers = [web.Response(status=503, headers={"Retry-After": "100"})]
    await bot.set_webhook(receiver.url)
    await wire.press(ANYA, message["message_id"], "gen:17:go")
    await wait_for(lambda: len(receiver.came) == 1)
    wire.world.clock.advance(101)
    await wait_for(lambda: len(receiver.came) == 2)
    receiver.answers = [web.Response(status=503, headers={"Retry-After": "1000"})]
    await wire.press(ANYA, message["message_id"], "gen:17:go")
    await wait_for(lambda: len(receiver.came) == 3)
    wire.world.clock.advance(151)
    assert (await bot.get_webhook_info()).pending_update_count == 0


async def test_a_call_in_the_webhooks_answer(wire: Wire, bot: telegram.Bot, receiver: Receiver) -> None:
    """A 2xx body may hold one call, which is carried out; setWebhook and get* are not."""
    receiver.answers = [
        web.json_response({"method": "sendMessage", "chat_id": ANYA, "text": "pong"}),
        web.json_response({"method": "setWebhook", "url": ""}),
    ]
    await bot.set_webhook(receiver.url)
    await wire.say(ANYA, "ping")
    found = await wire.chat(f"/_chat/users/{ANYA}/wait?after=0&contains=pong&timeout=5")
    assert found["text"] == "pong"
    await wire.say(ANYA, "again")
    await wait_for(lambda: len(receiver.came) == 2)
    assert (await bot.get_webhook_info()).url == receiver.url


async def test_set_webhook_is_checked(wire: Wire, bot: telegram.Bot, receiver: Receiver) -> None:
    """A bad URL or secret is 400, and two setWebhook within a second are 429."""
    assert "bad webhook" in await wire.refusal("setWebhook", url="ftp://example.org")
    assert "unallowed characters" in await wire.refusal("setWebhook", url=receiver.url, secret_token="a b")
    await bot.set_webhook(receiver.url)
    with pytest.raises(refused.RetryAfter):
        await bot.set_webhook(receiver.url)


# --- aiogram -----------------------------------------------------------------------------------------


async def test_aiogram_runs_against_it(wire: Wire) -> None:
    """aiogram's own polling, multipart and album builder work unchanged."""
    from aiogram import Bot, Dispatcher, types
    from aiogram.client.session.aiohttp import AiohttpSession
    from aiogram.client.telegram import TelegramAPIServer
    from aiogram.filters import CommandStart
    from aiogram.utils.media_group import MediaGroupBuilder

    async with Bot(TOKEN, session=AiohttpSession(api=TelegramAPIServer.from_base(wire.base))) as client:
        dispatcher = Dispatcher()

        @dispatcher.message(CommandStart(deep_link=True))
        async def start(message: types.Message) -> None:
            album = MediaGroupBuilder(caption="two takes")
            for number in range(2):
                album.add_photo(types.BufferedInputFile(picture(60 + number, 40), f"{number}.png"))
            takes: list[types.MediaUnion] = [*album.build()]
            await message.answer_media_group(takes)
            await message.answer_document(types.BufferedInputFile(picture(9, 9), "take.png"), caption="original")

        polling = asyncio.create_task(dispatcher.start_polling(client, handle_signals=False, polling_timeout=5))
        await wait_for(lambda: wire.world.counts["telegram:getUpdates"] == 1, 15)
        said = await wire.say(BOB, "/start ref_k7")
        path = f"/_chat/users/{BOB}/wait?after={said['message_id']}&contains=original&timeout=10"
        assert (await wire.chat(path))["document"]["file_name"] == "take.png"
        await dispatcher.stop_polling()
        await polling
    assert [message["photo"][-1]["width"] for message in (await wire.seen(BOB))[1:3]] == [60, 61]
