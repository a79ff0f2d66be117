"""Makes a process record each point that it passes, and kills it at one of them.

The product holds no code for this. What every commit and every effect goes through is wrapped in the process under
test: the database connection, the clients of the providers and of YooKassa, aiogram's session, the file store, the
queue, fsync and rename.

`before` a commit: its statements were executed and nothing is committed. `after`: it is committed, and nobody knows.
`before` a call nothing was sent. `after` it the answer is there, and nothing was done about it.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import rq
from aiogram import Bot
from aiogram.client.session.base import BaseSession
from alembic.runtime import migration as alembic_migration

from app import bot as bot_app
from database import migrate
from database.engine import AsyncSqlite, SqliteFile, Tx
from database.legacy import carry_over
from services.media.store import LocalAssets
from services.messaging.pace import Pace
from services.messaging.telegram import make_bot
from services.payments.yookassa.client import _Client
from services.providers.http import HttpClient
from services.queue import Queue
from services.settings import Settings
from tests.faults.override import override

BEFORE, AFTER = "before", "after"
KILLED = "killed"
"""The line of the trace, and the name of the file, that say that the process was killed."""
PRODUCT = ("database.", "services.", "workers.", "scheduler.", "handlers.", "app.", "main")

T = TypeVar("T")


class KillPoint(NamedTuple):
    """Where a process is killed: at the `nth` pass of this edge of this point."""

    point: str
    edge: str
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.edge} {self.point}" + (f" ({self.nth})" if self.nth > 1 else "")


@dataclass
class PassRecorder:
    """Writes each pass into `trace`, and kills its own process at the kill point, as `kill -9` does, once a run."""

    trace: int
    killed: Path
    kill_point: KillPoint | None = None

    def __post_init__(self) -> None:
        self._seen: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def passed(self, point: str, edge: str) -> None:
        with self._lock:
            self._seen[point, edge] += 1
            os.write(self.trace, f"{edge} {point}\n".encode())
            if self.kill_point == (point, edge, self._seen[point, edge]) and self._is_first():
                os.write(self.trace, f"{KILLED}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)

    def _is_first(self) -> bool:
        """A worker forks a process for each step, and each counts from the start: only one of them is to be killed."""
        try:
            os.close(os.open(self.killed, os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return False
        return True


_recorder: PassRecorder | None = None
_thread = threading.local()


def start_recording(trace: Path, kill_point: KillPoint | None) -> None:
    """From here on this process writes its passes into `trace`."""
    global _recorder
    file = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    _recorder = PassRecorder(file, trace.with_name(KILLED), kill_point)


def passed(point: str, edge: str) -> None:
    if _recorder is not None:
        _recorder.passed(point, edge)


def install() -> None:
    """Wrap every commit and effect, once in a process; nothing is recorded before `start_recording`."""
    _wrap_commits()
    _wrap_migration()
    _wrap_calls()
    _wrap_files()


# --- commits ----------------------------------------------------------------------------------------


def _wrap_commits() -> None:
    write, write_whole = AsyncSqlite.write, SqliteFile.write

    async def named(self: AsyncSqlite, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        name = f"commit {function.__module__}.{function.__qualname__}"

        def run(tx: Tx, *args: Any, **kwargs: Any) -> Any:
            answer = function(tx, *args, **kwargs)
            _thread.name = name
            passed(name, BEFORE)
            return answer

        return await write(self, run, *args, **kwargs)

    def committed(self: SqliteFile, function: Callable[[Tx], Any]) -> Any:
        _thread.name = None
        target = function.func if isinstance(function, functools.partial) else function
        if target.__module__ == AsyncSqlite.__module__:  # `named` above has wrapped it
            answer = write_whole(self, function)
        else:  # somebody's own connection

            def run(tx: Tx) -> Any:
                answer = function(tx)
                _thread.name = f"commit {target.__module__}.{target.__qualname__}"
                passed(_thread.name, BEFORE)
                return answer

            answer = write_whole(self, run)
        if _thread.name is not None:
            passed(_thread.name, AFTER)
        return answer

    override(AsyncSqlite, "write", named)
    override(SqliteFile, "write", committed)


def _wrap_migration() -> None:
    for name in ("_prepare_first_revision", "_upgrade", "_check_books", "migrate"):
        override(migrate, name, _wrapped(f"migration {name}", getattr(migrate, name)))
    override(carry_over, "back_up", _wrapped("migration back_up", carry_over.back_up))
    make_step = alembic_migration.RevisionStep.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        make_step(self, *args, **kwargs)
        path = Path(self.revision.path)
        self.migration_fn = _wrapped(f"migration {path.stem}", self.migration_fn)

    override(alembic_migration.RevisionStep, "__init__", init)


# --- effects ----------------------------------------------------------------------------------------


def _wrap_calls() -> None:
    send, request, call, submit = HttpClient.request, _Client.request, BaseSession.__call__, Queue.submit

    async def http(self: HttpClient, *args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1)
        name = f"http {caller.f_globals['__name__']}.{caller.f_code.co_qualname}"
        return await _recorded(name, send(self, *args, **kwargs))

    def yookassa(self: Any, method: str = "", path: str = "", *args: Any, **kwargs: Any) -> Any:
        first, *rest = path.lstrip("/").split("/")
        name = f"yookassa {method} /{first}" + "/*" * bool(rest)
        return _wrapped(name, request)(self, method, path, *args, **kwargs)

    async def telegram(self: BaseSession, bot: Bot, method: Any, timeout: int | None = None) -> Any:
        return await _recorded(f"telegram {type(method).__name__}", call(self, bot, method, timeout))

    async def submitted(self: Queue, step: Any) -> Any:
        return await _recorded("queue submit", submit(self, step))

    override(HttpClient, "request", http)
    override(_Client, "request", yookassa)
    override(BaseSession, "__call__", telegram)
    override(Queue, "submit", submitted)
    override(rq.Queue, "enqueue_call", _wrapped("queue enqueue_call", rq.Queue.enqueue_call))


def _wrap_files() -> None:
    for name in ("put", "delete", "sweep"):
        override(LocalAssets, name, _wrapped_async(f"store {name}", getattr(LocalAssets, name)))
    for name in ("fsync", "replace"):
        override(os, name, _wrapped_for_product(f"os.{name}", getattr(os, name)))


# --- small parts ------------------------------------------------------------------------------------


async def _recorded(point: str, work: Awaitable[T]) -> T:
    passed(point, BEFORE)
    answer = await work
    passed(point, AFTER)
    return answer


def _wrapped(point: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        passed(point, BEFORE)
        answer = function(*args, **kwargs)
        passed(point, AFTER)
        return answer

    return recorded


def _wrapped_async(point: str, function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(function)
    async def recorded(*args: Any, **kwargs: Any) -> Any:
        return await _recorded(point, function(*args, **kwargs))

    return recorded


def _wrapped_for_product(call: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the system: a pass is recorded where the product calls it, under the caller's name."""

    @functools.wraps(function)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1)
        module = str(caller.f_globals.get("__name__"))
        if not module.startswith(PRODUCT):
            return function(*args, **kwargs)
        return _wrapped(f"file {module}.{caller.f_code.co_qualname} {call}", function)(*args, **kwargs)

    return recorded


def speed_up_telegram() -> None:
    """The simulated Telegram allows many messages a second, so the bot may send as many."""

    def quick(settings: Settings) -> Bot:
        return make_bot(settings, pace=Pace(per_second=2_000, chat_per_second=200, chat_burst=1_000))

    override(bot_app, "make_bot", quick)
