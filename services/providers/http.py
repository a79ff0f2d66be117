"""HTTP for the providers: one request with limits, and what a failure of the connection means for money."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import certifi
import httpx2

from services.base_provider import MAX_RETRY_AFTER, Blame, ErrorCode, Failure, ProviderError

DETAIL_LIMIT = 300
ERROR_BODY_LIMIT = 256 * 1024
MAX_CONNECTIONS = 50
CONNECT_SECONDS = 10.0
WRITE_SECONDS = 60.0
POOL_SECONDS = 60.0

JSON = Any


@dataclass(frozen=True)
class Answer:
    """A complete answer, or the readable part of an error answer."""

    status: int
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    body: bytes = field(repr=False, default=b"")

    def json(self) -> JSON:
        """The parsed body; raises `ValueError` for anything that is not JSON, also if it is nested too deep."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not JSON: {type(error).__name__}") from None


class Scrubber:
    """Prepares text from outside for a log: short, one line, valid UTF-8 and without our secrets."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted((secret for secret in set(secrets) if len(secret) >= 4), key=len, reverse=True)

    def __call__(self, text: object, limit: int = DETAIL_LIMIT) -> str:
        line = text if isinstance(text, str) else ""
        for secret in self._secrets:
            line = line.replace(secret, "***")
        line = re.sub(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+", " ", line[: limit * 4]).strip()
        line = line.encode("utf-8", "replace").decode("utf-8")
        return line if len(line) <= limit else line[: limit - 1] + "…"


class HttpClient:
    """Requests to one provider, with limits.

    A connection is never used for a second request: if the other end has just closed it, the outcome of a paid call
    would be unknown. A new handshake takes little time compared with the seconds that an image takes.
    """

    def __init__(
        self,
        *,
        base_url: str = "",
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
        secrets: Iterable[str] = (),
    ) -> None:
        for name, value in (headers or {}).items():
            if not re.fullmatch(r"[\x21-\x7e]+( [\x21-\x7e]+)*", value):
                raise ValueError(f"the value for the header {name} holds characters that cannot be sent")
        self.scrub = Scrubber([*secrets, *_proxy_secrets(proxy)])
        # httpx2 writes every address at INFO, and who holds the signed address of a result holds the result.
        for noisy in ("httpx2", "httpcore2"):
            logger = logging.getLogger(noisy)
            logger.setLevel(max(logger.level, logging.WARNING))
        self._base_url = base_url.rstrip("/")
        try:
            self._client = httpx2.AsyncClient(
                headers={"Accept-Encoding": "identity", **(headers or {})},
                proxy=proxy or None,
                verify=_tls(),
                follow_redirects=False,  # a key never travels to another host
                trust_env=False,
                limits=httpx2.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=0),
            )
        except ImportError:
            raise ValueError("a socks5 proxy needs the package socksio: pip install 'httpx2[socks]'") from None
        except (ValueError, httpx2.InvalidURL):
            raise ValueError("the proxy's address is not one: http://…, https://… or socks5://…") from None

    async def close(self) -> None:
        await self._client.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        read_seconds: float,
        deadline: float,
        max_bytes: int,
        in_doubt: Failure,
    ) -> Answer:
        """One request, with a complete answer within `deadline` seconds and `max_bytes`, or a `ProviderError`.

        A failure before the first byte was sent is temporary; afterwards it is `in_doubt`. An error status with an
        incomplete body is still an answer: the status alone says that the request was refused.
        """
        sent = False

        async def trace(event: str, info: Mapping[str, Any]) -> None:
            nonlocal sent
            # The CONNECT to a proxy is not our request.
            if event.endswith("send_request_headers.started") and info["request"].method != b"CONNECT":
                sent = True

        timeout = httpx2.Timeout(read_seconds, connect=CONNECT_SECONDS, write=WRITE_SECONDS, pool=POOL_SECONDS)
        try:
            async with asyncio.timeout(deadline):
                request = self._client.build_request(
                    method,
                    self._base_url + path,
                    content=content,
                    params=params,
                    headers=headers,
                    timeout=timeout,
                    extensions={"trace": trace},
                )
                response = await self._client.send(request, stream=True)
                try:
                    return await self._read(response, max_bytes, in_doubt)
                finally:
                    await response.aclose()
        except ProviderError:
            raise
        except (TimeoutError, httpx2.TimeoutException) as error:
            code, reason = ErrorCode.TIMEOUT, type(error).__name__
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError, ValueError) as error:
            # The text of these errors may quote a header or an address, so only the type is used.
            code, reason = ErrorCode.NETWORK, type(error).__name__
        failure = in_doubt if sent else Failure.TEMPORARY
        raise ProviderError(code, failure, Blame.PROVIDER, f"{reason} {'after' if sent else 'before'} sending")

    async def _read(self, response: httpx2.Response, max_bytes: int, in_doubt: Failure) -> Answer:
        refused = response.status_code >= 400
        limit = min(max_bytes, ERROR_BODY_LIMIT) if refused else max_bytes
        body = bytearray()
        try:
            async for chunk in response.aiter_bytes(64 * 1024):
                body += chunk
                if len(body) > limit:
                    if refused:
                        break
                    detail = f"the answer is longer than {limit} bytes"
                    raise ProviderError(ErrorCode.TOO_LARGE, in_doubt, Blame.ADMIN, detail)
        except httpx2.HTTPError:
            if not refused:
                raise
        return Answer(response.status_code, dict(response.headers), bytes(body))


@cache
def _tls() -> ssl.SSLContext:
    """One for all clients: reading the certificates takes longer than everything else that a step opens.

    The certificates are those of certifi, as for Telegram and YooKassa: a small system may have none of its own.
    """
    return ssl.create_default_context(cafile=certifi.where())


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The `Retry-After` header in seconds; None if it is missing or a date."""
    return seconds(headers.get("retry-after"))


def seconds(value: object) -> float | None:
    """Seconds from 17, "17" or "17.59s", at most a day; None for anything else."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d{1,12}(?:\.\d{1,9})?)\s*s?\s*", value, re.ASCII)
        if match is None:
            return None
        number = float(match[1])
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            return None
    else:
        return None
    return min(number, MAX_RETRY_AFTER) if math.isfinite(number) and number >= 0 else None


def as_dict(value: JSON) -> dict[str, JSON]:
    """The object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def as_list(value: JSON) -> list[JSON]:
    """The array, or an empty one for anything else."""
    return value if isinstance(value, list) else []


def as_count(value: JSON) -> int:
    """A count from 0 to a billion; 0 for anything that is not a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0
    if isinstance(value, float) and math.isnan(value):
        return 0
    return int(min(max(value, 0), 1_000_000_000))


def _proxy_secrets(proxy: str | None) -> list[str]:
    try:
        parts = urlsplit(proxy or "")
    except ValueError:
        return [proxy or ""]
    return [secret for secret in (proxy, parts.password) if secret]
