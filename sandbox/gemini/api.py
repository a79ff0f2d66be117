"""The Gemini API as a client sees it: models, generateContent, its delays, refusals and broken connections."""

from __future__ import annotations

import asyncio
import math
import random
import re
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from sandbox import settings as settings_of
from sandbox import wire
from sandbox.fetch import FetchFailed, fetch
from sandbox.gemini import answers, errors, scenarios, validation
from sandbox.gemini.errors import ApiError
from sandbox.gemini.ledger import Entry, Ledger
from sandbox.gemini.models import ALIASES, MODELS, Model
from sandbox.scenario import Scenario, Scenarios
from sandbox.world import World

FACE = "gemini"
PATH = re.compile(r"(?:.*/)?(v1|v1beta|v1alpha)/models(?:/([^/:]+))?(?::(\w+))?/?\Z")
MAX_FETCH = 20 * 1024 * 1024


@dataclass(frozen=True)
class Settings:
    """What a test or a person may change. The speed of the clock divides every delay as well."""

    key: str = "sandbox-gemini-key"
    bearer: bool = True
    header: bool = True
    retired: tuple[str, ...] = ()
    pixel_scale: float = 1.0
    delay_scale: float = 1.0
    rpm: int = 0
    deadline: float = 600.0


class Api:
    """State and behaviour; `handle` serves everything below `/gemini/`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._initial = settings_of.changed(Settings(), world.settings.get(FACE, {}))
        self.settings = self._initial
        self.scenarios = Scenarios(world, FACE, scenarios.NAMES)
        self.ledger = Ledger()
        self._recent: dict[str, deque[float]] = {}
        self._executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="gemini")

    def reset(self) -> None:
        self.settings = self._initial
        self.ledger = Ledger()
        self.scenarios.clear()
        self._recent.clear()

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _work(self, function: Any, *arguments: Any) -> Any:
        """Draw, encode and decode in a thread: the event loop never waits for it."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._route(request)
        except ApiError as error:
            self.world.record(
                FACE, f"{request.method} {error.code}", path=request.path[:200], message=error.message[:200]
            )
            return web.json_response(error.body(), status=error.code)
        except web.HTTPRequestEntityTooLarge:
            refusal = ApiError(413, "Request payload size exceeds the limit: 104857600 bytes.")
            return web.json_response(refusal.body(), status=413)

    async def _route(self, request: web.Request) -> web.StreamResponse:
        found = PATH.match(request.match_info["tail"])
        if found is None:
            return web.Response(
                status=404, text="<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>", content_type="text/html"
            )
        version, name, method = found.groups()
        self._authorise(request)
        if method is None and request.method == "GET":
            return (
                self._list(request)
                if name is None
                else web.json_response(_shown(self._model(name, version, "getModel")))
            )
        if method == "generateContent" and name is not None and request.method == "POST":
            return await self._generate(request, self._model(name, version, method))
        raise errors.no_model(name or "", version, method or request.method)

    def _authorise(self, request: web.Request) -> None:
        key = request.headers.get("x-goog-api-key") or request.query.get("key")
        bearer = request.headers.get("Authorization", "")
        if key and self.settings.header:
            if key != self.settings.key:
                # Auth keys are tokens of a service account: a broken one is refused as a token is.
                raise errors.bad_token() if key.startswith("AQ.") else errors.bad_key()
        elif bearer:
            if not self.settings.bearer or bearer != f"Bearer {self.settings.key}":
                raise errors.bad_token()
        else:
            raise errors.no_key()

    def _model(self, name: str, version: str, method: str) -> Model:
        model = MODELS.get(ALIASES.get(name, name))
        if model is None or model.id in self.settings.retired:
            raise errors.no_model(name, version, method)
        return model

    def _list(self, request: web.Request) -> web.Response:
        models = [_shown(model) for model in MODELS.values() if model.id not in self.settings.retired]
        try:
            size, start = int(request.query.get("pageSize", "50")), int(request.query.get("pageToken") or "0")
        except ValueError as error:
            raise ApiError(400, "Invalid page_token or page_size.") from error
        size = min(1_000, size) if size > 0 else 50
        page: dict[str, Any] = {"models": models[max(0, start) : max(0, start) + size]}
        if max(0, start) + size < len(models):
            page["nextPageToken"] = str(max(0, start) + size)
        self.world.record(FACE, "models")
        return web.json_response(page)

    async def _generate(self, request: web.Request, model: Model) -> web.StreamResponse:
        raw = await request.read()
        body, prompt = await self._work(validation.prompt_in, raw)
        chosen = self.scenarios.chosen(prompt, request.path)
        ledger = self.ledger  # A reset may put a new one in its place while this call runs.
        entry = ledger.open(self.world.clock.now(), model.id, prompt)
        entry.scenarios = sorted(chosen)
        response: web.StreamResponse | None = None
        try:
            response = await self._served(request, model, body, prompt, chosen, entry)
        except ApiError as error:
            response = web.json_response(error.body(), status=error.code)
        finally:
            gone = wire.gone(request)
            ledger.close(entry, 0 if response is None or gone else response.status, disconnected=gone)
            self.world.record(
                FACE,
                "generateContent",
                id=entry.id,
                model=model.id,
                status=entry.status,
                finish=entry.finish,
                images=entry.images,
                cost_microusd=entry.cost_microusd,
                disconnected=gone,
            )
        return response

    async def _served(
        self, request: web.Request, model: Model, body: Any, prompt: str, chosen: dict[str, Scenario], entry: Entry
    ) -> web.StreamResponse:
        order = await self._work(validation.check, body, prompt, model)
        order = await self._with_files(order)
        entry.inputs, entry.size, entry.ratio = order.inputs, order.size, answers.ratio_of(order)
        self._limit(model)
        foreign = scenarios.wrapped(chosen, model.id)
        refusal = scenarios.refusal(chosen, model.id)
        if foreign or refusal or "502_html" in chosen:
            await self.world.clock.sleep(
                (chosen["slow"].number(0) if "slow" in chosen else 0.3) * self.settings.delay_scale
            )
            if foreign:
                return web.json_response(foreign[1], status=foreign[0])
            if refusal:
                raise refusal
            return web.Response(status=502, text=scenarios.HTML_502, content_type="text/html")
        if "hang" in chosen:
            # The generation continues without a client and is billed.
            await wire.hang(request)
        await self._wait(request, order, chosen, entry)
        chance = random.Random(entry.id)
        draft = answers.Draft(order, entry.id, chosen, self.settings.pixel_scale, chance)
        answer: answers.Answer = await self._work(answers.compose, draft)
        entry.bill(answer.images, answer.total_tokens, answer.cost, answer.finish)
        return await _sent(request, answer.body, chosen)

    async def _with_files(self, order: validation.Order) -> validation.Order:
        photos = list(order.photos)
        for uri in order.file_uris:
            try:
                photos.append(await self._work(validation.photo_from, await fetch(uri, MAX_FETCH)))
            except FetchFailed as error:
                raise ApiError(400, "Cannot fetch content from the provided URL.") from error
        return replace(order, photos=photos)

    def _limit(self, model: Model) -> None:
        """Limit the requests per minute and model, if the setting asks for it."""
        if not self.settings.rpm:
            return
        recent, now = self._recent.setdefault(model.id, deque()), self.world.clock.now()
        while recent and recent[0] <= now - 60:
            recent.popleft()
        if len(recent) >= self.settings.rpm:
            raise errors.quota(model.id, "PerMinute", math.ceil(recent[0] + 60 - now))
        recent.append(now)

    async def _wait(
        self, request: web.Request, order: validation.Order, chosen: dict[str, Scenario], entry: Entry
    ) -> None:
        """The model thinks: lognormal around its median with a slow tail, or what the scenario says.

        The medians: docs/reference/gemini.md, section 7.
        """
        if "slow" in chosen:
            delay = chosen["slow"].number(120)
        else:
            delay = self.world.random.lognormvariate(math.log(order.model.medians[order.size]), 0.28)
            delay *= 2.2 if self.world.random.random() < 0.04 else 1.0
            delay *= self.settings.delay_scale
        entry.delay = round(delay, 3)
        deadline = self.settings.deadline
        try:
            deadline = min(deadline, max(1.0, float(request.headers.get("X-Server-Timeout", deadline))))
        except ValueError:
            pass
        await self.world.clock.sleep(min(delay, deadline))
        if delay > deadline:
            raise ApiError(504, "Deadline expired before operation could complete.")


async def _sent(request: web.Request, body: bytes, chosen: dict[str, Scenario]) -> web.StreamResponse:
    """Send the body, whole or cut as the scenario says."""
    if "reset_before_headers" in chosen:
        wire.abort(request)
    if "reset_mid_body" in chosen and not wire.gone(request):
        return await wire.cut(request, body, "application/json; charset=UTF-8")
    if "truncated_json" in chosen:
        body = body[: len(body) // 2]
    if "empty_body" in chosen:
        body = b""
    if "not_gemini" in chosen:
        body = b'{"object":"list","data":[]}'
    return web.Response(body=body, content_type="application/json", charset="utf-8")


def _shown(model: Model) -> dict[str, Any]:
    return {
        "name": f"models/{model.id}",
        "version": "001",
        "displayName": model.title,
        "description": f"{model.title}: image generation and editing",
        "inputTokenLimit": model.limit_in,
        "outputTokenLimit": model.limit_out,
        "supportedGenerationMethods": ["generateContent", "countTokens", "batchGenerateContent"],
        "temperature": 1,
        "topP": 0.95,
        "topK": 64,
        "maxTemperature": 2,
        "thinking": bool(model.levels),
    }
