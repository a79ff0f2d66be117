"""Google's Gemini API with its image models at `/gemini/v1beta/…`; its back door at `/_control/gemini/…`."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from aiohttp import web

from sandbox import settings as settings_of
from sandbox.gemini.face import FACE, Face
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
            face.settings = settings_of.changed(face.settings, await _json(request))
        return web.json_response(dataclasses.asdict(face.settings))

    async def scenario(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response(sorted(face.scenarios.known))
        wanted = await _json(request)
        planned = face.scenarios.plan(wanted if isinstance(wanted, dict) else {})
        return web.json_response(dataclasses.asdict(planned))

    async def ledger(_: web.Request) -> web.Response:
        return web.json_response(face.ledger.report())

    app.router.add_route("*", "/gemini/{tail:.*}", face.handle)
    app.router.add_route("*", "/_control/gemini/settings", _guarded(settings))
    app.router.add_route("*", "/_control/gemini/scenario", _guarded(scenario))
    app.router.add_get("/_control/gemini/ledger", ledger)
    app.on_cleanup.append(close)


async def _json(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise ValueError("the body must be JSON") from error


def _guarded(handler: Any) -> Any:
    async def guarded(request: web.Request) -> web.Response:
        try:
            response: web.Response = await handler(request)
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return response

    return guarded
