"""The simulated Telegram's people: what they see of a bot, what they pay, what they do and hear."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
import telegram
from telegram import error as refused
from yarl import URL

from sandbox.telegram.events import QUEUE_LIMIT, Events
from tests.support.telegram_fixture import ANYA, BOB, GO, OLEG, Wire, bot, clip, picture, serving, wait_for, wire

__all__ = ["bot", "wire"]  # fixtures, used by their names


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
        (90, True, False),
        (90, False, True),
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
        "chat_id": ANYA,
        "title": "t",
        "description": "d",
        "payload": "p",
        "currency": "XTR",
        "prices": [{"label": "l", "amount": 1}],
    }
    changes: tuple[dict[str, Any], ...] = (
        {"prices": good["prices"] * 2},
        {"prices": []},
        {"prices": "x"},
        {"currency": "RUB"},
        {"payload": "я" * 65},
        {"title": "t" * 33},
        {"description": ""},
        {"prices": [{"label": "l", "amount": 0}]},
        {"reply_markup": GO},
    )
    for change in changes:
        assert (await wire.refusal("sendInvoice", **{**good, **change})).startswith("Bad Request: ")
    link = await wire.result("createInvoiceLink", **good)
    assert link.startswith("https://t.me/$")


# --- the person's side -------------------------------------------------------------------------------


async def test_the_first_three_people_and_a_fourth(wire: Wire) -> None:
    """The sandbox starts with Аня, Bob and Олег the admin; more can be added and renamed."""
    state = await wire.chat("/_chat/state")
    assert state["bot"] is None
    assert [(one["id"], one["first_name"], one["language_code"], one["role"]) for one in state["users"]] == [
        (1001, "Аня", "ru", "customer"),
        (1002, "Bob", "en", "customer"),
        (9001, "Олег", "ru", "admin"),
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
        sent = await bot.send_message(
            ANYA,
            "0 %",
            reply_markup=telegram.InlineKeyboardMarkup.from_button(
                telegram.InlineKeyboardButton("Go", callback_data="go")
            ),
        )
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
        "message",
        "callback_answer",
        "action",
        "edit",
        "delete",
        "message",
        "keyboard",
        "draft",
        "commands",
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
        lost_before = slow.lost
        events.publish(900, ANYA, "message", {"number": QUEUE_LIMIT})
        assert (lost_before, slow.lost) == (False, True)
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
