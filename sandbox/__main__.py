"""`python -m sandbox --host 127.0.0.1 --port 8081 --speed 10`: the simulators alone."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from typing import Any

from sandbox.app import serve
from sandbox.world import World


async def run(host: str, port: int, speed: float, settings: dict[str, Any]) -> None:
    world = World(speed=speed, settings=settings)
    runner, url = await serve(world, host, port)
    print(f"Sandbox: {url}/", flush=True)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(signum, stop.set)
    await stop.wait()
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (loopback)")
    parser.add_argument("--port", type=int, default=8081, help="port; 0 takes a free one")
    parser.add_argument("--speed", type=float, default=1.0, help="simulated seconds per real second")
    parser.add_argument("--pace", type=float, default=1.0, help="how many times faster images and videos are made")
    parser.add_argument("--bot-name", help="name of every bot in the chat")
    parser.add_argument("--bot-username", help="username of every bot, without the @")
    parser.add_argument("--notification-url", default="", help="where YooKassa sends its notifications")
    options = parser.parse_args()
    if not options.pace > 0:
        parser.error("--pace must be above zero")
    asyncio.run(run(options.host, options.port, options.speed, _settings(options)))


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings of the simulators at the start and after a reset."""
    named = {"telegram_bot_name": options.bot_name, "telegram_bot_username": options.bot_username}
    models = {"delay_scale": 1 / options.pace}
    return {
        **{key: value for key, value in named.items() if value},
        "gemini": models,
        "kling": models,
        "yookassa": {"notification_url": options.notification_url},
    }


if __name__ == "__main__":
    main()
