"""Callbacks on every change of state, signed as Standard Webhooks, and the ways in which they go wrong.

Facts: docs/reference/kling.md, section 6.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import aiohttp

from sandbox.world import World

LOG_LIMIT = 1_000
TIMEOUT_SECONDS = 10.0
STALE_SECONDS = 400
MODES = frozenset({"normal", "missing", "duplicate", "out_of_order", "forged", "unsigned", "stale", "late"})
FORGED_SECRET = "whsec_" + base64.b64encode(b"a secret that nobody was given").decode()


def signature(secret: str, delivery: str, timestamp: int | str, body: bytes) -> str:
    """`v1,<base64>` over `{id}.{timestamp}.{body}` with the key behind `whsec_`."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{delivery}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers(signers: Sequence[str], delivery: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers; none at all when no secret exists, two signatures during a rotation."""
    if not signers:
        return {}
    return {
        "webhook-id": delivery,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(one, delivery, timestamp, body) for one in signers),
    }


class Sender:
    """Posts callbacks and keeps a log of the answers."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._session: aiohttp.ClientSession | None = None
        self._held: dict[str, tuple[str, bytes]] = {}
        self.log: deque[dict[str, Any]] = deque(maxlen=LOG_LIMIT)

    def clear(self) -> None:
        self.log.clear()
        self._held.clear()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, url: str, task: dict[str, Any], mode: str, signers: Sequence[str], retries: int) -> None:
        """Tell `url` about `task` (the object as `/tasks` shows it) in the way that `mode` says."""
        body = json.dumps(task, ensure_ascii=False).encode("utf-8", "replace")
        if mode == "missing":
            self._note(task, mode, None, "not sent")
            return
        if mode == "out_of_order" and task["status"] == "processing":
            self._held[task["id"]] = (url, body)
            return
        if mode == "forged":
            await self._forge(url, task)
        if mode == "late":
            await self._world.clock.sleep(60)
        used = () if mode == "unsigned" else signers
        delivery = secrets.token_hex(12)
        await self._deliver(url, task, body, used, delivery, mode, retries)
        if mode == "duplicate":
            await self._deliver(url, task, body, used, delivery, mode, retries)
        held = self._held.pop(task["id"], None) if task["status"] in ("succeeded", "failed") else None
        if held is not None:
            await self._deliver(
                held[0], {**task, "status": "processing"}, held[1], used, secrets.token_hex(12), mode, retries
            )

    async def _forge(self, url: str, task: dict[str, Any]) -> None:
        """What somebody without the secret would send: a success that did not happen, at a price of zero."""
        lie = {
            **task,
            "status": "succeeded",
            "outputs": [
                {
                    "type": "video",
                    "id": task["id"],
                    "duration": "5.041",
                    "url": f"{self._world.base_url}/kling/files/forged.mp4",
                }
            ],
            "billing": [],
        }
        await self._deliver(url, lie, json.dumps(lie).encode(), (FORGED_SECRET,), secrets.token_hex(12), "forged", 0)

    async def _deliver(
        self,
        url: str,
        task: dict[str, Any],
        body: bytes,
        signers: Sequence[str],
        delivery: str,
        mode: str,
        retries: int,
    ) -> None:
        for attempt in range(retries + 1):
            if attempt:
                await self._world.clock.sleep(5.0 * 2**attempt)
            # Real time: the receiver compares with its own clock, whatever the speed of ours is.
            timestamp = int(time.time()) - (STALE_SECONDS if mode == "stale" else 0)
            status = await self._post(url, task, body, headers(signers, delivery, timestamp, body), mode)
            if status == 200:
                return

    async def _post(self, url: str, task: dict[str, Any], body: bytes, extra: dict[str, str], mode: str) -> int | None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS))
        try:
            async with self._session.post(
                url, data=body, headers={"Content-Type": "application/json", **extra}
            ) as answer:
                await answer.content.read(65_536)
                self._note(task, mode, answer.status, "")
                return answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            self._note(task, mode, None, type(error).__name__)
            return None
        except asyncio.CancelledError:
            self._note(task, mode, None, "cancelled")
            raise

    def _note(self, task: dict[str, Any], mode: str, status: int | None, error: str) -> None:
        self.log.append(
            {
                "at": self._world.clock.now(),
                "task_id": task["id"],
                "status": task["status"],
                "mode": mode,
                "http": status,
                "error": error,
            }
        )
