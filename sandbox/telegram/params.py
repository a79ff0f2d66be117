"""Reads a call's parameters from wherever a client put them: query, urlencoded form, multipart form or JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, web

from sandbox.telegram.errors import ApiError, bad_request

MAX_UPLOAD = 50 * 1024 * 1024
MAX_FIELD = 1024 * 1024
MAX_TOTAL = 256 * 1024 * 1024
MAX_PARTS = 200


@dataclass(frozen=True)
class Upload:
    """A file that came with the call."""

    data: bytes
    name: str
    content_type: str


@dataclass
class Params:
    """Parameters by name. Forms carry text only, JSON carries types: the getters accept both.

    Files that share a name are kept as `name`, `name#1`, ….
    """

    values: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Upload] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        return self.values.get(name) not in (None, "")

    def text(self, name: str, default: str = "") -> str:
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, (dict, list)):
            return json.dumps(value, ensure_ascii=False)
        return str(value)

    def integer(self, name: str, default: int = 0) -> int:
        value = self.text(name).strip()
        if not value:
            return default
        try:
            return int(value) if len(value) <= 20 else _refuse(name)
        except ValueError:
            return _refuse(name)

    def flag(self, name: str) -> bool:
        return self.text(name).strip().lower() in ("true", "yes", "1")

    def object(self, name: str, what: str | None = None) -> Any:
        """A list or object, given as such or as JSON text; None when absent."""
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        if not value.strip():
            return None
        try:
            return load_json(value)
        except ValueError:
            raise bad_request(f"can't parse {what or name} JSON object") from None


def load_json(text: str | bytes) -> Any:
    """Strict JSON: no NaN, no lone surrogates, no deep nesting. Raises ValueError."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
        if "\\u" in text if isinstance(text, str) else b"\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deep") from None
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _refuse(name: str) -> int:
    raise bad_request(f'parameter "{name}" must be a valid integer')


async def read_params(request: web.Request) -> Params:
    """Everything the request carries; the body wins over the query.

    Raises ApiError 400 for what cannot be read, 413 for more than 50 MB in one file.
    """
    params = Params(values=dict(request.query))
    if not request.can_read_body:
        return params
    kind = request.content_type
    try:
        if kind == "multipart/form-data":
            await _read_multipart(request, params)
        elif kind == "application/json":
            params.values.update(_json_object(await request.read()))
        elif kind == "application/x-www-form-urlencoded":
            for name, value in (await request.post()).items():
                params.values[name] = value
    except (UnicodeDecodeError, LookupError):
        raise bad_request("strings must be encoded in UTF-8") from None
    except (ValueError, RuntimeError, AssertionError):
        raise bad_request("can't parse the request body") from None
    except web.HTTPRequestEntityTooLarge:
        raise ApiError(413, "Request Entity Too Large") from None
    return params


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = load_json(body) if body.strip() else {}
    except ValueError:
        raise bad_request("can't parse JSON object") from None
    if not isinstance(value, dict):
        raise bad_request("object expected")
    return value


async def _read_multipart(request: web.Request, params: Params) -> None:
    reader = await request.multipart()
    total = 0
    for _ in range(MAX_PARTS):
        part = await reader.next()
        if part is None:
            return
        if not isinstance(part, BodyPartReader):
            raise bad_request("nested multipart is not supported")
        name = part.name or ""
        limit = MAX_UPLOAD if part.filename is not None else MAX_FIELD
        data = await _read_part(part, min(limit, MAX_TOTAL - total))
        total += len(data)
        if part.filename is not None:
            content_type = part.headers.get("Content-Type", "application/octet-stream")
            unique = name if name not in params.files else f"{name}#{len(params.files)}"
            params.files[unique] = Upload(data, part.filename, content_type)
        else:
            params.values[name] = data.decode("utf-8")
    raise bad_request("too many parts in the request")


async def _read_part(part: BodyPartReader, limit: int) -> bytes:
    data = bytearray()
    while chunk := await part.read_chunk(256 * 1024):
        data += chunk
        if len(data) > limit:
            raise ApiError(413, "Request Entity Too Large")
    return bytes(part.decode(bytes(data)) if "Content-Transfer-Encoding" in part.headers else data)
