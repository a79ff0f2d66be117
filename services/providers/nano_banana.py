"""Nano Banana: Google's image models by the Gemini API, with plain REST (docs/reference/gemini.md, sections 2-7).

One synchronous POST makes one image. There is no task, no idempotency key and no way to ask for a lost answer, so a
call that was cut off after it was sent is unknown. HTTP 200 does not always mean an image.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
from typing import Any
from urllib.parse import quote

from services.base_provider import Failure, ImageProvider, ImageRequest, ImageResult, ProviderError
from services.providers.http import Answer, HttpClient, as_dict
from services.providers.nano_banana_answer import read_error, read_image

GOOGLE_URL = "https://generativelanguage.googleapis.com"
ANSWER_LIMIT = 64 * 1024 * 1024
CHECK_SECONDS = 30.0
UPLOAD_SECONDS = 60.0


class NanoBanana(ImageProvider):
    """Makes images with the Gemini API, or with a gateway to it.

    `auth_style` is `x-goog-api-key` (Google) or `bearer` (gateways); the key is sent in a header only.
    Raises `ValueError` for a key, style or proxy that cannot work.
    """

    name = "nano_banana"

    def __init__(
        self, *, api_key: str, base_url: str = GOOGLE_URL, auth_style: str = "x-goog-api-key", proxy: str | None = None
    ) -> None:
        if auth_style not in ("x-goog-api-key", "bearer"):
            raise ValueError("the auth style is x-goog-api-key or bearer")
        auth = {"Authorization": f"Bearer {api_key}"} if auth_style == "bearer" else {"x-goog-api-key": api_key}
        self._http = HttpClient(base_url=base_url, headers=auth, proxy=proxy, secrets=[api_key])

    async def close(self) -> None:
        await self._http.close()

    async def check(self) -> None:
        await self.models()

    async def models(self) -> frozenset[str]:
        """Ids of the models that this key can use; free. Raises `ProviderError`."""
        answer = await self._http.request(
            "GET",
            "/v1beta/models",
            params={"pageSize": "200"},
            read_seconds=CHECK_SECONDS,
            deadline=CHECK_SECONDS,
            max_bytes=ANSWER_LIMIT,
            in_doubt=Failure.TEMPORARY,
        )
        if answer.status != 200:
            raise read_error(answer, self._http.scrub)
        try:
            listed = as_dict(answer.json()).get("models")
        except ValueError:
            listed = None
        if not isinstance(listed, list):
            raise read_error(Answer(404), self._http.scrub)  # something else answers at this address
        names = [as_dict(model).get("name") for model in listed]
        return frozenset(name.removeprefix("models/") for name in names if isinstance(name, str))

    async def generate(self, request: ImageRequest) -> ImageResult:
        """Make one image. The whole call ends within `request.timeout` plus a minute for the upload."""
        body = await asyncio.to_thread(request_body, request)
        try:
            answer = await self._http.request(
                "POST",
                f"/v1beta/models/{quote(request.model, safe='')}:generateContent",
                content=body,
                headers={"Content-Type": "application/json", "X-Server-Timeout": str(math.ceil(request.timeout))},
                read_seconds=request.timeout,
                deadline=request.timeout + UPLOAD_SECONDS,
                max_bytes=ANSWER_LIMIT,
                in_doubt=Failure.UNKNOWN,
            )
            return await self._read(answer, request)
        except ProviderError as error:
            if error.failure is Failure.UNKNOWN:
                error.cost_micro_usd = request.rates.whole_image  # most likely made and billed
            raise

    async def _read(self, answer: Answer, request: ImageRequest) -> ImageResult:
        if not 200 <= answer.status < 300:
            raise read_error(answer, self._http.scrub, with_photos=bool(request.photos))
        # In a thread: tens of megabytes of JSON and base64 would block the event loop.
        return await asyncio.to_thread(read_image, answer, request, self._http.scrub)


def request_body(request: ImageRequest) -> bytes:
    """The JSON for one image: photos in the user's order, then the prompt (docs/reference/gemini.md, section 3)."""
    parts: list[dict[str, Any]] = [
        {"inlineData": {"mimeType": photo.mime, "data": base64.b64encode(photo.data).decode("ascii")}}
        for photo in request.photos
    ]
    parts.append({"text": request.prompt})
    config: dict[str, Any] = {"responseModalities": ["IMAGE"]}
    wanted = {"aspectRatio": request.aspect_ratio, "imageSize": request.size}
    if image := {name: value for name, value in wanted.items() if value is not None}:
        config["imageConfig"] = image
    body = {"contents": [{"role": "user", "parts": parts}], "generationConfig": config}
    return json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode("ascii")
