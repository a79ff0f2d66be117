"""Kling's API as a client sees it: create, query, list, costs; and the life of a task behind it."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import io
import math
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from PIL import Image

from sandbox import settings as settings_of
from sandbox.fetch import FetchFailed, fetch
from sandbox.kling import callbacks, files, scenarios, validation
from sandbox.kling.errors import HTTP, ApiError, invalid
from sandbox.kling.models import MODELS
from sandbox.kling.tasks import FINAL, MONTH, Store, Task, units
from sandbox.kling.validation import Order
from sandbox.scenario import Scenario, Scenarios
from sandbox.world import World

FACE = "kling"
KINDS = ("text-to-video", "image-to-video")
HANG_SECONDS = 3_600.0
Chosen = dict[str, Scenario]


@dataclass(frozen=True)
class Settings:
    """What a test or a person may change. Seconds are simulated; `units` is the size of the prepaid pack."""

    key: str = "sandbox-kling-key"
    concurrency: int = 20
    units: int = 5_000
    accept_duplicates: bool = False
    secrets: tuple[str, ...] = ()
    callbacks: str = "normal"
    callback_retries: int = 0
    lookup_lag: float = 0.0
    url_ttl: float = 86_400.0
    costs_lag: float = 3_600.0
    delay_scale: float = 1.0
    real_pixels: bool = False
    max_ids: int = 200


class Face:
    """State and behaviour; `handle` serves everything below `/kling/`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._initial = checked(settings_of.changed(Settings(), world.settings.get(FACE, {})))
        self.settings = self._initial
        self.scenarios = Scenarios(world, FACE, scenarios.NAMES)
        self.store = Store(world.clock.now, self.settings.units * 10)
        self.sender = callbacks.Sender(world)
        self.clips = files.Clips()
        self._costs_asked = -math.inf
        self._base = ""
        self._told: dict[str, asyncio.Task[Any]] = {}
        self._studio = ThreadPoolExecutor(max_workers=2, thread_name_prefix=FACE)

    def reset(self) -> None:
        self.settings = self._initial
        self.store = Store(self.world.clock.now, self.settings.units * 10)
        self.scenarios.clear()
        self.sender.clear()
        self.clips.clear()
        self._told.clear()
        self._costs_asked = -math.inf

    def change(self, wanted: Any) -> None:
        """New settings, checked; ValueError names the fault."""
        self.settings = checked(settings_of.changed(self.settings, wanted))
        self.store.units_total = self.settings.units * 10

    async def close(self) -> None:
        await self.sender.close()
        self._studio.shutdown(wait=False, cancel_futures=True)

    async def work(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Decoding and drawing never hold up the loop."""
        return await asyncio.get_running_loop().run_in_executor(self._studio, function, *arguments)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        request_id = str(uuid.uuid4())
        tail = request.match_info["tail"].strip("/")
        self._base = self.world.base_url or f"{request.scheme}://{request.host}"
        try:
            if tail.startswith("files/"):
                return await self._file(request, tail.removeprefix("files/"))
            self._authorise(request)
            return await self._route(request, tail, request_id)
        except ApiError as error:
            self.world.record(FACE, f"{request.method} {tail[:80]}", code=error.code, message=error.message[:200])
            return web.json_response(error.body(request_id), status=error.status)
        except web.HTTPRequestEntityTooLarge:
            return web.json_response(ApiError(1200, "Request body is too large").body(request_id), status=400)

    def _authorise(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "")
        if not given.strip():
            raise ApiError(1001)
        if given != f"Bearer {self.settings.key}":
            raise ApiError(1002)

    async def _route(self, request: web.Request, tail: str, request_id: str) -> web.StreamResponse:
        routes: dict[tuple[str, str], Callable[[web.Request], Awaitable[Any]]] = {
            ("GET", "tasks"): self._query, ("POST", "tasks"): self._page, ("GET", "account/costs"): self._costs,
            ("POST", "account/billing/package"): self._package}
        kind, _, name = tail.partition("/")
        if kind in KINDS and name in MODELS:
            if request.method != "POST":
                raise ApiError(1202)
            return await self._create(request, kind, name, request_id)
        handler = routes.get((request.method, tail))
        if handler is None:
            raise ApiError(1202 if any(path == tail for _, path in routes) else 1203)
        data = await handler(request)
        self.world.record(FACE, f"{request.method} {tail}")
        return web.json_response({"code": 0, "message": "SUCCEED", "request_id": request_id, "data": data})

    # --- create -----------------------------------------------------------------------------------

    async def _create(self, request: web.Request, kind: str, name: str, request_id: str) -> web.StreamResponse:
        body = await self.work(validation.parsed, await request.read())
        prompt = validation.prompt_of(body)
        chosen = self.scenarios.chosen(prompt, request.path)
        order: Order = validation.check(body, kind, MODELS[name])
        if "slow_create" in chosen:
            await self.world.clock.sleep(chosen["slow_create"].number(5))
        early = await self._failed_before(request, chosen)
        if early is not None:
            return early
        frames = [await self._frame(one) for one in (order.first_frame, order.last_frame) if one is not None]
        # The originals may be fifty megabytes each; the reduced copies are enough to draw from.
        order = dataclasses.replace(order, first_frame=None, last_frame=None)
        task = self.store.create(order, slots=self.settings.concurrency, duplicates=self.settings.accept_duplicates)
        task.frames = frames
        task.scenarios = {one: scenario.value for one, scenario in chosen.items()}
        task.visible_at = task.created + self._number(chosen, "lookup_lag", self.settings.lookup_lag, given=8)
        task.failing_gets = int(self._number(chosen, "get_500", 0, given=3))
        task.stale_urls = int(self._number(chosen, "expired_url", 0, given=1))
        self.world.spawn(self._live(task, chosen))
        self.world.record(FACE, "create", id=task.id, model=name, kind=kind, external_id=order.external_id,
                          prompt=order.prompt[:200], scenarios=sorted(chosen))
        created = {"id": task.id, "status": "submitted", "message": "", "create_time": int(task.created * 1000),
                   "update_time": int(task.created * 1000),
                   **({"external_id": order.external_id} if order.external_id is not None else {})}
        answer = {"code": 0, "message": "SUCCEED", "request_id": request_id, "data": created}
        return await self._failed_after(request, chosen, answer) or web.json_response(answer)

    @staticmethod
    def _number(chosen: Chosen, name: str, default: float, *, given: float) -> float:
        """The scenario's number, `given` where it has none, and `default` without the scenario."""
        return chosen[name].number(given) if name in chosen else default

    async def _frame(self, value: str) -> bytes:
        """A frame given as URL or raw Base64, checked and reduced to a small JPEG."""
        if value.startswith(("http://", "https://")):
            try:
                data = await fetch(value, validation.MAX_IMAGE)
            except FetchFailed as error:
                raise invalid("Failed to download the image from the given url") from error
        else:
            data = await self.work(validation.decoded, value)
        return bytes(await self.work(_reduced, data))

    async def _failed_before(self, request: web.Request, chosen: Chosen) -> web.StreamResponse | None:
        code = next((int(name) for name in chosen if name.isdigit() and int(name) in HTTP), None)
        if code is not None:
            raise ApiError(code)
        if "html_502" in chosen:
            return _html(502)
        if "hang_before" in chosen:
            await _hang(request)
        if "drop_before" in chosen or "hang_before" in chosen:
            return _drop(request)
        return None

    async def _failed_after(self, request: web.Request, chosen: Chosen, answer: dict[str, Any]) -> web.StreamResponse | None:
        """The task exists, the caller does not learn of it."""
        if "hang_after" in chosen:
            await _hang(request)
        if "drop_after" in chosen or "hang_after" in chosen:
            return _drop(request)
        for name, code in (("504_after", 5002), ("500_after", 5000)):
            if name in chosen:
                raise ApiError(code)
        if "html_502_after" in chosen:
            return _html(502)
        if "empty_2xx" in chosen:
            return web.Response(status=200, content_type="application/json")
        if "no_id_2xx" in chosen:
            return web.json_response({**answer, "data": None})
        if "reset_mid_body" in chosen:
            cut = web.StreamResponse(headers={"Content-Type": "application/json"})
            cut.content_length = 400
            await cut.prepare(request)
            await cut.write(b'{"code":0,"message":"SUCCEED","data":{"id":"')
            _drop(request)
            return cut
        return None

    # --- life -------------------------------------------------------------------------------------

    async def _live(self, task: Task, chosen: Chosen) -> None:
        """submitted → processing → succeeded or failed, each told to the callback address."""
        order = task.order
        total = self.world.random.lognormvariate(math.log(order.model.latency(order.resolution, order.seconds, order.audio)), 0.25)
        total = self._number(chosen, "slow", total * self.settings.delay_scale, given=1_800)
        queued = min(4.0, total * 0.1)
        self.tell(task)
        await self.world.clock.sleep(queued)
        if self.store.move(task, "queued" if "unknown_status" in chosen else "processing"):
            self.tell(task)
        await self.world.clock.sleep(total - queued)
        if "stuck" in chosen:
            return
        reason = scenarios.RISK_CONTROL if "late_moderation" in chosen else None
        if "fail" in chosen:
            reason = chosen["fail"].value.replace("_", " ") or "Generation failed"
        self.finish(task, reason)

    def finish(self, task: Task, failure: str | None = None) -> bool:
        """End a task now; False when it has ended before."""
        moved = self.store.move(task, "succeeded" if failure is None else "failed", failure or "")
        if moved:
            self.tell(task)
        return moved

    def tell(self, task: Task, mode: str | None = None) -> None:
        """Send the callback of the present state, after those before it."""
        url = task.order.callback_url
        if url is None:
            return
        mode = mode or task.scenarios.get("callbacks") or self.settings.callbacks
        mode = mode if mode in callbacks.MODES else "normal"
        shown = self.shown(task, self._base)
        before = self._told.get(task.id)

        async def send() -> None:
            if before is not None:
                await asyncio.wait([before])
            await self.sender.send(url, shown, mode, self.settings.secrets, self.settings.callback_retries)

        self._told[task.id] = self.world.spawn(send())
        if task.final:
            self._told[task.id].add_done_callback(lambda _: self._told.pop(task.id, None))

    def shown(self, task: Task, base: str) -> dict[str, Any]:
        """The task as `/tasks` and callbacks tell it (section 3)."""
        body: dict[str, Any] = {"id": task.id, "status": task.status, "message": task.message,
                                "create_time": int(task.created * 1000), "update_time": int(task.updated * 1000)}
        if task.order.external_id is not None:
            body["external_id"] = task.order.external_id
        body["billing"] = []
        if task.final:
            body["billing"] = [{"charge_type": "unit", "amount": units(task.billed), "package_type": "video"}]
        if task.status == "succeeded" and "no_outputs" not in task.scenarios:
            body["outputs"] = [self._output(task, base)]
        return body

    def _output(self, task: Task, base: str) -> dict[str, Any]:
        expires = int(self.world.clock.now() + self.settings.url_ttl)
        if task.stale_urls > 0:
            task.stale_urls -= 1
            expires = int(self.world.clock.now()) - 1
        output = {"type": "video", "id": task.id, "url": files.address(base, task.id, expires),
                  "duration": f"{task.order.seconds}.041"}
        if task.order.watermark:
            output["watermark_url"] = files.address(base, task.id, expires, "w")
        return output

    # --- queries ----------------------------------------------------------------------------------

    async def _query(self, request: web.Request) -> list[dict[str, Any]]:
        by_id, by_external = request.query.get("task_ids"), request.query.get("external_task_ids")
        if bool(by_id) == bool(by_external):
            raise invalid("task_ids or external_task_ids is required" if not by_id else
                          "only one of task_ids and external_task_ids is allowed")
        ids = list(dict.fromkeys(one for one in (by_id or by_external or "").split(",") if one))
        if len(ids) > self.settings.max_ids:
            raise invalid(f"the number of ids must not exceed {self.settings.max_ids}")
        found = self.store.by_ids(ids) if by_id else self.store.by_external(ids)
        for task in found:
            if task.failing_gets > 0:
                task.failing_gets -= 1
                raise ApiError(5000)
        return [self.shown(task, f"{request.scheme}://{request.host}") for task in found]

    async def _page(self, request: web.Request) -> dict[str, Any]:
        page = self.store.page(validation.parsed(await request.read()))
        if "result" in page:
            page["result"] = [self.shown(task, f"{request.scheme}://{request.host}") for task in page["result"]]
        return page

    async def _costs(self, request: web.Request) -> dict[str, Any]:
        for name in ("start_time", "end_time"):
            if not request.query.get(name, "").isdecimal():
                raise invalid(f"{name} value is invalid")
        now = self.world.clock.now()
        if now - self._costs_asked < 1.0:
            raise ApiError(1302)
        self._costs_asked = now
        data: dict[str, Any] = {"code": 0, "msg": "SUCCEED"}
        if self.settings.units:
            remaining = self.store.remaining(self.settings.costs_lag)
            data["resource_pack_subscribe_infos"] = [{
                "resource_pack_name": "Video Generation - 5000 Units", "resource_pack_id": "sandbox-pack-1",
                "resource_pack_type": "decreasing_total", "total_quantity": float(self.settings.units),
                "remaining_quantity": remaining / 10, "purchase_time": int((now - 86_400) * 1000),
                "effective_time": int((now - 86_400) * 1000), "invalid_time": int((now + 179 * 86_400) * 1000),
                "status": "online" if remaining else "runOut"}]
        return data

    async def _package(self, request: web.Request) -> dict[str, Any]:
        """Deductions task by task (section 10), newest first."""
        page = self.store.page({**validation.parsed(await request.read()), "filters": [{"key": "status", "values": ["succeeded"]}]})
        page["result"] = [{
            "task_id": task.id, "model_name": task.order.model.id, "resolution": task.order.resolution,
            "duration": str(task.order.seconds), "video_sound": task.order.audio, "deduction_amount": units(task.billed),
            "deduction_time": int(task.updated * 1000)} for task in page.get("result", [])]
        return page

    # --- results ----------------------------------------------------------------------------------

    async def _file(self, request: web.Request, name: str) -> web.StreamResponse:
        """The clip behind a signed address: 403 when the address is wrong or too old, 404 when the clip is."""
        task = self.store.tasks.get(name.removesuffix(".mp4"))
        kind, expires = request.query.get("kind", "v"), request.query.get("expires", "")
        given = request.query.get("sig", "")
        now = self.world.clock.now()
        known = expires.isdecimal() and len(expires) < 16 and given == files.seal(name.removesuffix(".mp4"), int(expires), kind)
        self.world.record(FACE, "file", id=name[:40], valid=known)
        if not known or int(expires) < now:
            return web.Response(status=403, text="<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>",
                                content_type="application/xml")
        if task is None or task.status != "succeeded" or task.updated + MONTH < now or "clip_404" in task.scenarios:
            return web.Response(status=404, text="<Error><Code>NoSuchKey</Code></Error>", content_type="application/xml")
        if "clip_html" in task.scenarios:
            return _html(200)
        clip = await self.clips.get(task.id, kind, lambda: self.work(files.make, task, kind, self.settings.real_pixels))
        if "broken_clip" in task.scenarios:
            clip = clip[:64] + b"\0" * 4_096
        if "cut_clip" in task.scenarios:
            cut = web.StreamResponse(headers={"Content-Type": "video/mp4"})
            cut.content_length = len(clip)
            await cut.prepare(request)
            await cut.write(clip[: len(clip) // 2])
            _drop(request)
            return cut
        return web.Response(body=clip, content_type="video/mp4")

    def ledger(self) -> dict[str, Any]:
        """What was made and billed: numbers over all, and the latest tasks one by one. Units are decimal strings."""
        store = self.store
        latest = list(store.tasks.values())[-1_000:]
        return {"created": store.counts["created"], "succeeded": store.counts["succeeded"], "failed": store.counts["failed"],
                "running": sum(store.busy.values()), "busy": dict(store.busy), "peak": dict(store.peak),
                "units_total": units(store.units_total), "units_spent": units(store.units_spent), "units_held": units(store.units_held),
                "tasks": [{"id": task.id, "external_id": task.order.external_id, "model": task.order.model.id, "kind": task.order.kind,
                           "prompt": task.order.prompt[:200], "status": task.status, "billed": units(task.billed),
                           "callback_url": task.order.callback_url, "scenarios": task.scenarios} for task in latest]}


def checked(settings: Settings) -> Settings:
    """The settings themselves; ValueError where a secret or a mode is none."""
    if settings.callbacks not in callbacks.MODES:
        raise ValueError(f"callbacks: one of {', '.join(sorted(callbacks.MODES))}")
    for secret in settings.secrets:
        if not isinstance(secret, str) or not secret.startswith("whsec_"):
            raise ValueError("secrets: each is whsec_ and Base64")
        base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    return settings


def _reduced(data: bytes) -> bytes:
    target = io.BytesIO()
    picture: Image.Image = validation.frame(data)
    picture.thumbnail((1_280, 1_280))
    picture.save(target, "JPEG", quality=88)
    return target.getvalue()


def _html(status: int) -> web.Response:
    return web.Response(status=status, text="<html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>",
                        content_type="text/html")


def _drop(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _hang(request: web.Request) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + HANG_SECONDS
    while request.transport is not None and not request.transport.is_closing() and loop.time() < until:
        await asyncio.sleep(0.05)
