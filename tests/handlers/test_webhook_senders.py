"""How the senders of webhooks are known: YooKassa by address, Kling by signature, Telegram by a secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from services.settings import YOOKASSA_SENDERS
from tests.support.payment_env import PaymentEnv
from tests.support.route_fixture import (
    SECRET,
    SECRET_HEADER,
    deliver,
    good,
    inbox_rows,
    open_heard,
    opened,
    raw_status,
)
from tests.support.sandbox_fixture import Sandbox

OLD, NEW = ("whsec_" + base64.b64encode(word).decode() for word in (b"the old secret", b"the new secret"))
PROXIES = "127.0.0.1, 10.0.0.0/8, fd00::/8"


def forwarded_for(address: str | tuple[str, ...]) -> str:
    """The X-Forwarded-For lines of a request that came through these addresses."""
    lines = (address,) if isinstance(address, str) else address
    return "".join(f"X-Forwarded-For: {line}\n" for line in lines)


async def notify(shop: PaymentEnv, lines: str) -> int:
    body = good("yookassa")
    return await raw_status(
        shop, f"POST /webhooks/yookassa HTTP/1.1\nHost: x\n{lines}Content-Length: {len(body)}\n", body
    )


@pytest.mark.parametrize("forwarded", ["185.71.76.1", ("185.71.76.1", "185.71.76.2"), "127.0.0.1, 185.71.76.1"])
async def test_nobody_but_our_proxies_is_believed_about_an_address(
    sandbox: Sandbox, tmp_path: Path, forwarded: str | tuple[str, ...]
) -> None:
    """Without TRUSTED_PROXIES only the socket's peer counts, whatever X-Forwarded-For says."""
    async with opened(sandbox, tmp_path, YOOKASSA_WEBHOOK_CIDRS=YOOKASSA_SENDERS) as shop:
        assert await notify(shop, forwarded_for(forwarded)) == 403
        assert await inbox_rows(shop) == []


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        ("185.71.76.1", 200),
        ("77.75.156.11", 200),
        ("2a02:5180::7", 200),
        ("::ffff:185.71.76.1", 200),
        ("  185.71.76.1  ", 200),
        ("6.6.6.6, 185.71.76.1", 200),
        ("185.71.76.1, 10.0.0.7", 200),
        ("185.71.76.1, fd00::7, ::ffff:10.0.0.7", 200),
        (("6.6.6.6", "185.71.76.1", "10.1.2.3"), 200),
        ("", 403),
        ("127.0.0.1", 403),
        ("10.0.0.7, 10.0.0.8", 403),
        ("77.75.156.12", 403),
        ("185.71.76.1, 6.6.6.6", 403),
        ("185.71.76.1, 6.6.6.6, 10.0.0.7", 403),
        (("185.71.76.1", "6.6.6.6"), 403),
        ("185.71.76.1,", 403),
        ("185.71.76.1, junk", 403),
        ("junk", 403),
        ("185.71.76.1/27", 403),
        ("0xb9474c01", 403),
        ("3108457473", 403),
        ("185.71.076.1", 403),
        ("::ffff:6.6.6.6", 403),
        ("," * 3000, 403),
    ],
)
async def test_with_trusted_proxies_the_last_other_address_is_the_sender(
    sandbox: Sandbox, tmp_path: Path, forwarded: str | tuple[str, ...], status: int
) -> None:
    """The addresses are read from the right end; the first that is not a trusted proxy must be on the list."""
    async with opened(sandbox, tmp_path, YOOKASSA_WEBHOOK_CIDRS=YOOKASSA_SENDERS, TRUSTED_PROXIES=PROXIES) as shop:
        assert await notify(shop, forwarded_for(forwarded)) == status


async def test_a_list_of_all_addresses_accepts_every_sender(sandbox: Sandbox, tmp_path: Path) -> None:
    """0.0.0.0/0 and ::/0 switch the check off, for a bot behind a service that hides the sender."""
    async with opened(sandbox, tmp_path, YOOKASSA_WEBHOOK_CIDRS="0.0.0.0/0,::/0") as shop:
        assert await notify(shop, forwarded_for("6.6.6.6")) == 200


def signed(body: bytes, *secrets: str, at: float | None = None, delivery: str = "msg_1") -> dict[str, str]:
    """The headers of Standard Webhooks, one signature for each secret."""
    stamp = str(int(time.time() if at is None else at))

    def one(secret: str) -> str:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        return (
            "v1,"
            + base64.b64encode(hmac.new(key, f"{delivery}.{stamp}.".encode() + body, hashlib.sha256).digest()).decode()
        )

    return {
        "webhook-id": delivery,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(one(each) for each in secrets),
    }


@pytest_asyncio.fixture
async def signing(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[PaymentEnv]:
    async with opened(sandbox, tmp_path, KLING_WEBHOOK_SECRET=NEW) as shop:
        yield shop


async def test_a_callback_signed_with_the_secret_is_accepted(signing: PaymentEnv) -> None:
    """The right signature is accepted, alone or together with one of the old secret, in either order."""
    body = good("kling")
    for headers in (signed(body, NEW), signed(body, OLD, NEW), signed(body, NEW, OLD)):
        assert await deliver(signing, "kling", body, headers) == 200


FORGERIES: Mapping[str, Callable[[dict[str, str]], dict[str, str]]] = {
    "none at all": lambda _: {},
    "the old secret": lambda _: signed(good("kling"), OLD),
    "of another body": lambda _: signed(good("kling", 2), NEW),
    "an hour old": lambda _: signed(good("kling"), NEW, at=time.time() - 3600),
    "of the future": lambda _: signed(good("kling"), NEW, at=time.time() + 3600),
    "another id": lambda right: {**right, "webhook-id": "msg_2"},
    "no number for a time": lambda right: {**right, "webhook-timestamp": "soon"},
    "an absurd time": lambda right: {**right, "webhook-timestamp": "9" * 400},
    "empty": lambda right: {**right, "webhook-signature": ""},
    "a version only": lambda right: {**right, "webhook-signature": "v1"},
    "nothing signed": lambda right: {**right, "webhook-signature": "v1,=="},
    "not ASCII": lambda right: {**right, "webhook-signature": "v1,\u00e9\u00df"},
    "no version": lambda right: {**right, "webhook-signature": right["webhook-signature"][3:]},
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_callback_without_a_good_fresh_signature_is_refused(signing: PaymentEnv, forgery: str) -> None:
    """A missing, wrong, stolen, old or malformed signature is 403, and nothing is stored."""
    headers = FORGERIES[forgery](signed(good("kling"), NEW))
    assert await deliver(signing, "kling", good("kling"), headers) == 403
    assert await inbox_rows(signing) == []


async def test_without_a_secret_every_callback_is_accepted(sandbox: Sandbox, tmp_path: Path) -> None:
    """Without KLING_WEBHOOK_SECRET every sender is accepted: a callback only makes us poll sooner."""
    async with opened(sandbox, tmp_path) as shop:
        assert await deliver(shop, "kling", good("kling"), {}) == 200


@pytest.mark.parametrize(
    "line",
    [
        "",
        f"{SECRET_HEADER}:\n",
        f"{SECRET_HEADER}: wrong\n",
        f"{SECRET_HEADER}: {SECRET}x\n",
        f"{SECRET_HEADER}: {SECRET[:-1]}\n",
        f"{SECRET_HEADER}: {SECRET.upper()}\n",
        f"X-Other: {SECRET}\n",
        f"{SECRET_HEADER}: {SECRET}\u00e9\n",
        f"{SECRET_HEADER}: {'x' * 6000}\n",
    ],
)
async def test_an_update_without_the_secret_is_refused(sandbox: Sandbox, tmp_path: Path, line: str) -> None:
    """A missing or wrong secret is 401, whatever bytes it has."""
    async with opened(sandbox, tmp_path, heard=open_heard()) as shop:
        body = good("telegram")
        head = f"POST /webhooks/telegram HTTP/1.1\nHost: x\n{line}Content-Length: {len(body)}\n"
        assert await raw_status(shop, head.encode("latin-1"), body) == 401
        assert await inbox_rows(shop) == []


async def test_an_update_with_the_secret_is_handled(sandbox: Sandbox, tmp_path: Path) -> None:
    """With the secret the update reaches the handlers."""
    heard = open_heard()
    async with opened(sandbox, tmp_path, heard=heard) as shop:
        assert await deliver(shop, "telegram", good("telegram", 5)) == 200
        await shop.acted()
        assert shop.context.updates is not None
        await shop.context.updates.drain(10)
        assert heard.texts == ["hello 5"]


async def test_a_secret_is_derived_from_the_token_when_none_is_set(sandbox: Sandbox, tmp_path: Path) -> None:
    """With an empty TELEGRAM_WEBHOOK_SECRET the update must have a secret derived from the token."""
    async with opened(sandbox, tmp_path, heard=open_heard(), TELEGRAM_WEBHOOK_SECRET="") as shop:
        derived = shop.context.settings.telegram_webhook_token
        assert len(derived) >= 32
        assert await deliver(shop, "telegram", good("telegram"), {SECRET_HEADER: ""}) == 401
        assert await deliver(shop, "telegram", good("telegram"), {SECRET_HEADER: SECRET}) == 401
        assert await deliver(shop, "telegram", good("telegram"), {SECRET_HEADER: derived}) == 200
