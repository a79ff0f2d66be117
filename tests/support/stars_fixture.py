"""The bot with packs in Telegram Stars, and a person who pays for one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from database import ledger
from database import payments as payment_rows
from database.models import Payment
from services.catalogue import SHIPPED
from tests.support.bot_env import ANYA, BotEnv, Person, open_bot_env
from tests.support.sandbox_fixture import Sandbox

PACKS = "maximum = 10000000\nstars = [{ kopecks = 10000, price = 90 }, { kopecks = 50000, price = 440 }]"


def with_packs(folder: Path, packs: str = PACKS, *, card: bool = True) -> Path:
    """The shipped catalogue with packs in Stars, and with or without the card."""
    words = SHIPPED.read_text("utf-8").replace("card = true", f"card = {str(card).lower()}")
    path = folder / "catalogue.toml"
    begin = words.index("maximum = 10000000")
    path.write_text(words[:begin] + packs + "\n" + words[words.index("\n", begin) :], "utf-8")
    return path


@pytest_asyncio.fixture
async def starry(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[BotEnv]:
    """The whole bot with packs in Stars."""
    async with open_bot_env(sandbox, tmp_path, CATALOGUE_PATH=str(with_packs(tmp_path))) as bot_env:
        yield bot_env


async def invoice(person: Person, label: str = "⭐ 90") -> dict[str, Any]:
    """Top up in Stars up to the invoice."""
    await person.say("/topup")
    await person.sees("Пополнить баланс", new=True)
    await person.press(label)
    (sent,) = (await person.gets("invoice"))[-1:]
    return sent


async def pay(person: Person, message: dict[str, Any]) -> dict[str, Any]:
    """Tap Pay on an invoice; what the client shows then. The counter's ten seconds are real ones here."""
    person.sandbox.world.clock.set_speed(1.0)
    url = f"{person.sandbox.url}/_chat/users/{person.id}/pay{person.query}"
    async with person.sandbox.http.post(url, json={"message_id": message["message_id"]}) as answer:
        told: dict[str, Any] = await answer.json()
        assert answer.status in (200, 402), told
        return told


async def paid(bot_env: BotEnv, person: Person) -> Payment:
    """A pack of 100 rubles, paid and credited."""
    told = await pay(person, await invoice(person))
    assert told["ok"], told
    await person.sees("Зачислено 100")
    (payment,) = await bot_env.db.read(payment_rows.of_user, person.id, limit=1)
    return payment


async def entries(bot_env: BotEnv, user_id: int = ANYA) -> list[tuple[str, int]]:
    lines = await bot_env.db.read(ledger.history, user_id, limit=100)
    return [(line.reason, line.amount) for line in reversed(lines)]
