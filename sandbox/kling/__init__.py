"""Kling's video API (its second generation) at `/kling/…`; its back door at `/_control/kling/…`."""

from __future__ import annotations

import dataclasses

from aiohttp import web

from sandbox import settings as settings_of
from sandbox.kling.api import FACE, Face
from sandbox.kling.callbacks import MODES
from sandbox.world import World

__all__ = ["mount"]


def mount(app: web.Application, world: World) -> None:
    """Serve the face on `app`; its state is `world.faces["kling"]`."""
    face = Face(world)
    world.faces[FACE] = face
    world.on_reset(face.reset)

    async def close(_: web.Application) -> None:
        await face.close()

    async def settings(request: web.Request) -> web.Response:
        if request.method == "POST":
            face.change(await settings_of.json_of(request))
        return web.json_response(dataclasses.asdict(face.settings))

    async def scenario(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response(sorted(face.scenarios.known))
        return web.json_response(dataclasses.asdict(face.scenarios.plan(await settings_of.json_of(request))))

    async def ledger(_: web.Request) -> web.Response:
        return web.json_response(face.ledger())

    async def told(_: web.Request) -> web.Response:
        return web.json_response(list(face.life.sender.log))

    async def push(request: web.Request) -> web.Response:
        task = face.store.tasks.get(request.match_info["id"])
        if task is None:
            return web.json_response({"error": "no such task"}, status=404)
        wanted = await settings_of.json_of(request, {})
        verb = request.match_info["verb"]
        if verb == "callback":
            mode = wanted.get("mode", "normal")
            if mode not in MODES:
                raise ValueError(f"mode must be one of: {', '.join(sorted(MODES))}")
            face.life.tell(task, mode)
            return web.json_response({"sent": task.order.callback_url is not None})
        reason = wanted.get("message", "Generation failed")
        moved = face.life.finish(task, None if verb == "succeed" else str(reason)[:500])
        return web.json_response({"moved": moved, "status": task.status}, status=200 if moved else 409)

    app.router.add_route("*", "/kling/{tail:.*}", face.handle)
    app.router.add_route("*", "/_control/kling/settings", settings_of.guarded(settings))
    app.router.add_route("*", "/_control/kling/scenario", settings_of.guarded(scenario))
    app.router.add_get("/_control/kling/ledger", ledger)
    app.router.add_get("/_control/kling/callbacks", told)
    app.router.add_post("/_control/kling/tasks/{id}/{verb:succeed|fail|callback}", settings_of.guarded(push))
    app.on_cleanup.append(close)
