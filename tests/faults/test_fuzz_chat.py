"""Anything may come from a chat: no handler breaks, and money moves only by right."""

from __future__ import annotations

import copy
import json
import logging
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from database.models import Tx
from tests.faults.examples import drawn
from tests.support.bot_env import ADMIN, ANYA, BOB, BotEnv, Json, until
from tests.support.database_fixture import ROOT, snapshot

MONEY = ("ledger", "balances", "reservations", "jobs", "refunds", "debts")
FEW = 8
BROKEN = {"update.failed", "http.crashed", "webhook.follow_up_failed"}

_handlers = "".join(path.read_text("utf-8") for path in sorted(Path(ROOT, "handlers").rglob("*.py")))
COMMANDS = sorted(set(re.findall(r'"(\w+)"', " ".join(re.findall(r"[^t]Command\(([^)]*)\)", _handlers)))) | {"start"})
PREFIXES = sorted(re.findall(r'CallbackData|ConfirmTap, prefix="(\w+)"|, prefix="(\w+)"', _handlers))
TAPS = sorted({one or two for one, two in PREFIXES if one or two})

SCRAPS = st.sampled_from([
    "", "0", "-1", "1", "9" * 30, "1e9", "NaN", "9001", "1001", "@anya", "ledger", "payments", "refunds", "x" * 300,
    "2026-11-01", "2026-11-31", "0000-00-00", "on", "off", "1,5", "0.001", "١٢", "٣", "<b>", "{name}", "%s", "\x00",
    "\u202e", "😀", "'; DROP TABLE ledger; --", "../../etc/passwd", "job1", "null", "1001 0", "1001 -5", "1001 0.001",
])  # fmt: skip
WORDS = SCRAPS | st.text(max_size=12)
ARGUMENTS = st.lists(WORDS, max_size=4).map(" ".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=4,
)


def sender(user: int) -> Json:
    return {"id": user, "is_bot": False, "first_name": "N", "language_code": "ru"}


def a_message(user: int, content: Json) -> Json:
    return {
        "message": {
            "message_id": 4_000,
            "date": 1_780_000_000,
            "chat": {"id": user, "type": "private", "first_name": "N"},
            "from": sender(user),
            **content,
        }
    }


def a_tap(user: int, data: str) -> Json:
    text = {"text": "a card"}
    message = a_message(ANYA, text)["message"] | {"chat": {"id": user, "type": "private"}}
    return {
        "callback_query": {
            "id": "1",
            "from": sender(user),
            "chat_instance": "1",
            "data": data,
            "message": message,
        }
    }


async def feed(bot_env: BotEnv, updates: list[Json]) -> None:
    """Each update as if it had come from Telegram, a few at a time: many at once would be ignored."""

    async def nothing_waits() -> bool:
        return await waiting(bot_env) == 0

    for start in range(0, len(updates), FEW):
        for number, update in enumerate(updates[start : start + FEW], start=10_000_000 + start):
            item = await bot_env.app.updates.write_down(json.dumps({"update_id": number, **update}), number)
            assert item is not None
            await bot_env.app.updates.take(item)
        await until(nothing_waits, seconds=60, what="these updates are handled")


def faults_logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged as a fault of the product."""
    return [
        f"{record.getMessage()} {vars(record).get('fields')} {record.exc_info and record.exc_info[1]!r}"
        for record in caplog.records
        if record.getMessage().split()[0] in BROKEN
    ]  # fmt: skip


async def waiting(bot_env: BotEnv) -> int:
    """How many updates still wait for a handler."""

    def count(tx: Tx) -> int:
        statement = "SELECT count(*) FROM inbox WHERE source = 'telegram' AND due_at IS NOT NULL"
        return int(tx.connection.exec_driver_sql(statement).scalar() or 0)

    return await bot_env.db.read(count)


@pytest.mark.timeout(300)
async def test_no_words_and_no_taps_break_a_handler_or_move_money(
    bot_env: BotEnv, caplog: pytest.LogCaptureFixture
) -> None:
    """Commands with any arguments and taps with any data, some on another person's draft, from people without rights.

    Every command is among them, also those of administrators; afterwards each kopeck, order and refund is as it was.
    """
    assert len(COMMANDS) > 15
    assert len(TAPS) > 10
    caplog.set_level(logging.INFO)
    await bot_env.give(ANYA, 500)
    await bot_env.give(BOB, 500)
    anya = bot_env.person()
    await anya.say("a red fox")
    card = await anya.sees("a red fox", new=True)
    theirs = re.search(r"go:(\w+):", json.dumps(card))
    assert theirs is not None
    draft = theirs.group(1)
    before = await snapshot(bot_env.db, *MONEY)
    fields = st.lists(WORDS | st.just(draft), max_size=4)
    texts = st.tuples(st.sampled_from(COMMANDS), ARGUMENTS).map(lambda one: f"/{one[0]} {one[1]}")
    data = st.tuples(st.sampled_from(TAPS), fields).map(lambda one: ":".join([one[0], *one[1]])) | st.text(max_size=64)
    known = [f"{tap}:{draft}:{end}" for tap in TAPS for end in ("drop", "1200", "size", "model:nb21", "0")]
    updates = [a_message(BOB, {"text": f"/{name}"}) for name in COMMANDS]
    updates += [a_message(BOB, {"text": text}) for text in drawn(texts, 60)]
    updates += [a_tap(BOB, one) for one in [*known, *drawn(data, 90)]]
    await feed(bot_env, updates)
    assert bot_env.sandbox.calls("telegram", "answerCallbackQuery") > 100
    assert bot_env.sandbox.calls("telegram", "sendMessage") > 50
    assert faults_logged(caplog) == []
    assert await waiting(bot_env) == 0
    assert await snapshot(bot_env.db, *MONEY) == before


@pytest.mark.timeout(300)
async def test_no_arguments_of_an_administrator_break_a_handler(
    bot_env: BotEnv, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is typed behind a command, an answer comes, and the books hold (the fixture checks them)."""
    caplog.set_level(logging.INFO)
    await bot_env.give(ANYA, 500)
    texts = drawn(st.tuples(st.sampled_from(COMMANDS), ARGUMENTS).map(lambda one: f"/{one[0]} {one[1]}"), 120)
    # Each with its own number: two grants of one message would rightly be refused.
    await feed(
        bot_env, [a_message(ADMIN, {"message_id": number, "text": text}) for number, text in enumerate(texts, 1)]
    )
    assert faults_logged(caplog) == []
    assert await waiting(bot_env) == 0


KINDS: list[Json] = [
    a_message(BOB, {"text": "a fox"}),
    a_message(BOB, {"photo": [{"file_id": "f", "file_unique_id": "u", "width": 1, "height": 1, "file_size": 1}]}),
    a_message(BOB, {"document": {"file_id": "f", "file_unique_id": "u", "mime_type": "image/png", "file_size": 9}}),
    a_message(BOB, {"successful_payment": {
        "currency": "XTR", "total_amount": 90, "invoice_payload": "p", "telegram_payment_charge_id": "c",
        "provider_payment_charge_id": "c",
    }}),
    a_message(BOB, {"refunded_payment": {
        "currency": "XTR", "total_amount": 90, "invoice_payload": "p", "telegram_payment_charge_id": "c",
    }}),
    {"pre_checkout_query": {
        "id": "1", "from": sender(BOB), "currency": "XTR", "total_amount": 90, "invoice_payload": "p",
    }},
    {"my_chat_member": {
        "chat": {"id": BOB, "type": "private"}, "from": sender(BOB), "date": 1, "old_chat_member":
        {"status": "member", "user": sender(BOB)}, "new_chat_member": {"status": "left", "user": sender(BOB)},
    }},
    a_tap(BOB, "m:balance"),
]  # fmt: skip


def altered(kind: Json, seed: int, values: list[Any]) -> Json:
    """The update with some of its fields, at any depth, replaced, dropped or added; its sender stays the same."""
    chance, made = random.Random(seed), copy.deepcopy(kind)
    for value in values:
        place: Any = made
        while True:
            inner = [one for key, one in _items(place) if isinstance(one, (dict, list)) and key not in ("from", "chat")]
            if not inner or chance.random() < 0.3:
                break
            place = chance.choice(inner)
        keys = [key for key, _ in _items(place) if key not in ("from", "chat", "update_id")]
        if keys and chance.random() < 0.3:
            del place[chance.choice(keys)]
        elif keys:
            place[chance.choice(keys)] = value
    return made


def _items(place: Any) -> list[tuple[Any, Any]]:
    return list(place.items()) if isinstance(place, dict) else list(enumerate(place))


@pytest.mark.timeout(300)
async def test_no_shape_of_an_update_breaks_the_bot_or_moves_money(
    bot_env: BotEnv, caplog: pytest.LogCaptureFixture
) -> None:
    """Updates of every kind with fields replaced, dropped and added; Stars that nobody paid credit nobody."""
    caplog.set_level(logging.INFO)
    await bot_env.give(BOB, 500)
    before = await snapshot(bot_env.db, *MONEY)
    shapes = st.builds(altered, st.sampled_from(KINDS), st.integers(0, 2**32), st.lists(JSON, min_size=1, max_size=3))
    await feed(bot_env, [*KINDS, *drawn(shapes, 150)])
    assert "update.unreadable" in [record.getMessage() for record in caplog.records]  # some were no updates at all
    assert faults_logged(caplog) == []
    assert await waiting(bot_env) == 0
    assert await snapshot(bot_env.db, *MONEY) == before
    assert (
        await bot_env.db.read(lambda tx: tx.connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall())
    ) == []
