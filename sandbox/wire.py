"""Faults of the connection that a simulator causes itself: no answer, a closed connection, half an answer."""

from __future__ import annotations

import asyncio

from aiohttp import web

HANG_SECONDS = 3_600.0
POLL_SECONDS = 0.05


def gone(request: web.Request) -> bool:
    """Whether the client has hung up, or we have."""
    return request.transport is None or request.transport.is_closing()


def abort(request: web.Request) -> web.Response:
    """Close the connection; the response returned here reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def hang(request: web.Request) -> None:
    """Do not answer until the client gives up, an hour of real time at most."""
    # aiohttp has no event for a client that leaves while its handler runs, so the connection is polled.
    for _ in range(round(HANG_SECONDS / POLL_SECONDS)):
        if gone(request):
            return
        await asyncio.sleep(POLL_SECONDS)


async def cut(request: web.Request, body: bytes, content_type: str) -> web.StreamResponse:
    """Announce the whole length, send half of `body`, close the connection."""
    response = web.StreamResponse(headers={"Content-Type": content_type})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    abort(request)
    return response
