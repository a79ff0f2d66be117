"""Kling's video API (its second generation) at `/kling/…`; its control routes at `/_control/kling/…`."""

from __future__ import annotations

import dataclasses

from aiohttp import web

from sandbox import settings as settings_of
from sandbox.kling.api import FACE, Api
from sandbox.kling.callbacks import MODES
from sandbox.world import World

__all__ = ["mount"]


def mount(app: web.Application, world: World) -> None:
    """Serve the simulator on `app`; its state is `world.faces["kling"]`."""
    api = Api(world)
    world.faces[FACE] = api
    world.on_reset(api.reset)

    async def close(_: web.Application) -> None:
        await api.close()

    async def settings(request: web.Request) -> web.Response:
        if request.method == "POST":
            api.change(await settings_of.json_of(request))
        return web.json_response(dataclasses.asdict(api.settings))

    async def scenario(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response(sorted(api.scenarios.known))
        return web.json_response(dataclasses.asdict(api.scenarios.plan(await settings_of.json_of(request))))

    async def ledger(_: web.Request) -> web.Response:
        return web.json_response(api.ledger())

    async def told(_: web.Request) -> web.Response:
        return web.json_response(list(api.life.sender.log))

    async def push(request: web.Request) -> web.Response:
        task = api.store.tasks.get(request.match_info["id"])
        if task is None:
            return web.json_response({"error": "no such task"}, status=404)
        wanted = await settings_of.json_of(request, {})
        verb = request.match_info["verb"]
        if verb == "callback":
            mode = wanted.get("mode", "normal")
            if mode not in MODES:
                raise ValueError(f"mode must be one of: {', '.join(sorted(MODES))}")
            api.life.tell(task, mode)
            return web.json_response({"sent": task.order.callback_url is not None})
        reason = wanted.get("message", "Generation failed")
        moved = api.life.finish(task, None if verb == "succeed" else str(reason)[:500])
        return web.json_response({"moved": moved, "status": task.status}, status=200 if moved else 409)

    app.router.add_route("*", "/kling/{tail:.*}", api.handle)
    app.router.add_route("*", "/_control/kling/settings", settings_of.guarded(settings))
    app.router.add_route("*", "/_control/kling/scenario", settings_of.guarded(scenario))
    app.router.add_get("/_control/kling/ledger", ledger)
    app.router.add_get("/_control/kling/callbacks", told)
    app.router.add_post("/_control/kling/tasks/{id}/{verb:succeed|fail|callback}", settings_of.guarded(push))
    app.on_cleanup.append(close)
