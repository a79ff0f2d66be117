"""Google's Gemini API with its image models at `/gemini/v1beta/…`; its control routes at `/_control/gemini/…`."""

from __future__ import annotations

import dataclasses

from aiohttp import web

from sandbox import settings as settings_of
from sandbox.gemini.api import FACE, Api
from sandbox.world import World

__all__ = ["mount"]


def mount(app: web.Application, world: World) -> None:
    """Serve the simulator on `app`; its state is `world.faces["gemini"]`."""
    api = Api(world)
    world.faces[FACE] = api
    world.on_reset(api.reset)

    async def close(_: web.Application) -> None:
        api.close()

    async def settings(request: web.Request) -> web.Response:
        if request.method == "POST":
            api.settings = settings_of.changed(api.settings, await settings_of.json_of(request))
        return web.json_response(dataclasses.asdict(api.settings))

    async def scenario(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response(sorted(api.scenarios.known))
        return web.json_response(dataclasses.asdict(api.scenarios.plan(await settings_of.json_of(request))))

    async def ledger(_: web.Request) -> web.Response:
        return web.json_response(api.ledger.report())

    app.router.add_route("*", "/gemini/{tail:.*}", api.handle)
    app.router.add_route("*", "/_control/gemini/settings", settings_of.guarded(settings))
    app.router.add_route("*", "/_control/gemini/scenario", settings_of.guarded(scenario))
    app.router.add_get("/_control/gemini/ledger", ledger)
    app.on_cleanup.append(close)
