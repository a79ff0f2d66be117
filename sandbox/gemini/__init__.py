"""Google's Gemini API with its image models at `/gemini/v1beta/…`; its back door at `/_control/gemini/…`."""

from __future__ import annotations

import dataclasses

from aiohttp import web

from sandbox import settings as settings_of
from sandbox.gemini.api import FACE, Face
from sandbox.world import World

__all__ = ["mount"]


def mount(app: web.Application, world: World) -> None:
    """Serve the face on `app`; its state is `world.faces["gemini"]`."""
    face = Face(world)
    world.faces[FACE] = face
    world.on_reset(face.reset)

    async def close(_: web.Application) -> None:
        face.close()

    async def settings(request: web.Request) -> web.Response:
        if request.method == "POST":
            face.settings = settings_of.changed(face.settings, await settings_of.json_of(request))
        return web.json_response(dataclasses.asdict(face.settings))

    async def scenario(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response(sorted(face.scenarios.known))
        return web.json_response(dataclasses.asdict(face.scenarios.plan(await settings_of.json_of(request))))

    async def ledger(_: web.Request) -> web.Response:
        return web.json_response(face.ledger.report())

    app.router.add_route("*", "/gemini/{tail:.*}", face.handle)
    app.router.add_route("*", "/_control/gemini/settings", settings_of.guarded(settings))
    app.router.add_route("*", "/_control/gemini/scenario", settings_of.guarded(scenario))
    app.router.add_get("/_control/gemini/ledger", ledger)
    app.on_cleanup.append(close)
