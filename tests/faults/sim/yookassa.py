"""A simulated YooKassa: keys and their replays, checkout, refunds, notifications that come late, twice or never."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import requests

from services.payments.yookassa.client import YooKassaGateway
from tests.faults.override import override
from tests.faults.sim.world import World

Json = dict[str, Any]
SHOP = "100500"
KEY_SECONDS = 24 * 3600.0
Answer = tuple[int, bytes]


class SimYooKassa:
    """The account of the shop. `notifications` gets each that is due, as (event, object id)."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.payments: dict[str, Json] = {}
        self.refunds: dict[str, Json] = {}
        self._keys: dict[str, tuple[float, bytes, str]] = {}
        self.altered: set[str] = set()  # payments shown with another sum: nothing of them may be credited
        self.notifications: list[tuple[str, str]] = []

    def gateway(self) -> YooKassaGateway:
        """The product's own gateway over the official SDK, its one HTTP exchange answered here."""
        gateway = YooKassaGateway(SHOP, "test_key-of-a-test-shop", "https://yookassa.sim/v3")
        override(gateway._client, "execute", self.execute)
        return gateway

    # --- the API --------------------------------------------------------------------------------------

    def execute(self, body: bytes | None, method: str, path: str, query: Any, headers: Any) -> Answer:
        """One exchange; a fault may happen before or after it had its effect."""
        world = self.world
        world.note(f"yookassa {method} {path.split('/')[1]}")
        if world.fails(world.chances.yookassa / 2):
            return self._fault()
        status, answer = self._serve(method, path, dict(query or {}), dict(headers), body)
        if world.fails(world.chances.yookassa / 2):
            return self._fault()
        return status, json.dumps(answer).encode()

    def _fault(self) -> Answer:
        kind = self.world.chance.randrange(5)
        if kind == 0:
            raise requests.ConnectionError("connection reset")
        if kind == 1:
            raise requests.ReadTimeout("no answer")
        if kind == 2:
            return 502, b"<html>Bad gateway</html>"
        if kind == 3:
            return _error(429, "too_many_requests")
        return _error(500, "internal_server_error")

    def _serve(
        self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes | None
    ) -> tuple[int, Json]:
        parts = path.strip("/").split("/")
        store = {"payments": self.payments, "refunds": self.refunds}[parts[0]]
        if method == "POST":
            return self._create(parts[0], headers["Idempotence-Key"], body or b"")
        if len(parts) == 2:
            found = store.get(parts[1])
            return (200, self._shown(found)) if found else (404, {"type": "error", "code": "not_found"})
        return 200, self._listed(list(store.values()), query)

    def _create(self, what: str, key: str, body: bytes) -> tuple[int, Json]:
        now = self.world.now()
        known = self._keys.get(f"{what}:{key}")
        if known is not None and now - known[0] < KEY_SECONDS:
            if known[1] != body:
                return 400, {"type": "error", "code": "invalid_request", "description": "Idempotence key duplicated"}
            store = self.payments if what == "payments" else self.refunds
            return 200, self._shown(store[known[2]])
        wanted = json.loads(body)
        made = self._new_payment(wanted) if what == "payments" else self._new_refund(wanted)
        if made is None:
            return 400, {"type": "error", "code": "invalid_request", "description": "more than is left"}
        self._keys[f"{what}:{key}"] = (now, body, made["id"])
        return 200, self._shown(made)

    def _new_payment(self, wanted: Json) -> Json:
        number = f"pay-{len(self.payments) + 1:06d}"
        made = self.payments[number] = {
            "id": number,
            "status": "pending",
            "paid": False,
            "amount": wanted["amount"],
            "created_at": _moment(self.world.now()),
            "metadata": wanted.get("metadata", {}),
            "recipient": {"account_id": SHOP, "gateway_id": "1"},
            "refundable": False,
            "test": True,
            "confirmation": {"type": "redirect", "confirmation_url": f"https://yookassa.sim/pay/{number}"},
        }
        if self.world.fails(0.02):
            self.altered.add(number)
        return made

    def _new_refund(self, wanted: Json) -> Json | None:
        payment = self.payments.get(wanted["payment_id"])
        amount = kopecks(wanted["amount"])
        if payment is None or payment["status"] != "succeeded" or amount > self._left(payment):
            return None
        number = f"ref-{len(self.refunds) + 1:06d}"
        slow = self.world.fails(0.3)
        made = self.refunds[number] = {
            "id": number,
            "payment_id": payment["id"],
            "status": "pending" if slow else "succeeded",
            "amount": wanted["amount"],
            "created_at": _moment(self.world.now()),
            "metadata": wanted.get("metadata", {}),
        }
        if not slow:
            self._refunded(made)
        return made

    def _listed(self, items: list[Json], query: dict[str, str]) -> Json:
        for name in ("captured_at", "created_at"):
            if (since := query.get(f"{name}.gte")) is not None:
                items = [one for one in items if one.get(name) and one[name] >= since]
            if (until := query.get(f"{name}.lte")) is not None:
                items = [one for one in items if one.get(name) and one[name] <= until]
        for name in ("status", "payment_id"):
            if name in query:
                items = [one for one in items if one.get(name) == query[name]]
        newest, begin = items[::-1], int(query.get("cursor", 0))
        size = min(int(query.get("limit", 10)), 3)  # short pages, so that cursors are used
        answer: Json = {"type": "list", "items": [self._shown(one) for one in newest[begin : begin + size]]}
        if begin + size < len(newest):
            answer["next_cursor"] = str(begin + size)
        return answer

    def _shown(self, item: Json) -> Json:
        shown = json.loads(json.dumps(item))
        if item["id"] in self.altered:
            shown["amount"]["value"] = f"{kopecks(item['amount']) / 100 + 1:.2f}"
        return dict(shown)

    # --- people and the admin -----------------------------------------------------------------------

    def pay(self, number: str) -> None:
        payment = self.payments[number]
        if payment["status"] == "pending":
            payment |= {
                "status": "succeeded",
                "paid": True,
                "captured_at": _moment(self.world.now()),
                "refundable": True,
            }
            payment.pop("confirmation", None)
            self.notifications.append(("payment.succeeded", number))

    def decline(self, number: str, reason: str = "insufficient_funds") -> None:
        payment = self.payments[number]
        if payment["status"] == "pending":
            payment |= {"status": "canceled", "cancellation_details": {"party": "payment_network", "reason": reason}}
            self.notifications.append(("payment.canceled", number))

    def refund_in_cabinet(self, number: str, amount: int) -> None:
        """The admin gives money back on YooKassa's own pages."""
        made = self._new_refund({"payment_id": number, "amount": rubles(amount)})
        if made is not None:
            self.finish_refund(made["id"])

    def finish_refund(self, number: str) -> None:
        """A slow refund ends: mostly it succeeds."""
        refund = self.refunds[number]
        if refund["status"] != "pending":
            return
        payment = self.payments[refund["payment_id"]]
        if kopecks(refund["amount"]) > self._left(payment) or self.world.fails(0.3):
            why = {"party": "yoo_money", "reason": "general_decline"}
            refund |= {"status": "canceled", "cancellation_details": why}
            return
        refund["status"] = "succeeded"
        self._refunded(refund)

    def _refunded(self, refund: Json) -> None:
        payment = self.payments[refund["payment_id"]]
        total = kopecks(payment.get("refunded_amount", {"value": "0.00"})) + kopecks(refund["amount"])
        payment["refunded_amount"] = rubles(total)
        self.notifications.append(("refund.succeeded", refund["id"]))

    def _left(self, payment: Json) -> int:
        return kopecks(payment["amount"]) - kopecks(payment.get("refunded_amount", {"value": "0.00"}))


def kopecks(amount: Json) -> int:
    whole, _, part = str(amount["value"]).partition(".")
    return int(whole) * 100 + int((part + "00")[:2])


def rubles(amount: int) -> Json:
    return {"value": f"{amount // 100}.{amount % 100:02d}", "currency": "RUB"}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _error(status: int, code: str) -> Answer:
    return status, json.dumps({"type": "error", "id": "e", "code": code, "description": "simulated"}).encode()
