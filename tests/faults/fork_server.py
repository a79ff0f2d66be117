"""A process that has everything imported and forks the processes under test, so that a start costs almost nothing.

    python -m tests.faults.fork_server

It reads one order a line (JSON) and answers one line each: `{"ready": pid}` at first, then `{"started": pid}` and
`{"ended": pid, "status": …}`, where a negative status is a signal's number. When its input ends it kills what it has
started and ends. When it is killed, they are killed with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import gc
import importlib
import json
import os
import signal
import ssl
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from aiogram import methods
from aiogram.methods import Response
from PIL import Image

import handlers
from app import bot as bot_app
from database import clock
from database.models import Database
from services.common.i18n import Texts
from services.common.log import setup_logging
from services.payments.yookassa.client import YooKassaGateway
from services.providers import open_providers
from services.settings import load_settings
from tests.faults import instrument
from tests.faults.instrument import KillPoint
from tests.faults.override import override
from tests.faults.shared_clock import SharedClock
from tests.faults.sim import simulation
from workers import image_worker, video_worker  # noqa: F401 - imported once for all processes under test
from workers.__main__ import work

PR_SET_PDEATHSIG = 1
WARM_UP_SEED = 5  # any seed will do: the more happens in its world, the less is left to do for each process
BOT_METHODS = (
    "AnswerCallbackQuery",
    "DeleteMessage",
    "DeleteWebhook",
    "EditMessageText",
    "GetMe",
    "GetUpdates",
    "SendChatAction",
    "SendDocument",
    "SendMessage",
    "SendPhoto",
    "SendVideo",
    "SetMyCommands",
)
LATE_IMPORTS = ("database.migrate", "httpcore2", "anyio._backends._asyncio", "encodings.utf_16_le")
_kept: list[Any] = []


# --- in the process under test ----------------------------------------------------------------------


def run_program(order: dict[str, Any]) -> int:
    """Run `bot`, `migrate`, `calls` or `worker`, with a clock, a log and a kill point of its own."""
    settings = load_settings(None, order["environment"])
    os.environ.update(order["environment"])
    folder = Path(order["folder"])
    log = (folder / "log").open("a", encoding="utf-8", buffering=1)
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    setup_logging("INFO", "json", settings.secret_values(), stream=log)
    clock.use(SharedClock(folder / "clock").source())
    if order.get("patch"):
        module, _, name = str(order["patch"]).rpartition(".")
        getattr(importlib.import_module(module), name)()
    instrument.start_recording(folder / "trace", KillPoint(*order["kill_point"]) if order.get("kill_point") else None)
    match order["program"]:
        case "bot":
            return asyncio.run(bot_app.run_bot(settings))
        case "migrate":
            asyncio.run(Database(settings.database_url).init_db())
        case "calls":
            asyncio.run(call(Database(settings.database_url), order["calls"]))
        case "worker":
            reading, writing = os.pipe()
            os.dup(writing)  # the supervisor's end: the worker goes on for as long as it is open
            work(settings, 1, (reading, writing))
    return 0


async def call(db: Database, calls: list[tuple[str, list[Any], dict[str, Any]]]) -> None:
    """The database's own methods, as a program outside would call them, one after another."""
    for name, args, named in calls:
        await getattr(db, name)(*args, **named)
    await db.close()


def become_child(order: dict[str, Any], parent: int) -> None:
    """In the forked process: never returns."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setpgid(0, 0)
    os.close(0)
    status = 1
    try:
        status = run_program(order)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
        print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


# --- before the first fork --------------------------------------------------------------------------


def warm_up() -> None:
    """Make once what every process would make for itself, as long as it holds no state: texts, types, modules."""
    with tempfile.TemporaryDirectory() as folder:  # a simulated world compiles statements and runs most of the code
        simulation.run(WARM_UP_SEED, Path(folder))
    texts = Texts()
    override(bot_app, "Texts", lambda: texts)
    override(ssl, "create_default_context", functools.cache(ssl.create_default_context))
    override(handlers, "deepcopy", lambda router: router)  # a process builds one bot
    # Clients read certificates, and ask for the system's name.
    _kept.extend((open_providers(gemini_api_key="k", kling_api_key="k"), YooKassaGateway("1", "test_k", "http://x/v3")))
    # Pydantic forgets types that nobody holds.
    response: Any = Response
    _kept.extend(response[getattr(methods, name).__returning__] for name in BOT_METHODS)
    for name in LATE_IMPORTS:
        importlib.import_module(name)
    Image.init()


# --- the server -------------------------------------------------------------------------------------


def answer(**line: Any) -> None:
    os.write(1, (json.dumps(line) + "\n").encode())


def serve() -> int:
    children: set[int] = set()

    def collect_ended(*_: object) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                children.discard(ended[0])
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(ended[0], signal.SIGKILL)  # what it had forked itself ends with it
                answer(ended=ended[0], status=os.waitstatus_to_exitcode(ended[1]))

    instrument.install()
    instrument.speed_up_telegram()
    warm_up()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, collect_ended)
    own = os.getpid()
    answer(ready=own)
    for line in sys.stdin:
        order = json.loads(line)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # no end is told before its start
        pid = os.fork()
        if pid == 0:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            become_child(order, own)
        children.add(pid)
        answer(started=pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    for pid in list(children):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    while children:
        signal.sigtimedwait({signal.SIGCHLD}, 1)
        collect_ended()
    return 0


if __name__ == "__main__":
    raise SystemExit(serve())
