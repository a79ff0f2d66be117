"""A process that has everything imported and forks the processes that are killed: a life costs no start.

    python -m tests.faults.fork_server

It reads one order a line (JSON) and writes one word a line: `{"born": pid}`, `{"died": pid, "status": …}` with the
status negative for a signal. When its input ends it kills what it started and ends; when it dies, they die with it.
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
from app import bot as shop
from database import clock
from database.models import Database
from services.common.i18n import Texts
from services.common.log import setup_logging
from services.payments.yookassa.client import YooKassaGateway
from services.providers import open_providers
from services.settings import load_settings
from tests.faults import instrument as seams
from tests.faults.sim import simulation as story
from workers import image_worker, video_worker  # noqa: F401 - imported once for all lives
from workers.__main__ import work

PR_SET_PDEATHSIG = 1
REHEARSAL = 5  # any world will do: the more happens in it, the less is left for the lives
SPOKEN = (
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
LATE = ("database.migrate", "httpcore", "anyio._backends._asyncio", "encodings.utf_16_le")  # imported at first use
_kept: list[Any] = []


def live(order: dict[str, Any]) -> int:
    """One life: `bot`, `migrate`, `verbs` or `worker`, with its own clock, log and trap."""
    settings = load_settings(None, order["environment"])
    os.environ.update(order["environment"])
    folder = Path(order["folder"])
    log = (folder / "log").open("a", encoding="utf-8", buffering=1)
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    setup_logging("INFO", "json", settings.secret_values(), stream=log)
    clock.use(seams.SharedClock(folder / "clock").source())
    if order.get("plant"):
        module, _, name = str(order["plant"]).rpartition(".")
        getattr(importlib.import_module(module), name)()
    seams.poll_videos(folder / "trace", seams.Trap(*order["trap"]) if order.get("trap") else None)
    match order["what"]:
        case "bot":
            return asyncio.run(shop.run_bot(settings))
        case "migrate":
            asyncio.run(Database(settings.database_url).init_db())
        case "verbs":
            asyncio.run(verbs(Database(settings.database_url), order["verbs"]))
        case "worker":
            reading, writing = os.pipe()
            os.dup(writing)  # the supervisor's end: the worker goes on for as long as it is open
            work(settings, 1, (reading, writing))
    return 0


async def verbs(db: Database, calls: list[tuple[str, list[Any], dict[str, Any]]]) -> None:
    """The door's own verbs, as a program outside would call them, one after another."""
    for name, args, named in calls:
        await getattr(db, name)(*args, **named)
    await db.close()


def born(order: dict[str, Any], zygote: int) -> None:
    """In the child: never comes back."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != zygote:
        os._exit(1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setpgid(0, 0)
    os.close(0)
    status = 1
    try:
        status = live(order)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
        print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def rehearse() -> None:
    """Live through a simulated world, so that statements are compiled and code has run before a life begins."""
    with tempfile.TemporaryDirectory() as folder:
        story.run(REHEARSAL, Path(folder))


def warm() -> None:
    """Make once what every life would make anew, as long as it holds no state: words, types, certificates, modules."""
    rehearse()
    texts = Texts()
    shop.Texts = lambda: texts  # type: ignore[assignment, misc]
    ssl.create_default_context = functools.cache(ssl.create_default_context)  # type: ignore[assignment]
    handlers.deepcopy = lambda router: router  # type: ignore[attr-defined]  # a life builds one bot
    # Their certificates are read, and the system's name is asked for.
    _kept.extend((open_providers(gemini_api_key="k", kling_api_key="k"), YooKassaGateway("1", "test_k", "http://x/v3")))
    # Held, because pydantic forgets types that nobody holds.
    _kept.extend(Response[getattr(methods, name).__returning__] for name in SPOKEN)  # type: ignore[misc]
    for name in LATE:
        importlib.import_module(name)
    Image.init()


def say(**word: Any) -> None:
    os.write(1, (json.dumps(word) + "\n").encode())


def run() -> int:
    children: set[int] = set()

    def reap(*_: object) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                children.discard(ended[0])
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(ended[0], signal.SIGKILL)  # what it had forked itself dies with it
                say(died=ended[0], status=os.waitstatus_to_exitcode(ended[1]))

    seams.install()
    seams.quicken()
    warm()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, reap)
    own = os.getpid()
    say(ready=own)
    for line in sys.stdin:
        order = json.loads(line)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # no death is told before its birth
        pid = os.fork()
        if pid == 0:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            born(order, own)
        children.add(pid)
        say(born=pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    for pid in list(children):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    while children:
        signal.sigtimedwait({signal.SIGCHLD}, 1)
        reap()
    return 0


if __name__ == "__main__":
    raise SystemExit(run())
