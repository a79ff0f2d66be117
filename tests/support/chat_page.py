"""The chat page open in a browser, with the real sandbox behind it and a bot on its other side."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from sandbox.app import serve
from sandbox.world import World
from tests.support.webdriver import Driver, Page

ANYA, BOB = 1001, 1002


class Bot:
    """The bot's side of the chat: plain Bot API calls."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http, self.url, self.offset = http, url, 0

    async def raw(self, method: str, **params: Any) -> dict[str, Any]:
        async with self.http.post(f"{self.url}/bot1:test/{method}", json=params) as answer:
            told: dict[str, Any] = await answer.json()
        return told

    async def call(self, method: str, **params: Any) -> Any:
        answer = await self.raw(method, **params)
        assert answer["ok"], answer
        return answer["result"]

    async def say(self, text: str, chat_id: int = ANYA, **more: Any) -> int:
        """Send a message; answers its number."""
        return int((await self.call("sendMessage", chat_id=chat_id, text=text, **more))["message_id"])

    async def photo(self) -> str:
        """The file_id of a photo, 640 by 360, that the bot has sent to Bob."""
        data = io.BytesIO()
        Image.new("RGB", (640, 360), "teal").save(data, "PNG")
        return str((await self.upload("sendPhoto", "photo", data.getvalue(), "a.png"))["photo"][-1]["file_id"])

    async def document(self, name: str) -> str:
        """The file_id of a small file that the bot has sent to Bob."""
        return str((await self.upload("sendDocument", "document", b"some bytes", name))["document"]["file_id"])

    async def upload(
        self, method: str, field: str, data: bytes, name: str, chat_id: int = BOB, **params: int
    ) -> dict[str, Any]:
        """Send a file as a form does; answers the message."""
        form = aiohttp.FormData({"chat_id": str(chat_id), **{key: str(value) for key, value in params.items()}})
        form.add_field(field, data, filename=name)
        async with self.http.post(f"{self.url}/bot1:test/{method}", data=form) as answer:
            told: dict[str, Any] = await answer.json()
        assert told["ok"], told
        return dict(told["result"])

    async def update(self, kind: str) -> dict[str, Any]:
        """The next update of this kind, as long polling gives it."""
        async with asyncio.timeout(20):
            while True:
                for update in await self.call("getUpdates", offset=self.offset, limit=1, timeout=5):
                    self.offset = update["update_id"] + 1
                    if kind in update:
                        return dict(update[kind])


def inline(*buttons: dict[str, Any]) -> dict[str, Any]:
    """An inline keyboard with one button a row."""
    return {"inline_keyboard": [[button] for button in buttons]}


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    started = Driver()
    yield started
    started.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def sandbox() -> AsyncIterator[str]:
    """The address of a whole sandbox of its own, without Telegram's limits of rate."""
    runner, url = await serve(World(seed=1, settings={"telegram_rate_limits": False}))
    yield url
    await runner.cleanup()


@pytest.fixture
async def bot(http: aiohttp.ClientSession, sandbox: str) -> Bot:
    """A bot that has said hello, so that the chat is not empty."""
    side = Bot(http, sandbox)
    await side.say("Здравствуйте")
    return side


@pytest.fixture
async def page(
    http: aiohttp.ClientSession, driver: Driver, sandbox: str, bot: Bot, tmp_path: Path
) -> AsyncIterator[Page]:
    """The page with Anya's chat open; a test in which the console complains has failed."""
    tab = Page(http, driver)
    await tab.start(tmp_path / "profile")
    try:
        await tab.open(f"{sandbox}/#{ANYA}")
        await tab.shows("Здравствуйте", "#timeline")
        yield tab
        assert await tab.errors() == []
    finally:
        await tab.close()
