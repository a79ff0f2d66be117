"""The rate limiter: the same rule in memory and in Redis, for users, actions, messages, taps and money."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiogram import Bot, Dispatcher, F
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import CallbackQuery, Message, TelegramObject
from aiohttp import web
from aiohttp.test_utils import TestServer

from database.models import Database, InsufficientFunds
from services.rate_limiter import (
    MemoryWindows,
    RateLimited,
    RateLimiter,
    RateLimitMiddleware,
    Verdict,
    check_balance_and_reserve,
)
from tests.support.redis_fixture import RedisServer, mortal_redis, redis_process, redis_server

__all__ = ["mortal_redis", "redis_process", "redis_server"]  # fixtures, used by their names

MakeLimiter = Callable[..., RateLimiter]


@pytest.fixture
async def make_limiter() -> AsyncIterator[MakeLimiter]:
    """`RateLimiter`, closed at the end of the test."""
    made: list[RateLimiter] = []

    def make(per_minute: int = 10, **options: Any) -> RateLimiter:
        made.append(RateLimiter(per_minute, **options))
        return made[-1]

    yield make
    for limiter in made:
        await limiter.close()


@pytest.fixture(params=["memory", "redis"])
def where(request: pytest.FixtureRequest) -> dict[str, str]:
    """The options that keep the windows in memory, and those that keep them in a real Redis."""
    if request.param == "memory":
        return {}
    server: RedisServer = request.getfixturevalue("redis_server")
    return {"redis_url": server.url}


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 10) -> float:
    """Wait until `holds` answers True; how many seconds that took."""
    start = time.monotonic()
    while not await holds():
        assert time.monotonic() - start < seconds, "it never came true"
        await asyncio.sleep(0.02)
    return time.monotonic() - start


async def test_ten_a_minute(make_limiter: MakeLimiter, where: dict[str, str]) -> None:
    """Ten hits pass; the eleventh is refused and told how many whole seconds are left."""
    limiter = make_limiter(**where)
    assert [await limiter.hit(7, "image") for _ in range(10)] == [Verdict(True)] * 10
    refused = await limiter.hit(7, "image")
    assert not refused.allowed
    assert 58 <= refused.retry_after_seconds <= 60


async def test_users_and_actions_do_not_share(make_limiter: MakeLimiter, where: dict[str, str]) -> None:
    """Using up one action leaves the user's other actions, and every other user, untouched."""
    limiter = make_limiter(1, **where)
    assert (await limiter.hit(1, "image")).allowed
    assert not (await limiter.hit(1, "image")).allowed
    assert (await limiter.hit(1, "video")).allowed
    assert (await limiter.hit(2, "image")).allowed
    assert (await limiter.hit(11, "mage")).allowed


async def test_hits_at_once_never_exceed_the_limit(make_limiter: MakeLimiter, where: dict[str, str]) -> None:
    """Of forty hits in the same moment exactly ten pass."""
    limiter = make_limiter(**where)
    verdicts = await asyncio.gather(*(limiter.hit(7, "image") for _ in range(40)))
    assert sum(verdict.allowed for verdict in verdicts) == 10


async def test_the_window_moves(make_limiter: MakeLimiter, where: dict[str, str]) -> None:
    """A hit is free again when it is a window old, and refused tries in between do not push that away."""
    limiter = make_limiter(2, window_seconds=1, **where)
    assert (await limiter.hit(7, "image")).allowed
    assert (await limiter.hit(7, "image")).allowed
    refused = await limiter.hit(7, "image")
    assert refused == Verdict(False, 1)

    async def allowed() -> bool:
        return (await limiter.hit(7, "image")).allowed

    assert await until(allowed) < 1.5


async def test_cost_counts_as_many(make_limiter: MakeLimiter, where: dict[str, str]) -> None:
    """A hit may weigh more than one, passes whole or not at all, and never passes above the limit."""
    limiter = make_limiter(5, **where)
    assert (await limiter.hit(7, "batch", cost=4)).allowed
    assert not (await limiter.hit(7, "batch", cost=2)).allowed
    assert (await limiter.hit(7, "batch")).allowed
    assert not (await limiter.hit(8, "batch", cost=6)).allowed


async def test_processes_count_together_in_redis(make_limiter: MakeLimiter, redis_server: RedisServer) -> None:
    """Two limiters on one Redis share the window, and what they leave there expires by itself."""
    first, second = make_limiter(4, redis_url=redis_server.url), make_limiter(4, redis_url=redis_server.url)
    verdicts = [(await limiter.hit(7, "image")).allowed for limiter in (first, second) * 3]
    assert verdicts == [True] * 4 + [False] * 2
    with redis_server.client() as client:
        keys = list(client.scan_iter())
        assert keys
        assert all(0 < client.ttl(key) <= 60 for key in keys)


async def test_memory_is_bounded() -> None:
    """However many users come, only so many windows are kept; the longest unused is forgotten first."""
    windows = MemoryWindows(most=100)
    for user in range(1000):
        assert await windows.acquire_entry(f"user-{user}", 1, 60)
    assert sum([await windows.get(f"user-{user}") for user in range(1000)]) == 100
    assert not await windows.acquire_entry("user-900", 1, 60)
    assert not await windows.acquire_entry("user-999", 1, 60)
    assert await windows.acquire_entry("user-0", 1, 60)


async def test_a_dead_redis_is_replaced_by_memory(
    make_limiter: MakeLimiter, mortal_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """While Redis is down the limit holds in memory; when it is back it counts there again. Each is logged once."""
    caplog.set_level(logging.INFO, "services.rate_limiter")
    limiter = make_limiter(2, redis_url=mortal_redis.url, redis_pause=0.05)
    assert (await limiter.hit(7, "image")).allowed
    mortal_redis.kill()
    assert [(await limiter.hit(7, "image")).allowed for _ in range(4)] == [True, True, False, False]
    mortal_redis.start()

    def messages() -> list[str]:
        return [record.getMessage() for record in caplog.records]

    async def is_back() -> bool:
        await limiter.hit(8, "image")
        return "rate_limiter.redis_back" in messages()

    await until(is_back)
    assert messages() == ["rate_limiter.redis_down", "rate_limiter.redis_back"]
    with mortal_redis.client() as client:
        assert any(b"8/image" in key for key in client.scan_iter())


async def test_a_hanging_redis_holds_nobody_up(make_limiter: MakeLimiter) -> None:
    """A Redis that accepts and never answers costs a few seconds once, and then nothing for the pause."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        limiter = make_limiter(2, redis_url=f"redis://127.0.0.1:{silent.getsockname()[1]}", redis_pause=60)
        start = time.monotonic()
        assert (await limiter.hit(7, "image")).allowed
        assert time.monotonic() - start < 5
        start = time.monotonic()
        assert (await limiter.hit(7, "image")).allowed
        assert not (await limiter.hit(7, "image")).allowed
        assert time.monotonic() - start < 0.5


# --- money -----------------------------------------------------------------------------------------


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'bot.db'}")
    await database.init_db()
    yield database
    await database.close()


async def test_reserving_is_limited_before_money_moves(make_limiter: MakeLimiter, database: Database) -> None:
    """The third reservation in a minute is refused with the time left, and not a kopeck of it is taken."""
    limiter = make_limiter(2)
    await database.add_balance(7, 10_000, key="gift", reason="test")
    for number in (1, 2):
        reservation = await check_balance_and_reserve(7, 1_000, f"job-{number}", limiter=limiter, db=database)
        assert reservation.amount == 1_000
    with pytest.raises(RateLimited) as limited:
        await check_balance_and_reserve(7, 1_000, "job-3", limiter=limiter, db=database)
    assert 58 <= limited.value.retry_after <= 60
    assert await database.get_balance(7) == 8_000
    with pytest.raises(InsufficientFunds):
        await check_balance_and_reserve(8, 1_000, "job-4", limiter=limiter, db=database)


async def test_reservations_at_once_obey_limit_and_balance(make_limiter: MakeLimiter, database: Database) -> None:
    """Of twenty reservations in the same moment no more pass than the limit, and the balance pays, allow."""
    await database.add_balance(7, 3_500, key="gift", reason="test")
    limiter = make_limiter(5)
    answers = await asyncio.gather(
        *(check_balance_and_reserve(7, 1_000, f"job-{n}", limiter=limiter, db=database) for n in range(20)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, RateLimited) for answer in answers) == 15
    assert sum(isinstance(answer, InsufficientFunds) for answer in answers) == 2
    assert await database.get_balance(7) == 500


# --- the bot ---------------------------------------------------------------------------------------


class Chat:
    """A dispatcher with the middleware, a bot whose calls a loopback server answers, and what was seen of both."""

    def __init__(self, limiter: RateLimiter, bot: Bot) -> None:
        self.bot = bot
        self.handled: list[str] = []
        self.told: list[int] = []
        self._updates = 0
        self.dispatcher = Dispatcher()
        middleware = RateLimitMiddleware(limiter, self._on_limited)
        self.dispatcher.message.middleware(middleware)
        self.dispatcher.callback_query.middleware(middleware)
        self.dispatcher.message.register(self._paid, F.successful_payment)
        self.dispatcher.message.register(self._help, F.text == "/help", flags={"rate_limit": False})
        self.dispatcher.message.register(self._draw, F.text == "/draw", flags={"rate_limit": "generate"})
        self.dispatcher.message.register(self._other)
        self.dispatcher.callback_query.register(self._again, F.data == "again", flags={"rate_limit": "generate"})
        self.dispatcher.callback_query.register(self._tap)

    async def _on_limited(self, event: TelegramObject, seconds: int) -> None:
        self.told.append(seconds)
        if isinstance(event, CallbackQuery):
            await event.answer("slowly")

    async def _paid(self, message: Message) -> None:
        self.handled.append("paid")

    async def _help(self, message: Message) -> None:
        self.handled.append("help")

    async def _draw(self, message: Message) -> None:
        self.handled.append("draw")

    async def _other(self, message: Message) -> None:
        self.handled.append("other")

    async def _again(self, query: CallbackQuery) -> None:
        self.handled.append("again")
        await query.answer()

    async def _tap(self, query: CallbackQuery) -> None:
        self.handled.append("tap")
        await query.answer()

    async def message(self, user_id: int = 7, **content: Any) -> None:
        user = {"id": user_id, "is_bot": False, "first_name": "Ann"}
        chat = {"id": user_id, "type": "private", "first_name": "Ann"}
        await self._feed(message={"message_id": 1, "date": 1, "chat": chat, "from": user, **content})

    async def tap(self, data: str, user_id: int = 7) -> None:
        user = {"id": user_id, "is_bot": False, "first_name": "Ann"}
        await self._feed(callback_query={"id": "1", "from": user, "chat_instance": "1", "data": data})

    async def _feed(self, **update: Any) -> None:
        self._updates += 1
        await self.dispatcher.feed_raw_update(self.bot, {"update_id": self._updates, **update})


@pytest.fixture
async def answered() -> list[str]:
    """The names of the Bot API methods that were called."""
    return []


@pytest.fixture
async def chat(make_limiter: MakeLimiter, answered: list[str], where: dict[str, str]) -> AsyncIterator[Chat]:
    async def method(request: web.Request) -> web.Response:
        answered.append(request.match_info["method"])
        return web.json_response({"ok": True, "result": True})

    app = web.Application()
    app.router.add_post("/bot{token}/{method}", method)
    async with TestServer(app) as server:
        api = TelegramAPIServer.from_base(str(server.make_url("")).rstrip("/"))
        async with Bot("1:test", session=AiohttpSession(api=api)) as bot:
            yield Chat(make_limiter(3, **where), bot)


async def test_messages_over_the_limit_are_told_once(chat: Chat) -> None:
    """Above the limit a handler no longer runs, and however many messages come the user hears of it once."""
    for _ in range(50):
        await chat.message(text="hello")
    assert chat.handled == ["other"] * 3
    assert len(chat.told) == 1
    assert 58 <= chat.told[0] <= 60
    await chat.message(text="hello", user_id=8)
    assert chat.handled == ["other"] * 4


async def test_every_tap_is_answered(chat: Chat, answered: list[str]) -> None:
    """A tap above the limit is answered as well, with words once and then silently."""
    for _ in range(10):
        await chat.tap("x")
    assert chat.handled == ["tap"] * 3
    assert answered == ["answerCallbackQuery"] * 10
    assert len(chat.told) == 1


async def test_actions_are_handlers_unless_flagged(chat: Chat) -> None:
    """Handlers count apart; those that share a flag count together; one flagged False is never limited."""
    for _ in range(3):
        await chat.message(text="/draw")
    await chat.tap("again")
    await chat.tap("x")
    await chat.message(text="hello")
    for _ in range(10):
        await chat.message(text="/help")
    assert chat.handled == ["draw"] * 3 + ["tap", "other"] + ["help"] * 10


async def test_paid_money_is_never_held_up(chat: Chat) -> None:
    """A payment that went through reaches its handler however much the user wrote before."""
    for _ in range(10):
        await chat.message(text="hello")
    payment = {
        "currency": "XTR",
        "total_amount": 100,
        "invoice_payload": "p",
        "telegram_payment_charge_id": "c",
        "provider_payment_charge_id": "",
    }
    for _ in range(10):
        await chat.message(successful_payment=payment)
    assert chat.handled.count("paid") == 10


async def test_an_album_counts_once(chat: Chat) -> None:
    """Ten photos sent as one album are one message for the limiter, and are let in or left out together."""
    for album in ("a", "b", "c", "d"):
        await asyncio.gather(*(chat.message(media_group_id=album) for _ in range(10)))
    assert chat.handled == ["other"] * 30
    assert len(chat.told) == 1
