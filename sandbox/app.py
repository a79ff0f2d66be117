"""Puts the simulators on one aiohttp application and runs it on one loopback port."""

from __future__ import annotations

import importlib

from aiohttp import web

from sandbox import control
from sandbox.world import World

SIMULATORS = ("sandbox.telegram", "sandbox.yookassa", "sandbox.gemini", "sandbox.kling")
MAX_BODY = 128 * 1024 * 1024


def create_app(world: World) -> web.Application:
    """The whole sandbox as one application: faults first, then the simulators, each mounted by its own package."""
    app = web.Application(client_max_size=MAX_BODY, middlewares=[control.fault_middleware(world)])
    control.mount(app, world)
    for name in SIMULATORS:
        importlib.import_module(name).mount(app, world)

    async def stop(_: web.Application) -> None:
        await world.close()

    app.on_shutdown.append(stop)
    return app


async def serve(world: World, host: str = "127.0.0.1", port: int = 0) -> tuple[web.AppRunner, str]:
    """Start serving; returns the runner (call `cleanup()` to stop) and the base URL. Port 0 takes a free one."""
    runner = web.AppRunner(create_app(world), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    bound = runner.addresses[0]
    world.base_url = f"http://{bound[0]}:{bound[1]}"
    return runner, world.base_url
