"""A small WebDriver client: one headless Chromium, driven through chromedriver's plain HTTP protocol."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import aiohttp

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element's id, fixed by the WebDriver standard
ENTER, SHIFT, ESCAPE = "\ue007", "\ue008", "\ue00c"
WAIT_SECONDS = 20.0
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,800",
)


def find_browser() -> tuple[str, str] | None:
    """Paths of Chromium and chromedriver: from `CHROMIUM` and `CHROMEDRIVER`, else from PATH; None without both."""
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUMS)), None)
    driver = os.environ.get("CHROMEDRIVER") or shutil.which("chromedriver")
    return (chromium, driver) if chromium and driver else None


class Driver:
    """The chromedriver process; it takes a free port and tells it."""

    def __init__(self) -> None:
        found = find_browser()
        if found is None:
            raise LookupError("no Chromium with chromedriver: install both or set CHROMIUM and CHROMEDRIVER")
        self.chromium, driver = found
        self.process = subprocess.Popen(
            [driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "started successfully on port" in line:
                self.url = f"http://127.0.0.1:{line.split()[-1].rstrip('.')}"
                return
        raise RuntimeError("chromedriver ended before it had a port")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


class Page:
    """One browser with one tab. Commands raise RuntimeError with the driver's own words."""

    def __init__(self, http: aiohttp.ClientSession, driver: Driver) -> None:
        self.http, self.driver, self.root = http, driver, ""

    async def start(self, profile: Path) -> None:
        options = {"binary": self.driver.chromium, "args": [*ARGUMENTS, f"--user-data-dir={profile}"]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = await self._send("POST", f"{self.driver.url}/session", {"capabilities": {"alwaysMatch": wanted}})
        self.root = f"{self.driver.url}/session/{session['sessionId']}"

    async def _send(self, verb: str, url: str, body: dict[str, Any] | None = None) -> Any:
        async with self.http.request(verb, url, json=body) as answer:
            value = (await answer.json())["value"]
        if answer.status != 200:
            raise RuntimeError(value["message"])
        return value

    async def command(self, path: str, **body: Any) -> Any:
        return await self._send("POST", f"{self.root}/{path}", body)

    async def close(self) -> None:
        await self._send("DELETE", self.root)

    async def open(self, url: str) -> None:
        await self.command("url", url=url)

    async def devtools(self, name: str, **params: Any) -> Any:
        return await self.command("goog/cdp/execute", cmd=name, params=params)

    async def script(self, code: str, *arguments: Any) -> Any:
        """Run the body of a function in the page; `arguments` are its `arguments`."""
        return await self.command("execute/sync", script=code, args=list(arguments))

    async def until(self, expression: str, *arguments: Any, seconds: float = WAIT_SECONDS) -> Any:
        """Wait until the JavaScript expression is truthy and answer its value."""
        deadline = time.monotonic() + seconds
        while not (value := await self.script(f"return {expression}", *arguments)):
            if time.monotonic() > deadline:
                shown = await self.script("return document.body.innerText")
                raise AssertionError(f"never became true: {expression}\n--- the page shows ---\n{shown}")
            await asyncio.sleep(0.05)
        return value

    async def shows(self, text: str, within: str = "body") -> None:
        """Wait until the text can be seen inside the first element of the selector."""
        await self.until("document.querySelector(arguments[0])?.innerText.includes(arguments[1])", within, text)

    async def find(self, selector: str) -> str:
        """Wait for an element that can be seen (a file input never can); answers its WebDriver id."""
        await self.until(
            "[...document.querySelectorAll(arguments[0])].some((one) => one.type === 'file' || one.checkVisibility())",
            selector,
        )
        return str((await self.command("element", using="css selector", value=selector))[ELEMENT])

    async def click(self, selector: str) -> None:
        await self.command(f"element/{await self.find(selector)}/click")

    async def type(self, selector: str, text: str) -> None:
        """Type with real key presses; into a file input: choose the files at these paths (one per line)."""
        await self.command(f"element/{await self.find(selector)}/value", text=text)

    async def keys(self, text: str) -> None:
        """Press these keys wherever the focus is."""
        strokes = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        await self.command("actions", actions=[{"type": "key", "id": "keyboard", "actions": strokes}])

    async def label(self, selector: str) -> str:
        """The name by which assistive technology announces an element."""
        return str(await self._send("GET", f"{self.root}/element/{await self.find(selector)}/computedlabel"))

    async def resize(self, width: int, height: int) -> None:
        """Lay the page out as on a phone of this size in CSS pixels."""
        await self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=True
        )

    async def media(self, **features: str) -> None:
        """Emulate media features, named with underscores: `prefers_color_scheme="dark"`."""
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        await self.devtools("Emulation.setEmulatedMedia", features=named)

    async def errors(self) -> list[str]:
        """What the page's console complained about since the last look."""
        log = await self.command("se/log", type="browser")
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]
