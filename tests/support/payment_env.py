"""The HTTP routes and their payments, live on a loopback port, with the simulated YooKassa behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_asyncio
from aiohttp import web

from database import payments as payment_rows
from database import refunds as refund_rows
from database.models import Database, Payment, Refund
from handlers.webhook import WebContext, create_web_app
from services.common.i18n import Texts
from services.payments.payments import Payments
from services.payments.reconciliation import Reconciliation
from services.payments.refunds import Refunds
from services.payments.yookassa.client import YooKassaGateway
from services.payments.yookassa_refunds import YooKassaRefunds
from services.settings import Settings
from tests.support.database_fixture import assert_books
from tests.support.empty_database import lay_out
from tests.support.sandbox_fixture import ADMIN, Sandbox

HOOK = "/webhooks/yookassa"


@dataclass
class PaymentEnv:
    """A shop that can only be paid: database, payments, routes, and what a customer does on the checkout page."""

    db: Database
    payments: Payments
    context: WebContext
    url: str
    sandbox: Sandbox
    counter: int = 0
    gateway: YooKassaGateway | None = None  # a shop that can't be paid has none

    def __post_init__(self) -> None:
        gateways = {"yookassa": YooKassaRefunds(self.db, self.gateway)} if self.gateway is not None else {}
        self.refunds = Refunds(self.db, gateways, admins=[ADMIN])
        self.reconciliation = Reconciliation(self.db, self.gateway, self.payments, admins=[ADMIN])

    @property
    def yookassa(self) -> YooKassaGateway:
        """The gateway of a shop that can be paid."""
        assert self.gateway is not None
        return self.gateway

    async def open_payment(self, user_id: int = 1, rubles: int = 500, payment_id: str | None = None) -> Payment:
        """A payment with its link; ids count up where none is given."""
        self.counter += 1
        return await self.payments.open_topup(
            user_id, rubles * 100, chat_id=user_id, language="ru", payment_id=payment_id or f"order-{self.counter}"
        )

    async def control(self, path: str, **body: Any) -> Any:
        async with self.sandbox.http.post(f"{self.sandbox.url}/_control/yookassa{path}", json=body) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def pay(self, payment: Payment, **how: Any) -> None:
        await self.control(f"/payments/{payment.provider_payment_id}/pay", **how)

    async def post(self, path: str, **how: Any) -> int:
        """POST to a route of the bot; answers the status."""
        async with self.sandbox.http.post(self.url + path, **how) as answer:
            await answer.read()
            return answer.status

    async def notify(self, event: str, object_id: str, **extra: Any) -> int:
        return await self.post(
            HOOK, json={"type": "notification", "event": event, "object": {"id": object_id, **extra}}
        )

    async def acted(self) -> None:
        """Until everything that was answered with 200 is acted upon as well."""
        while self.context.background:
            await asyncio.wait(set(self.context.background), timeout=10)

    async def paid(self, user_id: int = 1, rubles: int = 500) -> Payment:
        """A payment that was paid and credited."""
        payment = await self.open_payment(user_id, rubles)
        await self.pay(payment)
        return await self.payments.settle(payment.id)

    async def refund(self, refund_id: str) -> Refund:
        found = await self.db.read(refund_rows.get, refund_id)
        assert found is not None
        return found

    async def payment(self, payment_id: str) -> Payment:
        found = await self.db.read(payment_rows.get, payment_id)
        assert found is not None
        return found


async def _no_metrics() -> bytes:
    return b""


@pytest_asyncio.fixture
async def payment_env(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[PaymentEnv]:
    """Polling mode, no proxies, YooKassa on; the shop's own notifications are off until a test sets their URL."""
    settings: Settings = sandbox.settings(tmp_path)
    db = Database(settings.database_url)
    lay_out(db.path)
    await db.init_db()
    gateway = YooKassaGateway("100500", "test_sandbox_key", f"{sandbox.url}/yookassa/v3", timeout=(10, 6))
    payments = Payments(
        db, gateway, Texts(), shop_id="100500", test_mode=True, return_url=f"{sandbox.url}/", admins=[ADMIN]
    )
    context = WebContext(settings=settings, db=db, payments=payments, metrics=_no_metrics, checks={})
    runner = web.AppRunner(create_web_app(context), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield PaymentEnv(db, payments, context, f"http://127.0.0.1:{runner.addresses[0][1]}", sandbox, gateway=gateway)
    await context.close(5)
    await runner.cleanup()
    await gateway.close()
    await assert_books(db)
    await db.close()
