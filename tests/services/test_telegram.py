"""The line to Telegram: its pace, its patience, and what is sent again."""

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
    """Ten messages at once pass, every further one waits for its second; another chat does not."""
    clock = Clock()
    pace = Pace(clock=clock)
    assert [pace.take(ANYA) for _ in range(12)] == pytest.approx([0.0] * 10 + [1.0, 2.0])
    assert pace.take(BOB) == 0.0
    clock.now += 12
    assert pace.take(ANYA) == pytest.approx(0.0)


def test_all_chats_together_keep_25_a_second() -> None:
    """Over any stretch of time no more goes out than 25 a second and one second's worth at once."""
    clock = Clock()
    pace = Pace(clock=clock)
    delays = [pace.take(chat) for chat in range(100)]
    assert sum(delay < 1e-6 for delay in delays) == 25
    assert delays[-1] == pytest.approx(3.0)


def test_a_pause_holds_one_chat() -> None:
    """What Telegram asks for one chat is obeyed there and nowhere else."""
    clock = Clock()
    pace = Pace(clock=clock)
    pace.pause(ANYA, 7)
    assert pace.wait(ANYA) == pytest.approx(7)
    assert pace.wait(BOB) == 0.0
    assert not pace.has_room(ANYA)


def test_progress_leaves_room_for_results() -> None:
    """Half of each burst is kept free: progress stops long before a result would have to wait."""
    pace = Pace(clock=Clock())
    sent = 0
    while pace.has_room(ANYA):
        pace.take(ANYA)
        sent += 1
    assert sent == 5
    assert pace.wait(ANYA) == 0.0


async def test_429_is_obeyed_with_the_same_call(bot: Bot, sandbox: Sandbox) -> None:
    """After "retry after 1" the message is sent once more and arrives once."""
    body = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 1}}
    sandbox.fault("telegram", "sendMessage", status=429, body=body)
    await show(bot, ANYA, Screen("hello"))
    assert sandbox.calls("telegram", "sendMessage") == 2


async def test_without_patience_nothing_waits(bot: Bot, sandbox: Sandbox) -> None:
    """Progress does not wait for its turn: 429 comes out at once."""
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
    """A repeat of an edit is harmless; a message whose answer was lost may be there already."""
    message = await show(bot, ANYA, Screen("one"))
    sandbox.fault("telegram", "editMessageText", **answer)
    assert await change(bot, ANYA, message.message_id, Screen("two"))
    sandbox.fault("telegram", "sendMessage", **answer)
    with pytest.raises((TelegramServerError, TelegramNetworkError, ClientDecodeError)):
        await show(bot, ANYA, Screen("three"))


async def test_repeats_are_bounded(bot: Bot, sandbox: Sandbox) -> None:
    """A server that stays broken is asked four times, then the error comes out."""
    sandbox.fault("telegram", "getMe", status=500, body={"ok": False, "error_code": 500, "description": "x"}, times=99)
    with pytest.raises(TelegramServerError):
        await bot.get_me()
    assert sandbox.calls("telegram", "fault:getMe") == 4


async def test_an_edit_that_is_not_possible_becomes_a_new_message(bot: Bot) -> None:
    """Same text: nothing to do. Message gone: sent anew. The answer is the id of what shows it."""
    message = await show(bot, ANYA, Screen("one"))
    assert await change_or_show(bot, ANYA, message.message_id, Screen("one")) == message.message_id
    await bot.delete_message(ANYA, message.message_id)
    assert await change_or_show(bot, ANYA, message.message_id, Screen("two")) > message.message_id


@pytest.mark.parametrize("way", ["sent", "edited"])
async def test_what_telegram_can_not_parse_arrives_plain(bot: Bot, sandbox: Sandbox, way: str) -> None:
    """Words whose marks are broken by a fault of ours are said once more without any: a result must not stay undone."""
    broken = Screen("<b>2 < 3</b> &amp; <i>so on")
    number = (await show(bot, ANYA, broken if way == "sent" else Screen("one"))).message_id
    if way == "edited":
        assert await change(bot, ANYA, number, broken)
    message = sandbox.world.faces["telegram"].bot(bot.id).chats[ANYA].messages[number].data
    assert (message["text"], message.get("entities")) == ("2 < 3 & so on", None)


async def test_what_an_answer_is_read_with_is_made_once(bot: Bot) -> None:
    """pydantic forgets the type of an answer that nobody holds; making it again would stop the loop at every call."""
    await bot.get_my_short_description()
    made = weakref.ref(Response[BotShortDescription])
    gc.collect()
    assert made() is not None
    await bot.get_my_short_description()
    assert made() is Response[BotShortDescription]


@pytest.mark.parametrize("text", ["короткий", "a" * 50, "🦊" * 25, "е\u0301" * 30, "👩‍👩‍👧" * 9])
def test_cut_counts_as_telegram_does(text: str) -> None:
    """At most so many UTF-16 units, whole characters, and an ellipsis exactly when something is missing."""
    for limit in range(2, 60):
        short = cut(text, limit)
        assert len(short.encode("utf-16-le")) // 2 <= limit
        assert (short == text) == (len(text.encode("utf-16-le")) // 2 <= limit)
        assert short == text or short.endswith("…")


async def test_a_keyed_lock_keeps_order_and_is_forgotten() -> None:
    """First come, first served for one key; others are not held; a full line is refused; nothing remains."""
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
