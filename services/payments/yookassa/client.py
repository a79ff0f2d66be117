"""YooKassa through its official SDK, made safe: time limits, exact bodies, exact money, one typed error.

The SDK's own client waits without end, repeats by itself, hides network faults as AttributeError, rewrites request
bodies and prints the Authorization header into its logger (docs/reference/yookassa.md, section 12). `_Client` keeps its
credentials, headers and endpoint and replaces the sending; the SDK's models are left aside, since a body that is
repeated under one idempotence key must not depend on the SDK's version.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, NoReturn, TypeVar

import requests
from requests.adapters import HTTPAdapter
from yookassa.client import ApiClient
from yookassa.configuration import Configuration

from database import clock
from services.payments.yookassa.objects import (
    ID,
    ODD,
    GatewayPayment,
    GatewayRefund,
    Receipt,
    ShopInfo,
    build_payment_body,
    build_refund_body,
    encode,
    read_payment,
    read_refund,
    read_shop,
)
from services.settings import Settings

__all__ = [
    "ErrorKind",
    "GatewayPayment",
    "GatewayRefund",
    "Receipt",
    "ShopInfo",
    "YooKassaError",
    "YooKassaGateway",
    "build_payment_body",
    "build_refund_body",
]

logger = logging.getLogger(__name__)

THREADS = 4
MAX_ANSWER_BYTES = 4 * 1024 * 1024
PAGE = 100
MAX_PAGES = 200

_KEY = re.compile(r"[A-Za-z0-9_.+-]{1,64}")
T = TypeVar("T")


class ErrorKind(StrEnum):
    """What a failed call means for its caller."""

    UNKNOWN_OUTCOME = "unknown_outcome"
    """It may or may not have happened: repeat with the same key and body, or look it up."""
    RATE_LIMITED = "rate_limited"
    """It did not happen: repeat later with the same key."""
    INVALID = "invalid"
    """The request is wrong and stays wrong: correct it and take a new key."""
    CREDENTIALS = "credentials"
    """Shop id or key is wrong: an admin has to act."""
    FORBIDDEN = "forbidden"
    """The feature is not switched on for this shop: an admin has to act."""
    NOT_FOUND = "not_found"
    """No such object in this shop."""


class YooKassaError(Exception):
    """A call that did not give a usable answer; never holds the shop's key.

    `error_id` is YooKassa's own id of the error, the one thing their support asks for; `retry_after` is in seconds.
    """

    def __init__(
        self,
        kind: ErrorKind,
        reason: str,
        *,
        status: int | None = None,
        code: str | None = None,
        parameter: str | None = None,
        error_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        known = {"status": status, "code": code, "parameter": parameter, "id": error_id}
        facts = " ".join(f"{name}={value}" for name, value in known.items() if value is not None)
        super().__init__(f"{kind}: {reason}" + (f" ({facts})" if facts else ""))
        self.kind, self.reason, self.status, self.code = kind, reason, status, code
        self.parameter, self.error_id, self.retry_after = parameter, error_id, retry_after


class YooKassaGateway:
    """One shop. Calls run in threads of their own, raise only YooKassaError, and end within a known time.

    A cancelled call may still reach YooKassa: repeat it under its key, or look it up.
    """

    def __init__(self, shop_id: str, secret_key: str, api_url: str, *, timeout: tuple[float, float] = (5, 35)) -> None:
        """`timeout` is seconds to connect and seconds to wait for data; YooKassa answers within 30 s.

        The 30 s: docs/reference/yookassa.md, section 1.
        """
        self._client = _Client(shop_id, secret_key, api_url.rstrip("/"), timeout)
        # Waiting for a free thread counts too: a caller never waits longer than two calls may take.
        self._limit = 2 * sum(timeout) + 1
        self._closed = threading.Event()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="yookassa")

    async def create_payment(self, body: Mapping[str, Any], *, idempotency_key: str) -> GatewayPayment:
        """`POST /payments`. The same key and body within 24 h give the same payment, never a second one."""
        return await self._act("/payments", body, idempotency_key, read_payment)

    async def get_payment(self, payment_id: str) -> GatewayPayment:
        """The payment as it is now, the only thing money may be credited from."""
        return await self._look("/payments", payment_id, read_payment)

    async def find_payment(self, payment_id: str) -> GatewayPayment | None:
        """As `get_payment`; None when the shop has no such payment."""
        return await _found(self.get_payment(payment_id))

    async def create_refund(self, body: Mapping[str, Any], *, idempotency_key: str) -> GatewayRefund:
        """`POST /refunds`. The same key and body within 24 h give the same refund, never a second one."""
        return await self._act("/refunds", body, idempotency_key, read_refund)

    async def get_refund(self, refund_id: str) -> GatewayRefund:
        """The refund as it is now; no notification tells of a canceled one (docs/reference/yookassa.md, section 7)."""
        return await self._look("/refunds", refund_id, read_refund)

    async def find_refund(self, refund_id: str) -> GatewayRefund | None:
        """As `get_refund`; None when the shop has no such refund."""
        return await _found(self.get_refund(refund_id))

    def list_payments(self, **filters: str) -> AsyncIterator[GatewayPayment]:
        """Payments that pass the filters, newest first; `captured_at__gte=…` is YooKassa's `captured_at.gte`."""
        return self._list("/payments", filters, read_payment)

    def list_refunds(self, **filters: str) -> AsyncIterator[GatewayRefund]:
        """Refunds that pass the filters (`payment_id=…`, `created_at__gte=…`), newest first."""
        return self._list("/refunds", filters, read_refund)

    async def me(self) -> ShopInfo:
        """The shop behind the credentials: a start-up check of key, mode and receipts."""
        return _read(read_shop, await self._call("GET", "/me"))

    async def close(self) -> None:
        """Take no more calls. Those on the wire end by their own time limits."""
        self._closed.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _act(self, path: str, body: Mapping[str, Any], key: str, read: Callable[[Any], T]) -> T:
        if not _KEY.fullmatch(key):
            raise ValueError("an idempotency key is 1 to 64 letters, digits and -_.+")
        return _read(read, await self._call("POST", path, headers={"Idempotence-Key": key}, body=encode(body)))

    async def _look(self, path: str, object_id: str, read: Callable[[Any], T]) -> T:
        if not ID.fullmatch(object_id):
            # Ids also come from notifications, which anybody may send; one with a slash would be another path.
            raise YooKassaError(ErrorKind.NOT_FOUND, "not an id")
        try:
            return _read(read, await self._call("GET", f"{path}/{object_id}"))
        except YooKassaError as error:
            if error.kind is ErrorKind.INVALID and error.status == 400:
                # The id is all that can be wrong here: the other way to say "unknown"
                # (docs/reference/yookassa.md, section 4).
                raise YooKassaError(
                    ErrorKind.NOT_FOUND, error.reason, status=400, code=error.code, error_id=error.error_id
                ) from None
            raise

    async def _list(self, path: str, filters: Mapping[str, str], read: Callable[[Any], T]) -> AsyncIterator[T]:
        query = {"limit": str(PAGE), **{name.replace("__", "."): value for name, value in filters.items()}}
        for _ in range(MAX_PAGES):
            answer = await self._call("GET", path, query_params=query)
            items, cursor = answer.get("items"), answer.get("next_cursor")
            if not isinstance(items, list):
                raise YooKassaError(ErrorKind.UNKNOWN_OUTCOME, "a list without items")
            for item in items:
                try:
                    yield _read(read, item)
                except YooKassaError as error:
                    # One odd object must not hide all others from reconciliation.
                    logger.error("left out of the list of %s: %s", path, error)
            if not isinstance(cursor, str) or not cursor:
                return
            query["cursor"] = cursor
        raise YooKassaError(ErrorKind.UNKNOWN_OUTCOME, f"a list of more than {MAX_PAGES} pages")

    async def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        def send() -> dict[str, Any]:
            answer: dict[str, Any] = self._client.request(method, path, **options)
            return answer

        if self._closed.is_set():
            raise YooKassaError(ErrorKind.UNKNOWN_OUTCOME, "the gateway is closed")
        try:
            async with asyncio.timeout(self._limit):
                return await asyncio.get_running_loop().run_in_executor(self._threads, send)
        except TimeoutError:
            raise YooKassaError(ErrorKind.UNKNOWN_OUTCOME, "no answer in time") from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed.is_set() and task is not None and not task.cancelling():
                # Closing dropped the call while it waited for a thread; the task that made it was not cancelled.
                raise YooKassaError(ErrorKind.UNKNOWN_OUTCOME, "the gateway is closed") from None
            raise


async def _found(asked: Awaitable[T]) -> T | None:
    try:
        return await asked
    except YooKassaError as error:
        if error.kind is not ErrorKind.NOT_FOUND:
            raise
        return None


class _Client(ApiClient):  # type: ignore[misc]  # the SDK ships no types, so its class is Any
    """The SDK's client with its sending replaced: limits of time and size, no repeats, bytes that depend on nothing.

    The SDK keeps its configuration in class globals; they are read here, once, so every client keeps its own shop.
    """

    def __init__(self, shop_id: str, secret_key: str, api_url: str, timeout: tuple[float, float]) -> None:
        Configuration.configure(shop_id, secret_key, api_url=api_url, max_attempts=0)
        super().__init__()
        self._limits = timeout

    def get_session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False  # neither a proxy nor a .netrc of the machine may get between
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=0))
        return session

    def request(
        self,
        method: str = "",
        path: str = "",
        query_params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> dict[str, Any]:
        """Send and answer the raw JSON object, before any model has changed it; raises only YooKassaError."""
        prepared = self.prepare_request_headers(dict(headers or {}))
        try:
            status, raw = self.execute(body, method, path, query_params, prepared)
        except Exception as error:
            # Whatever broke on the wire, the request may have arrived. Requests' errors hold the request, key and all,
            # so only the name of what happened goes on.
            raise YooKassaError(ErrorKind.UNKNOWN_OUTCOME, f"network: {type(error).__name__}") from None
        answer = _json_object(raw)
        if status != 200 or answer is None:
            _raise_for(status, answer, secret=str(self.shop_password))
        return answer

    def execute(
        self,
        body: bytes | None,
        method: str,
        path: str,
        query_params: Mapping[str, str] | None,
        request_headers: Mapping[str, str],
    ) -> tuple[int, bytes]:
        """One HTTP exchange; answers status and body. The SDK's logger, which would print the key, is not called."""
        with (
            self.get_session() as session,
            session.request(
                method,
                self.endpoint + path,
                params=query_params,
                headers=request_headers,
                data=body,
                timeout=self._limits,
                allow_redirects=False,
                stream=True,
            ) as answer,
        ):
            return answer.status_code, self._read_all(answer)

    def _read_all(self, answer: requests.Response) -> bytes:
        """The whole body within both limits: a socket's timeout starts anew with every byte that drips in."""
        deadline = clock.steady() + self._limits[1]
        body = bytearray()
        while chunk := answer.raw.read1(65536, decode_content=True):
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise ValueError("the answer is too large")
            if clock.steady() > deadline:
                raise TimeoutError("the answer is too slow")
        return bytes(body)


_KINDS = {
    400: ErrorKind.INVALID,
    401: ErrorKind.CREDENTIALS,
    403: ErrorKind.FORBIDDEN,
    404: ErrorKind.NOT_FOUND,
    405: ErrorKind.INVALID,
    415: ErrorKind.INVALID,
    429: ErrorKind.RATE_LIMITED,
}


def _raise_for(status: int, answer: Mapping[str, Any] | None, *, secret: str) -> NoReturn:
    """Turn an answer that is no success into the error it means (docs/reference/yookassa.md, section 8).

    A page that is not JSON comes from something between us and YooKassa, so its status says nothing of the outcome.
    """
    if answer is None:
        raise YooKassaError(ErrorKind.UNKNOWN_OUTCOME, "the answer is not JSON", status=status)

    def text(name: str) -> str | None:
        value = answer.get(name)
        return value.replace(secret, "***")[:200] if isinstance(value, str) and value else None

    pause = answer.get("retry_after")
    raise YooKassaError(
        _KINDS.get(status, ErrorKind.UNKNOWN_OUTCOME),
        text("description") or "no description",
        status=status,
        code=text("code"),
        parameter=text("parameter"),
        error_id=text("id"),
        retry_after=pause / 1000 if type(pause) is int and 0 <= pause <= 86_400_000 else None,
    )


def _json_object(raw: bytes) -> dict[str, Any] | None:
    """The JSON object in these bytes, its numbers exact; None when there is none."""
    try:
        value = json.loads(raw, parse_float=Decimal)
    except (ValueError, RecursionError, InvalidOperation):
        return None
    return value if isinstance(value, dict) else None


def _read(read: Callable[[Any], T], item: Any) -> T:
    """Read an object; one that lacks what money depends on is an answer we cannot act on."""
    try:
        return read(item)
    except ODD as error:
        name = item.get("id") if isinstance(item, dict) else None
        raise YooKassaError(
            ErrorKind.UNKNOWN_OUTCOME, f"odd object {str(name)[:64]!r}: {type(error).__name__} {error!s:.100}"
        ) from None


def gateway_of(settings: Settings) -> YooKassaGateway | None:
    """The shop that the settings name; None when they name none."""
    if settings.yookassa_shop_id is None or settings.yookassa_secret_key is None:
        return None
    return YooKassaGateway(
        settings.yookassa_shop_id, settings.yookassa_secret_key.get_secret_value(), settings.yookassa_api_url
    )


def expects_test_payments(settings: Settings) -> bool | None:
    """Whether payments must be test ones: the secret key's own prefix tells (docs/reference/yookassa.md, section 1)."""
    key = settings.yookassa_secret_key.get_secret_value() if settings.yookassa_secret_key else ""
    return {"test_": True, "live_": False}.get(key[:5])
