"""Fetching an image that a request names by URL, as the real services do, with limits on size and time."""

from __future__ import annotations

import aiohttp

TIMEOUT_SECONDS = 10.0


class FetchFailed(Exception):
    """The URL gave no body: not reachable, not 200, or larger than the limit."""


async def fetch(url: str, limit: int) -> bytes:
    """The body behind an http(s) `url`, at most `limit` bytes; FetchFailed otherwise."""
    if not url.startswith(("http://", "https://")):
        raise FetchFailed("not an http(s) URL")
    try:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            if response.status != 200:
                raise FetchFailed(f"status {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_chunked(1 << 16):
                body += chunk
                if len(body) > limit:
                    raise FetchFailed(f"larger than {limit} bytes")
            return bytes(body)
    except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
        raise FetchFailed(type(error).__name__) from error
