"""Control routes of the sandbox, `/_control/…`: faults, clock, call log, reset; and what carries the faults out."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from sandbox.world import Fault, World

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def face_of(path: str) -> tuple[str, str]:
    """The simulator that a path belongs to, and the call's name in it: `/bot1:x/getMe` → `("telegram", "getMe")`."""
    first, _, rest = path.lstrip("/").partition("/")
    if first.startswith("bot") and ":" in first:
        return "telegram", rest
    if first in ("yookassa", "gemini", "kling"):
        return first, rest
    if first == "file":
        return "telegram", path.lstrip("/")
    return "", path


def fault_middleware(world: World) -> Any:
    """Before a simulator answers, look whether a fault was planned for this call and carry it out."""

    @web.middleware
    async def carry_out(request: web.Request, handler: Handler) -> web.StreamResponse:
        face, name = face_of(request.path)
        fault = world.faults.take(face, name) if face else None
        if fault is None:
            return await handler(request)
        world.record(face, f"fault:{name}", fault=fault.id)
        if fault.delay and not fault.after:
            await asyncio.sleep(fault.delay)
        if fault.drop == "before":
            return _hang_up(request)
        effect = fault.after or fault.drop == "after" or fault.status is None
        answer = await handler(request) if effect else None
        if fault.delay and fault.after:
            await asyncio.sleep(fault.delay)
        if fault.drop == "after":
            return _hang_up(request)
        if fault.status is not None:
            return _answer(fault)
        if fault.truncate is not None and isinstance(answer, web.Response):
            return await _truncated(request, answer, fault.truncate)
        assert answer is not None
        return answer

    return carry_out


def _answer(fault: Fault) -> web.Response:
    assert fault.status is not None
    if isinstance(fault.body, str):
        return web.Response(status=fault.status, text=fault.body, headers=fault.headers, content_type="text/html")
    return web.json_response(fault.body if fault.body is not None else {}, status=fault.status, headers=fault.headers)


def _hang_up(request: web.Request) -> web.Response:
    """Close the connection without a byte of answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _truncated(request: web.Request, answer: web.Response, size: int) -> web.StreamResponse:
    """Announce the whole length, send the first `size` bytes, then close the connection."""
    body = answer.body if isinstance(answer.body, bytes) else b""
    cut = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
    cut.content_length = len(body)
    await cut.prepare(request)
    await cut.write(body[:size])
    _hang_up(request)
    return cut


def mount(app: web.Application, world: World) -> None:
    """Add the control routes that are common to all simulators."""

    async def plan(request: web.Request) -> web.Response:
        try:
            wanted = await request.json()
            planned = [world.faults.plan(Fault(**one)) for one in (wanted if isinstance(wanted, list) else [wanted])]
        except (TypeError, json.JSONDecodeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response([dataclasses.asdict(one) for one in planned])

    async def planned(_: web.Request) -> web.Response:
        return web.json_response([dataclasses.asdict(one) for one in world.faults.planned()])

    async def forget(_: web.Request) -> web.Response:
        world.faults.clear()
        return web.json_response({"ok": True})

    async def clock(request: web.Request) -> web.Response:
        if request.method == "POST":
            wanted = await request.json()
            try:
                if "speed" in wanted:
                    world.clock.set_speed(float(wanted["speed"]))
                if "advance" in wanted:
                    world.clock.advance(float(wanted["advance"]))
            except (TypeError, ValueError) as error:
                return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"now": world.clock.now(), "speed": world.clock.speed})

    async def calls(request: web.Request) -> web.Response:
        face = request.query.get("face")
        log = [dataclasses.asdict(call) for call in world.calls if face in (None, call.face)]
        return web.json_response({"counts": dict(world.counts), "calls": log})

    async def reset(_: web.Request) -> web.Response:
        world.reset()
        return web.json_response({"ok": True})

    app.router.add_post("/_control/faults", plan)
    app.router.add_get("/_control/faults", planned)
    app.router.add_delete("/_control/faults", forget)
    app.router.add_route("*", "/_control/clock", clock)
    app.router.add_get("/_control/calls", calls)
    app.router.add_post("/_control/reset", reset)
