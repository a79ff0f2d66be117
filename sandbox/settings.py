"""Settings of a simulator: a plain dataclass of defaults, changed over its control route with the types checked."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiohttp import web

T = TypeVar("T")


def changed(settings: T, wanted: Any) -> T:
    """A copy of the dataclass with the `wanted` values; ValueError names the key that is unknown or of another type."""
    if not isinstance(wanted, dict):
        raise ValueError("settings must be an object")
    current = dataclasses.asdict(settings)  # type: ignore[call-overload]
    accepted: dict[str, Any] = {}
    for key, value in wanted.items():
        if key not in current:
            raise ValueError(f"{key}: unknown; known are {', '.join(sorted(current))}")
        accepted[key] = _fitting(key, current[key], value)
    return dataclasses.replace(settings, **accepted)  # type: ignore[type-var]


def _fitting(key: str, current: Any, value: Any) -> Any:
    if isinstance(current, bool) or isinstance(value, bool):
        if isinstance(current, bool) and isinstance(value, bool):
            return value
    elif isinstance(current, (int, float)):
        if isinstance(value, (int, float)) and 0 <= value < 1e12:
            return type(current)(value)
    elif isinstance(current, tuple):
        if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
            return tuple(value)
    elif isinstance(value, type(current)):
        return value
    raise ValueError(f"{key}: expected {'a list of strings' if isinstance(current, tuple) else type(current).__name__}")


async def json_of(request: web.Request, default: Any = None) -> Any:
    """The object in a control request's body; `default` if the body is empty, ValueError if it is no object."""
    raw = await request.read()
    if not raw and default is not None:
        return default
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ValueError("the body must be JSON") from error
    if not isinstance(body, dict):
        raise ValueError("the body must be an object")
    return body


def guarded(
    handler: Callable[[web.Request], Awaitable[web.Response]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """The control route, answering 400 to what it cannot read."""

    async def guard(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)

    return guard
