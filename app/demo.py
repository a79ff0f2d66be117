"""`python main.py demo`: the whole bot on this machine, with simulators in place of all outside systems.

Starts the sandbox, a local Redis, two workers and the bot as processes of their own, prints one address, and stops
them all at Ctrl-C. Each demo starts empty, because the simulators lose everything when they end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.local_redis import LocalRedisError, ensure_local_redis

ROOT = Path(__file__).resolve().parent.parent
FIRST_PORT = 8081
PORTS = 50
START_SECONDS = 60.0
STOP_SECONDS = 8.0
PACE = 4.0  # times as fast as the real models: an image in a few seconds, a video in less than a minute
BOT_NAME, BOT_USERNAME = "Kadro", "kadro_bot"
WORKERS = 2
ADMIN_ID = 9001  # the sandbox's own administrator


class DemoFailed(Exception):
    """A part did not start; the text says which one, with the end of its log."""


class Interrupted(Exception):
    """Ctrl-C came while the parts were starting."""


def free_port(first: int) -> int:
    """The first free loopback port from `first` on. Raises DemoFailed when fifty in a row are taken."""
    for port in range(first, min(first + PORTS, 65536)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            # As servers do it: then the port of a demo that has just ended is free, and its address stays the same.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise DemoFailed(f"no free port between {first} and {first + PORTS - 1}")


def any_port() -> int:
    """A free loopback port, chosen by the system: two demos that start together get different ones."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(folder: Path, sandbox: str, bot_port: int, redis_url: str) -> dict[str, str]:
    """The settings of a bot for which the sandbox is every outside system."""
    return {
        "BOT_TOKEN": "900:demo-token-of-the-sandbox",
        "ADMIN_IDS": str(ADMIN_ID),
        "TELEGRAM_API_URL": sandbox,
        "DATABASE_URL": f"sqlite:///{folder / 'bot.db'}",
        "REDIS_URL": redis_url,
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(bot_port),
        "PUBLIC_URL": f"http://127.0.0.1:{bot_port}",
        "YOOKASSA_SHOP_ID": "100500",
        "YOOKASSA_SECRET_KEY": "test_sandbox_key",
        "YOOKASSA_API_URL": f"{sandbox}/yookassa/v3",
        "YOOKASSA_RETURN_URL": f"{sandbox}/",
        "YOOKASSA_WEBHOOK_CIDRS": "127.0.0.0/8",
        "GEMINI_API_KEY": "sandbox-gemini-key",
        "GEMINI_BASE_URL": f"{sandbox}/gemini",
        "KLING_API_KEY": "sandbox-kling-key",
        "KLING_BASE_URL": f"{sandbox}/kling",
        "ASSETS_URL": str(folder / "assets"),
        "LOG_LEVEL": "INFO",
    }


@dataclass
class Part:
    """One process of the demo. Its output goes to a file in the demo's folder."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    def log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-15:]
        return "\n".join(lines)


@dataclass
class Demo:
    """The running parts, in the order in which they were started."""

    folder: Path
    stopping: asyncio.Event
    parts: list[Part] = field(default_factory=list)

    async def start(self, name: str, *command: str, settings: Mapping[str, str] | None = None) -> Part:
        """A process in a session of its own, so that the terminal's Ctrl-C reaches only us and we stop it in order.

        It runs in the demo's folder, because a `.env` beside the program belongs to the real bot.
        """
        log = self.folder / f"{name}.log"
        inherited = {key: value for key, value in os.environ.items() if key in _PASSED_ON}
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *command,
                cwd=self.folder,
                env={**inherited, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(settings or {})},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        part = Part(name, process, log)
        self.parts.append(part)
        return part

    async def wait_for(self, part: Part, url: str) -> None:
        """Wait until `url` answers 200. Raises DemoFailed with the end of its log when the part ends or takes too long.

        Raises Interrupted as soon as the demo is to stop.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                while part.process.returncode is None:
                    if self.stopping.is_set():
                        raise Interrupted
                    if await asyncio.to_thread(_answers, url):
                        return
                    await asyncio.sleep(0.1)
        raise DemoFailed(f"the {part.name} did not start:\n{part.log_tail()}")

    async def stop(self) -> None:
        """Stop the bot first, then the workers, then the sandbox. A part that does not end in time is killed."""
        for part in reversed(self.parts):
            if part.process.returncode is None:
                part.process.terminate()
                try:
                    await asyncio.wait_for(part.process.wait(), STOP_SECONDS)
                except TimeoutError:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(part.process.pid, signal.SIGKILL)
                    await part.process.wait()


_PASSED_ON = {"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "COVERAGE_PROCESS_START"}


async def run_demo(port: int | None = None) -> int:
    """Start, print the address, wait for Ctrl-C or SIGTERM, stop. Returns the exit status."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        sandbox_port = free_port(port or FIRST_PORT)
        with _fresh_folder(sandbox_port) as folder:
            return await _run(folder, sandbox_port, stop)
    except (DemoFailed, LocalRedisError) as failed:
        print(f"The demo could not start: {failed}", file=sys.stderr)
        return 1


@contextlib.contextmanager
def _fresh_folder(port: int) -> Iterator[Path]:
    folder = ROOT / "data" / f"demo-{port}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield folder


async def _run(folder: Path, sandbox_port: int, stop: asyncio.Event) -> int:
    redis = await asyncio.to_thread(ensure_local_redis, folder / "redis")
    demo = Demo(folder, stop)
    try:
        address = await _start_all(demo, sandbox_port, redis.url)
        print(f"\n  The shop is open: {address}\n\n  Stop it with Ctrl-C. Logs: {folder}\n", flush=True)
        await _until_stopped(demo, stop)
    except Interrupted:
        pass
    finally:
        await demo.stop()
        await asyncio.to_thread(redis.stop)
    return 0


async def _start_all(demo: Demo, sandbox_port: int, redis_url: str) -> str:
    address = f"http://127.0.0.1:{sandbox_port}"
    bot_port = any_port()
    sandbox = await demo.start(
        "sandbox",
        "-m",
        "sandbox",
        "--port",
        str(sandbox_port),
        "--pace",
        str(PACE),
        "--bot-name",
        BOT_NAME,
        "--bot-username",
        BOT_USERNAME,
        "--notification-url",
        f"http://127.0.0.1:{bot_port}/webhooks/yookassa",
    )
    await demo.wait_for(sandbox, f"{address}/_control/clock")
    settings = environment(demo.folder, address, bot_port, redis_url)
    await demo.start("workers", "-m", "workers", "--processes", str(WORKERS), "--grace", "3", settings=settings)
    bot = await demo.start("bot", str(ROOT / "main.py"), settings=settings)
    await demo.wait_for(bot, f"http://127.0.0.1:{bot_port}/ready")
    return f"{address}/"


async def _until_stopped(demo: Demo, stop: asyncio.Event) -> None:
    """Wait for Ctrl-C. Raises DemoFailed when a part ends by itself."""
    waits = {asyncio.create_task(part.process.wait()): part for part in demo.parts}
    stopping = asyncio.create_task(stop.wait())
    ended, _ = await asyncio.wait({stopping, *waits}, return_when=asyncio.FIRST_COMPLETED)
    for task in (stopping, *waits):
        task.cancel()
    for task in ended - {stopping}:
        part = waits[task]
        if not stop.is_set():
            raise DemoFailed(f"the {part.name} ended by itself:\n{part.log_tail()}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 (our own loopback address)
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
