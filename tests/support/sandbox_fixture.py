"""The outside world for tests: the sandbox on a free loopback port, and the settings of a shop that lives in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest_asyncio

from sandbox.app import serve
from sandbox.world import Fault, World
from services.settings import Settings, load_settings

TOKEN = "900:token-of-a-test-bot"
ADMIN = 9001
SPEED = 200.0  # simulated seconds a real second


class Sandbox:
    """A running sandbox: `world` is its inside, `url` its address."""

    def __init__(self, world: World, url: str, http: aiohttp.ClientSession) -> None:
        self.world = world
        self.url = url
        self.http = http

    def fault(self, face: str, match: str = "", **what: object) -> Fault:
        """Plan a fault for the next calls of a face."""
        return self.world.faults.plan(Fault(face=face, match=match, **what))  # type: ignore[arg-type]

    def calls(self, face: str, part: str = "") -> int:
        """How many calls of a face were served whose name holds `part`."""
        return sum(n for name, n in self.world.counts.items() if name.startswith(f"{face}:") and part in name)

    def environment(self, folder: Path, **more: str) -> dict[str, str]:
        """The environment of a shop in this sandbox, its data in `folder`."""
        return {
            "BOT_TOKEN": TOKEN,
            "ADMIN_IDS": str(ADMIN),
            "TELEGRAM_API_URL": self.url,
            "DATABASE_URL": f"sqlite:///{folder / 'bot.db'}",
            "HTTP_HOST": "127.0.0.1",
            "YOOKASSA_SHOP_ID": "100500",
            "YOOKASSA_SECRET_KEY": "test_sandbox_key",
            "YOOKASSA_API_URL": f"{self.url}/yookassa/v3",
            "YOOKASSA_RETURN_URL": f"{self.url}/",
            "YOOKASSA_WEBHOOK_CIDRS": "127.0.0.0/8",
            "GEMINI_API_KEY": "sandbox-gemini-key",
            "GEMINI_BASE_URL": f"{self.url}/gemini",
            "KLING_API_KEY": "sandbox-kling-key",
            "KLING_BASE_URL": f"{self.url}/kling",
            "ASSETS_URL": str(folder / "assets"),
            **more,
        }

    def settings(self, folder: Path, **more: str) -> Settings:
        return load_settings(None, self.environment(folder, **more))


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A fresh sandbox with a quick clock."""
    world = World(speed=SPEED, seed=1, settings={"gemini": {"pixel_scale": 0.4}})
    runner, url = await serve(world)
    async with aiohttp.ClientSession() as http:
        yield Sandbox(world, url, http)
    await runner.cleanup()
