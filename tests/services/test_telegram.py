"""Calls to Telegram: their pace, how long they wait, and which are repeated."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiogram import Bot
from aiogram.exceptions import ClientDecodeError, TelegramNetworkError, TelegramRetryAfter, TelegramServerError
from aiogram.methods import Response
from aiogram.types import BotShortDescription

from services.common.keyed_lock import KeyedLock, TooManyWaiting
from services.messaging.pace import Pace
from services.messaging.telegram import Screen, change, change_or_show, cut, make_bot, patience, show
from tests.support.bot_env import ANYA, BOB
from tests.support.sandbox_fixture import Sandbox


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest_asyncio.fixture
async def bot(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[Bot]:
    made = make_bot(sandbox.settings(tmp_path), pace=Pace(per_second=10_000, chat_per_second=10_000, chat_burst=10_000))
    yield made
    await made.session.close()


def test_a_chat_gets_a_burst_and_then_one_a_second() -> None:
    """Ten messages to a chat go at once, each further one waits a second longer; another chat does not wait."""
    clock = Clock()
    pace = Pace(clock=clock)
    assert [pace.take(ANYA) for _ in range(12)] == pytest.approx([0.0] * 10 + [1.0, 2.0])
    assert pace.take(BOB) == 0.0
    clock.now += 12
    assert pace.take(ANYA) == pytest.approx(0.0)


def test_all_chats_together_keep_25_a_second() -> None:
    """Over all chats 25 messages go at once, then 25 a second."""
    clock = Clock()
    pace = Pace(clock=clock)
    delays = [pace.take(chat) for chat in range(100)]
    assert sum(delay < 1e-6 for delay in delays) == 25
    assert delays[-1] == pytest.approx(3.0)


def test_a_pause_holds_one_chat() -> None:
    """A pause that Telegram asks for holds back one chat only."""
    clock = Clock()
    pace = Pace(clock=clock)
    pace.pause(ANYA, 7)
    assert pace.wait(ANYA) == pytest.approx(7)
    assert pace.wait(BOB) == 0.0
    assert not pace.has_room(ANYA)


def test_progress_leaves_room_for_results() -> None:
    """Half of each burst is kept free: edits of progress stop before a result would have to wait."""
    pace = Pace(clock=Clock())
    sent = 0
    while pace.has_room(ANYA):
        pace.take(ANYA)
        sent += 1
    assert sent == 5
    assert pace.wait(ANYA) == 0.0


async def test_after_429_the_same_call_is_sent_again(bot: Bot, sandbox: Sandbox) -> None:
    """After "retry after 1" the message is sent again and arrives once."""
    body = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 1}}
    sandbox.fault("telegram", "sendMessage", status=429, body=body)
    await show(bot, ANYA, Screen("hello"))
    assert sandbox.calls("telegram", "sendMessage") == 2


async def test_without_patience_nothing_waits(bot: Bot, sandbox: Sandbox) -> None:
    """With a patience of 0 a call does not wait: it raises at once, and the next one is not even sent."""
    body = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 30}}
    sandbox.fault("telegram", "editMessageText", status=429, body=body, times=5)
    message = await show(bot, ANYA, Screen("one"))
    with patience(0), pytest.raises(TelegramRetryAfter):
        await change(bot, ANYA, message.message_id, Screen("two"))
    with patience(0), pytest.raises(TelegramRetryAfter):
        await change(bot, ANYA, message.message_id, Screen("two"))
    assert sandbox.calls("telegram", "fault:editMessageText") == 1


@pytest.mark.parametrize("answer", [{"status": 502, "body": "<html>Bad Gateway</html>"}, {"drop": "after"}])
async def test_edits_are_repeated_and_sends_are_not(bot: Bot, sandbox: Sandbox, answer: dict[str, object]) -> None:
    """An edit can be repeated without harm; a message whose answer was lost may have arrived."""
    message = await show(bot, ANYA, Screen("one"))
    sandbox.fault("telegram", "editMessageText", **answer)
    assert await change(bot, ANYA, message.message_id, Screen("two"))
    sandbox.fault("telegram", "sendMessage", **answer)
    with pytest.raises((TelegramServerError, TelegramNetworkError, ClientDecodeError)):
        await show(bot, ANYA, Screen("three"))


async def test_repeats_are_bounded(bot: Bot, sandbox: Sandbox) -> None:
    """A call that always fails is made four times, then its error is raised."""
    sandbox.fault("telegram", "getMe", status=500, body={"ok": False, "error_code": 500, "description": "x"}, times=99)
    with pytest.raises(TelegramServerError):
        await bot.get_me()
    assert sandbox.calls("telegram", "fault:getMe") == 4


async def test_an_edit_that_is_not_possible_becomes_a_new_message(bot: Bot) -> None:
    """The same text needs no edit; a deleted message is sent again; the id returned is that of the message."""
    message = await show(bot, ANYA, Screen("one"))
    assert await change_or_show(bot, ANYA, message.message_id, Screen("one")) == message.message_id
    await bot.delete_message(ANYA, message.message_id)
    assert await change_or_show(bot, ANYA, message.message_id, Screen("two")) > message.message_id


@pytest.mark.parametrize("way", ["sent", "edited"])
async def test_broken_markup_is_sent_as_plain_text(bot: Bot, sandbox: Sandbox, way: str) -> None:
    """A text whose markup Telegram can't parse is sent again without any, so that the person gets it."""
    broken = Screen("<b>2 < 3</b> &amp; <i>so on")
    number = (await show(bot, ANYA, broken if way == "sent" else Screen("one"))).message_id
    if way == "edited":
        assert await change(bot, ANYA, number, broken)
    message = sandbox.world.faces["telegram"].bot(bot.id).chats[ANYA].messages[number].data
    assert (message["text"], message.get("entities")) == ("2 < 3 & so on", None)


async def test_the_type_of_an_answer_is_made_once(bot: Bot) -> None:
    """pydantic drops the type of an answer that nothing refers to; making it again would block the loop."""
    await bot.get_my_short_description()
    kept = weakref.ref(Response[BotShortDescription])
    gc.collect()
    assert kept() is not None
    await bot.get_my_short_description()
    assert kept() is Response[BotShortDescription]


@pytest.mark.parametrize("text", ["короткий", "a" * 50, "🦊" * 25, "е\u0301" * 30, "👩‍👩‍👧" * 9])
def test_cut_counts_as_telegram_does(text: str) -> None:
    """At most `limit` UTF-16 units, whole characters, and an ellipsis exactly when something was cut."""
    for limit in range(2, 60):
        short = cut(text, limit)
        assert len(short.encode("utf-16-le")) // 2 <= limit
        assert (short == text) == (len(text.encode("utf-16-le")) // 2 <= limit)
        assert short == text or short.endswith("…")


async def test_a_keyed_lock_is_fair_and_leaves_nothing() -> None:
    """Holders of one key take turns in order; other keys do not wait; a full queue is refused; nothing is left."""
    locks = KeyedLock(most_waiting=2)
    order: list[int] = []

    async def take(number: int) -> None:
        async with locks.hold("a"):
            await asyncio.sleep(0)
            order.append(number)

    async with locks.hold("a"):
        waiting = [asyncio.create_task(take(number)) for number in (1, 2)]
        await asyncio.sleep(0)
        async with locks.hold("b"):
            pass
        with pytest.raises(TooManyWaiting):
            await take(3)
    await asyncio.gather(*waiting)
    assert order == [1, 2]
    assert len(locks) == 0
