"""Kling's API as a client sees it: create, query, list, costs; and the life of a task behind it."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import math
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import web
from PIL import Image

from sandbox import settings as settings_of
from sandbox import wire
from sandbox.fetch import FetchFailed, fetch
from sandbox.kling import files, scenarios, validation
from sandbox.kling.errors import HTTP, ApiError, invalid
from sandbox.kling.life import Life, chosen_number
from sandbox.kling.models import MODELS
from sandbox.kling.settings import Settings, checked
from sandbox.kling.tasks import MONTH, Store, units
from sandbox.kling.validation import Order
from sandbox.scenario import Scenario, Scenarios
from sandbox.world import World

FACE = "kling"
PACK = "Video Generation - 5000 Units"
KINDS = ("text-to-video", "image-to-video")
Chosen = dict[str, Scenario]


class Api:
    """State and behaviour; `handle` serves everything below `/kling/`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._initial = checked(settings_of.changed(Settings(), world.settings.get(FACE, {})))
        self.settings = self._initial
        self.scenarios = Scenarios(world, FACE, scenarios.NAMES)
        self.store = Store(world.clock.now, self.settings.units * 10)
        self.clips = files.Clips()
        self._costs_asked = -math.inf
        self.life = Life(world, self.store, self.settings)
        self._executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix=FACE)

    def reset(self) -> None:
        self.settings = self._initial
        self.store = Store(self.world.clock.now, self.settings.units * 10)
        self.life.clear(self.store, self.settings)
        self.scenarios.clear()
        self.clips.clear()
        self._costs_asked = -math.inf

    def change(self, wanted: Any) -> None:
        """New settings, checked; ValueError says what is wrong."""
        self.settings = checked(settings_of.changed(self.settings, wanted))
        self.life.settings = self.settings
        self.store.units_total = self.settings.units * 10

    async def close(self) -> None:
        await self.life.sender.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def work(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Decode and draw in a thread: the event loop never waits for it."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        request_id = str(uuid.uuid4())
        tail = request.match_info["tail"].strip("/")
        self.life.base = self.world.base_url or f"{request.scheme}://{request.host}"
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
            ("GET", "tasks"): self._query,
            ("POST", "tasks"): self._page,
            ("GET", "account/costs"): self._costs,
            ("POST", "account/billing/package"): self._package,
        }
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
        self.store.keep_frames(task, frames)
        task.scenarios = {one: scenario.value for one, scenario in chosen.items()}
        task.visible_at = task.created + chosen_number(chosen, "lookup_lag", self.settings.lookup_lag, given=8)
        task.failing_gets = int(chosen_number(chosen, "get_500", 0, given=3))
        task.stale_urls = int(chosen_number(chosen, "expired_url", 0, given=1))
        self.world.spawn(self.life.run(task, chosen))
        self.world.record(
            FACE,
            "create",
            id=task.id,
            model=name,
            kind=kind,
            external_id=order.external_id,
            prompt=order.prompt[:200],
            scenarios=sorted(chosen),
        )
        created = {
            "id": task.id,
            "status": "submitted",
            "message": "",
            "create_time": int(task.created * 1000),
            "update_time": int(task.created * 1000),
            **({"external_id": order.external_id} if order.external_id is not None else {}),
        }
        answer = {"code": 0, "message": "SUCCEED", "request_id": request_id, "data": created}
        return await self._failed_after(request, chosen, answer) or web.json_response(answer)

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
            await wire.hang(request)
        if "drop_before" in chosen or "hang_before" in chosen:
            return wire.abort(request)
        return None

    async def _failed_after(
        self, request: web.Request, chosen: Chosen, answer: dict[str, Any]
    ) -> web.StreamResponse | None:
        """The task exists, but the client is not told."""
        if "hang_after" in chosen:
            await wire.hang(request)
        if "drop_after" in chosen or "hang_after" in chosen:
            return wire.abort(request)
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
            return await wire.cut(request, json.dumps(answer).encode(), "application/json")
        return None

    # --- queries ----------------------------------------------------------------------------------

    async def _query(self, request: web.Request) -> list[dict[str, Any]]:
        by_id, by_external = request.query.get("task_ids"), request.query.get("external_task_ids")
        if bool(by_id) == bool(by_external):
            raise invalid(
                "task_ids or external_task_ids is required"
                if not by_id
                else "only one of task_ids and external_task_ids is allowed"
            )
        ids = list(dict.fromkeys(one for one in (by_id or by_external or "").split(",") if one))
        if len(ids) > self.settings.max_ids:
            raise invalid(f"the number of ids must not exceed {self.settings.max_ids}")
        found = self.store.by_ids(ids) if by_id else self.store.by_external(ids)
        for task in found:
            if task.failing_gets > 0:
                task.failing_gets -= 1
                raise ApiError(5000)
        return [self.life.shown(task, f"{request.scheme}://{request.host}", asked=True) for task in found]

    async def _page(self, request: web.Request) -> dict[str, Any]:
        page = self.store.page(validation.parsed(await request.read()))
        if "result" in page:
            page["result"] = [
                self.life.shown(task, f"{request.scheme}://{request.host}", asked=True) for task in page["result"]
            ]
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
        if self.settings.units and request.query.get("resource_pack_name", PACK) == PACK:
            remaining = self.store.remaining(self.settings.costs_lag)
            data["resource_pack_subscribe_infos"] = [
                {
                    "resource_pack_name": PACK,
                    "resource_pack_id": "sandbox-pack-1",
                    "resource_pack_type": "decreasing_total",
                    "total_quantity": float(self.settings.units),
                    "remaining_quantity": remaining / 10,
                    "purchase_time": int((now - 86_400) * 1000),
                    "effective_time": int((now - 86_400) * 1000),
                    "invalid_time": int((now + 179 * 86_400) * 1000),
                    "status": "online" if remaining else "runOut",
                }
            ]
        return data

    async def _package(self, request: web.Request) -> dict[str, Any]:
        """Deductions task by task (docs/reference/kling.md, section 10), newest first."""
        ended = ["succeeded", "failed"] if self.settings.bill_failures else ["succeeded"]
        page = self.store.page(
            {**validation.parsed(await request.read()), "filters": [{"key": "status", "values": ended}]}
        )
        page["result"] = [
            {
                "task_id": task.id,
                "model_name": task.order.model.id,
                "resolution": task.order.resolution,
                "duration": str(task.order.seconds),
                "video_sound": task.order.audio,
                "deduction_amount": units(task.billed),
                "unit_before_deduction": units(max(0, self.store.units_total - task.spent_before)),
                "unit_after_deduction": units(max(0, self.store.units_total - task.spent_before - task.billed)),
                "deduction_time": int(task.updated * 1000),
            }
            for task in page.get("result", [])
        ]
        return page

    # --- results ----------------------------------------------------------------------------------

    async def _file(self, request: web.Request, name: str) -> web.StreamResponse:
        """The video at a signed address: 403 if the address is wrong or expired, 404 if there is no such video."""
        task = self.store.tasks.get(name.removesuffix(".mp4"))
        kind, expires = request.query.get("kind", "v"), request.query.get("expires", "")
        given = request.query.get("sig", "")
        now = self.world.clock.now()
        known = (
            expires.isdecimal()
            and len(expires) < 16
            and given == files.seal(name.removesuffix(".mp4"), int(expires), kind)
        )
        self.world.record(FACE, "file", id=name[:40], valid=known)
        if not known or int(expires) < now:
            return web.Response(
                status=403,
                text="<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>",
                content_type="application/xml",
            )
        if task is None or task.status != "succeeded" or task.updated + MONTH < now or "clip_404" in task.scenarios:
            return web.Response(
                status=404, text="<Error><Code>NoSuchKey</Code></Error>", content_type="application/xml"
            )
        if "clip_html" in task.scenarios:
            return _html(200)
        clip = await self.clips.get(task.id, kind, lambda: self.work(files.make, task, kind, self.settings.real_pixels))
        if "broken_clip" in task.scenarios:
            clip = clip[:64] + b"\0" * 4_096
        if "cut_clip" in task.scenarios:
            return await wire.cut(request, clip, "video/mp4")
        return web.Response(body=clip, content_type="video/mp4")

    def ledger(self) -> dict[str, Any]:
        """What was made and billed: totals, and the latest tasks one by one. Units are decimal strings."""
        store = self.store
        latest = list(store.tasks.values())[-1_000:]
        return {
            "created": store.counts["created"],
            "succeeded": store.counts["succeeded"],
            "failed": store.counts["failed"],
            "running": sum(store.busy.values()),
            "busy": dict(store.busy),
            "peak": dict(store.peak),
            "units_total": units(store.units_total),
            "units_spent": units(store.units_spent),
            "units_held": units(store.units_held),
            "tasks": [
                {
                    "id": task.id,
                    "external_id": task.order.external_id,
                    "model": task.order.model.id,
                    "kind": task.order.kind,
                    "prompt": task.order.prompt[:200],
                    "status": task.status,
                    "billed": units(task.billed),
                    "callback_url": task.order.callback_url,
                    "scenarios": task.scenarios,
                }
                for task in latest
            ],
        }


def _reduced(data: bytes) -> bytes:
    target = io.BytesIO()
    picture: Image.Image = validation.frame(data)
    picture.thumbnail((960, 960))
    picture.save(target, "JPEG", quality=88)
    return target.getvalue()


def _html(status: int) -> web.Response:
    return web.Response(
        status=status,
        text="<html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>",
        content_type="text/html",
    )
