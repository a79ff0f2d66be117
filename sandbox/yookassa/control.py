"""The shop's control routes, `/_control/yookassa/…`: acts of payers, banks, merchants and forgers of notifications."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from aiohttp import web

from sandbox.yookassa import cards, rules
from sandbox.yookassa.notifications import Notifier
from sandbox.yookassa.objects import Payment, merge_patch
from sandbox.yookassa.shop import Shop, WrongState

PREFIX = "/_control/yookassa"
MAX_REPEATS = 1_000
Action = Callable[[web.Request, dict[str, Any]], Awaitable[Any]]


class Control:
    """Handlers of the control routes; each answers JSON, errors are 400, 404 and 409 with `{"error": …}`."""

    def __init__(self, shop: Shop, notifier: Notifier) -> None:
        self.shop = shop
        self.notifier = notifier

    def mount(self, app: web.Application) -> None:
        self._route(app, "GET", "/settings", self.settings)
        self._route(app, "POST", "/settings", self.settings)
        self._route(app, "GET", "/payments", self.payments)
        self._route(app, "POST", "/payments/{id}/pay", self.pay)
        self._route(app, "POST", "/payments/{id}/decline", self.decline)
        self._route(app, "POST", "/payments/{id}/expire", self.expire)
        self._route(app, "GET", "/refunds", self.refunds)
        self._route(app, "POST", "/refunds", self.refund)
        self._route(app, "POST", "/refunds/{id}/settle", self.settle_refund)
        self._route(app, "GET", "/notifications", self.notifications)
        self._route(app, "POST", "/notify", self.notify)

    async def settings(self, _: web.Request, wanted: dict[str, Any]) -> Any:
        self.shop.settings.update(wanted)
        return self.shop.settings.public()

    async def payments(self, _: web.Request, __: dict[str, Any]) -> Any:
        return [self.shop.show(payment) for payment in reversed(list(self.shop.payments.values()))]

    async def pay(self, request: web.Request, wanted: dict[str, Any]) -> Any:
        """`{"card"?, "method"?: "yoo_money", "three_ds"?}`; a declining card ends the payment as it would at a bank."""
        payment = self._payment(request.match_info["id"])
        if wanted.get("method") == "yoo_money":
            self.shop.pay(payment, None)
            return self.shop.show(payment)
        card = cards.find(str(wanted.get("card", cards.DEFAULT_CARD)))
        if card is None:
            raise ValueError("not a test card")
        if card.reason is not None:
            self.shop.decline(payment, card.reason, card.party, card)
        else:
            self.shop.pay(payment, card, three_ds=wanted.get("three_ds"))
        return self.shop.show(payment)

    async def decline(self, request: web.Request, wanted: dict[str, Any]) -> Any:
        """`{"reason"?, "party"?}`: the payment ends; `decline_ends_payment` concerns only the checkout page."""
        payment = self._payment(request.match_info["id"])
        party = str(wanted.get("party", "payment_network"))
        self.shop.decline(payment, str(wanted.get("reason", "general_decline")), party)
        return self.shop.show(payment)

    async def expire(self, request: web.Request, _: dict[str, Any]) -> Any:
        payment = self._payment(request.match_info["id"])
        self.shop.expire(payment)
        return self.shop.show(payment)

    async def refunds(self, _: web.Request, __: dict[str, Any]) -> Any:
        return [self.shop.show(refund) for refund in reversed(list(self.shop.refunds.values()))]

    async def refund(self, _: web.Request, wanted: dict[str, Any]) -> Any:
        """`{"payment_id", "amount"?: "100.00" | {"value", "currency"}}`: the whole rest without an amount."""
        payment = self._payment(wanted.get("payment_id"))
        value = wanted.get("amount")
        return self.shop.show(self.shop.refund_from_profile(payment, None if value is None else _rubles(value)))

    async def settle_refund(self, request: web.Request, wanted: dict[str, Any]) -> Any:
        """`{"status": "succeeded" | "canceled", "reason"?}` for a refund that is pending."""
        refund = self.shop.refunds.get(request.match_info["id"])
        if refund is None:
            raise LookupError("no such refund")
        status = wanted.get("status", "succeeded")
        if status not in ("succeeded", "canceled"):
            raise ValueError("status must be succeeded or canceled")
        self.shop.settle_refund(refund, status, str(wanted.get("reason", "general_decline")))
        return self.shop.show(refund)

    async def notifications(self, _: web.Request, __: dict[str, Any]) -> Any:
        return [delivery.as_json() for delivery in self.notifier.log]

    async def notify(self, __: web.Request, wanted: dict[str, Any]) -> Any:
        """Send any notification now, once each, and answer what came back.

        `{"id": <logged notification>}` repeats that one; `{"payment_id" | "refund_id" | "object", "event"?, "patch"?}`
        makes one of an object of the shop or of any other, with a JSON merge patch over it; `{"raw": <text>}` sends
        just that text. More fields: `times`, `url`, `headers`.
        """
        event, object_id, body = self._wanted_notification(wanted)
        times, url, headers = wanted.get("times", 1), wanted.get("url", ""), wanted.get("headers", {})
        if type(times) is not int or not 1 <= times <= MAX_REPEATS:
            raise ValueError(f"times must be from 1 to {MAX_REPEATS}")
        if not isinstance(url, str) or not isinstance(headers, dict):
            raise ValueError("url must be a text and headers an object")
        if not url and not self.shop.settings.notification_url:
            raise ValueError("there is no notification_url yet")
        sent = []
        for _ in range(times):
            delivery = self.notifier.delivery(event, object_id, body, {str(k): str(v) for k, v in headers.items()})
            await self.notifier.attempt(delivery, url)
            delivery.state = "delivered" if delivery.state == "delivered" else "given_up"
            sent.append(delivery.as_json())
        return sent

    def _wanted_notification(self, wanted: dict[str, Any]) -> tuple[str, str, bytes]:
        if "raw" in wanted:
            return "raw", "", str(wanted["raw"]).encode("utf-8", "replace")
        if "id" in wanted:
            for delivery in self.notifier.log:
                if delivery.id == wanted["id"]:
                    return delivery.event, delivery.object_id, delivery.body
            raise LookupError("no such notification")
        item: Any = wanted.get("object")
        event = "payment.succeeded"
        if "payment_id" in wanted:
            item = self.shop.show(self._payment(wanted["payment_id"]))
            event = f"payment.{item.get('status', 'succeeded')}"
        elif "refund_id" in wanted:
            refund = self.shop.refunds.get(str(wanted["refund_id"]))
            if refund is None:
                raise LookupError("no such refund")
            item, event = self.shop.show(refund), "refund.succeeded"
        event = str(wanted.get("event", event))
        told = merge_patch(item, wanted["patch"]) if "patch" in wanted else item
        body = json.dumps({"type": "notification", "event": event, "object": told}).encode()
        return event, str(told.get("id", "")) if isinstance(told, dict) else "", body

    def _payment(self, payment_id: Any) -> Payment:
        payment = self.shop.payment(payment_id) if isinstance(payment_id, str) else None
        if payment is None:
            raise LookupError("no such payment")
        return payment

    def _route(self, app: web.Application, method: str, path: str, action: Action) -> None:
        async def handle(request: web.Request) -> web.Response:
            try:
                raw = await request.read() if method == "POST" else b""
                wanted = json.loads(raw) if raw.strip() else {}
                if not isinstance(wanted, dict):
                    raise ValueError("the body must be a JSON object")
                return web.json_response(await action(request, wanted))
            except WrongState as error:
                return web.json_response({"error": str(error)}, status=409)
            except LookupError as error:
                return web.json_response({"error": str(error.args[0] if error.args else error)}, status=404)
            except (ValueError, TypeError, RecursionError, rules.ApiFailure) as error:
                return web.json_response({"error": str(error)}, status=400)

        app.router.add_route(method, PREFIX + path, handle)


def _rubles(value: Any) -> Decimal:
    wanted = value if isinstance(value, dict) else {"value": value, "currency": "RUB"}
    return rules.amount(wanted, least=rules.KOPECK)
