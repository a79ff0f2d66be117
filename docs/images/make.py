"""Takes the pictures of the documents from a fresh `make demo`; needs Chromium with chromedriver.

Run `.venv/bin/python docs/images/make.py` beside the demo; give its address if it is not the usual one.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import tempfile
from pathlib import Path
from typing import Any

import aiohttp

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent.parent))

from tests.support.webdriver import Driver, Page  # noqa: E402 (the project's root has to be on the path first)

ANYA, BOB, OLEG = 1001, 1002, 9001


class Customer:
    """Somebody in the chat, over the sandbox's interface for people."""

    def __init__(self, http: aiohttp.ClientSession, url: str, user_id: int) -> None:
        self.http, self.chat = http, f"{url}/_chat/users/{user_id}"

    async def say(self, text: str, *, sees: str) -> None:
        async with self.http.post(f"{self.chat}/send", json={"text": text}):
            await self.until(sees)

    async def press(self, label: str, *, sees: str) -> None:
        async with self.http.post(f"{self.chat}/press", json=await self.until(label)):
            await self.until(sees)

    async def until(self, text: str) -> dict[str, Any]:
        """Wait for a button with these words, else a message of the bot's; answers what a tap on it would be."""
        for _ in range(600):
            async with self.http.get(f"{self.chat}/messages") as answer:
                messages = (await answer.json())["messages"]
            for message in reversed([one for one in messages if one["from"]["is_bot"]]):
                rows = message.get("reply_markup", {}).get("inline_keyboard", [])
                data = [one.get("callback_data") for row in rows for one in row if text in one["text"]]
                if data or text in message.get("text", "") + message.get("caption", ""):
                    return {"message_id": message["message_id"], "data": data[0] if data else ""}
            await asyncio.sleep(0.1)
        raise TimeoutError(text)


async def shoot(page: Page, url: str, name: str, width: int, height: int) -> None:
    size = {"width": width, "height": height, "mobile": width < 500}
    await page.devtools("Emulation.setDeviceMetricsOverride", deviceScaleFactor=1.25, **size)
    await page.open(url)
    await page.until("document.querySelector('#timeline img')?.complete")
    await asyncio.sleep(1)  # the last animation
    shot = await page.devtools("Page.captureScreenshot", format="png")
    (FOLDER / name).write_bytes(base64.b64decode(shot["data"]))


async def main(url: str) -> None:
    driver = Driver()
    async with aiohttp.ClientSession() as http:
        anya, bob, oleg = (Customer(http, url, user_id) for user_id in (ANYA, BOB, OLEG))
        await anya.say("/start", sees="Здравствуйте")
        await bob.say("/start", sees="👋 Hi")
        for user_id in (ANYA, BOB):
            await oleg.say(f"/grant {user_id} 500", sees=f"→ {user_id}")
        await bob.press("A fox on the Moon", sees="Create")
        await bob.press("Create", sees="Original, uncompressed")
        await anya.say("Рыжая лиса в скафандре смотрит на Землю с Луны", sees="смотрит на Землю")
        await anya.press("📐", sees="формат кадра")
        await anya.press("16:9", sees="📐\u00a016:9")
        await anya.press("Создать", sees="Оригинал")
        await anya.press("Оживить", sees="Клип из фото")
        await anya.say("Лиса машет лапой, звёзды мерцают", sees="звёзды мерцают")
        await anya.press("Создать", sees="Снимаю клип")
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            page = Page(http, driver)
            await page.start(Path(profile))
            await shoot(page, f"{url}/#{ANYA}", "chat.png", 1200, 940)
            await page.click("#language-switch")
            await shoot(page, f"{url}/?#{BOB}", "phone.png", 390, 844)
            await page.close()
    driver.stop()


asyncio.run(main((sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8081").rstrip("/")))
