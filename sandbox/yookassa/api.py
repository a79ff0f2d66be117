"""The API: routes, credentials, keys and error answers under `/yookassa/v3/…`.

Facts: docs/reference/yookassa.md, sections 1-8.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import copy
import hmac
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from sandbox.yookassa import lists
from sandbox.yookassa.cards import CARDS, DEFAULT_CARD
from sandbox.yookassa.idempotency import Outcome, canonical, check_key
from sandbox.yookassa.notifications import Notifier
from sandbox.yookassa.objects import Payment, Refund
from sandbox.yookassa.rules import ApiFailure, invalid
from sandbox.yookassa.shop import Shop, not_found

PREFIX = "/yookassa/v3"
MAX_BODY = 1 << 20
Action = Callable[[web.Request], Awaitable[dict[str, Any]]]
Effect = Callable[[Any], Payment | Refund]


class Api:
    """Handlers of one shop. A handler returns a JSON object or raises ApiFailure."""

    def __init__(self, shop: Shop, notifier: Notifier) -> None:
        self.shop = shop
        self.notifier = notifier

    def mount(self, app: web.Application) -> None:
        self._route(app, "/me", {"GET": self.me})
        self._route(app, "/payments", {"GET": self.list_payments, "POST": self.create_payment})
        self._route(app, "/payments/{id}", {"GET": self.get_payment})
        self._route(app, "/payments/{id}/capture", {"POST": self.capture_payment})
        self._route(app, "/payments/{id}/cancel", {"POST": self.cancel_payment})
        self._route(app, "/refunds", {"GET": self.list_refunds, "POST": self.create_refund})
        self._route(app, "/refunds/{id}", {"GET": self.get_refund})
        self._route(app, "/receipts", {"GET": self.list_receipts})
        self._route(app, "/{tail:.*}", {})

    # --- reading ----------------------------------------------------------------------------------------------------

    async def me(self, _: web.Request) -> dict[str, Any]:
        settings = self.shop.settings
        fiscalization: dict[str, Any] = {"enabled": settings.fiscalization}
        if settings.fiscalization:
            fiscalization["provider"] = settings.fiscalization_provider
        return {
            "account_id": settings.shop_id,
            "status": settings.status,
            "test": settings.test,
            "fiscalization": fiscalization,
            "payment_methods": list(self.shop.methods),
            "itn": "1234567890",
        }

    async def get_payment(self, request: web.Request) -> dict[str, Any]:
        return self.shop.show(self._payment(request))

    async def get_refund(self, request: web.Request) -> dict[str, Any]:
        refund = self.shop.refunds.get(request.match_info["id"])
        if refund is None:
            raise not_found(self.shop.settings, "Refund")
        return self.shop.show(refund)

    async def list_payments(self, request: web.Request) -> dict[str, Any]:
        return lists.payments(self.shop, request.query)

    async def list_refunds(self, request: web.Request) -> dict[str, Any]:
        return lists.refunds(self.shop, request.query)

    async def list_receipts(self, request: web.Request) -> dict[str, Any]:
        return lists.receipts(self.shop, request.query)

    # --- acting -----------------------------------------------------------------------------------------------------

    async def create_payment(self, request: web.Request) -> dict[str, Any]:
        created: list[Payment] = []

        def create(body: Any) -> Payment:
            created.append(self.shop.create(body))
            return created[0]

        answer = await self._once(request, create)
        if created and self.shop.settings.pay_before_create_answer:
            # The fastest possible payer: the notification arrives before the answer with the payment's id.
            answer = copy.deepcopy(answer)
            self.shop.pay(created[0], CARDS[DEFAULT_CARD])
            await self.notifier.settle(self.shop.settings.notification_timeout)
        return answer

    async def capture_payment(self, request: web.Request) -> dict[str, Any]:
        def capture(body: Any) -> Payment:
            payment = self._payment(request)
            self.shop.capture(payment, body)
            return payment

        return await self._once(request, capture, body_needed=False)

    async def cancel_payment(self, request: web.Request) -> dict[str, Any]:
        def cancel(_: Any) -> Payment:
            payment = self._payment(request)
            self.shop.cancel(payment)
            return payment

        return await self._once(request, cancel, body_needed=False)

    async def create_refund(self, request: web.Request) -> dict[str, Any]:
        return await self._once(request, self.shop.refund)

    async def _once(self, request: web.Request, effect: Effect, *, body_needed: bool = True) -> dict[str, Any]:
        """Do what the request asks for, once per idempotence key; a repeat gets the result of the first.

        Errors are remembered as well: after a 4xx the client has to fix the request and take a new key.
        """
        if request.content_type != "application/json":
            raise ApiFailure(415, None, "Content-Type must be application/json")
        key = check_key(request.headers.get("Idempotence-Key"))
        body = await _body(request, needed=body_needed)
        place = (self.shop.settings.shop_id, request.method, request.path, key)
        earlier = self.shop.keys.recall(place, body)
        if earlier is not None:
            return self._replay(earlier)
        try:
            item = effect(body)
        except ApiFailure as failure:
            self.shop.keys.remember(place, body, Outcome(failure=failure))
            raise
        answer = self.shop.show(item)
        self.shop.keys.remember(place, body, Outcome(show=lambda: self.shop.show(item), snapshot=answer))
        return answer

    def _replay(self, earlier: Outcome) -> dict[str, Any]:
        """The first answer or the current object: both are promised, a setting chooses.

        The promises: docs/reference/yookassa.md, section 1.
        """
        if earlier.failure is not None:
            raise earlier.failure.with_traceback(None)
        assert earlier.show is not None
        assert earlier.snapshot is not None
        return earlier.snapshot if self.shop.settings.replay == "snapshot" else earlier.show()

    def _payment(self, request: web.Request) -> Payment:
        payment = self.shop.payment(request.match_info["id"])
        if payment is None:
            raise not_found(self.shop.settings, "Payment")
        return payment

    # --- routes and credentials -------------------------------------------------------------------------------------

    def _route(self, app: web.Application, path: str, actions: Mapping[str, Action]) -> None:
        async def handle(request: web.Request) -> web.Response:
            self.shop.world.record("yookassa", f"{request.method} {path}", path=request.path)
            try:
                self._check_credentials(request.headers.get("Authorization", ""))
                action = actions.get(request.method)
                if action is None:
                    raise ApiFailure(405, None) if actions else ApiFailure(404, "not_found", "No such method")
                return web.json_response(await action(request))
            except ApiFailure as failure:
                return web.json_response(failure.as_json(str(uuid.uuid4())), status=failure.status)

        app.router.add_route("*", PREFIX + path, handle)

    def _check_credentials(self, header: str) -> None:
        scheme, _, token = header.partition(" ")
        settings = self.shop.settings
        expected = f"{settings.shop_id}:{settings.secret_key}".encode()
        try:
            given = base64.b64decode(token.strip(), validate=True)
        except (binascii.Error, ValueError):
            given = b""
        if scheme.lower() != "basic" or not hmac.compare_digest(given, expected):
            text = (
                "Error in shopId or secret key. Check their validity. You can reissue the key in the Merchant Profile"
            )
            raise ApiFailure(401, "invalid_credentials", text)


async def _body(request: web.Request, *, needed: bool) -> Any:
    """The JSON of the request; bytes that are not strict JSON are the client's error."""
    try:
        raw = await request.content.readexactly(MAX_BODY + 1)
    except asyncio.IncompleteReadError as short:
        raw = short.partial
    if len(raw) > MAX_BODY:
        raise invalid("Request body is too large")
    if not raw.strip() and not needed:
        return None
    try:
        body = json.loads(raw, parse_constant=_no_such_number)
        canonical(body)
    except (ValueError, RecursionError):
        raise invalid("Request body is not valid JSON") from None
    return body


def _no_such_number(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
