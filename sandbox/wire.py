"""Faults on the wire that a face commits itself: hanging, hanging up, and cutting an answer in the middle."""

from __future__ import annotations

import asyncio

from aiohttp import web

HANG_SECONDS = 3_600.0
LOOK_EVERY_SECONDS = 0.05


def gone(request: web.Request) -> bool:
    """Whether the client has hung up, or we have."""
    return request.transport is None or request.transport.is_closing()


def abort(request: web.Request) -> web.Response:
    """Cut the line; what is returned reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def hang(request: web.Request) -> None:
    """Say nothing until the client gives up, an hour of real time at most."""
    # aiohttp has no event for a client that leaves while its handler runs, so the line is looked at.
    for _ in range(round(HANG_SECONDS / LOOK_EVERY_SECONDS)):
        if gone(request):
            return
        await asyncio.sleep(LOOK_EVERY_SECONDS)


async def cut(request: web.Request, body: bytes, content_type: str) -> web.StreamResponse:
    """Announce the whole length, send half of `body`, hang up."""
    response = web.StreamResponse(headers={"Content-Type": content_type})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    abort(request)
    return response
