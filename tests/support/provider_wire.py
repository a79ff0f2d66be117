"""Servers on loopback for the providers' tests: faces of the sandbox, and one that answers exactly what it is told."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import web

from sandbox import control
from sandbox.world import World

T = TypeVar("T")
MAX_BODY = 128 * 1024 * 1024


@dataclass(frozen=True)
class Reply:
    """One answer: status, body and headers, or what happens to the line instead (`reset`, `hang`, `cut`)."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    line: str = ""


def reply(status: int, content: Any, **headers: str) -> Reply:
    """An answer in JSON."""
    return Reply(status, json.dumps(content).encode(), {"Content-Type": "application/json", **headers})


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Script:
    """Answers from a list; the last one stays."""

    def __init__(self, replies: Iterable[Reply]) -> None:
        self.replies = deque(replies)
        self.asked: list[Asked] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append(Asked(request.method, request.path, dict(request.query), dict(request.headers), body))
        chosen = self.replies.popleft() if len(self.replies) > 1 else self.replies[0]
        if chosen.line == "hang":
            await asyncio.sleep(60)
        if chosen.line == "reset" and request.transport is not None:
            request.transport.abort()
        if chosen.line == "cut":
            cut = web.StreamResponse(status=chosen.status, headers=chosen.headers)
            cut.content_length = len(chosen.body) + 1000
            await cut.prepare(request)
            await cut.write(chosen.body)
            if request.transport is not None:
                request.transport.abort()
            return cut
        return web.Response(status=chosen.status, body=chosen.body, headers=chosen.headers)


@asynccontextmanager
async def scripted(*replies: Reply) -> AsyncIterator[Script]:
    """A server that gives these answers one after the other."""
    script = Script(replies)
    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_route("*", "/{tail:.*}", script.handle)
    async with _served(app) as script.url:
        yield script


@asynccontextmanager
async def sandbox_faces(world: World, *names: str) -> AsyncIterator[str]:
    """The sandbox with only these faces; answers its base URL."""
    app = web.Application(client_max_size=MAX_BODY, middlewares=[control.fault_middleware(world)])
    control.mount(app, world)
    for name in names:
        importlib.import_module(f"sandbox.{name}").mount(app, world)
    async with _served(app) as world.base_url:
        yield world.base_url
        await world.close()


async def until(true: Callable[[], Awaitable[T | None]], seconds: float = 20.0) -> T:
    """The first answer of `true` that is one; fails after real `seconds`."""
    async with asyncio.timeout(seconds):
        while True:
            if answer := await true():
                return answer
            await asyncio.sleep(0.01)


@asynccontextmanager
async def _served(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
