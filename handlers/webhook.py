"""The bot's HTTP routes: health, readiness, metrics, and the webhooks of YooKassa, Kling and Telegram.

A webhook has two parts. The route checks whether its source is on, how large the body is, who sent it and whether the
body has the right form. Then the notification is written into the inbox and answered. After that the background task
acts on it: a notification is only a hint, so it asks the source before anything changes.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import web

from database import clock, inbox
from database import video_jobs as video_rows
from database.models import Database, DatabaseError, Tx
from handlers.updates import Updates, is_about_money
from services.common.log import event
from services.payments.payments import Payments
from services.providers.kling_webhook import parse_callback, verify_webhook_signature
from services.settings import Network, Settings

SMALL_BODY = 64 * 1024
TELEGRAM_BODY = 1024 * 1024
BODY_SECONDS = 10.0
MAX_BACKGROUND = 200  # tasks of one source at a time; what comes beyond stays in the inbox for the sweeper

Check = Callable[[], Awaitable[str | None]]

_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass
class WebContext:
    """What the routes need.

    `updates` is None in polling mode. `metrics` renders the page. Each of `checks` returns why the bot is not ready, or
    None.
    """

    settings: Settings
    db: Database
    payments: Payments
    metrics: Callable[[], Awaitable[bytes]]
    checks: dict[str, Check]
    updates: Updates | None = None
    background: set[asyncio.Task[None]] = field(default_factory=set)

    def spawn(self, source: str, work: Awaitable[None], *, at_once: bool = False) -> None:
        """Act on a notification in the background, while it is answered. After a crash the sweeper acts on it.

        Each source has its own limit of tasks; `at_once` ignores it.
        """
        if not at_once and sum(task.get_name() == source for task in self.background) >= MAX_BACKGROUND:
            _close(work)
            return
        task = asyncio.create_task(_guarded(work), name=source)
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    async def close(self, grace_seconds: float) -> None:
        """Give the tasks so many seconds to end, then cancel them."""
        if self.background:
            await asyncio.wait(self.background, timeout=grace_seconds)
        for task in self.background:
            task.cancel()
        await asyncio.gather(*self.background, return_exceptions=True)


def _close(work: Awaitable[None]) -> None:
    """Python warns of a coroutine that was never awaited, unless it is closed."""
    if asyncio.iscoroutine(work):
        work.close()


async def _guarded(work: Awaitable[None]) -> None:
    try:
        await work
    except Exception as error:
        event(_log, "webhook.follow_up_failed", level=logging.ERROR, error=type(error).__name__)


def create_web_app(context: WebContext) -> web.Application:
    """An application with all routes."""
    app = web.Application(client_max_size=TELEGRAM_BODY, middlewares=[_no_details])
    routes = Routes(context)
    app.router.add_get("/health", routes.health)
    app.router.add_get("/ready", routes.ready)
    app.router.add_get("/metrics", routes.metrics)
    app.router.add_post("/webhooks/yookassa", routes.yookassa)
    app.router.add_post("/webhooks/kling", routes.kling)
    app.router.add_post("/webhooks/telegram", routes.telegram)
    return app


@web.middleware
async def _no_details(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """After an unexpected error answer 500 without a body; the reason is in our log only."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception as error:
        event(_log, "http.crashed", level=logging.ERROR, path=request.path[:100], error=type(error).__name__)
        return web.Response(status=500)


class Refused(Exception):
    """A request that is answered with an error status; `hang_up` closes the connection."""

    def __init__(self, status: int, *, hang_up: bool = False) -> None:
        super().__init__(status)
        self.status = status
        self._hang_up = hang_up

    def answer(self) -> web.Response:
        """The answer, without a body."""
        response = web.Response(status=self.status)
        if self._hang_up:
            response.force_close()
        return response


class Routes:
    """One method for each route. The order of the checks decides which status a bad request gets."""

    def __init__(self, context: WebContext) -> None:
        self._context = context

    async def health(self, _: web.Request) -> web.Response:
        """200 as long as the process runs."""
        return web.json_response({"status": "ok"})

    async def ready(self, _: web.Request) -> web.Response:
        """200 when the database, the queue and Telegram answer, else 503 with the reasons."""
        answers = await asyncio.gather(*(check() for check in self._context.checks.values()))
        reasons = {name: why for name, why in zip(self._context.checks, answers, strict=True) if why}
        return web.json_response(
            {"status": "not ready" if reasons else "ready", "reasons": reasons}, status=503 if reasons else 200
        )

    async def metrics(self, _: web.Request) -> web.Response:
        """Metrics in the text format of Prometheus."""
        return web.Response(
            body=await self._context.metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    async def yookassa(self, request: web.Request) -> web.Response:
        """A notification about a payment or a refund. The sender is known by its address."""
        context = self._context
        try:
            _require(context.payments.enabled, 404)
            raw = await _body(request, SMALL_BODY)
            sender = client_address(request, context.settings.trusted_proxies)
            _require(_listed(sender, context.settings.yookassa_webhook_cidrs), 403)
            key, text = _notification(raw)
            item = await _kept(context.db.write(inbox.receive, "yookassa", key, text))
        except Refused as refused:
            event(_log, "webhook.refused", rail="yookassa", status=refused.status)
            return refused.answer()
        context.spawn("yookassa", context.payments.handle_notification(item))
        return web.Response(status=200)

    async def kling(self, request: web.Request) -> web.Response:
        """A callback about a video. The sender is known by its signature, if we have set a secret."""
        context = self._context
        secret = context.settings.kling_webhook_secret
        try:
            _require(context.settings.kling_enabled, 404)
            raw = await _body(request, SMALL_BODY)
            if secret is not None:
                signed = verify_webhook_signature(secret.get_secret_value(), request.headers, raw, now=clock.now())
                _require(signed, 403)
            try:
                task = parse_callback(raw)
            except ValueError as error:
                raise Refused(400) from error
            key = f"{task.id}:{task.status}"[:200]
            await _kept(context.db.write(_poll_task, key, task.id, task.external_id))
        except Refused as refused:
            event(_log, "webhook.refused", rail="kling", status=refused.status)
            return refused.answer()
        return web.Response(status=200)

    async def telegram(self, request: web.Request) -> web.Response:
        """An update. The sender is known by the secret that we gave Telegram with the webhook."""
        context = self._context
        try:
            if context.updates is None:
                raise Refused(404)
            raw = await _body(request, TELEGRAM_BODY)
            given = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
            secret = context.settings.telegram_webhook_token
            _require(hmac.compare_digest(given.encode(errors="surrogateescape"), secret.encode()), 401)
            update_id = _json_object(raw).get("update_id")
            if not isinstance(update_id, int) or isinstance(update_id, bool):
                raise Refused(400)
            item = await _kept(context.updates.write_down(raw.decode(), update_id))
        except Refused as refused:
            event(_log, "webhook.refused", rail="telegram", status=refused.status)
            return refused.answer()
        if item is not None:
            context.spawn("telegram", context.updates.take(item), at_once=is_about_money(item))
        return web.Response(status=200)


def _poll_task(tx: Tx, key: str, task_id: str, external_id: str | None) -> None:
    """Write the callback into the inbox, make its job due for a poll, and mark it done, all in one transaction."""
    item = inbox.receive(tx, "kling", key, "{}")
    video_rows.poll_now(tx, task_id, external_id if external_id and external_id.isascii() else None)
    inbox.done(tx, item.id)


def client_address(request: web.Request, trusted: tuple[Network, ...]) -> str:
    """The address that has sent the request: the socket's peer, or the last address in front of our trusted proxies.

    A client can write anything into X-Forwarded-For. Only the addresses that a trusted proxy has added count, and they
    are at its right end.
    """
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    address = str(peer[0]) if peer else ""
    hops = [hop.strip() for line in request.headers.getall("X-Forwarded-For", []) for hop in line.split(",")]
    while hops and _listed(address, trusted):
        address = hops.pop()
    return address


def _listed(address: str, networks: tuple[Network, ...]) -> bool:
    """Whether the address is in one of the networks; an IPv4 address may be written as an IPv6 one."""
    try:
        ip = ipaddress.ip_address(address.strip())
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return any((mapped or ip) in network for network in networks)


def _require(holds: bool, status: int) -> None:
    if not holds:
        raise Refused(status)


async def _body(request: web.Request, limit: int) -> bytes:
    """The body of at most `limit` bytes, received within ten seconds. What arrives is counted, not only Content-Length.

    Raises Refused (400, 408, 413).
    """
    if request.content_length is not None and request.content_length > limit:
        raise Refused(413)
    chunks, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.content.iter_chunked(16 * 1024):
                size += len(chunk)
                if size > limit:
                    raise Refused(413)
                chunks.append(chunk)
    except TimeoutError as error:
        raise Refused(408) from error
    except (web.RequestPayloadError, ConnectionError) as error:  # wrong Content-Encoding, or the sender hung up
        raise Refused(400, hang_up=True) from error
    return b"".join(chunks)


def _json_object(raw: bytes) -> dict[str, Any]:
    """The body as a JSON object. Raises Refused (400)."""
    try:
        value = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Refused(400) from error
    if not isinstance(value, dict):
        raise Refused(400)
    return value


def _notification(raw: bytes) -> tuple[str, str]:
    """The inbox key of a YooKassa notification, and the part of it that is stored (JSON). Raises Refused (400).

    Form of a notification: docs/reference/yookassa.md, section 9.
    """
    value = _json_object(raw)
    subject = value.get("object")
    name, object_id = value.get("event"), subject.get("id") if isinstance(subject, dict) else None
    if value.get("type") != "notification" or not isinstance(name, str) or not isinstance(object_id, str):
        raise Refused(400)
    if not (0 < len(object_id) <= 100 and 0 < len(name) <= 100) or not (object_id + name).isprintable():
        raise Refused(400)
    return f"{name}:{object_id}", json.dumps({"event": name, "object": {"id": object_id}})


async def _kept(writing: Awaitable[T]) -> T:
    """The result of the write. Raises Refused (500) when it failed, so that the sender sends the notification again."""
    try:
        return await writing
    except DatabaseError as error:
        event(_log, "webhook.not_written", level=logging.ERROR, error=type(error).__name__, detail=str(error))
        raise Refused(500) from error
