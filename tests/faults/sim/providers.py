"""Simulated Gemini and Kling under the product's own clients, with every class of error before and after the effect."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import random
from collections import Counter
from functools import cache
from typing import Any

import httpx2
from PIL import Image

from sandbox.art.film import render
from services.providers import Providers
from services.providers.http import HttpClient
from tests.faults.sim.world import World

Json = dict[str, Any]
VIDEOS = "https://clips.sim"


@cache
def png(side: int = 64) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), "teal").save(out, "PNG")
    return out.getvalue()


@cache
def mp4() -> bytes:
    return render("a paper boat", (64, 64), 1, random.Random(1))


class SimTransport(httpx2.AsyncBaseTransport):
    """The connection to one provider; `serve` has the effect and gives the answer."""

    def __init__(self, world: World, name: str, serve: Any) -> None:
        self._world = world
        self._name = name
        self._serve = serve

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        world = self._world
        content = await request.aread()
        await world.step(self._name)
        if world.fails(world.chances.provider / 6):
            raise httpx2.ConnectError("refused")
        trace = request.extensions.get("trace")
        if trace is not None:
            await trace("http11.send_request_headers.started", {"request": _Sent(request.method.encode())})
        if world.fails(world.chances.provider / 6):
            raise httpx2.ReadError("reset before anything was done")
        status, headers, body, seconds = self._serve(request, content)
        await asyncio.sleep(seconds)
        await world.step(f"{self._name} done")
        match world.chance.randrange(6) if world.fails(world.chances.provider / 4) else -1:
            case 0:
                raise httpx2.RemoteProtocolError("the answer was cut off")
            case 1:
                body = body[: len(body) // 2]
            case 2:
                raise httpx2.ReadTimeout("nothing came")
            # Before Gemini a 502 means mostly that nothing was done (docs/reference/gemini.md, section 6).
            case 3 if self._name == "kling":
                status, body = 502, b"<html>Bad gateway</html>"
            case 4:
                await asyncio.sleep(400)  # beyond every deadline
        return httpx2.Response(status, headers=headers, content=body, request=request)


class _Sent:
    def __init__(self, method: bytes) -> None:
        self.method = method


class SimGemini:
    """Makes images, refuses, is overloaded. `made` counts what would be billed, by prompt."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.made: Counter[str] = Counter()

    def serve(self, request: httpx2.Request, content: bytes) -> tuple[int, Json, bytes, float]:
        chance, most = self.world.chance, self.world.chances.provider
        seconds = chance.choice((0.5, 4.0, 20.0))
        body = json.loads(content) if content else {}
        if self.world.fails(most):
            status, answer, headers = chance.choice(_GEMINI_ERRORS)
            return status, headers, json.dumps(answer).encode(), seconds
        prompt = body["contents"][0]["parts"][-1]["text"]
        self.made[prompt] += 1
        part: Json = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(png()).decode()}}
        parts = [{"text": "thinking", "thought": True}, part] if chance.random() < 0.2 else [part]
        if self.world.fails(most / 4):
            parts = [{"inlineData": {"mimeType": "image/png", "data": "bm8gcGljdHVyZQ=="}}]
        usage = {"promptTokenCount": 10, "candidatesTokenCount": 1290, "totalTokenCount": 1300}
        answer = {
            "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}],
            "usageMetadata": usage,
        }
        return 200, {}, json.dumps(answer).encode(), seconds


def _status(code: int, status: str, message: str, *details: Json) -> Json:
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


_RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}
_GEMINI_ERRORS: list[tuple[int, Json, dict[str, str]]] = [
    (200, {"promptFeedback": {"blockReason": "SAFETY"}}, {}),
    (200, {"candidates": [{"finishReason": "IMAGE_SAFETY", "content": {}}]}, {}),
    (200, {"candidates": [{"finishReason": "STOP", "content": {"parts": [{"text": "I can't"}]}}]}, {}),
    (200, {"candidates": []}, {}),
    (429, _status(429, "RESOURCE_EXHAUSTED", "Quota exceeded per minute", _RETRY), {}),
    (429, _status(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota"), {"retry-after": "3"}),
    (400, _status(400, "INVALID_ARGUMENT", "Unable to process input image"), {}),
    (403, _status(403, "PERMISSION_DENIED", "Your API key was reported as leaked"), {}),
    (404, _status(404, "NOT_FOUND", "models/x is not found"), {}),
    (500, _status(500, "INTERNAL", "An internal error has occurred"), {}),
    (503, _status(503, "UNAVAILABLE", "The model is overloaded"), {}),
]


class SimKling:
    """Tasks by our external id, slow to be found, that succeed or fail; videos behind links that expire."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tasks: dict[str, Json] = {}
        self.submitted: Counter[str] = Counter()  # external id → tasks that would be billed

    def serve(self, request: httpx2.Request, content: bytes) -> tuple[int, Json, bytes, float]:
        if request.url.host == "clips.sim":
            return self._video()
        seconds = self.world.chance.choice((0.1, 1.0, 6.0))
        if request.method == "POST":
            status, answer = self._submit(json.loads(content))
        else:
            status, answer = 200, {"code": 0, "message": "SUCCEED", "data": self._found(dict(request.url.params))}
        return status, {}, json.dumps(answer).encode(), seconds

    def _submit(self, body: Json) -> tuple[int, Json]:
        chance, most = self.world.chance, self.world.chances.provider
        if self.world.fails(most):
            status, code, message = chance.choice(_KLING_ERRORS)
            return status, {"code": code, "message": message}
        key = body["options"]["external_task_id"]
        # The refusal of a repeat knows what a search would find, and a moment of that is missing.
        if any(one["external_id"] == key and one["visible"] <= self.world.now() for one in self.tasks.values()):
            return 400, {"code": 1201, "message": "external_task_id already exists"}
        self.submitted[key] += 1
        now = self.world.now()
        task = {
            "id": f"9{len(self.tasks):017d}",
            "external_id": key,
            "status": "submitted",
            "message": "",
            "visible": now + chance.choice((0.0, 5.0, 20.0)),
            "ends": now + chance.choice((5.0, 60.0, 200.0)),
            "fails": self.world.fails(most / 3),
        }
        self.tasks[task["id"]] = task
        return 200, {"code": 0, "message": "SUCCEED", "data": self._shown(task)}

    def _found(self, query: dict[str, str]) -> list[Json]:
        field = "id" if "task_ids" in query else "external_id"
        asked = (query.get("task_ids") or query.get("external_task_ids") or "").split(",")
        now = self.world.now()
        return [self._shown(one) for one in self.tasks.values() if one[field] in asked and one["visible"] <= now]

    def _shown(self, task: Json) -> Json:
        shown = {key: task[key] for key in ("id", "external_id", "message")}
        if self.world.now() < task["ends"]:
            return {**shown, "status": "processing" if self.world.chance.random() < 0.5 else "submitted"}
        if task["fails"]:
            return {**shown, "status": "failed", "message": "Failure to pass the risk control system"}
        billing = [{"charge_type": "unit", "amount": "4", "package_type": "video"}]
        outputs = [{"type": "video", "id": task["id"], "url": f"{VIDEOS}/{task['id']}.mp4", "duration": "5.041"}]
        return {**shown, "status": "succeeded", "outputs": outputs, "billing": billing}

    def _video(self) -> tuple[int, Json, bytes, float]:
        if self.world.fails(self.world.chances.provider / 2):
            return self.world.chance.choice((403, 404, 500)), {}, b"", 0.1
        return 200, {"content-type": "video/mp4"}, mp4(), 0.5


_KLING_ERRORS = [
    (429, 1303, "parallel task over resource pack limit"),
    (429, 1302, "API request too fast"),
    (400, 1301, "Failure to pass the risk control system"),
    (400, 1201, "settings.duration value is invalid"),
    (401, 1002, "api key not found"),
    (500, 5000, "Internal server error"),
    (503, 5001, "Server temporarily unavailable"),
    (504, 5002, "Server internal timeout"),
]


def connect(providers: Providers, world: World, gemini: SimGemini, kling: SimKling) -> None:
    """Put the simulated connections under the product's own clients."""
    for name, made, serve in (
        ("gemini", providers.images.values(), gemini.serve),
        ("kling", providers.videos.values(), kling.serve),
    ):
        for provider in made:
            for client in vars(provider).values():
                if isinstance(client, HttpClient):
                    transport = SimTransport(world, name, serve)
                    client._client = httpx2.AsyncClient(headers=client._client.headers, transport=transport)
