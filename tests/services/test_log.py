"""The log: readable events, and no secret in it whatever a library writes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator

import httpx2
import pytest
import requests
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramAPIError
from aiohttp import ClientSession, web
from aiohttp.test_utils import BaseTestServer, TestServer

from services.common.log import event, log_context, setup_logging
from tests.support.database_fixture import ROOT

TOKEN = "123456789:AAF-telegram_token_hunter2"
SHOP_KEY = "live_yookassa-hunter2'with\"quotes"
GEMINI_KEY = "AQ.gemini hunter2/slash+plus"
DATABASE_PASSWORD = "p@ss-hunter2"
SECRETS = (TOKEN, TOKEN.partition(":")[2], SHOP_KEY, GEMINI_KEY, DATABASE_PASSWORD)

SetUp = Callable[..., io.StringIO]


@pytest.fixture
def set_up() -> Iterator[SetUp]:
    """`setup_logging` into a text of our own; everything it changes in the process is put back."""
    root = logging.getLogger()
    handlers, level, hooks = list(root.handlers), root.level, (sys.excepthook, threading.excepthook)
    loggers = [logger for logger in root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    levels = {logger.name: logger.level for logger in loggers}

    def start(level: str = "DEBUG", fmt: str = "text", secrets: tuple[str, ...] = SECRETS) -> io.StringIO:
        stream = io.StringIO()
        setup_logging(level, "json" if fmt == "json" else "text", secrets, stream)
        return stream

    yield start
    logging.captureWarnings(False)
    logging.getLogger("aiohttp.server").filters.clear()
    sys.excepthook, threading.excepthook = hooks
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, logger in root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger):
            logger.setLevel(levels.get(name, logging.NOTSET))


@pytest.fixture
async def outside() -> AsyncIterator[TestServer]:
    """A server on loopback that refuses everything, repeating what it was sent as a careless one would."""

    async def refuse(request: web.Request) -> web.Response:
        secrets = " ".join([str(request.url), *(f"{name}: {value}" for name, value in request.headers.items())])
        return web.json_response({"ok": False, "error_code": 400, "description": secrets}, status=400)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    server = TestServer(app)
    async with server:
        yield server


async def talk_to_everybody(base: str) -> None:
    """Use each library as the product does, with a secret in each place they have for one."""
    log = logging.getLogger("product")
    session = AiohttpSession(api=TelegramAPIServer.from_base(base))
    async with Bot(TOKEN, session=session) as bot:
        try:
            await bot.get_me()
        except TelegramAPIError:
            log.exception("aiogram said")
        try:
            await bot.download_file("photos/1.jpg")
        except Exception:
            log.exception("download of %s", f"{base}/file/bot{TOKEN}/photos/1.jpg")
    basic = base64.b64encode(f"100500:{SHOP_KEY}".encode()).decode()
    headers = {"x-goog-api-key": GEMINI_KEY, "Authorization": f"Basic {basic}"}
    async with httpx2.AsyncClient(headers=headers) as client:
        answer = await client.post(f"{base}/v1beta/models/x:generateContent?key=hunter2-in-query", json={})
        log.info("answer %s to %r with %s", answer.text, answer.request, answer.request.headers)
        log.debug("raw headers %s", answer.request.headers.raw)
        try:
            answer.raise_for_status()
        except httpx2.HTTPStatusError:
            log.exception("httpx2 said")
    async with ClientSession(headers={"Authorization": "Bearer kling-hunter2-key"}) as aio:
        async with aio.get(f"{base}/bot{TOKEN}/getUpdates") as reply:
            log.info("aiohttp said %r %s", reply, reply.request_info)
        try:
            await aio.get(f"http://127.0.0.1:1/bot{TOKEN}/x")
        except OSError:
            log.exception("no connection")
    await asyncio.to_thread(requests.post, f"{base}/v3/payments", auth=("100500", SHOP_KEY), timeout=10)


def provoke(log: logging.Logger) -> None:
    """Everything a log record can carry a secret in."""
    log.info("plain %s %r", TOKEN, SHOP_KEY)
    log.info("in a mapping %(key)s", {"key": GEMINI_KEY})
    log.info("bytes %r", TOKEN.encode())
    log.info("wrong number of arguments %s %s", TOKEN)
    log.info("json %s", json.dumps({"key": SHOP_KEY, "Authorization": "Basic aHVudGVyMjpodW50ZXIy"}))
    log.info("as extra", extra={"token": TOKEN, "nested": {"deep": [GEMINI_KEY]}})
    log.info("postgresql://shop:%s@db/shop", DATABASE_PASSWORD)
    log.info("a token nobody told us of: https://api.telegram.org/bot987654321:ZZhunter2-unknown/getMe")
    log.info("postgresql://shop:hunter2-unknown@db/shop, GET /x?a=1&token=hunter2-unknown&b=2")
    event(log, "job.claimed", url=f"https://api.telegram.org/bot{TOKEN}/sendPhoto", error=ValueError(SHOP_KEY))
    warnings.warn(f"careless {TOKEN}", stacklevel=1)
    try:
        try:
            raise ConnectionError(f"https://api.telegram.org/bot{TOKEN}/getMe refused")
        except ConnectionError as cause:
            raise RuntimeError(SHOP_KEY) from cause
    except RuntimeError:
        log.exception("with a traceback")
        event(log, "step.crashed", level=logging.ERROR)
    log.info("with a stack", stack_info=True)
    with log_context(address=f"https://x/bot{TOKEN}/"):
        log.info("in context")


@pytest.mark.filterwarnings("ignore:careless")
@pytest.mark.parametrize("fmt", ["text", "json"])
async def test_no_line_holds_a_secret(
    fmt: str, set_up: SetUp, outside: TestServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """With every logger at DEBUG and secrets in every place a record has, none reaches the log or stderr."""
    stream = set_up(fmt=fmt)
    provoke(logging.getLogger("product"))
    await talk_to_everybody(str(outside.make_url("")).rstrip("/"))
    written = stream.getvalue()
    assert len(written.splitlines()) > 40, "the libraries did write"
    for logger in ("httpx2", "httpcore2", "urllib3", "product"):
        assert logger in written
    leaks = [line for line in (written + "".join(capsys.readouterr())).splitlines() if "hunter2" in line]
    assert leaks == []
    encoded = base64.b64encode(f"100500:{SHOP_KEY}".encode()).decode()
    assert encoded not in written
    assert "aHVudGVyMjpodW50ZXIy" not in written


def test_a_record_stays_clean_for_other_handlers(set_up: SetUp) -> None:
    """A handler that comes after ours, such as an error collector's, finds the message without secrets."""
    set_up()
    seen: list[str] = []
    other = logging.Handler()
    other.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(other)
    logging.getLogger("product").info("token %s", TOKEN)
    assert seen == ["token ***"]


def test_text_names_the_event_and_its_fields(set_up: SetUp) -> None:
    """A line tells time, level, logger, event and fields, with the context's fields first."""
    stream = set_up("INFO")
    with log_context(job_id="j-1", user_id=7):
        event(logging.getLogger("services.jobs"), "job.claimed", attempt=2, model="nano banana", note="")
    _, _, line = stream.getvalue().partition("Z ")
    assert line == 'INFO services.jobs job.claimed job_id=j-1 user_id=7 attempt=2 model="nano banana" note=""\n'


def test_json_is_one_object_a_line(set_up: SetUp) -> None:
    """JSON lines carry the same fields with their types, and a traceback under "exception"."""
    stream = set_up("INFO", "json")
    log = logging.getLogger("services.jobs")
    with log_context(job_id="j-1"):
        try:
            raise ValueError("no\nluck")
        except ValueError:
            event(log, "job.failed", level=logging.ERROR, attempt=2, final=True, price=None)
    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert entry["exception"].endswith("ValueError: no\nluck")
    assert {name: entry[name] for name in ("event", "level", "logger", "job_id", "attempt", "final", "price")} == {
        "event": "job.failed",
        "level": "ERROR",
        "logger": "services.jobs",
        "job_id": "j-1",
        "attempt": 2,
        "final": True,
        "price": None,
    }


def test_a_user_cannot_forge_a_line(set_up: SetUp) -> None:
    """Line breaks and control characters in a message or field are escaped, so one record is one line."""
    stream = set_up("INFO")
    log = logging.getLogger("product")
    forged = "cat\n2026-01-01T00:00:00.000Z INFO ledger credited\x1b[2J\u2028end"
    log.info("prompt %s", forged)
    event(log, "prompt.taken", text=forged)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert all("\x1b" not in line and "INFO product" in line for line in lines)


async def test_context_belongs_to_one_task(set_up: SetUp) -> None:
    """Two jobs at once never get each other's ids into their records, and nothing stays behind."""
    stream = set_up("INFO")
    log = logging.getLogger("product")
    met = asyncio.Barrier(2)

    async def job(name: str) -> None:
        with log_context(job_id=name):
            await met.wait()
            log.info("from %s", name)
            await met.wait()

    await asyncio.gather(job("a"), job("b"))
    log.info("after")
    lines = sorted(line.split("product ")[1] for line in stream.getvalue().splitlines())
    assert lines == ["after", "from a job_id=a", "from b job_id=b"]


@pytest.mark.parametrize(("level", "loud"), [("INFO", False), ("DEBUG", True)])
def test_libraries_are_quiet_unless_asked(level: str, loud: bool, set_up: SetUp) -> None:
    """A line for each HTTP request or update is written at DEBUG only; warnings always are."""
    stream = set_up(level)
    for name in ("httpx2", "aiogram.event"):
        logging.getLogger(name).info("request of %s", name)
        logging.getLogger(name).warning("trouble of %s", name)
    assert stream.getvalue().count("trouble of") == 2
    assert ("request of" in stream.getvalue()) is loud


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/9.x\r\nHost: hunter2\r\n\r\n",
        b"GET /" + b"hunter2" * 3000 + b" HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nhunter2\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 7\r\n\r\nhunter2",
    ],
)
async def test_what_is_no_http_is_one_quiet_line(request_: bytes, set_up: SetUp, outside: TestServer) -> None:
    """Anybody may send us any bytes: they fill no log, and stand in none."""
    stream = set_up("INFO")
    await say(outside, request_)
    (line,) = stream.getvalue().splitlines()
    assert "INFO aiohttp.server http.malformed error=" in line
    set_up("WARNING")
    await say(outside, request_)
    assert len(stream.getvalue().splitlines()) == 1


async def test_our_own_fault_in_a_route_keeps_its_traceback(set_up: SetUp) -> None:
    """The server is quiet about strangers only."""

    async def broken(_: web.Request) -> web.Response:
        raise KeyError("ours")

    app = web.Application()
    app.router.add_get("/", broken)
    async with TestServer(app) as server:
        stream = set_up("INFO")
        await say(server, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert "ERROR aiohttp.server" in stream.getvalue()
    assert "KeyError: 'ours'" in stream.getvalue()


async def say(server: BaseTestServer, request: bytes) -> None:
    """Send these very bytes and read until the server hangs up or has nothing more to say."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(request)
    await writer.drain()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(reader.read(), timeout=0.5)
    writer.close()
    await writer.wait_closed()


def test_bound_values_of_statements_are_never_written(set_up: SetUp) -> None:
    """Even at DEBUG the database's libraries do not write users' prompts into the log."""
    stream = set_up("DEBUG")
    for name in ("aiosqlite", "sqlalchemy.engine.Engine"):
        logging.getLogger(name).debug("INSERT prompt")
    assert stream.getvalue() == ""


def test_last_words_go_through_the_log(set_up: SetUp, capsys: pytest.CaptureFixture[str]) -> None:
    """An error that nobody caught, in the main thread or another, is logged without its secret, and not printed."""
    stream = set_up("INFO")
    error = ValueError(TOKEN)
    sys.excepthook(ValueError, error, None)

    def fail() -> None:
        raise error

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert stream.getvalue().count("process.uncaught") == 2
    assert "hunter2" not in stream.getvalue() + capsys.readouterr().err


def test_a_broken_stream_does_not_print_the_record(set_up: SetUp, capsys: pytest.CaptureFixture[str]) -> None:
    """When the log itself cannot be written, what goes to stderr is a word about it and not the record."""
    stream = set_up("INFO")
    stream.close()
    logging.getLogger("product").info("token %s", TOKEN)
    said = capsys.readouterr().err
    assert "could not be written" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "stderr", ["2>/dev/full", "2>&-", "2> >(exec true)"], ids=["disk full", "closed", "reader gone"]
)
def test_a_log_that_takes_no_line_stops_no_work(stderr: str) -> None:
    """The log's disk is full, nobody reads it any more, or there is none: the lines are lost, the shop goes on."""
    program = """if True:
        import logging, time
        from services.common.log import event, setup_logging
        setup_logging()
        for number in range(3):
            event(logging.getLogger("product"), "thing.done", number=number)
            time.sleep(0.1)
        print("goes on")
    """
    done = subprocess.run(
        ["bash", "-c", f'exec "$0" -c "$1" {stderr}', sys.executable, program],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == b"goes on\n"
