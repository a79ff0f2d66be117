"""The simulated Telegram on loopback, and those who meet it: raw HTTP, python-telegram-bot, a bot's own web server."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import av
import pytest
import pytest_asyncio
import telegram
from aiohttp import web
from PIL import Image
from telegram.request import HTTPXRequest

import sandbox.telegram
from sandbox import control
from sandbox.world import World

TOKEN = "900:AAsandbox-token"
ANYA, BOB, OLEG = 1001, 1002, 9001
GO = {"inline_keyboard": [[{"text": "Go", "callback_data": "gen:17:go"}]]}


def picture(width: int, height: int, kind: str = "PNG", mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height), "red").save(out, kind)
    return out.getvalue()


def clip(width: int = 128, height: int = 72, seconds: int = 2, *, sound: bool = False) -> bytes:
    """A real MP4, as long as it says."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = width, height
        audio = container.add_stream("aac", rate=44_100) if sound else None
        frame = av.VideoFrame.from_image(Image.new("RGB", (width, height), "navy"))  # type: ignore[no-untyped-call]
        for _ in range(seconds * 10):
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if audio is not None:
            silence = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
            silence.sample_rate = 44_100
            for plane in silence.planes:
                plane.update(bytes(plane.buffer_size))
            container.mux(audio.encode(silence))
            container.mux(audio.encode())
    return out.getvalue()


@dataclass
class Wire:
    """Raw HTTP to the sandbox: as a bot program, as a person, as the one who plans faults."""

    http: aiohttp.ClientSession
    base: str
    world: World

    async def api(self, name: str, /, *, token: str = TOKEN, **params: Any) -> dict[str, Any]:
        async with self.http.post(f"{self.base}/bot{token}/{name}", json=params) as answer:
            body: dict[str, Any] = await answer.json()
            assert answer.status == body.get("error_code", 200)
            return body

    async def result(self, name: str, /, **params: Any) -> Any:
        body = await self.api(name, **params)
        assert body["ok"], body
        return body["result"]

    async def refusal(self, name: str, /, **params: Any) -> str:
        body = await self.api(name, **params)
        assert not body["ok"], body
        return str(body["description"])

    async def chat(self, path: str, body: Any = None, *, status: int = 200, verb: str = "") -> Any:
        """A call of the person's API, about the bot of `TOKEN` unless the path names another."""
        if path.startswith("/_chat/users") and "bot=" not in path:
            path += ("&" if "?" in path else "?") + "bot=900"
        sending = {"data": body} if isinstance(body, aiohttp.FormData) else {"json": body} if body is not None else {}
        async with self.http.request(verb or ("POST" if sending else "GET"), self.base + path, **sending) as answer:
            text = await answer.text()
            assert answer.status == status, text
            return json.loads(text)

    async def say(self, user: int, text: str) -> dict[str, Any]:
        sent: dict[str, Any] = (await self.chat(f"/_chat/users/{user}/send", {"text": text}))["messages"][0]
        return sent

    async def press(self, user: int, message_id: int, data: str) -> str:
        answer = await self.chat(f"/_chat/users/{user}/press", {"message_id": message_id, "data": data})
        return str(answer["callback_query_id"])

    async def seen(self, user: int) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = (await self.chat(f"/_chat/users/{user}/messages"))["messages"]
        return messages

    async def settings(self, **changes: Any) -> None:
        await self.chat("/_control/telegram/settings", changes)


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[World, str]]:
    """The sandbox's Telegram on a free port: its world and its address."""
    world = World(seed=7)
    app = web.Application(client_max_size=128 * 1024 * 1024, middlewares=[control.fault_middleware(world)])
    control.mount(app, world)
    sandbox.telegram.mount(app, world)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield world, "http://{}:{}".format(*runner.addresses[0][:2])
    await runner.cleanup()
    await world.close()


@pytest_asyncio.fixture
async def wire() -> AsyncIterator[Wire]:
    async with serving() as (world, base), aiohttp.ClientSession() as http:
        yield Wire(http, base, world)


@pytest_asyncio.fixture
async def bot(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[telegram.Bot]:
    """python-telegram-bot's bot, which knows nothing of the sandbox."""
    monkeypatch.setenv("PTB_TIMEDELTA", "true")
    request = HTTPXRequest(connection_pool_size=8, read_timeout=15)
    made = telegram.Bot(TOKEN, base_url=f"{wire.base}/bot", base_file_url=f"{wire.base}/file/bot", request=request)
    async with made:
        yield made


class Receiver:
    """A bot's own web server: keeps what came, answers what the test says."""

    def __init__(self) -> None:
        self.came: list[tuple[str, dict[str, Any]]] = []
        self.answers: list[web.Response] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        secret = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
        self.came.append((secret, await request.json()))
        return self.answers.pop(0) if self.answers else web.Response()

    @property
    def texts(self) -> list[str]:
        return [update["message"]["text"] for _, update in self.came]


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/hook", made.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = "http://{}:{}/hook".format(*runner.addresses[0][:2])
    yield made
    await runner.cleanup()


async def wait_for(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    """Return as soon as the condition holds; fail after `seconds`."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - any condition, most of them are no event of ours
            await asyncio.sleep(0.01)
