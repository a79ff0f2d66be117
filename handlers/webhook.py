"""The bot's HTTP edge: health, readiness, metrics, and the webhooks of YooKassa, Kling and Telegram.

A webhook has two halves. At the edge: is the rail on, is the body small, is the sender right, has the body the form;
then the notification is written down and answered. Inside: what it hints at is looked up before anything moves.
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
from database import jobs as job_rows
from database.models import Database, DatabaseError, Tx
from handlers.updates import Updates, is_about_money
from services.common.log import event
from services.payments.topups import Payments
from services.providers.kling_webhook import parse_callback, verify_webhook_signature
from services.settings import Network, Settings

SMALL_BODY = 64 * 1024
TELEGRAM_BODY = 1024 * 1024
BODY_SECONDS = 10.0
MAX_BACKGROUND = 200  # of each rail acted upon at once; what comes beyond is in the inbox and the sweeper's

Check = Callable[[], Awaitable[str | None]]

_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass
class WebContext:
    """What the routes need. `updates` is None in polling mode; each of `checks` says why we are not ready, or None."""

    settings: Settings
    db: Database
    payments: Payments
    metrics: Callable[[], Awaitable[bytes]]
    checks: dict[str, Check]
    updates: Updates | None = None
    background: set[asyncio.Task[None]] = field(default_factory=set)

    def spawn(self, rail: str, work: Awaitable[None], *, at_once: bool = False) -> None:
        """Act on a notification after it was answered; a crash in between leaves it to the sweeper.

        A crowd on one rail is none on another, and what is due `at_once` stands in no line.
        """
        if not at_once and sum(task.get_name() == rail for task in self.background) >= MAX_BACKGROUND:
            _close(work)
            return
        task = asyncio.create_task(_guarded(work), name=rail)
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    async def close(self, grace_seconds: float) -> None:
        if self.background:
            await asyncio.wait(self.background, timeout=grace_seconds)
        for task in self.background:
            task.cancel()
        await asyncio.gather(*self.background, return_exceptions=True)


def _close(work: Awaitable[None]) -> None:
    if asyncio.iscoroutine(work):
        work.close()


async def _guarded(work: Awaitable[None]) -> None:
    try:
        await work
    except Exception as error:
        event(_log, "webhook.follow_up_failed", level=logging.ERROR, error=type(error).__name__)


def create_web_app(context: WebContext) -> web.Application:
    """The routes of the contract on one application."""
    app = web.Application(client_max_size=TELEGRAM_BODY, middlewares=[_no_traces])
    routes = Routes(context)
    app.router.add_get("/health", routes.health)
    app.router.add_get("/ready", routes.ready)
    app.router.add_get("/metrics", routes.metrics)
    app.router.add_post("/webhooks/yookassa", routes.yookassa)
    app.router.add_post("/webhooks/kling", routes.kling)
    app.router.add_post("/webhooks/telegram", routes.telegram)
    return app


@web.middleware
async def _no_traces(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Whatever breaks, the answer is a bare 500 and the reason is in our log only."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception as error:
        event(_log, "http.crashed", level=logging.ERROR, path=request.path[:100], error=type(error).__name__)
        return web.Response(status=500)


class Refused(Exception):
    """A request that ends at the edge with this status."""

    def __init__(self, status: int, *, hang_up: bool = False) -> None:
        super().__init__(status)
        self.status = status
        self._hang_up = hang_up

    def answer(self) -> web.Response:
        response = web.Response(status=self.status)
        if self._hang_up:
            response.force_close()
        return response


class Routes:
    """One method a route; the order of their checks is the contract's."""

    def __init__(self, context: WebContext) -> None:
        self._context = context

    async def health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(self, _: web.Request) -> web.Response:
        """200 when the database, the queue and Telegram answer, else 503 with the reasons."""
        answers = await asyncio.gather(*(check() for check in self._context.checks.values()))
        reasons = {name: why for name, why in zip(self._context.checks, answers, strict=True) if why}
        return web.json_response(
            {"status": "not ready" if reasons else "ready", "reasons": reasons}, status=503 if reasons else 200
        )

    async def metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=await self._context.metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    async def yookassa(self, request: web.Request) -> web.Response:
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
            await _kept(context.db.write(_callback, f"{task.id}:{task.status}"[:200], task.id, task.external_id))
        except Refused as refused:
            event(_log, "webhook.refused", rail="kling", status=refused.status)
            return refused.answer()
        return web.Response(status=200)

    async def telegram(self, request: web.Request) -> web.Response:
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


def _callback(tx: Tx, key: str, task_id: str, external_id: str | None) -> None:
    """Written down, acted upon and done in one transaction: nothing of it can be left over."""
    item = inbox.receive(tx, "kling", key, "{}")
    job_rows.poll_now(tx, task_id, external_id if external_id and external_id.isascii() else None)
    inbox.done(tx, item.id)


def client_address(request: web.Request, trusted: tuple[Network, ...]) -> str:
    """Who really sent the request: the socket's peer, or behind our own proxies the last address they did not write.

    The left end of X-Forwarded-For is whatever the client likes; only hops added by a trusted proxy count.
    """
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    address = str(peer[0]) if peer else ""
    hops = [hop.strip() for line in request.headers.getall("X-Forwarded-For", []) for hop in line.split(",")]
    while hops and _listed(address, trusted):
        address = hops.pop()
    return address


def _listed(address: str, networks: tuple[Network, ...]) -> bool:
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
    """The body, up to `limit` bytes and ten seconds; whatever Content-Length claims, what arrives is counted."""
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
    except (web.RequestPayloadError, ConnectionError) as error:  # not packed as it says, or they hung up in the midst
        raise Refused(400, hang_up=True) from error
    return b"".join(chunks)


def _json_object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Refused(400) from error
    if not isinstance(value, dict):
        raise Refused(400)
    return value


def _notification(raw: bytes) -> tuple[str, str]:
    """A YooKassa notification's identity and the little of it we keep (docs/reference/yookassa.md, section 9)."""
    value = _json_object(raw)
    subject = value.get("object")
    name, of = value.get("event"), subject.get("id") if isinstance(subject, dict) else None
    if value.get("type") != "notification" or not isinstance(name, str) or not isinstance(of, str):
        raise Refused(400)
    if not (0 < len(of) <= 100 and 0 < len(name) <= 100) or not (of + name).isprintable():
        raise Refused(400)
    return f"{name}:{of}", json.dumps({"event": name, "object": {"id": of}})


async def _kept(writing: Awaitable[T]) -> T:
    """Only what is written down is acknowledged; else the sender shall come again."""
    try:
        return await writing
    except DatabaseError as error:
        event(_log, "webhook.not_written", level=logging.ERROR, error=type(error).__name__, detail=str(error))
        raise Refused(500) from error
