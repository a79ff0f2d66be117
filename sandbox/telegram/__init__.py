"""Telegram's Bot API for any client library, and the people who write to the bot, in one simulated service."""

from __future__ import annotations

import dataclasses
import logging
import re
from typing import Any

from aiohttp import web

from sandbox.telegram import (
    methods_chat,
    methods_media,
    methods_messages,
    methods_payments,
    methods_profile,
    methods_updates,
    person,
)
from sandbox.telegram.call import METHODS, NAMES, Call
from sandbox.telegram.errors import ApiError
from sandbox.telegram.params import load_json, read_params
from sandbox.telegram.state import Bot, Telegram
from sandbox.world import World

__all__ = ["METHOD_MODULES", "Telegram", "mount"]

METHOD_MODULES = (methods_chat, methods_media, methods_messages, methods_payments, methods_profile, methods_updates)
TOKEN = re.compile(r"([1-9][0-9]{0,15}):[A-Za-z0-9_-]+")
log = logging.getLogger("sandbox.telegram")


def ok(result: Any) -> web.Response:
    return web.json_response({"ok": True, "result": result})


def refused(error: ApiError) -> web.Response:
    """The Bot API's error object; the HTTP status is the error code (docs/reference/telegram.md, section 1)."""
    body: dict[str, Any] = {"ok": False, "error_code": error.status, "description": error.description}
    headers = {}
    if error.retry_after is not None:
        body["parameters"] = {"retry_after": error.retry_after}
        headers["Retry-After"] = str(error.retry_after)
    return web.json_response(body, status=error.status, headers=headers)


def bot_of(telegram: Telegram, token: str) -> Bot:
    """The bot that a token names. Raises ApiError 401."""
    match = TOKEN.fullmatch(token)
    if match is None:
        raise ApiError(401, "Unauthorized: invalid token specified")
    if token in telegram.revoked:
        raise ApiError(401, "Unauthorized")
    return telegram.bot(int(match[1]))


def mount(app: web.Application, world: World) -> None:
    """Add the Bot API, the people's API and the settings route."""
    telegram = Telegram(world)
    world.faces["telegram"] = telegram
    world.on_reset(telegram.reset)

    async def call(request: web.Request) -> web.Response:
        name = request.match_info["method"]
        try:
            bot = bot_of(telegram, request.match_info["token"])
            params = await read_params(request)
            telegram.last_bot = bot
            method = METHODS.get(name.lower())
            if method is None:
                log.error("the sandbox has no Bot API method %r: a client called it", name[:100])
                world.record("telegram", name[:100], bot=bot.id, unknown=True)
                raise ApiError(404, "Not Found: method not found")
            world.record("telegram", NAMES[name.lower()], bot=bot.id, params=told(params.values))
            return ok(await method(Call(telegram, bot, params)))
        except ApiError as error:
            return refused(error)
        except Exception:
            log.exception("the sandbox failed in %s", name[:100])
            return refused(ApiError(500, "Internal Server Error: the sandbox failed"))

    async def download(request: web.Request) -> web.Response:
        try:
            bot = bot_of(telegram, request.match_info["token"])
        except ApiError as error:
            return refused(error)
        file = telegram.files.at(bot.id, request.match_info["path"])
        if file is None:
            return refused(ApiError(404, "Not Found"))
        return web.Response(body=file.data, content_type="application/octet-stream")

    async def no_method(_: web.Request) -> web.Response:
        return refused(ApiError(404, "Not Found"))

    app.router.add_route("*", "/bot{token:[^/]*}/{method:[^/]+}", call)
    app.router.add_get("/file/bot{token:[^/]*}/{path:.+}", download)
    app.router.add_route("*", "/bot{token:[^/]*:[^/]*}{rest:.*}", no_method)
    app.router.add_route("*", "/_control/telegram/settings", settings_of(telegram))
    person.mount(app, telegram)

    async def stop(_: web.Application) -> None:
        for bot in telegram.bots.values():
            bot.updates.end_poll("Conflict: terminated by the sandbox's end")
            if bot.webhook is not None:
                await bot.webhook.stop()
        telegram.events.close()

    app.on_shutdown.append(stop)


def told(values: dict[str, Any]) -> dict[str, Any]:
    """The parameters as the call log keeps them: shortened, and without files."""
    return {
        name: (value if isinstance(value, (int, float)) else str(value)[:200])
        for name, value in list(values.items())[:20]
    }


def settings_of(telegram: Telegram) -> Any:
    """`/_control/telegram/settings`: GET shows the settings of this simulator, POST changes those it names.

    `rate_limits`: true, false or an object with `enabled`, `overall_per_second`, `overall_burst`, `chat_per_second`,
    `chat_burst`; `must_start`: a bot may only write to those who wrote to it; `revoked`: tokens that get 401;
    `strangers`: ids of people who left every channel; `silent_video_is_animation`: a video without sound is sent as an
    animation.
    """

    async def settings(request: web.Request) -> web.Response:
        if request.method == "POST":
            try:
                apply_settings(telegram, load_json(await request.read() or b"{}"))
            except (ValueError, TypeError, AttributeError) as error:
                return web.json_response({"error": str(error)}, status=400)
        return web.json_response(
            {
                "rate_limits": dataclasses.asdict(telegram.pace),
                "must_start": telegram.must_start,
                "silent_video_is_animation": telegram.silent_video_is_animation,
                "revoked": sorted(telegram.revoked),
                "strangers": sorted(telegram.strangers),
            }
        )

    return settings


def apply_settings(telegram: Telegram, wanted: dict[str, Any]) -> None:
    """Change the named settings, all or none. Raises ValueError or TypeError on a bad value."""
    limits = wanted.get("rate_limits", {})
    pace = {"enabled": limits} if isinstance(limits, bool) else dict(limits)
    changed = dataclasses.replace(telegram.pace, **pace)
    numbers = [value for name, value in dataclasses.asdict(changed).items() if name != "enabled"]
    if not all(isinstance(value, (int, float)) and value >= 0.01 for value in numbers):
        raise ValueError("rates and bursts must be numbers above zero")
    revoked = {str(one) for one in wanted.get("revoked", telegram.revoked)}
    strangers = {int(one) for one in wanted.get("strangers", telegram.strangers)}
    for name, value in dataclasses.asdict(changed).items():
        setattr(telegram.pace, name, value)
    for bot in telegram.bots.values():
        bot.limits.forget()
    telegram.must_start = bool(wanted.get("must_start", telegram.must_start))
    telegram.silent_video_is_animation = bool(
        wanted.get("silent_video_is_animation", telegram.silent_video_is_animation)
    )
    telegram.revoked, telegram.strangers = revoked, strangers
