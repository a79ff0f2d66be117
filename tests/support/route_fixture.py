"""The bot's routes with other settings than those of `payment_env`, and requests only a hostile client writes."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiogram import Bot, Dispatcher
from aiogram.types import Message, PreCheckoutQuery
from aiohttp import web
from sqlalchemy import text

from database.clock import now_ms
from database.models import Database, Tx
from handlers.updates import Updates
from handlers.webhook import Check, WebContext, create_web_app
from services.common.i18n import Texts
from services.messaging.telegram import make_bot
from services.payments.payments import Payments
from services.payments.yookassa.client import YooKassaGateway
from tests.support.empty_database import lay_out
from tests.support.payment_env import PaymentEnv
from tests.support.sandbox_fixture import ADMIN, Sandbox

SMALL: Final = 64 * 1024
LARGE: Final = 1024 * 1024
SECRET: Final = "a-secret-of-this-test"
SECRET_HEADER: Final = "X-Telegram-Bot-Api-Secret-Token"
LIMITS: Final = {"yookassa": SMALL, "kling": SMALL, "telegram": LARGE}
RAILS: Final = tuple(LIMITS)
WEBHOOK_MODE: Final = {
    "TELEGRAM_MODE": "webhook",
    "TELEGRAM_WEBHOOK_SECRET": SECRET,
    "PUBLIC_URL": "https://bot.example",
}


def path(rail: str) -> str:
    return f"/webhooks/{rail}"


def good(rail: str, number: int = 1, **more: Any) -> bytes:
    """A body of the form that its route expects; `number` makes it unique."""
    bodies: dict[str, dict[str, Any]] = {
        "yookassa": {"type": "notification", "event": "payment.succeeded", "object": {"id": f"pay-{number}"}},
        "kling": {"id": str(number), "status": "processing"},
        "telegram": {
            "update_id": number,
            "message": {
                "message_id": number,
                "date": 1,
                "text": f"hello {number}",
                "chat": {"id": 7, "type": "private"},
                "from": {"id": 7, "is_bot": False, "first_name": "Ann"},
            },
        },
    }
    return json.dumps({**bodies[rail], **more}).encode()


def right_sender(rail: str) -> dict[str, str]:
    """The headers by which the simulated sender is known."""
    return {SECRET_HEADER: SECRET} if rail == "telegram" else {}


def padded(body: bytes, size: int) -> bytes:
    """The same JSON, white space up to `size` bytes."""
    return body + b" " * (size - len(body))


async def deliver(
    payment_env: PaymentEnv, rail: str, body: bytes, headers: Mapping[str, str] | None = None, *, chunked: bool = False
) -> int:
    """POST a body to a route, with or without its length; answers the status."""
    how = in_chunks(body) if chunked else io.BytesIO(body)
    return await payment_env.post(
        path(rail), data=how, headers=dict(right_sender(rail) if headers is None else headers)
    )


async def in_chunks(body: bytes) -> AsyncIterator[bytes]:
    """A body that is sent without its length."""
    for start in range(0, len(body), 10_000):
        yield body[start : start + 10_000]


@dataclass
class Heard:
    """A dispatcher that only remembers; `gate` holds its handler up."""

    texts: list[str] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def dispatcher(self) -> Dispatcher:
        dispatcher = Dispatcher()

        @dispatcher.message()
        async def hear(message: Message) -> None:
            self.arrived.set()
            self.begun.append(message.text or "")
            await self.gate.wait()
            self.texts.append(message.text or "")

        @dispatcher.pre_checkout_query()
        async def sell(query: PreCheckoutQuery) -> None:
            self.texts.append(query.invoice_payload)
            self.arrived.set()

        return dispatcher


def open_heard() -> Heard:
    heard = Heard()
    heard.gate.set()
    return heard


async def _a_page() -> bytes:
    return b"shop_users 1\n"


@asynccontextmanager
async def opened(
    sandbox: Sandbox,
    folder: Path,
    *,
    heard: Heard | None = None,
    checks: dict[str, Check] | None = None,
    clock: Callable[[], int] = now_ms,
    **env: str,
) -> AsyncIterator[PaymentEnv]:
    """Live routes under the settings of a sandbox shop and `env`; with `heard`, updates come by webhook."""
    settings = sandbox.settings(folder, **{**(WEBHOOK_MODE if heard else {}), **env})
    async with AsyncExitStack() as stack:
        db = Database(settings.database_url, clock=clock)
        lay_out(db.path)
        await db.init_db()
        stack.push_async_callback(db.close)
        gateway = None
        if settings.yookassa_enabled:
            gateway = YooKassaGateway("100500", "test_sandbox_key", settings.yookassa_api_url, timeout=(10, 6))
            stack.push_async_callback(gateway.close)
        payments = Payments(db, gateway, Texts(), shop_id="100500", test_mode=True, admins=[ADMIN])
        updates: Updates | None = None
        if heard is not None:
            bot: Bot = make_bot(settings)
            stack.push_async_callback(bot.session.close)
            updates = Updates(bot, heard.dispatcher(), db)
            stack.push_async_callback(updates.drain, 1)
        context = WebContext(
            settings=settings, db=db, payments=payments, metrics=_a_page, checks=checks or {}, updates=updates
        )
        runner = web.AppRunner(create_web_app(context), access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        stack.push_async_callback(context.close, 5)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield PaymentEnv(db, payments, context, f"http://127.0.0.1:{runner.addresses[0][1]}", sandbox, gateway=gateway)


async def inbox_rows(payment_env: PaymentEnv) -> list[tuple[str, str, bool]]:
    """(source, key, still to be acted upon) of everything that was written down, oldest first."""

    def read(tx: Tx) -> list[tuple[str, str, bool]]:
        rows = tx.rows(text("SELECT source, key, due_at FROM inbox ORDER BY id"))
        return [(row["source"], row["key"], row["due_at"] is not None) for row in rows]

    return await payment_env.db.read(read)


async def raw_status(payment_env: PaymentEnv, head: str | bytes, body: bytes = b"") -> int:
    """Send these very bytes; answers the status. For what no client library would send."""
    port = int(payment_env.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write((head.encode() if isinstance(head, str) else head).replace(b"\n", b"\r\n") + b"\r\n" + body)
        await writer.drain()
        line = await asyncio.wait_for(reader.readline(), timeout=10)
        return int(line.split()[1])
    finally:
        writer.close()
        await writer.wait_closed()
