"""What a person's page loads and waits for: the event stream, the next message, media bytes, its own files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import mimetypes
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from sandbox.telegram.person_input import bot_or_none, chat_of
from sandbox.telegram.state import Chat, Message, Telegram

KEEP_ALIVE_SECONDS = 15.0
LONGEST_WAIT = 300.0
WEB = Path(__file__).resolve().parent.parent / "web"
Route = tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]]


def routes(telegram: Telegram) -> list[Route]:
    """The routes of this module; the person's API adds them to its own."""

    async def events(request: web.Request) -> web.StreamResponse:
        wanted = request.query.get("user", "")
        bot = bot_or_none(telegram, request)
        bot_id = bot.id if bot is not None and "bot" in request.query else None
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        user_id = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 19 else 0
        await answer.prepare(request)
        with telegram.events.listen(bot_id, user_id) as listener, contextlib.suppress(ConnectionError):
            await answer.write(b": hello\n\n")
            while not listener.lost and not _closing(request):
                try:
                    kind, data = await asyncio.wait_for(listener.queue.get(), KEEP_ALIVE_SECONDS)
                    line = f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
                except TimeoutError:
                    line = ": still here\n\n"
                await answer.write(line.encode("utf-8", "replace"))
        return answer

    async def wait(request: web.Request) -> web.StreamResponse:
        bot, chat = chat_of(telegram, request)
        after, contains = _number(request, "after", 0), request.query.get("contains", "")
        until = time.monotonic() + min(LONGEST_WAIT, _number(request, "timeout", 10))
        while True:
            found = first_after(chat, int(after), contains)
            if found is not None:
                return web.json_response(found.for_person())
            left = until - time.monotonic()
            if left <= 0 or telegram.events.closed:
                return web.json_response({"error": "no such message came"}, status=408)
            await telegram.events.changed(bot.id, chat.person.id, left)

    async def file(request: web.Request) -> web.StreamResponse:
        found = telegram.files.find(request.match_info["file_id"])
        if found is None:
            return web.json_response({"error": "no such file"}, status=404)
        return ranged(request, found.data, found.mime_type)

    async def page(_: web.Request) -> web.StreamResponse:
        index = WEB / "index.html"
        if not index.is_file():
            return web.Response(text="The chat page is not here; its interface is under /_chat/.\n")
        return web.FileResponse(index, headers={"Cache-Control": "no-cache"})

    async def asset(request: web.Request) -> web.StreamResponse:
        name = request.match_info["file"]
        wanted = (WEB / name.replace("\0", "")).resolve()
        if not wanted.is_relative_to(WEB) or not wanted.is_file():
            return web.json_response({"error": "no such file"}, status=404)
        kind = mimetypes.guess_type(wanted.name)[0] or "application/octet-stream"
        return web.FileResponse(wanted, headers={"Content-Type": kind, "Cache-Control": "no-cache"})

    return [
        ("GET", "/_chat/events", events),
        ("GET", "/_chat/users/{uid}/wait", wait),
        ("GET", "/_chat/files/{file_id}", file),
        ("GET", "/", page),
        ("GET", "/_web/{file:.+}", asset),
    ]


def first_after(chat: Chat, after: int, contains: str) -> Message | None:
    """The bot's first message newer than `after`, or edited since then, whose words contain the text."""
    known = chat.messages.get(after)
    since = known.made if known is not None else None
    fitting = [
        message
        for message in chat.messages.values()
        if not message.outgoing
        and contains in message.words
        and (message.id > after or (since is not None and message.changed > since))
    ]
    return min(fitting, key=lambda message: message.changed, default=None)


def ranged(request: web.Request, data: bytes, mime_type: str) -> web.Response:
    """All the bytes, or the part that the Range header asks for."""
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
    if not mime_type.startswith(("image/", "video/", "audio/")) or mime_type == "image/svg+xml":
        headers["Content-Disposition"] = "attachment"
    try:
        wanted = request.http_range
        start, stop, _ = slice(wanted.start, wanted.stop).indices(len(data))
    except ValueError:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(data)}"})
    if wanted.start is None and wanted.stop is None:
        return web.Response(body=data, content_type=mime_type, headers=headers)
    if start >= stop:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
    return web.Response(status=206, body=data[start:stop], content_type=mime_type, headers=headers)


def _number(request: web.Request, name: str, default: float) -> float:
    try:
        value = float(request.query.get(name, default))
        return value if 0 <= value < 2**53 else default
    except ValueError:
        return default


def _closing(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()
