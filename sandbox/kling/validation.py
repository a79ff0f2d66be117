"""From a request body to an order, or 400 in the service's words (docs/reference/kling.md, section 2).

Unknown keys are ignored silently, as the service does (docs/reference/kling.md, section 2.5); known ones are
of strict type.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
from dataclasses import dataclass
from typing import Any

from PIL import Image

from sandbox.art import opened
from sandbox.kling.errors import ApiError, invalid
from sandbox.kling.models import RATIOS, Model

MAX_IMAGE = 50 * 1024 * 1024
MIN_SIDE = 300
MAX_RATIO = 2.5
MAX_EXTERNAL_ID = 128
SHOT = re.compile(r"\s*shot\s+(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*([^;]*);?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Order:
    """A valid request. Frames are raw Base64 or URLs until `frame` makes images of them."""

    kind: str
    model: Model
    prompt: str
    resolution: str
    seconds: int
    audio: str
    ratio: str | None
    first_frame: str | None
    last_frame: str | None
    external_id: str | None
    callback_url: str | None
    watermark: bool

    @property
    def price(self) -> int:
        """Tenths of a unit."""
        return self.model.price(self.resolution, self.seconds, self.audio)


def parsed(raw: bytes) -> dict[str, Any]:
    """The body as an object; 400/1200 if it is not one."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ApiError(1200, "Request body is not valid JSON") from error
    if not isinstance(body, dict):
        raise ApiError(1200, "Request body must be a JSON object")
    return body


def prompt_of(body: dict[str, Any]) -> str:
    """The prompt, wherever it is in the body, to choose a scenario before anything is checked."""
    if isinstance(body.get("prompt"), str):
        return str(body["prompt"])
    contents = body.get("contents")
    for item in contents if isinstance(contents, list) else ():
        if isinstance(item, dict) and item.get("type") == "prompt" and isinstance(item.get("text"), str):
            return str(item["text"])
    return ""


def check(body: dict[str, Any], kind: str, model: Model) -> Order:
    """The order in `body` for `kind` (`text-to-video` or `image-to-video`); ApiError 1201 names what is wrong."""
    settings, options = _object(body, "settings"), _object(body, "options")
    resolution = _choice(settings, "resolution", model.resolutions, "720p")
    seconds = settings.get("duration")
    seconds = 5 if seconds is None else seconds
    if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds not in model.durations:
        raise invalid("settings.duration value is invalid")
    audio = _choice(settings, "audio", model.audio, "off") if model.audio else "off"
    if audio == "native" and model.native_only is not None and resolution not in model.native_only:
        raise invalid("settings.audio value is invalid: native audio is only supported at 1080p")
    multi_shot = settings.get("multi_shot")
    if model.multi_shot and multi_shot is not None and not isinstance(multi_shot, bool):
        raise invalid("settings.multi_shot value is invalid")
    ratio: str | None = None
    first = last = None
    if kind == "text-to-video":
        prompt = body.get("prompt")
        ratio = _choice(settings, "aspect_ratio", RATIOS, "16:9")
    else:
        prompt, first, last = _contents(body.get("contents"), model, resolution, audio)
    optional = kind == "image-to-video" and model.prompt_optional
    if prompt is None and optional:
        prompt = ""
    if not isinstance(prompt, str) or not (prompt.strip() or optional):
        raise invalid("prompt cannot be empty")
    if len(prompt) > model.prompt_limit:
        raise invalid(f"prompt length must be less than or equal to {model.prompt_limit}")
    if model.multi_shot and multi_shot is not False:
        _shots(prompt, seconds)
    watermark = _object(options, "watermark_info", "options.").get("enabled", False)
    if not isinstance(watermark, bool):
        raise invalid("options.watermark_info.enabled value is invalid")
    return Order(
        kind,
        model,
        prompt,
        resolution,
        seconds,
        audio,
        ratio,
        first,
        last,
        _text(options, "external_task_id", MAX_EXTERNAL_ID),
        _url(options),
        watermark,
    )


def _object(body: dict[str, Any], name: str, prefix: str = "") -> dict[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(f"{prefix}{name} value is invalid")
    return value


def _choice(settings: dict[str, Any], name: str, allowed: tuple[str, ...], default: str) -> str:
    value = settings.get(name)
    if value is None:
        return default
    if not isinstance(value, str) or value not in allowed:
        raise invalid(f"settings.{name} value is invalid")
    return value


def _text(options: dict[str, Any], name: str, limit: int) -> str | None:
    value = options.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= limit or "," in value:
        raise invalid(f"options.{name} value is invalid")
    return value


def _url(options: dict[str, Any]) -> str | None:
    value = options.get("callback_url")
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not re.match(r"https?://[^\s/]+", value) or len(value) > 2_000:
        raise invalid("options.callback_url value is invalid")
    return value


def _contents(contents: Any, model: Model, resolution: str, audio: str) -> tuple[str | None, str | None, str | None]:
    if not isinstance(contents, list) or not contents:
        raise invalid("contents cannot be empty")
    found: dict[str, list[dict[str, Any]]] = {"prompt": [], "first_frame": [], "last_frame": [], "element": []}
    for item in contents:
        kind = item.get("type") if isinstance(item, dict) else None
        if not isinstance(kind, str) or kind not in found:
            raise invalid(f"content item type '{str(kind)[:40]}' is invalid")
        found[kind].append(item)
    for kind in ("prompt", "first_frame", "last_frame"):
        if len(found[kind]) > 1:
            raise invalid(f"only one content item of type '{kind}' is allowed")
    if not found["first_frame"]:
        raise invalid("content item of type 'first_frame' is required")
    if found["last_frame"]:
        if not model.last_frame:
            raise invalid(f"content item of type 'last_frame' is not supported by {model.id}")
        if resolution not in model.last_frame:
            raise invalid("content item of type 'last_frame' is only supported at 1080p")
        if model.last_frame_silent and audio != "off":
            raise invalid("content item of type 'last_frame' is not supported together with native audio")
    if len(found["element"]) > model.elements:
        raise invalid(f"content items of type 'element' must not exceed {model.elements}")
    text = found["prompt"][0].get("text") if found["prompt"] else None
    if text is not None and not isinstance(text, str):
        raise invalid("contents.text value is invalid")
    frames = [found[kind][0].get("url") if found[kind] else None for kind in ("first_frame", "last_frame")]
    for kind, frame in zip(("first_frame", "last_frame"), frames, strict=True):
        if found[kind] and (not isinstance(frame, str) or not frame):
            raise invalid(f"url of content item of type '{kind}' cannot be empty")
    return text, frames[0], frames[1]


def _shots(prompt: str, seconds: int) -> None:
    """`shot 1, 2, words; shot 2, 3, words;`: one to six shots whose seconds add up to the duration.

    The grammar: docs/reference/kling.md, section 2.1.
    """
    if not SHOT.match(prompt):
        return
    position, total, number = 0, 0, 0
    while position < len(prompt) and (shot := SHOT.match(prompt, position)):
        number += 1
        if int(shot.group(1)) != number or int(shot.group(2)) < 1 or len(shot.group(3)) > 512:
            raise invalid("multi-shot prompt is invalid")
        total += int(shot.group(2))
        position = shot.end()
    if position < len(prompt) or number > 6 or total != seconds:
        raise invalid("multi-shot prompt is invalid: the durations of the shots must sum to settings.duration")


def decoded(value: str) -> bytes:
    """The bytes of a raw Base64 frame; a `data:` prefix is refused."""
    if value.startswith("data:"):
        raise invalid("File is not in a valid base64 format: remove the 'data:' prefix")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("File is not in a valid base64 format") from error


def frame(data: bytes) -> Image.Image:
    """The image of a frame, checked for format, size and sides, and reduced; ApiError 1201. CPU-bound."""
    if len(data) > MAX_IMAGE:
        raise invalid("Image size exceeds the limit of 50MB")
    try:
        with Image.open(io.BytesIO(data)) as source:
            kind, (width, height) = source.format, source.size
    except Exception as error:  # Pillow's plugins raise nearly any exception on broken files.
        raise invalid("Image format is not supported, only jpg, jpeg and png are") from error
    if kind not in ("JPEG", "PNG", "MPO"):
        raise invalid("Image format is not supported, only jpg, jpeg and png are")
    if min(width, height) < MIN_SIDE:
        raise invalid(f"Image pixel is invalid: width and height must be at least {MIN_SIDE}px")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise invalid("Image aspect ratio is invalid: it must be between 1:2.5 and 2.5:1")
    try:
        return opened(data)
    except ValueError as error:
        raise invalid("Image cannot be decoded") from error
