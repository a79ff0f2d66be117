"""YooKassa may answer anything: money is credited or taken back only for an answer that justifies it."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest_asyncio
from hypothesis import strategies as st

from database import ledger
from database import payments as payment_rows
from database import refunds as refund_rows
from database.models import Database, Payment
from services.common.i18n import Texts
from services.payments.payments import Payments
from services.payments.yookassa.client import YooKassaError, YooKassaGateway
from tests.faults.examples import drawn
from tests.support.database_fixture import assert_books, url_of
from tests.support.provider_wire import Reply, Script, scripted
from tests.support.sandbox_fixture import ADMIN

KOPECKS = 50_000
Json = dict[str, Any]
VALUES: st.SearchStrategy[Any] = st.sampled_from([
    None, True, False, 0, 1, -1, 500, 5e2, "500.00", "500", "500.001", "-500.00", "5E+2", " 500.00", "５００", "50000",
    "RUB", "rub", "USD", "succeeded", "pending", "canceled", "waiting_for_capture", "true", "100500", "100501", "", [],
    {}, {"value": "500.00", "currency": "RUB"}, {"value": "499.99", "currency": "RUB"}, {"value": 500},
    {"order_id": "other"}, "2026-11-01T00:00:00.000Z", 10**400, "\x00", "NaN",
]) | st.text(max_size=6)  # fmt: skip
STATUSES = st.sampled_from([200, 200, 200, 200, 200, 200, 201, 202, 204, 302, 400, 401, 404, 429, 500, 502])


def payment_body(payment_id: str, order_id: str) -> Json:
    """A payment that succeeded, as YooKassa tells it."""
    return {
        "id": payment_id, "status": "succeeded", "paid": True, "amount": {"value": "500.00", "currency": "RUB"},
        "recipient": {"account_id": "100500", "gateway_id": "1"}, "metadata": {"order_id": order_id}, "test": True,
        "refundable": True, "refunded_amount": {"value": "0.00", "currency": "RUB"},
        "created_at": "2026-11-01T10:00:00.000Z", "captured_at": "2026-11-01T10:01:00.000Z",
    }  # fmt: skip


def refund_body(refund_id: str, payment_id: str) -> Json:
    return {
        "id": refund_id, "payment_id": payment_id, "status": "succeeded", "created_at": "2026-11-01T11:00:00.000Z",
        "amount": {"value": "500.00", "currency": "RUB"}, "metadata": {},
    }  # fmt: skip


def altered(body: Json, seed: int, values: list[Any]) -> Json:
    """The body with some fields, at the top or below, replaced or dropped."""
    chance, made = random.Random(seed), copy.deepcopy(body)
    for value in values:
        place = made
        inner = [one for one in made.values() if isinstance(one, dict) and one]
        if inner and chance.random() < 0.5:
            place = chance.choice(inner)
        name = chance.choice(list(place)) if place else "x"
        if chance.random() < 0.2:
            place.pop(name, None)
        else:
            place[name] = copy.deepcopy(value)  # one value drawn twice may not come to hold itself
    return made


def is_500(amount: Any) -> bool:
    if not isinstance(amount, dict) or amount.get("currency") != "RUB" or isinstance(amount.get("value"), bool):
        return False
    try:
        return Decimal(str(amount["value"])) == 500
    except (ArithmeticError, KeyError):
        return False


def justifies_a_credit(body: Any, payment_id: str, order_id: str) -> bool:
    """Whether this payment may be credited for such an answer, written again without the product's code."""
    recipient, back = body.get("recipient"), body.get("refunded_amount")
    shop = recipient.get("account_id") if isinstance(recipient, dict) else None
    return (
        body.get("id") == payment_id and body.get("status") == "succeeded" and body.get("paid") is True
        and body.get("test") is True and is_500(body.get("amount")) and (not isinstance(shop, str) or shop == "100500")
        and isinstance(body.get("metadata"), dict) and body["metadata"].get("order_id") == order_id
        and (back is None or Decimal(str(back["value"])) == 0)
    )  # fmt: skip


def justifies_a_refund(body: Any, refund_id: str, payment_id: str) -> bool:
    return (
        body.get("id") == refund_id and body.get("payment_id") == payment_id and body.get("status") == "succeeded"
        and isinstance(body.get("amount"), dict) and body["amount"].get("currency") == "RUB"
    )  # fmt: skip


class ScriptedPayments:
    """The product's payments, and a YooKassa that answers what the test says."""

    def __init__(self, db: Database, server: Script) -> None:
        self.db = db
        self.server = server
        self.gateway = YooKassaGateway("100500", "test_sandbox_key", server.url, timeout=(2, 2))
        self.payments = Payments(
            db, self.gateway, Texts(), shop_id="100500", test_mode=True, admins=[ADMIN], return_url="https://x"
        )

    async def payment(self, number: int) -> Payment:
        """A payment of user `number` that YooKassa has accepted."""
        new = payment_rows.NewPayment(f"order-{number}", number, "yookassa", KOPECKS, f"key-{number}", "{}")
        await self.db.write(payment_rows.open_payment, new, poll_in_ms=None)
        return await self.db.write(
            payment_rows.accepted, new.id, provider_payment_id=f"pay-{number}", confirmation_url=None, poll_in_ms=10_000
        )

    def answers(self, status: int, body: Any) -> None:
        data = b"" if status == 204 else json.dumps(body).encode()
        self.server.replies[0] = Reply(status, data, {"Content-Type": "application/json"})

    async def quietly(self, act: Callable[[], Any]) -> None:
        """Whatever the answer is, there is the one error of the gateway or none."""
        try:
            await act()
        except YooKassaError:
            pass


@pytest_asyncio.fixture
async def env(tmp_path: Path) -> AsyncIterator[ScriptedPayments]:
    db = Database(url_of(tmp_path / "bot.db"))
    await db.init_db()
    async with scripted(Reply()) as server:
        made = ScriptedPayments(db, server)
        yield made
        await made.gateway.close()
    await assert_books(db)
    await db.close()


async def test_no_answer_credits_but_one_that_says_exactly_this(env: ScriptedPayments) -> None:
    """A true answer altered in any field: a credit only where it still says everything, and of the payment's sum."""
    cases = st.tuples(STATUSES, st.integers(0, 2**32), st.lists(VALUES, max_size=2))
    credited = refused = 0
    for number, (status, seed, values) in enumerate(drawn(cases, 160), start=1):
        payment = await env.payment(number)
        body = altered(payment_body(f"pay-{number}", payment.id), seed, values)
        env.answers(status, body)
        await env.quietly(partial(env.payments.settle, payment.id))
        got = [line.amount for line in await env.db.read(ledger.history, number)]
        assert got in ([], [KOPECKS]), body
        if got:
            assert justifies_a_credit(body, f"pay-{number}", payment.id), body
        elif status == 200 and body == payment_body(f"pay-{number}", payment.id):
            raise AssertionError("a true answer was not credited")
        credited, refused = credited + bool(got), refused + (not got)
    assert credited > 10
    assert refused > 50


async def test_no_answer_takes_back_more_than_came_or_of_somebody_else(env: ScriptedPayments) -> None:
    """A true refund altered in any field: taken back once, only from its own payment, never more than it brought."""
    cases = st.tuples(STATUSES, st.integers(0, 2**32), st.lists(VALUES, max_size=2))
    taken = 0
    for number, (status, seed, values) in enumerate(drawn(cases, 100), start=1):
        payment = await env.payment(number)
        await env.db.write(payment_rows.settle, payment.id)
        body = altered(refund_body(f"back-{number}", f"pay-{number}"), seed, values)
        env.answers(status, body)
        for _ in range(2):
            await env.quietly(partial(env.payments.events.on_refund_event, f"back-{number}"))
        returned = await env.db.read(refund_rows.of_payment, payment.id)
        assert len(returned) <= 1
        if returned:
            taken += 1
            assert 0 < returned[0].amount <= KOPECKS
            assert justifies_a_refund(body, returned[0].provider_refund_id or "", f"pay-{number}"), body
    balances = [await env.db.get_balance(user) for user in range(1, number + 1)]
    assert sum(balance < KOPECKS for balance in balances) == taken > 5
