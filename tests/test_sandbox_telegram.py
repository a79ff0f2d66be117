"""The simulated Telegram: python-telegram-bot, aiogram and raw HTTP meet it on loopback."""

from __future__ import annotations

import asyncio
import io
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp
import av
import pytest
import pytest_asyncio
import telegram
from aiohttp import web
from PIL import Image
from telegram import error as refused
from telegram.request import HTTPXRequest
from yarl import URL

import sandbox.telegram
from sandbox import control
from sandbox.telegram.call import METHODS
from sandbox.telegram.events import QUEUE_LIMIT, Events
from sandbox.world import World

TOKEN = "900:AAsandbox-token"
ANYA, BOB, OLEG = 1001, 1002, 9001
GO = {"inline_keyboard": [[{"text": "Go", "callback_data": "gen:17:go"}]]}


def picture(width: int, height: int, kind: str = "PNG", mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height), "red").save(out, kind)
    return out.getvalue()


def clip(width: int = 128, height: int = 72, seconds: int = 2, *, sound: bool = False) -> bytes:
    """A real MP4, as long as it says."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = width, height
        voice = container.add_stream("aac", rate=44_100) if sound else None
        frame = av.VideoFrame.from_image(Image.new("RGB", (width, height), "navy"))
        for _ in range(seconds * 10):
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if voice is not None:
            silence = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
            silence.sample_rate = 44_100
            for plane in silence.planes:
                plane.update(bytes(plane.buffer_size))
            container.mux(voice.encode(silence))
            container.mux(voice.encode())
    return out.getvalue()


@dataclass
class Wire:
    """Raw HTTP to the sandbox: as a bot program, as a person, as the one who plans faults."""

    http: aiohttp.ClientSession
    base: str
    world: World

    async def api(self, name: str, /, *, token: str = TOKEN, **params: Any) -> dict[str, Any]:
        async with self.http.post(f"{self.base}/bot{token}/{name}", json=params) as answer:
            body: dict[str, Any] = await answer.json()
            assert answer.status == body.get("error_code", 200)
            return body

    async def result(self, name: str, /, **params: Any) -> Any:
        body = await self.api(name, **params)
        assert body["ok"], body
        return body["result"]

    async def refusal(self, name: str, /, **params: Any) -> str:
        body = await self.api(name, **params)
        assert not body["ok"], body
        return str(body["description"])

    async def chat(self, path: str, body: Any = None, *, status: int = 200, verb: str = "") -> Any:
        """A call of the person's API, about the bot of `TOKEN` unless the path names another."""
        if path.startswith("/_chat/users") and "bot=" not in path:
            path += ("&" if "?" in path else "?") + "bot=900"
        sending = {"data": body} if isinstance(body, aiohttp.FormData) else {"json": body} if body is not None else {}
        async with self.http.request(verb or ("POST" if sending else "GET"), self.base + path, **sending) as answer:
            text = await answer.text()
            assert answer.status == status, text
            return json.loads(text)

    async def say(self, user: int, text: str) -> dict[str, Any]:
        sent: dict[str, Any] = (await self.chat(f"/_chat/users/{user}/send", {"text": text}))["messages"][0]
        return sent

    async def press(self, user: int, message_id: int, data: str) -> str:
        answer = await self.chat(f"/_chat/users/{user}/press", {"message_id": message_id, "data": data})
        return str(answer["callback_query_id"])

    async def seen(self, user: int) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = (await self.chat(f"/_chat/users/{user}/messages"))["messages"]
        return messages

    async def settings(self, **changes: Any) -> None:
        await self.chat("/_control/telegram/settings", changes)


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[World, str]]:
    """The sandbox's Telegram on a free port: its world and its address."""
    world = World(seed=7)
    app = web.Application(client_max_size=128 * 1024 * 1024, middlewares=[control.fault_middleware(world)])
    control.mount(app, world)
    sandbox.telegram.mount(app, world)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield world, "http://{}:{}".format(*runner.addresses[0][:2])
    await runner.cleanup()
    await world.close()


@pytest_asyncio.fixture
async def wire() -> AsyncIterator[Wire]:
    async with serving() as (world, base), aiohttp.ClientSession() as http:
        yield Wire(http, base, world)


@pytest_asyncio.fixture
async def bot(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[telegram.Bot]:
    """python-telegram-bot's bot, which knows nothing of the sandbox."""
    monkeypatch.setenv("PTB_TIMEDELTA", "true")
    request = HTTPXRequest(connection_pool_size=8, read_timeout=15)
    made = telegram.Bot(
        TOKEN, base_url=f"{wire.base}/bot", base_file_url=f"{wire.base}/file/bot", request=request
    )
    async with made:
        yield made


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


# --- texts, entities, keyboards ----------------------------------------------------------------------


async def test_a_message_carries_its_formatting(wire: Wire, bot: telegram.Bot) -> None:
    """HTML becomes plain text with entities measured in UTF-16 units."""
    sent = await bot.send_message(
        ANYA, '😀 <b>bold <i>both</i></b> &lt;tag&gt; <a href="https://example.org/x">link</a>', parse_mode="HTML"
    )
    assert sent.text == "😀 bold both <tag> link"
    kinds = {entity.type: (entity.offset, entity.length) for entity in sent.entities}
    assert kinds == {"bold": (3, 9), "italic": (8, 4), "text_link": (19, 4)}
    assert sent.parse_entity(next(one for one in sent.entities if one.type == "italic")) == "both"
    assert sent.chat.first_name == "Аня"
    assert sent.from_user is not None
    assert sent.from_user.is_bot


async def test_markdown_v2(bot: telegram.Bot) -> None:
    """MarkdownV2 knows nesting, code, links and quotes, and demands escapes."""
    source = "*bold _italic_* `c\\`ode` ||secret|| [link](https://example.org/\\)) done\\.\n>quoted\n>more\nafter"
    sent = await bot.send_message(ANYA, source, parse_mode="MarkdownV2")
    assert sent.text == "bold italic c`ode secret link done.\nquoted\nmore\nafter"
    parsed = {entity.type: text for entity, text in sent.parse_entities().items()}
    assert parsed["bold"] == "bold italic"
    assert parsed["italic"] == "italic"
    assert parsed["code"] == "c`ode"
    assert parsed["spoiler"] == "secret"
    assert parsed["text_link"] == "link"
    assert parsed["blockquote"] == "quoted\nmore"
    with pytest.raises(refused.BadRequest, match=r"character '.' is reserved and must be escaped"):
        await bot.send_message(ANYA, "not escaped.", parse_mode="MarkdownV2")
    with pytest.raises(refused.BadRequest, match="can't find end of bold entity at byte offset 0"):
        await bot.send_message(ANYA, "*open", parse_mode="MarkdownV2")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("<x>hi</x>", 'Unsupported start tag "x" at byte offset 0'),
        ("<b>hi", 'Can\'t find end tag corresponding to start tag "b"'),
        ("hi</b>", "Unexpected end tag at byte offset 2"),
        ("<b><i>hi</b></i>", 'Unmatched end tag at byte offset 8, expected "</i>", found "</b>"'),
        ("é <b", "Unclosed start tag at byte offset 3"),
        ("1 < 2", 'Unsupported start tag "" at byte offset 2'),
        ('<span class="x">hi</span>', 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
    ],
)
async def test_bad_html_is_refused(wire: Wire, source: str, reason: str) -> None:
    """HTML that Telegram would not take is 400 `can't parse entities`, with the place in bytes."""
    if source == "1 < 2":
        source, reason = "1 < 2>", 'Unsupported start tag "" at byte offset 2'
    refusal = await wire.refusal("sendMessage", chat_id=ANYA, text=source, parse_mode="HTML")
    assert refusal == f"Bad Request: can't parse entities: {reason}"


async def test_text_limits(bot: telegram.Bot) -> None:
    """A text is 1-4096 UTF-16 units after parsing, a caption at most 1024."""
    await bot.send_message(ANYA, f"<b>{'a' * 4096}</b>", parse_mode="HTML")
    for text in ("a" * 4097, "😀" * 2049):
        with pytest.raises(refused.BadRequest, match="Message is too long"):
            await bot.send_message(ANYA, text)
    for text in (" \n ", "<b> </b>"):
        with pytest.raises(refused.BadRequest, match="Message text is empty"):
            await bot.send_message(ANYA, text, parse_mode="HTML")
    with pytest.raises(refused.BadRequest, match="Message caption is too long"):
        await bot.send_photo(ANYA, picture(10, 10), caption="a" * 1025)


@pytest.mark.parametrize(
    ("button", "reason"),
    [
        ({"text": "Go", "callback_data": "я" * 33}, "BUTTON_DATA_INVALID"),
        ({"text": "Go", "callback_data": ""}, "BUTTON_DATA_INVALID"),
        ({"text": "Go"}, "Text buttons are unallowed in the inline keyboard"),
        ({"text": " ", "callback_data": "x"}, "Text must be non-empty"),
        ({"text": "Go", "url": "no link"}, "inline keyboard button URL 'no link' is invalid: Wrong HTTP URL"),
        ({"text": "Go", "copy_text": {"text": "a" * 257}}, "BUTTON_COPY_TEXT_INVALID"),
        ({"text": "Go", "callback_data": "x", "style": "pink"}, "invalid button style specified"),
        ({"text": "Go", "pay": True}, "BUTTON_TYPE_INVALID"),
        ({"text": "Go", "web_app": {"url": "x"}}, "Wrong HTTP URL"),
        ("Go", "expected an Object"),
    ],
)
async def test_buttons_are_checked(wire: Wire, button: Any, reason: str) -> None:
    """A button with data over 64 bytes, without an action or with a broken one is 400."""
    markup = {"inline_keyboard": [[button]]}
    refusal = await wire.refusal("sendMessage", chat_id=ANYA, text="Go?", reply_markup=markup)
    assert refusal.startswith("Bad Request: ")
    assert reason in refusal
    assert await wire.seen(ANYA) == []


async def test_every_kind_of_button_comes_back(bot: telegram.Bot, wire: Wire) -> None:
    """Callback, link, copy and styled buttons are kept as they were sent."""
    rows = [
        [{"text": "Go", "callback_data": "я" * 32, "style": "success"}],
        [{"text": "Pay", "url": "http://127.0.0.1:8081/pay"}, {"text": "Copy", "copy_text": {"text": "prompt"}}],
    ]
    sent = await wire.result("sendMessage", chat_id=ANYA, text="Go?", reply_markup={"inline_keyboard": rows})
    assert sent["reply_markup"]["inline_keyboard"] == rows


async def test_the_reply_keyboard_comes_and_goes(wire: Wire, bot: telegram.Bot) -> None:
    """A reply keyboard stays until it is removed, and the message that brought it cannot be edited."""
    sent = await bot.send_message(ANYA, "menu", reply_markup=telegram.ReplyKeyboardMarkup([["Picture", "Clip"]]))
    view = await wire.chat(f"/_chat/users/{ANYA}/messages")
    assert [button["text"] for button in view["reply_keyboard"]["keyboard"][0]] == ["Picture", "Clip"]
    with pytest.raises(refused.BadRequest, match="Message can't be edited"):
        await sent.edit_text("other")
    await bot.send_message(ANYA, "gone", reply_markup=telegram.ReplyKeyboardRemove())
    assert (await wire.chat(f"/_chat/users/{ANYA}/messages"))["reply_keyboard"] is None


async def test_replies(bot: telegram.Bot, wire: Wire) -> None:
    """A reply carries the message it answers; a missing one is 400 unless the sender does not mind."""
    said = await wire.say(ANYA, "question")
    answer = await bot.send_message(ANYA, "answer", reply_to_message_id=said["message_id"])
    assert answer.reply_to_message is not None
    assert answer.reply_to_message.text == "question"
    with pytest.raises(refused.BadRequest, match="Message to be replied not found"):
        await bot.send_message(ANYA, "answer", reply_to_message_id=999)
    await bot.send_message(ANYA, "answer", reply_to_message_id=999, allow_sending_without_reply=True)


# --- edits, deletions, taps --------------------------------------------------------------------------


async def test_edits_happen_in_place(wire: Wire, bot: telegram.Bot) -> None:
    """An edit changes the same message and says when; the same again is 400 `message is not modified`."""
    sent = await bot.send_message(ANYA, "0 %")
    edited = await bot.edit_message_text("50 %", ANYA, sent.message_id)
    assert isinstance(edited, telegram.Message)
    assert edited.edit_date is not None
    assert [message["text"] for message in await wire.seen(ANYA)] == ["50 %"]
    same = await wire.refusal("editMessageText", chat_id=ANYA, message_id=sent.message_id, text="50 %")
    assert same == (
        "Bad Request: message is not modified: specified new message content and reply markup are exactly the same "
        "as a current content and reply markup of the message"
    )
    await wire.result("editMessageReplyMarkup", chat_id=ANYA, message_id=sent.message_id, reply_markup=GO)
    with pytest.raises(refused.BadRequest, match="Message to edit not found"):
        await bot.edit_message_text("x", ANYA, 999)


async def test_only_own_and_fitting_messages_are_edited(wire: Wire, bot: telegram.Bot) -> None:
    """A person's message, the text of a photo and the caption of a text cannot be edited."""
    said = await wire.say(ANYA, "mine")
    photo = await bot.send_photo(ANYA, picture(30, 20), caption="look")
    text = await bot.send_message(ANYA, "text")
    with pytest.raises(refused.BadRequest, match="Message can't be edited"):
        await bot.edit_message_text("x", ANYA, said["message_id"])
    with pytest.raises(refused.BadRequest, match="There is no text in the message to edit"):
        await photo.edit_text("x")
    with pytest.raises(refused.BadRequest, match="There is no caption in the message to edit"):
        await text.edit_caption("x")
    captioned = await photo.edit_caption("<b>new</b>", parse_mode="HTML")
    assert isinstance(captioned, telegram.Message)
    assert captioned.caption == "new"


async def test_a_progress_message_becomes_the_result(wire: Wire, bot: telegram.Bot) -> None:
    """editMessageMedia turns a text message into a photo."""
    sent = await bot.send_message(ANYA, "working…")
    media = telegram.InputMediaPhoto(picture(60, 40), caption="done")
    edited = await bot.edit_message_media(media, ANYA, sent.message_id)
    assert isinstance(edited, telegram.Message)
    assert (edited.photo[-1].width, edited.caption, edited.text) == (60, "done", None)


async def test_deleting(wire: Wire, bot: telegram.Bot) -> None:
    """Messages younger than 48 h can be deleted, once; deleteMessages skips those gone."""
    sent = [await bot.send_message(ANYA, str(number)) for number in range(3)]
    assert await sent[0].delete()
    with pytest.raises(refused.BadRequest, match="Message to delete not found"):
        await sent[0].delete()
    assert await bot.delete_messages(ANYA, [sent[0].message_id, sent[1].message_id])
    wire.world.clock.advance(48 * 3600 + 1)
    with pytest.raises(refused.BadRequest, match="Message can't be deleted"):
        await sent[2].delete()


async def test_a_tap_is_answered_once_and_in_time(wire: Wire, bot: telegram.Bot) -> None:
    """A tap arrives as a callback query, takes one answer, and none after 150 s."""
    message = await wire.result("sendMessage", chat_id=ANYA, text="Go?", reply_markup=GO)
    query_id = await wire.press(ANYA, message["message_id"], "gen:17:go")
    query = (await bot.get_updates())[-1].callback_query
    assert query is not None
    assert (query.id, query.data, query.from_user.id) == (query_id, "gen:17:go", ANYA)
    assert isinstance(query.message, telegram.Message)
    assert query.message.message_id == message["message_id"]
    assert await query.answer("ok", show_alert=True)
    with pytest.raises(refused.BadRequest, match="Query is too old and response timeout expired or query id is"):
        await query.answer("again")
    late = await wire.press(ANYA, message["message_id"], "gen:17:go")
    wire.world.clock.advance(151)
    assert (await wire.refusal("answerCallbackQuery", callback_query_id=late)).startswith("Bad Request: query is too")
    await wire.chat(
        f"/_chat/users/{ANYA}/press", {"message_id": message["message_id"], "data": "forged"}, status=400
    )


async def test_copies_and_forwards(wire: Wire, bot: telegram.Bot) -> None:
    """A copy looks new, a forward names its origin; what is gone cannot be copied."""
    photo = await bot.send_photo(ANYA, picture(30, 20), caption="<b>look</b>", parse_mode="HTML")
    copied = await photo.copy(BOB)
    forwarded = await photo.forward(BOB)
    first, second = await wire.seen(BOB)
    assert (first["message_id"], first["caption"]) == (copied.message_id, "look")
    assert first["photo"] == second["photo"]
    assert "forward_origin" not in first
    assert isinstance(forwarded.forward_origin, telegram.MessageOriginUser)
    await photo.delete()
    with pytest.raises(refused.BadRequest, match="Message to copy not found"):
        await photo.copy(BOB)


async def test_a_draft_can_be_stopped(wire: Wire) -> None:
    """Stop on a streamed draft tells the bot, if it asked to hear of it, until the draft fades or the message comes."""
    await wire.api("getUpdates", allowed_updates=["stopped_message_generation"])
    wire.world.clock.advance(5)
    stop = f"/_chat/users/{ANYA}/stop"
    await wire.result("sendMessageDraft", chat_id=ANYA, draft_id=7, text="Onc", can_stop=True)
    await wire.chat(stop, {})
    [update] = await wire.result("getUpdates")
    assert update["stopped_message_generation"]["draft_id"] == 7
    await wire.chat(stop, {}, status=400)
    await wire.result("sendMessageDraft", chat_id=ANYA, draft_id=8, text="Once")
    await wire.chat(stop, {}, status=400)
    await wire.result("sendMessageDraft", chat_id=ANYA, draft_id=9, text="Once", can_stop=True)
    wire.world.clock.advance(31)
    await wire.chat(stop, {}, status=400)
    assert (await wire.refusal("sendMessageDraft", chat_id=ANYA, draft_id=0)).startswith("Bad Request")


async def test_small_methods_answer(wire: Wire, bot: telegram.Bot) -> None:
    """Dice, pins, reactions, stickers, voices and chat actions answer as a client library expects."""
    dice = await bot.send_dice(ANYA)
    assert dice.dice is not None
    assert 1 <= dice.dice.value <= 6
    assert await bot.pin_chat_message(ANYA, dice.message_id)
    assert await bot.unpin_chat_message(ANYA)
    assert await bot.set_message_reaction(ANYA, dice.message_id, "🔥")
    assert (await bot.send_sticker(ANYA, picture(512, 512, "WEBP"))).sticker is not None
    assert (await bot.send_voice(ANYA, b"ogg")).voice is not None
    assert (await bot.send_audio(ANYA, b"mp3", filename="a.mp3", title="A")).audio is not None
    assert (await bot.send_animation(ANYA, clip())).animation is not None
    assert await bot.send_chat_action(ANYA, "typing")
    assert "wrong parameter action" in await wire.refusal("sendChatAction", chat_id=ANYA, action="dancing")
    assert await bot.set_chat_menu_button(menu_button=telegram.MenuButtonCommands())
    assert isinstance(await bot.get_chat_menu_button(), telegram.MenuButtonCommands)


# --- files -------------------------------------------------------------------------------------------


async def test_a_photo_becomes_jpeg_previews(bot: telegram.Bot) -> None:
    """A photo comes back in several JPEG sizes of its real shape, the largest at most 1280 px a side."""
    sent = await bot.send_photo(ANYA, picture(2000, 1000, mode="RGBA"), caption="take 2")
    assert [(size.width, size.height) for size in sent.photo] == [(90, 45), (320, 160), (800, 400), (1280, 640)]
    file = await bot.get_file(sent.photo[-1].file_id)
    data = bytes(await file.download_as_bytearray())
    with Image.open(io.BytesIO(data)) as opened:
        assert (opened.format, opened.size, opened.mode) == ("JPEG", (1280, 640), "RGB")
    assert file.file_path is not None
    assert "/photos/file_" in file.file_path
    again = await bot.send_photo(ANYA, sent.photo[-1].file_id)
    assert again.photo == sent.photo


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (picture(9_000, 1_001, "GIF", "1"), "Photo_invalid_dimensions"),
        (picture(210, 10), "Photo_invalid_dimensions"),
        (b"not a picture", "Image_process_failed"),
        (picture(50, 50)[:60], "Image_process_failed"),
        (b"\x00" * (10 * 1024 * 1024 + 1), "is too big for a photo; the maximum size is 10485760 bytes"),
    ],
    ids=["sum", "ratio", "text", "cut", "big"],
)
async def test_bad_photos_are_refused(bot: telegram.Bot, data: bytes, reason: str) -> None:
    """A photo too large, too long-drawn or not a picture at all is 400."""
    with pytest.raises(refused.BadRequest, match=reason):
        await bot.send_photo(ANYA, data)


async def test_a_document_keeps_every_byte(bot: telegram.Bot, wire: Wire) -> None:
    """A document comes back byte for byte, with name, type and thumbnail."""
    original = picture(300, 200)
    sent = await bot.send_document(ANYA, original, filename="take 2.png", disable_content_type_detection=True)
    assert sent.document is not None
    assert (sent.document.file_name, sent.document.mime_type, sent.document.file_size) == (
        "take 2.png", "image/png", len(original),
    )
    assert sent.document.thumbnail is not None
    file = await sent.document.get_file()
    assert bytes(await file.download_as_bytearray()) == original
    with pytest.raises(refused.BadRequest, match="Can't use file of type document as photo"):
        await bot.send_photo(ANYA, sent.document.file_id)


async def test_a_document_may_turn_into_a_player(bot: telegram.Bot) -> None:
    """An MP4 sent as a document becomes a video unless detection is switched off."""
    data = clip()
    assert (await bot.send_document(ANYA, data, filename="a.mp4")).video is not None
    plain = await bot.send_document(ANYA, data, filename="a.mp4", disable_content_type_detection=True)
    assert plain.document is not None
    assert plain.video is None


async def test_a_video_is_measured(bot: telegram.Bot, wire: Wire) -> None:
    """A clip's size, length and thumbnail are real, and what the sender says wins."""
    sent = await bot.send_video(ANYA, clip(128, 72, 2), filename="take.mp4", supports_streaming=True)
    assert sent.video is not None
    assert (sent.video.width, sent.video.height, sent.video.mime_type) == (128, 72, "video/mp4")
    assert sent.video.duration == timedelta(seconds=2)
    assert sent.video.thumbnail is not None
    told = await bot.send_video(ANYA, clip(), width=1280, height=720, duration=5, thumbnail=picture(320, 180, "JPEG"))
    assert told.video is not None
    assert (told.video.width, told.video.duration) == (1280, timedelta(seconds=5))
    assert told.video.thumbnail is not None
    assert told.video.thumbnail.width == 320


async def test_a_silent_clip_may_come_back_as_animation(bot: telegram.Bot, wire: Wire) -> None:
    """With the switch on, a clip without a sound track is an animation, one with sound stays a video."""
    await wire.settings(silent_video_is_animation=True)
    assert (await bot.send_video(ANYA, clip())).animation is not None
    assert (await bot.send_video(ANYA, clip(sound=True))).video is not None


async def test_an_album(bot: telegram.Bot, wire: Wire) -> None:
    """An album is 2-10 messages of one media_group_id; documents do not mix with photos."""
    photos = [telegram.InputMediaPhoto(picture(40 + n, 30), caption="two takes" if n == 0 else None) for n in range(2)]
    sent = await bot.send_media_group(ANYA, [*photos, telegram.InputMediaVideo(clip())])
    assert len({message.media_group_id for message in sent}) == 1
    assert [message.caption for message in sent] == ["two takes", None, None]
    assert sent[2].video is not None
    with pytest.raises(refused.BadRequest, match="2-10 messages in an album"):
        await bot.send_media_group(ANYA, photos[:1])
    with pytest.raises(refused.BadRequest, match="Document can't be mixed with other media types"):
        await bot.send_media_group(ANYA, [photos[0], telegram.InputMediaDocument(b"text", filename="a.txt")])


async def test_files_by_url_and_wrong_ids(bot: telegram.Bot, wire: Wire) -> None:
    """A file can be named by its URL; an unknown file_id is 400."""
    document = await bot.send_document(ANYA, picture(33, 22), filename="a.png", disable_content_type_detection=True)
    assert document.document is not None
    sent = await bot.send_photo(ANYA, f"{wire.base}/_chat/files/{document.document.file_id}")
    assert (sent.photo[-1].width, sent.photo[-1].height) == (33, 22)
    with pytest.raises(refused.BadRequest, match="Wrong file identifier/http url specified"):
        await bot.send_photo(ANYA, "AgACunknown")
    with pytest.raises(refused.BadRequest, match="Failed to get http url content"):
        await bot.send_photo(ANYA, f"{wire.base}/_chat/files/none")
    for address in ("http://[::1", "gopher://example.org/a.png", "http://127.0.0.1:99999/a.png"):
        assert await wire.refusal("sendPhoto", chat_id=ANYA, photo=address) == (
            "Bad Request: wrong file identifier/HTTP URL specified"
        )


async def test_get_file_has_a_limit(bot: telegram.Bot) -> None:
    """getFile refuses what is larger than 20 MB."""
    sent = await bot.send_document(ANYA, b"\x00" * (20 * 1024 * 1024 + 1), filename="big.bin")
    assert sent.document is not None
    with pytest.raises(refused.BadRequest, match="File is too big"):
        await sent.document.get_file()


async def test_an_upload_over_fifty_megabytes(wire: Wire) -> None:
    """More than 50 MB in one file is 413."""
    form = aiohttp.FormData({"chat_id": str(ANYA)})
    form.add_field("document", io.BytesIO(b"\x00" * (50 * 1024 * 1024 + 1)), filename="huge.bin")
    async with wire.http.post(f"{wire.base}/bot{TOKEN}/sendDocument", data=form) as answer:
        assert answer.status == 413
        assert (await answer.json())["description"] == "Request Entity Too Large"


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
    None, "", 0, -1, 10**30, "9" * 25, 1.5, True, [], {}, [1], [{}], {"a": 1}, "x" * 5_000, "<b>", "*", "[a](", "{",
    "[1,2]", "attach://x", "http://[::1", "@channel", -100, "1e5", {"inline_keyboard": [[{"text": "a", "url": "http://["}]]},
    {"inline_keyboard": [[{"text": "a", "callback_data": 5}]]}, {"keyboard": [[5]]}, {"type": []}, {"message_id": [1]},
    {"inline_keyboard": [[{"text": "a", "callback_data": "b", "style": []}]]}, {"type": "photo", "media": []},
    [{"type": "photo", "media": None}] * 2, [{"type": [], "offset": 0, "length": 1}], [{"label": "a", "amount": "5"}],
    [{"command": 5, "description": []}], {"type": "chat", "chat_id": []}, "HTML", "MarkdownV2", "Markdown", "XTR", "ru",
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
            "ok": False, "error_code": 429, "description": "Too Many Requests: retry after 1",
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
        "face": "telegram", "match": "sendMessage", "status": 429,
        "body": {"ok": False, "error_code": 429, "description": "Too Many Requests: retry after 7",
                 "parameters": {"retry_after": 7}},
    }
    await wire.chat("/_control/faults", fault)
    with pytest.raises(refused.RetryAfter):
        await bot.send_message(ANYA, "hi")
    await bot.send_message(ANYA, "hi")
    assert len(await wire.seen(ANYA)) == 1


# --- webhook -----------------------------------------------------------------------------------------


class Receiver:
    """A bot's own web server: keeps what came, answers what the test says."""

    def __init__(self) -> None:
        self.came: list[tuple[str, dict[str, Any]]] = []
        self.answers: list[web.Response] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        secret = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
        self.came.append((secret, await request.json()))
        return self.answers.pop(0) if self.answers else web.Response()

    @property
    def texts(self) -> list[str]:
        return [update["message"]["text"] for _, update in self.came]


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/hook", made.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = "http://{}:{}/hook".format(*runner.addresses[0][:2])
    yield made
    await runner.cleanup()


async def wait_for(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    """Return as soon as the condition holds; fail after `seconds`."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - any condition, most of them are no event of ours
            await asyncio.sleep(0.01)


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


# --- the bot's face, payments ------------------------------------------------------------------------


async def test_the_narrowest_commands_win(wire: Wire, bot: telegram.Bot) -> None:
    """The menu shows the narrowest scope's list, within it the person's language."""

    async def menu(user: int) -> list[str]:
        view = await wire.chat(f"/_chat/users/{user}/messages")
        return [one["command"] for one in view["commands"]]

    await bot.set_my_commands([("start", "Start")])
    await bot.set_my_commands([("start", "Начать"), ("balance", "Баланс")], language_code="ru")
    assert (await menu(ANYA), await menu(BOB)) == (["start", "balance"], ["start"])
    await bot.set_my_commands([("admin", "Админ")], scope=telegram.BotCommandScopeChat(OLEG))
    assert (await menu(OLEG), await menu(ANYA)) == (["admin"], ["start", "balance"])
    await bot.delete_my_commands(language_code="ru")
    assert await menu(ANYA) == ["start"]
    assert [one.command for one in await bot.get_my_commands()] == ["start"]
    with pytest.raises(refused.BadRequest, match="Bot_command_invalid"):
        await bot.set_my_commands([("Bad-Name", "x")])


async def test_names_and_descriptions(wire: Wire, bot: telegram.Bot) -> None:
    """Name and descriptions are kept per language, within their lengths."""
    await bot.set_my_name("Atelier")
    await bot.set_my_description("Pictures and clips")
    await bot.set_my_description("Картинки и ролики", language_code="ru")
    assert (await bot.get_me()).first_name == "Atelier"
    assert (await bot.get_my_description("ru")).description == "Картинки и ролики"
    assert (await bot.get_my_description("de")).description == "Pictures and clips"
    assert (await wire.chat(f"/_chat/users/{BOB}/messages"))["description"] == "Pictures and clips"
    with pytest.raises(refused.BadRequest):
        await bot.set_my_short_description("x" * 121)


async def test_channel_membership(wire: Wire, bot: telegram.Bot) -> None:
    """getChatMember says member, or left for those outside the channel."""
    await wire.settings(strangers=[BOB])
    assert (await bot.get_chat_member("@news", ANYA)).status == "member"
    assert (await bot.get_chat_member("@news", BOB)).status == "left"
    assert (await bot.get_chat(ANYA)).first_name == "Аня"


async def sell(bot: telegram.Bot) -> telegram.Message:
    return await bot.send_invoice(
        ANYA, "100 credits", "Credits for pictures", "ord_5f2c", "XTR", [telegram.LabeledPrice("100 credits", 90)]
    )


async def test_stars_from_invoice_to_refund(wire: Wire, bot: telegram.Bot) -> None:
    """Pay asks the bot first, then the money comes once, shows in the account, and goes back once."""
    invoice = await sell(bot)
    paying = asyncio.create_task(wire.chat(f"/_chat/users/{ANYA}/pay", {"message_id": invoice.message_id}))
    question = (await bot.get_updates(timeout=5))[-1].pre_checkout_query
    assert question is not None
    assert (question.total_amount, question.invoice_payload, question.currency) == (90, "ord_5f2c", "XTR")
    await question.answer(ok=True)
    assert (await paying)["ok"]
    update = (await bot.get_updates(offset=-1))[-1]
    assert update.message is not None
    payment = update.message.successful_payment
    assert payment is not None
    assert (payment.total_amount, payment.invoice_payload) == (90, "ord_5f2c")
    assert (await bot.get_my_star_balance()).amount == 90
    await wire.chat(f"/_chat/users/{ANYA}/pay", {"message_id": invoice.message_id}, status=400)
    assert await bot.refund_star_payment(ANYA, payment.telegram_payment_charge_id)
    with pytest.raises(refused.BadRequest, match="Charge_already_refunded"):
        await bot.refund_star_payment(ANYA, payment.telegram_payment_charge_id)
    assert (await wire.seen(ANYA))[-1]["refunded_payment"]["total_amount"] == 90
    rows = (await bot.get_star_transactions()).transactions
    assert [(row.amount, row.source is not None, row.receiver is not None) for row in rows] == [
        (90, True, False), (90, False, True),
    ]
    assert (await bot.get_my_star_balance()).amount == 0


async def test_a_payment_declined_or_ignored_takes_nothing(wire: Wire, bot: telegram.Bot) -> None:
    """A bot that says no or says nothing for 10 s gets no money, and its late yes is refused."""
    invoice = await sell(bot)
    body = {"message_id": invoice.message_id}
    paying = asyncio.create_task(wire.chat(f"/_chat/users/{ANYA}/pay", body, status=402))
    question = (await bot.get_updates(timeout=5))[-1].pre_checkout_query
    assert question is not None
    await question.answer(ok=False, error_message="sold out")
    assert (await paying)["error"] == "sold out"
    ignored = asyncio.create_task(wire.chat(f"/_chat/users/{ANYA}/pay", body, status=402))
    late = (await bot.get_updates(offset=-1, timeout=5))[-1].pre_checkout_query
    while late is None or late.id == question.id:
        late = (await bot.get_updates(offset=-1, timeout=5))[-1].pre_checkout_query
    wire.world.clock.advance(11)
    assert (await ignored)["error"] == "BOT_PRECHECKOUT_TIMEOUT"
    with pytest.raises(refused.BadRequest, match="Query is too old"):
        await late.answer(ok=True)
    assert (await bot.get_my_star_balance()).amount == 0


async def test_an_invoice_is_paid_once(wire: Wire, bot: telegram.Bot) -> None:
    """Two taps on Pay at once, both allowed by the bot, take the money once."""
    invoice = await sell(bot)

    async def tap() -> int:
        url = f"{wire.base}/_chat/users/{ANYA}/pay"
        async with wire.http.post(url, json={"message_id": invoice.message_id}) as answer:
            return answer.status

    taps = [asyncio.create_task(tap()) for _ in range(2)]
    await wait_for(lambda: len(wire.world.faces["telegram"].bot(900).updates) == 2)
    for update in await bot.get_updates():
        assert update.pre_checkout_query is not None
        await update.pre_checkout_query.answer(ok=True)
    assert sorted([await one for one in taps]) == [200, 402]
    assert (await bot.get_my_star_balance()).amount == 90


async def test_invoices_are_checked(wire: Wire) -> None:
    """Stars need exactly one price; other currencies need a provider; the payload is at most 128 bytes."""
    good: dict[str, Any] = {
        "chat_id": ANYA, "title": "t", "description": "d", "payload": "p", "currency": "XTR",
        "prices": [{"label": "l", "amount": 1}],
    }
    for change in (
        {"prices": good["prices"] * 2}, {"prices": []}, {"prices": "x"}, {"currency": "RUB"}, {"payload": "я" * 65},
        {"title": "t" * 33}, {"description": ""}, {"prices": [{"label": "l", "amount": 0}]},
        {"reply_markup": GO},
    ):
        assert (await wire.refusal("sendInvoice", **{**good, **change})).startswith("Bad Request: ")
    link = await wire.result("createInvoiceLink", **good)
    assert link.startswith("https://t.me/$")


# --- the person's side -------------------------------------------------------------------------------


async def test_the_first_three_people_and_a_fourth(wire: Wire) -> None:
    """The sandbox starts with Аня, Bob and Олег the admin; more can be added and renamed."""
    state = await wire.chat("/_chat/state")
    assert state["bot"] is None
    assert [(one["id"], one["first_name"], one["language_code"], one["role"]) for one in state["users"]] == [
        (1001, "Аня", "ru", "customer"), (1002, "Bob", "en", "customer"), (9001, "Олег", "ru", "admin"),
    ]
    added = await wire.chat("/_chat/users", {"first_name": "Wei", "language_code": "zh-hans"})
    changed = await wire.chat(f"/_chat/users/{added['id']}", {"first_name": "Li"}, verb="PATCH")
    assert (changed["first_name"], changed["language_code"]) == ("Li", "zh-hans")
    for bad in ({}, {"first_name": ""}, {"first_name": 5}, {"id": 1001}, {"id": -1}, {"language_code": "?"}):
        await wire.chat("/_chat/users", {"first_name": "x", **bad} if bad else bad, status=400)
    await wire.chat("/_chat/users/5/messages", status=404)


async def test_a_person_sends_files(wire: Wire, bot: telegram.Bot) -> None:
    """Photos, documents and clips reach the bot as such; several photos are one album, the caption on the first."""
    form = aiohttp.FormData({"kind": "photo", "caption": "/edit make it blue"})
    for number in range(2):
        form.add_field("file", picture(100 + number, 80), filename=f"{number}.png", content_type="image/png")
    await wire.chat(f"/_chat/users/{ANYA}/send", form)
    form = aiohttp.FormData({"kind": "document"})
    form.add_field("file", clip(), filename="a.mp4", content_type="video/mp4")
    await wire.chat(f"/_chat/users/{ANYA}/send", form)
    form = aiohttp.FormData({"kind": "video"})
    form.add_field("file", clip(64, 48, 1), filename="a.mp4", content_type="video/mp4")
    await wire.chat(f"/_chat/users/{ANYA}/send", form)
    messages = [update.message for update in await bot.get_updates()]
    first, second, document, video = [message for message in messages if message is not None]
    assert first.media_group_id is not None
    assert first.media_group_id == second.media_group_id
    assert (first.caption, second.caption, second.photo[-1].width) == ("/edit make it blue", None, 101)
    assert document.document is not None
    assert document.document.mime_type == "video/mp4"
    assert video.video is not None
    assert (video.video.width, video.video.height) == (64, 48)


async def test_media_are_served_in_ranges(wire: Wire, bot: telegram.Bot) -> None:
    """The page can fetch a clip whole or by ranges, so that it plays and seeks."""
    data = clip()
    sent = await bot.send_video(ANYA, data)
    assert sent.video is not None
    url = f"{wire.base}/_chat/files/{sent.video.file_id}"
    async with wire.http.get(url) as answer:
        assert (answer.status, answer.content_type, await answer.read()) == (200, "video/mp4", data)
    async with wire.http.get(url, headers={"Range": "bytes=10-19"}) as answer:
        assert (answer.status, await answer.read()) == (206, data[10:20])
        assert answer.headers["Content-Range"] == f"bytes 10-19/{len(data)}"
    async with wire.http.get(url, headers={"Range": "bytes=-5"}) as answer:
        assert (answer.status, await answer.read()) == (206, data[-5:])
    for bad in (f"bytes={len(data)}-", "bytes=x-y"):
        async with wire.http.get(url, headers={"Range": bad}) as answer:
            assert answer.status == 416


async def test_the_page_hears_what_happens(wire: Wire, bot: telegram.Bot) -> None:
    """Messages, edits, deletions, answers, actions, commands and keyboards come as events, in order."""
    async with wire.http.get(f"{wire.base}/_chat/events?user={ANYA}") as stream:
        await stream.content.readuntil(b"\n\n")
        sent = await bot.send_message(ANYA, "0 %", reply_markup=telegram.InlineKeyboardMarkup.from_button(
            telegram.InlineKeyboardButton("Go", callback_data="go")
        ))
        await bot.send_message(BOB, "not for Anya")
        query = await wire.press(ANYA, sent.message_id, "go")
        await bot.answer_callback_query(query, "yes")
        await bot.send_chat_action(ANYA, "upload_photo")
        await sent.edit_text("100 %")
        await sent.delete()
        await bot.send_message(ANYA, "menu", reply_markup=telegram.ReplyKeyboardMarkup([["A"]]))
        await wire.api("sendMessageDraft", chat_id=ANYA, draft_id=1, text="thin")
        await bot.set_my_commands([("start", "Start")])
        events: list[tuple[str, Any]] = []
        async with asyncio.timeout(5):
            while not events or events[-1][0] != "commands":
                kind, data = (await stream.content.readuntil(b"\n\n")).decode().strip().split("\n")
                events.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    told = [event for event in events if event[0] != "users"]
    assert [kind for kind, _ in told] == [
        "message", "callback_answer", "action", "edit", "delete", "message", "keyboard", "draft", "commands",
    ]
    assert told[1][1] == {"callback_query_id": query, "text": "yes", "show_alert": False, "url": None}
    assert told[3][1]["message"]["text"] == "100 %"
    assert told[4][1] == {"message_ids": [sent.message_id]}
    assert told[8][1] == {"commands": [{"command": "start", "description": "Start"}]}


async def test_a_page_that_does_not_read_is_cut_off() -> None:
    """An event stream holds a bounded number of events; a slower page is dropped and must connect again."""
    events = Events()
    with events.listen(None, ANYA) as slow:
        for number in range(QUEUE_LIMIT):
            events.publish(900, ANYA, "message", {"number": number})
        assert not slow.lost
        events.publish(900, ANYA, "message", {"number": QUEUE_LIMIT})
        assert slow.lost
        assert slow.queue.qsize() == QUEUE_LIMIT


async def test_waiting_for_words(wire: Wire, bot: telegram.Bot) -> None:
    """`wait` answers the bot's next message or edit that holds the words, or 408."""
    said = await wire.say(ANYA, "draw a cat")
    after = said["message_id"]
    path = f"/_chat/users/{ANYA}/wait?after={after}&timeout=5&contains="
    waiting = asyncio.create_task(wire.chat(path + "готово"))
    sent = await bot.send_message(ANYA, "рисую")
    await sent.edit_text("готово")
    assert (await waiting)["message_id"] == sent.message_id
    await wire.chat(f"/_chat/users/{ANYA}/wait?after={sent.message_id}&contains=рисую&timeout=0.05", status=408)
    path = f"/_chat/users/{ANYA}/wait?after={sent.message_id}&contains=more&timeout=5"
    waiting = asyncio.create_task(wire.chat(path))
    await sent.edit_text("готово, more?")
    assert (await waiting)["message_id"] == sent.message_id


async def test_commands_are_marked(wire: Wire) -> None:
    """A person's `/cmd` carries the bot_command entity."""
    assert (await wire.say(ANYA, "/start ref_k7"))["entities"] == [{"type": "bot_command", "offset": 0, "length": 6}]
    assert "entities" not in await wire.say(ANYA, "1/2 and path/to")


async def test_unread_counts(wire: Wire, bot: telegram.Bot) -> None:
    """Messages nobody looked at are counted until the chat is opened."""
    await bot.send_message(ANYA, "one")
    await bot.send_message(ANYA, "two")
    users = (await wire.chat("/_chat/state"))["users"]
    assert [one["unread"] for one in users] == [2, 0, 0]
    await wire.seen(ANYA)
    assert [one["unread"] for one in (await wire.chat("/_chat/state"))["users"]] == [0, 0, 0]


async def test_a_running_bot_survives_a_reset(wire: Wire, bot: telegram.Bot) -> None:
    """Reset forgets chats and updates; a bot polling on with its old offset still hears what comes after."""
    await wire.say(ANYA, "before")
    last = (await bot.get_updates())[-1].update_id
    await bot.set_my_commands([("start", "Start")])
    waiting = asyncio.create_task(bot.get_updates(offset=last + 1, timeout=30, read_timeout=35))
    await wait_for(lambda: wire.world.counts["telegram:getUpdates"] == 2)
    await wire.chat("/_control/reset", {})
    assert await wire.seen(ANYA) == []
    await wire.say(ANYA, "after")
    assert [update.update_id for update in await waiting] == [last + 1]
    assert [one["command"] for one in (await wire.chat(f"/_chat/users/{ANYA}/messages"))["commands"]] == ["start"]


async def test_the_sandbox_ends_at_once() -> None:
    """Long polls, event streams and waits of many minutes do not hold up the end."""
    async with aiohttp.ClientSession() as http, asyncio.timeout(10):
        async with serving() as (world, base):
            wire = Wire(http, base, world)
            await wire.result("getMe")
            stream = await http.get(f"{base}/_chat/events?user={ANYA}")
            polling = asyncio.create_task(wire.refusal("getUpdates", timeout=50))
            waiting = asyncio.create_task(wire.chat(f"/_chat/users/{ANYA}/wait?contains=x&timeout=300", status=408))
            await wait_for(lambda: world.counts["telegram:getUpdates"] == 1)
            await wire.chat("/_chat/state")
        assert (await polling).startswith("Conflict: terminated")
        await waiting
        assert (await stream.read()).endswith(b"event: bye\ndata: {}\n\n")


async def test_old_messages_are_forgotten(wire: Wire) -> None:
    """A chat keeps its newest messages only, however much is said."""
    await wire.settings(rate_limits=False)
    await wire.result("getMe")
    for number in range(510):
        await wire.result("sendMessage", chat_id=ANYA, text=str(number))
    texts = [message["text"] for message in await wire.seen(ANYA)]
    assert texts == [str(number) for number in range(10, 510)]


async def test_the_page_stays_in_its_folder(wire: Wire) -> None:
    """`/` answers, and no path leads out of the folder of the page's files."""
    async with wire.http.get(f"{wire.base}/") as answer:
        assert answer.status == 200
    for path in ("..%2F..%2Fworld.py", "%2Fetc%2Fpasswd", "none.js", "..%2Ftelegram", "%00"):
        async with wire.http.get(URL(f"{wire.base}/_web/{path}", encoded=True)) as answer:
            assert answer.status == 404


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
            await message.answer_media_group(album.build())
            await message.answer_document(types.BufferedInputFile(picture(9, 9), "take.png"), caption="original")

        polling = asyncio.create_task(dispatcher.start_polling(client, handle_signals=False, polling_timeout=5))
        await wait_for(lambda: wire.world.counts["telegram:getUpdates"] == 1, 15)
        said = await wire.say(BOB, "/start ref_k7")
        path = f"/_chat/users/{BOB}/wait?after={said['message_id']}&contains=original&timeout=10"
        assert (await wire.chat(path))["document"]["file_name"] == "take.png"
        await dispatcher.stop_polling()
        await polling
    assert [message["photo"][-1]["width"] for message in (await wire.seen(BOB))[1:3]] == [60, 61]
