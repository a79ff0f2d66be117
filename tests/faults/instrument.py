"""What a process under test tells of itself: each point it passes, in a file that survives it; and where it dies.

The product holds no code for this. The seams every effect goes through are wrapped in the process that is going to be
killed: the database's door, the providers' and YooKassa's clients, aiogram's session, the store, the queue, fsync.

`before` a commit: all its statements were executed and nothing is committed. `after`: it is, and nobody was told.
Before a call nothing was sent; after it the answer is there, and nothing was done about it.
"""

from __future__ import annotations

import functools
import mmap
import os
import signal
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import rq
from aiogram import Bot
from aiogram.client.session.base import BaseSession
from alembic.runtime import migration as alembic_migration

from app import bot as shop
from database import clock, migrate
from database.engine import Door, SqliteFile, Tx
from services.media.store import LocalAssets
from services.messaging.telegram import Pace
from services.payments.yookassa.client import _Client
from services.providers.http import HttpClient
from services.queue import Queue

BEFORE, AFTER = "before", "after"
PRODUCT = ("database.", "services.", "workers.", "scheduler.", "handlers.", "app.", "main")


class Trap(NamedTuple):
    """Die at the `turn`-th pass of a point's edge."""

    point: str
    edge: str
    turn: int = 1

    def __str__(self) -> str:
        return f"{self.edge} {self.point}" + (f" ({self.turn})" if self.turn > 1 else "")


@dataclass
class Watch:
    """Writes down what is passed, and ends the process at the trap, as `kill -9` does, once in a story."""

    trace: int
    fired: Path
    trap: Trap | None = None

    def __post_init__(self) -> None:
        self._seen: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def passes(self, point: str, edge: str) -> None:
        with self._lock:
            self._seen[point, edge] += 1
            os.write(self.trace, f"{edge} {point}\n".encode())
            if self.trap == (point, edge, self._seen[point, edge]) and self._first():
                os.write(self.trace, b"died\n")
                os.kill(os.getpid(), signal.SIGKILL)

    def _first(self) -> bool:
        """A worker forks a process for each step, and each counts anew: only one of them is to die."""
        try:
            os.close(os.open(self.fired, os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return False
        return True


_watch: Watch | None = None
_ctx = threading.local()


def poll_videos(trace: Path, trap: Trap | None) -> None:
    """From here on this process writes its passes into `trace`."""
    global _watch
    _watch = Watch(os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), trace.with_name("fired"), trap)


def passes(point: str, edge: str) -> None:
    if _watch is not None:
        _watch.passes(point, edge)


class SharedClock:
    """Time that the test moves while the process lives: seconds to add, in a file that both have mapped."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(struct.pack("d", 0.0))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)

    @property
    def ahead(self) -> float:
        return float(struct.unpack("d", self._map[:8])[0])

    def forward(self, seconds: float) -> None:
        self._map[:8] = struct.pack("d", self.ahead + seconds)

    def now(self) -> float:
        return time.time() + self.ahead

    def source(self) -> clock.Source:
        return clock.Source(wall=self.now, steady=lambda: time.monotonic() + self.ahead)


def install() -> None:
    """Wrap the seams, once in a process; nothing is told before `poll_videos`."""
    _commits()
    _migration()
    _calls()
    _files()


def _commits() -> None:
    write, whole = Door.write, SqliteFile.write

    async def named(self: Door, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        name = f"commit {function.__module__}.{function.__qualname__}"

        def run(tx: Tx, *args: Any, **kwargs: Any) -> Any:
            answer = function(tx, *args, **kwargs)
            _ctx.name = name
            passes(name, BEFORE)
            return answer

        return await write(self, run, *args, **kwargs)

    def committed(self: SqliteFile, function: Callable[[Tx], Any]) -> Any:
        _ctx.name = None
        target = function.func if isinstance(function, functools.partial) else function
        if target.__module__ != Door.__module__:  # not by way of the door: somebody's own connection

            def run(tx: Tx) -> Any:
                answer = function(tx)
                _ctx.name = f"commit {target.__module__}.{target.__qualname__}"
                passes(_ctx.name, BEFORE)
                return answer

            answer = whole(self, run)
        else:
            answer = whole(self, function)
        if _ctx.name is not None:
            passes(_ctx.name, AFTER)
        return answer

    Door.write = named  # type: ignore[method-assign]
    SqliteFile.write = committed  # type: ignore[method-assign]


def _migration() -> None:
    for name in ("_prepare_first_revision", "_upgrade", "_check_books", "migrate"):
        setattr(migrate, name, _around(f"migration {name}", getattr(migrate, name)))
    migrate.legacy.back_up = _around("migration back_up", migrate.legacy.back_up)
    made = alembic_migration.RevisionStep.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        path = Path(self.revision.path)
        self.migration_fn = _around(f"migration {path.stem}", self.migration_fn)

    alembic_migration.RevisionStep.__init__ = init  # type: ignore[method-assign]


def _calls() -> None:
    send, request, call, submit = HttpClient.request, _Client.request, BaseSession.__call__, Queue.submit

    async def http(self: HttpClient, *args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1)
        name = f"http {caller.f_globals['__name__']}.{caller.f_code.co_qualname}"
        return await _told(name, send(self, *args, **kwargs))

    def yookassa(self: Any, method: str = "", path: str = "", *args: Any, **kwargs: Any) -> Any:
        first, *rest = path.lstrip("/").split("/")
        name = f"yookassa {method} /{first}" + "/*" * bool(rest)
        return _around(name, request)(self, method, path, *args, **kwargs)

    async def telegram(self: BaseSession, bot: Bot, method: Any, timeout: int | None = None) -> Any:
        return await _told(f"telegram {type(method).__name__}", call(self, bot, method, timeout))

    async def submitted(self: Queue, step: Any) -> Any:
        return await _told("queue submit", submit(self, step))

    HttpClient.request = http  # type: ignore[method-assign]
    _Client.request = yookassa  # type: ignore[method-assign]
    BaseSession.__call__ = telegram  # type: ignore[method-assign]
    Queue.submit = submitted  # type: ignore[method-assign]
    rq.Queue.enqueue_call = _around("queue enqueue_call", rq.Queue.enqueue_call)


def _files() -> None:
    for name in ("put", "delete", "sweep"):
        setattr(LocalAssets, name, _awaited(f"store {name}", getattr(LocalAssets, name)))
    for name in ("fsync", "replace"):
        setattr(os, name, _of_product(f"os.{name}", getattr(os, name)))


async def _told(name: str, work: Any) -> Any:
    passes(name, BEFORE)
    answer = await work
    passes(name, AFTER)
    return answer


def _around(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def told(*args: Any, **kwargs: Any) -> Any:
        passes(name, BEFORE)
        answer = function(*args, **kwargs)
        passes(name, AFTER)
        return answer

    return told


def _awaited(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def told(*args: Any, **kwargs: Any) -> Any:
        return await _told(name, function(*args, **kwargs))

    return told


def _of_product(call: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A call of the system's that counts where the product makes it, under the name of who does."""

    @functools.wraps(function)
    def told(*args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1)
        module = str(caller.f_globals.get("__name__"))
        if not module.startswith(PRODUCT):
            return function(*args, **kwargs)
        return _around(f"file {module}.{caller.f_code.co_qualname} {call}", function)(*args, **kwargs)

    return told


def quicken() -> None:
    """The sandbox's clock is quick, and so may the bot be: its pace toward Telegram is the simulated one's."""
    make = shop.make_bot

    def made(settings: Any) -> Bot:
        bot = make(settings)
        bot.session.middleware[0].pace = Pace(  # type: ignore[attr-defined]
            per_second=2_000, chat_per_second=200, chat_burst=1_000
        )
        return bot

    shop.make_bot = made
