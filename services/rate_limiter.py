"""How often one user may do one thing: a moving window for each pair of user and action.

The windows are in Redis if it is set, so that several bot processes count together, and in memory otherwise. While
Redis is down each process counts for itself: then the bot goes on, and its users still have a limit.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from aiogram import BaseMiddleware
from aiogram.dispatcher.flags import get_flag
from aiogram.types import CallbackQuery, Message, TelegramObject, User
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import MovingWindowSupport, RedisStorage, Storage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from database import clock
from services.common.log import event

WINDOW_SECONDS: Final = 60
MOST_WINDOWS: Final = 100_000  # windows kept in memory, about 30 MB; the one used longest ago is dropped first
REDIS_TIMEOUT: Final = 1.0  # seconds for one answer of Redis
REDIS_PAUSE: Final = 5.0  # seconds without calls to Redis after it failed

_log = logging.getLogger(__name__)
_Entry = TypeVar("_Entry", covariant=True)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the user may go on, and if not, the whole seconds to wait."""

    allowed: bool
    retry_after_seconds: int = 0


class RateLimited(Exception):
    """The user did this too often. `retry_after` is in whole seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too often; again in {retry_after} s")
        self.retry_after = retry_after


class RateLimiter:
    """At most `per_minute` hits for each user and action within any `window_seconds`."""

    def __init__(
        self,
        per_minute: int = 10,
        *,
        redis_url: str | None = None,
        window_seconds: int = WINDOW_SECONDS,
        redis_pause: float = REDIS_PAUSE,
        most_windows: int = MOST_WINDOWS,
    ) -> None:
        self.window_seconds = window_seconds
        self._limit = RateLimitItemPerSecond(per_minute, window_seconds)
        self._memory = MovingWindowRateLimiter(MemoryWindows(most_windows))
        self._pool = _pool(redis_url) if redis_url else None
        self._redis = MovingWindowRateLimiter(_redis_windows(self._pool)) if self._pool else None
        self._redis_pause = redis_pause
        self._redis_down_until = 0.0
        self._redis_is_down = False

    async def hit(self, user_id: int, action: str, *, cost: int = 1) -> Verdict:
        """Count `cost` hits of `user_id` for `action`. A refused hit is not counted, so waiting always helps.

        A `cost` above the limit itself is never allowed.
        """
        if self._redis is not None and clock.steady() >= self._redis_down_until:
            try:
                verdict = await _hit(self._redis, self._limit, user_id, action, cost)
            except (RedisError, OSError) as error:
                self._redis_failed(error)
            else:
                if self._redis_is_down:
                    event(_log, "rate_limiter.redis_back")
                    self._redis_is_down = False
                return verdict
        return await _hit(self._memory, self._limit, user_id, action, cost)

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._pool is not None:
            await self._pool.disconnect()

    def _redis_failed(self, error: Exception) -> None:
        self._redis_down_until = clock.steady() + self._redis_pause
        if not self._redis_is_down:
            event(_log, "rate_limiter.redis_down", level=logging.WARNING, error=type(error).__name__)
        self._redis_is_down = True


class MemoryWindows(Storage, MovingWindowSupport):
    """Windows in this process's memory, at most `most` of them.

    The memory storage of `limits` reads every window on every hit, in a thread each time. This one reads only the
    window that is asked for. There is no await inside, so it needs no lock.
    """

    STORAGE_SCHEME = None

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self._windows: OrderedDict[str, deque[float]] = OrderedDict()

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        window = self._fresh(key, expiry)
        if len(window) + amount > limit:
            return False
        window.extend([clock.steady()] * amount)
        self._windows[key] = window
        self._windows.move_to_end(key)
        while len(self._windows) > self._most:
            self._windows.popitem(last=False)
        return True

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        window = self._fresh(key, expiry)
        age = clock.steady() - window[0] if window else 0.0
        return clock.now() - age, len(window)

    def _fresh(self, key: str, expiry: int) -> deque[float]:
        """The window of `key` without the hits that have left it."""
        window = self._windows.get(key, deque())
        oldest = clock.steady() - expiry
        while window and window[0] <= oldest:
            window.popleft()
        if not window:
            self._windows.pop(key, None)
        return window

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    async def check(self) -> bool:
        return True

    async def reset(self) -> int:
        count = len(self._windows)
        self._windows.clear()
        return count

    async def clear(self, key: str) -> None:
        self._windows.pop(key, None)

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        raise NotImplementedError("these are moving windows; there are no counters here")

    async def get(self, key: str) -> int:
        return len(self._windows.get(key, ()))

    async def get_expiry(self, key: str) -> float:
        return clock.now()


def _pool(redis_url: str) -> ConnectionPool:
    return ConnectionPool.from_url(
        redis_url,
        socket_timeout=REDIS_TIMEOUT,
        socket_connect_timeout=REDIS_TIMEOUT,
        retry=Retry(NoBackoff(), 1),  # one repeat, because a connection is closed when Redis is restarted
        max_connections=50,
    )


def _redis_windows(pool: ConnectionPool) -> RedisStorage:
    options: dict[str, Any] = {"connection_pool": pool}  # our own pool: `limits` accepts fewer forms of addresses
    return RedisStorage("async+redis://", implementation="redispy", key_prefix="limits", **options)


async def _hit(limiter: MovingWindowRateLimiter, limit: RateLimitItem, user_id: int, action: str, cost: int) -> Verdict:
    names = (str(user_id), action)
    if await limiter.hit(limit, *names, cost=cost):
        return Verdict(allowed=True)
    stats = await limiter.get_window_stats(limit, *names)
    seconds = math.ceil(stats.reset_time - clock.now())
    return Verdict(allowed=False, retry_after_seconds=min(max(seconds, 1), limit.get_expiry()))


OnLimited = Callable[[TelegramObject, int], Awaitable[object]]
"""Tells the user how many seconds are left: `await on_limited(event, seconds)`."""


class RateLimitMiddleware(BaseMiddleware):
    """Limits how often per minute a user may run a handler; an inner middleware for messages and taps.

    The action is the handler's flag `rate_limit` (a text that several handlers may share), else the handler itself.
    A handler with `flags={"rate_limit": False}` has no limit. Messages about payments always pass. An album counts as
    one message. A user gets one notice per window, so that the bot sends almost nothing to a user who floods it. A tap
    is always answered, because otherwise Telegram shows a loading sign (docs/reference/telegram.md, section 5).
    """

    _MOST_REMEMBERED = 10_000

    def __init__(self, limiter: RateLimiter, on_limited: OnLimited) -> None:
        self._limiter = limiter
        self._on_limited = on_limited
        self._told: OrderedDict[tuple[int, str], float] = OrderedDict()
        self._albums: OrderedDict[str, asyncio.Future[bool]] = OrderedDict()

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        user, action = _user(event), _action(data)
        if user is None or action is None:
            return await handler(event, data)
        album = event.media_group_id if isinstance(event, Message) else None
        if album is not None and album in self._albums:
            # Another photo of the album was counted, or is being counted right now.
            return await handler(event, data) if await asyncio.shield(self._albums[album]) else None
        verdict = await self._count(user.id, action, album)
        if verdict.allowed:
            return await handler(event, data)
        await self._tell(event, (user.id, action), verdict.retry_after_seconds)
        return None

    async def _count(self, user_id: int, action: str, album: str | None) -> Verdict:
        if album is None:
            return await self._limiter.hit(user_id, action)
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        _remember(self._albums, album, answer, self._MOST_REMEMBERED)
        verdict = Verdict(allowed=True)
        try:
            verdict = await self._limiter.hit(user_id, action)
        finally:
            answer.set_result(verdict.allowed)  # also after an error, because other photos of the album wait for it
        return verdict

    async def _tell(self, event: TelegramObject, who: tuple[int, str], seconds: int) -> None:
        now = clock.steady()
        if self._told.get(who, 0.0) <= now:
            _remember(self._told, who, now + self._limiter.window_seconds, self._MOST_REMEMBERED)
            await self._on_limited(event, seconds)
        elif isinstance(event, CallbackQuery):
            await event.answer()


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def _remember(memory: OrderedDict[_Key, _Value], key: _Key, value: _Value, most: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > most:
        memory.popitem(last=False)


def _user(event: TelegramObject) -> User | None:
    """The user to count for; None for what is never limited."""
    if isinstance(event, CallbackQuery):
        return event.from_user
    if isinstance(event, Message) and not (event.successful_payment or event.refunded_payment):
        return event.from_user
    return None


def _action(data: dict[str, Any]) -> str | None:
    flag = get_flag(data, "rate_limit")
    if flag is False:
        return None
    if isinstance(flag, str):
        return flag
    callback = getattr(data.get("handler"), "callback", None)
    return f"{getattr(callback, '__module__', '')}.{getattr(callback, '__qualname__', 'update')}"


class ReservesBalance(Protocol[_Entry]):
    """The one method of `database.models.Database` that is needed here."""

    async def reserve_balance(self, user_id: int, amount: int, job_id: str) -> _Entry: ...


async def check_balance_and_reserve(
    user_id: int, amount: int, job_id: str, *, limiter: RateLimiter, db: ReservesBalance[_Entry]
) -> _Entry:
    """Reserve `amount` kopecks of the user's balance for `job_id`, unless the user does it too often.

    Raises:
        RateLimited: nothing was reserved.
        InsufficientFunds, KeyReused: as `reserve_balance` does; nothing was reserved.
    """
    verdict = await limiter.hit(user_id, "reserve")
    if not verdict.allowed:
        raise RateLimited(verdict.retry_after_seconds)
    return await db.reserve_balance(user_id, amount, job_id)
