"""A simulated YooKassa shop on loopback, a raw HTTP client of it, and a webhook that keeps what the shop tells."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest_asyncio
from aiohttp import web

import sandbox.yookassa
from sandbox import control
from sandbox.world import World

GOOD_CARD, SECURE_CARD, POOR_CARD = "5555555555554444", "5555555555554477", "5555555555554600"


def rub(value: Any) -> dict[str, Any]:
    return {"value": value, "currency": "RUB"}


def order(**changes: Any) -> dict[str, Any]:
    """The body of an ordinary create request with some fields changed; `None` drops a field."""
    body: dict[str, Any] = {
        "amount": {"value": "490.00", "currency": "RUB"},
        "capture": True,
        "confirmation": {"type": "redirect", "return_url": "https://t.me/example_bot?start=paid_7f3a"},
        "description": "Пополнение: заказ 7f3a",
        "metadata": {"order_id": "7f3a0c52"},
    }
    return {name: value for name, value in {**body, **changes}.items() if value is not None}


def basic(shop_id: str, key: str) -> str:
    return "Basic " + base64.b64encode(f"{shop_id}:{key}".encode()).decode()


class Client:
    """Raw HTTP to the simulated shop, with the right credentials unless told otherwise."""

    def __init__(self, world: World, session: aiohttp.ClientSession) -> None:
        self.world, self.session = world, session
        self.authorization = basic("100500", "test_sandbox_key")

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        data: bytes | None = None,
        **options: Any,
    ) -> tuple[int, Any]:
        headers = {"Authorization": self.authorization, **options.pop("headers", {"Content-Type": "application/json"})}
        if method == "POST":
            headers = {"Idempotence-Key": key or str(uuid.uuid4()), **headers}
        raw = data if data is not None else (None if body is None else json.dumps(body).encode())
        sent = None if raw is None else io.BytesIO(raw)
        url = f"{self.world.base_url}/yookassa/v3{path}"
        async with self.session.request(method, url, data=sent, headers=headers, **options) as answer:
            return answer.status, await answer.json()

    async def create(self, **changes: Any) -> dict[str, Any]:
        status, payment = await self.call("POST", "/payments", order(**changes))
        assert status == 200, payment
        return dict(payment)

    async def get(self, payment_id: str) -> dict[str, Any]:
        status, payment = await self.call("GET", f"/payments/{payment_id}")
        assert status == 200, payment
        return dict(payment)

    async def control(self, path: str, body: Any = None, *, expect: int = 200) -> Any:
        method = "GET" if body is None else "POST"
        url = f"{self.world.base_url}/_control{path}"
        async with self.session.request(method, url, json=body) as answer:
            assert answer.status == expect, await answer.text()
            return await answer.json()

    async def settings(self, **wanted: Any) -> Any:
        return await self.control("/yookassa/settings", wanted)

    async def paid(self, **changes: Any) -> dict[str, Any]:
        payment = await self.create(**changes)
        return dict(await self.control(f"/yookassa/payments/{payment['id']}/pay", {}))

    async def page(self, payment_id: str, form: dict[str, str] | None = None, **options: Any) -> tuple[int, str]:
        url = f"{self.world.base_url}/yookassa/checkout/{payment_id}"
        async with self.session.request("POST" if form else "GET", url, data=form, **options) as answer:
            return answer.status, await answer.text()


class Inbox:
    """A shop's webhook: keeps what came, answers the statuses it was given, then 200."""

    def __init__(self) -> None:
        self.url = ""
        self.came: list[tuple[dict[str, Any], dict[str, str]]] = []
        self.answers: list[int] = []
        self.silent = False

    @property
    def events(self) -> list[str]:
        return [body["event"] for body, _ in self.came]

    async def take(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        self.came.append((body, {**request.headers, "peer": request.remote or ""}))
        if self.silent:
            await asyncio.sleep(30)
        headers = {"Location": self.url}  # should anything follow a redirect, it would come back here
        return web.Response(status=self.answers.pop(0) if self.answers else 200, headers=headers)


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    world = World(seed=7)
    app = web.Application(middlewares=[control.fault_middleware(world)])
    control.mount(app, world)
    sandbox.yookassa.mount(app, world)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    world.base_url = f"http://{host}:{port}"
    yield world
    await world.close()
    await runner.cleanup()


@pytest_asyncio.fixture
async def client(world: World) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(world, session)


@pytest_asyncio.fixture
async def inbox(client: Client) -> AsyncIterator[Inbox]:
    inbox = Inbox()
    app = web.Application()
    app.router.add_post("/hook", inbox.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    inbox.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    await client.settings(notification_url=inbox.url)
    yield inbox
    await runner.cleanup()


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for happens behind HTTP and has no event here
            await asyncio.sleep(0.005)
