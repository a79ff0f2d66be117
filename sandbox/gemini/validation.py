"""From the bytes of a request to an order the drawing can fill, or a refusal (docs/reference/gemini.md, section 3)."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from sandbox.art import opened
from sandbox.gemini import schema, signatures
from sandbox.gemini.errors import ApiError, bad_field
from sandbox.gemini.models import OTHER_TYPES, Model

BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}\Z")
HEIF_BRANDS = (b"heic", b"heix", b"mif1", b"msf1", b"heif", b"hevc", b"avif")
CATEGORIES = frozenset(
    f"HARM_CATEGORY_{name}"
    for name in ("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT", "CIVIC_INTEGRITY")
)
THRESHOLDS = frozenset({"BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE", "OFF"})
TIERS = frozenset({"standard", "flex", "priority"})


@dataclass(frozen=True)
class Order:
    """A valid request. `photos` are the input images in order, `file_uris` those still to be fetched."""

    model: Model
    prompt: str
    ratio: str | None
    size: str
    modalities: frozenset[str]
    level: str | None
    include_thoughts: bool
    max_output: int | None
    searches: bool
    inputs: int
    photos: list[Image.Image] = field(default_factory=list)
    file_uris: list[str] = field(default_factory=list)
    text_length: int = 0


def prompt_in(raw: bytes) -> tuple[Any, str]:
    """The JSON of a request and the text of its last user turn; ApiError 400 if it is not a JSON object."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"Invalid JSON payload received. {str(error)[:120]}") from error
    if not isinstance(body, dict):
        raise bad_field("Invalid JSON payload received. Expected an object.")
    texts: list[str] = []
    contents = body.get("contents")
    last = contents[-1] if isinstance(contents, list) and contents else contents
    parts = last.get("parts") if isinstance(last, dict) else None
    for part in parts if isinstance(parts, list) else [parts]:
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
    return body, "\n".join(texts)


def check(body: Any, prompt: str, model: Model) -> Order:
    """The order in `body`; ApiError 400 in Google's words where they are known, else in ours. CPU-bound."""
    request = schema.read(body, schema.REQUEST)
    contents = request.get("contents") or []
    if not contents:
        raise ApiError(400, "* GenerateContentRequest.contents: contents is not specified\n")
    photos: list[Image.Image] = []
    uris: list[str] = []
    inputs = 0
    length = 0
    for number, content in enumerate(contents):
        if content is None or content.get("role") not in (None, "user", "model"):
            raise ApiError(400, "Please use a valid role: user, model.")
        parts = content.get("parts") or []
        if not parts:
            raise ApiError(
                400, f"* GenerateContentRequest.contents[{number}].parts: contents.parts must not be empty.\n"
            )
        for index, part in enumerate(parts):
            where = f"contents[{number}].parts[{index}]"
            photo, uri = _part(part or {}, where, content.get("role") or "user", model)
            length += len((part or {}).get("text") or "")
            if (part or {}).get("inlineData") or uri:
                inputs += 1
            if photo is not None:
                photos.append(photo)
            if uri is not None:
                uris.append(uri)
    if inputs > model.refs:
        raise ApiError(
            400, f"Request contains {inputs} images, which exceeds the limit of {model.refs} for model {model.id}."
        )
    _safety(request.get("safetySettings") or [])
    if request.get("serviceTier") is not None and request["serviceTier"].lower() not in TIERS:
        raise bad_field(
            f"Invalid value at 'service_tier' (TYPE_ENUM), \"{request['serviceTier'][:40]}\"", "service_tier"
        )
    return _order(request, model, prompt, photos, uris, inputs, length)


def _part(part: dict[str, Any], where: str, role: str, model: Model) -> tuple[Image.Image | None, str | None]:
    kinds = [
        name
        for name in (
            "text",
            "inlineData",
            "fileData",
            "functionCall",
            "functionResponse",
            "executableCode",
            "codeExecutionResult",
        )
        if part.get(name) is not None
    ]
    if len(kinds) > 1:
        raise bad_field(
            f"Invalid value at '{where}' (oneof), oneof field 'data' is already set. "
            f"Cannot set '{schema.snake(kinds[1])}'",
            where,
        )
    if not kinds or part.get("text") == "":
        raise ApiError(
            400, f"* GenerateContentRequest.{where}.data: required oneof field 'data' must have one initialized field\n"
        )
    signature = part.get("thoughtSignature")
    if signature is not None and role == "model" and not signatures.genuine(signature, model.id):
        raise ApiError(400, "Request contains an invalid thought signature.")
    if kinds[0] == "inlineData":
        return _blob(part["inlineData"], where, model), None
    if kinds[0] == "fileData":
        uri = part["fileData"].get("fileUri") or ""
        if not uri.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            raise ApiError(400, "Invalid or unsupported file uri: " + uri[:80])
        return None, uri
    return None, None


def _blob(blob: dict[str, Any], where: str, model: Model) -> Image.Image | None:
    mime = blob.get("mimeType") or ""
    if mime not in model.types:
        raise ApiError(
            400,
            f"Unsupported MIME type: {mime[:60]}"
            if mime
            else f"* GenerateContentRequest.{where}.inline_data.mime_type: mimeType must not be empty.\n",
        )
    data = decoded(blob.get("data") or "", f"{where}.inline_data.data")
    if not data:
        raise ApiError(400, f"* GenerateContentRequest.{where}.inline_data.data: data must not be empty.\n")
    if mime in OTHER_TYPES:
        return None
    if mime in ("image/heic", "image/heif") and data[4:8] == b"ftyp" and data[8:12] in HEIF_BRANDS:
        return None
    return photo_from(data)


def photo_from(data: bytes) -> Image.Image:
    """The image in `data`; ApiError 400 with the message that means "the user's file is bad"."""
    try:
        return opened(data)
    except ValueError as error:
        raise ApiError(
            400,
            "Unable to process input image. Please retry or report in "
            "https://developers.generativeai.google/guide/troubleshooting",
        ) from error


def decoded(text: str, path: str) -> bytes:
    """The bytes of Base64 in either alphabet, padded or not, without line breaks."""
    if BASE64.match(text):
        body = text.rstrip("=").replace("-", "+").replace("_", "/")
        try:
            return base64.b64decode(body + "=" * (-len(body) % 4))
        except (binascii.Error, ValueError):
            pass
    raise bad_field(f"Invalid value at '{path}' (TYPE_BYTES), Base64 decoding failed for \"{text[:40]}\"", path)


def _safety(settings: list[dict[str, Any]]) -> None:
    for index, one in enumerate(settings):
        for name, allowed in (("category", CATEGORIES), ("threshold", THRESHOLDS)):
            if (one or {}).get(name) not in allowed:
                path = f"safety_settings[{index}].{name}"
                raise bad_field(f"Invalid value at '{path}' (TYPE_ENUM), \"{str((one or {}).get(name))[:60]}\"", path)


def _order(
    request: dict[str, Any],
    model: Model,
    prompt: str,
    photos: list[Image.Image],
    uris: list[str],
    inputs: int,
    length: int,
) -> Order:
    config = request.get("generationConfig") or {}
    image = config.get("imageConfig") or {}
    thinking = config.get("thinkingConfig") or {}
    modalities = frozenset(config.get("responseModalities") or ("TEXT", "IMAGE"))
    if not modalities <= {"TEXT", "IMAGE"}:
        raise bad_field(
            "Invalid value at 'generation_config.response_modalities' (TYPE_ENUM)",
            "generation_config.response_modalities",
        )
    if config.get("candidateCount") not in (None, 1):
        raise ApiError(400, "Multiple candidates is not enabled for this model")
    ratio, size = image.get("aspectRatio"), image.get("imageSize")
    if ratio is not None and ratio not in model.ratios:
        raise ApiError(400, f"Unsupported aspect_ratio: {ratio[:20]}. Supported values are: {', '.join(model.ratios)}.")
    if size is not None and model.fixed_size:
        raise ApiError(400, "image_size is not supported for this model.")
    if size is not None and size not in model.sizes:
        raise ApiError(400, f"Unsupported image_size: {size[:20]}. Supported values are: {', '.join(model.sizes)}.")
    level = thinking.get("thinkingLevel")
    if thinking and not model.levels:
        raise ApiError(400, "Thinking is not enabled for this model.")
    if level is not None and level.upper() not in model.levels:
        raise ApiError(400, f"Thinking level {level[:20].upper()} is not supported for this model.")
    maximum = config.get("maxOutputTokens")
    if maximum is not None and not 0 < maximum <= model.limit_out:
        raise ApiError(
            400,
            f"Unable to submit request because it has a maxOutputTokens value of {maximum} but the supported "
            f"range is from 1 (inclusive) to {model.limit_out + 1} (exclusive).",
        )
    return Order(
        model,
        prompt,
        ratio,
        size or "1K",
        modalities,
        level.upper() if level else None,
        bool(thinking.get("includeThoughts")),
        maximum,
        any((tool or {}).get("googleSearch") is not None for tool in request.get("tools") or []),
        inputs,
        photos,
        uris,
        length,
    )
