"""Delivers a bot's updates to its webhook: in order for each person, several people at once, until 2xx or too old."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import aiohttp

from sandbox.telegram.call import METHODS, NAMES, Call
from sandbox.telegram.errors import ApiError
from sandbox.telegram.params import Params
from sandbox.telegram.state import Bot, Telegram
from sandbox.telegram.updates import Pending

ANSWER_SECONDS = 60.0
LONGEST_WAIT = 60.0  # up to twice as long, at random
GONE_SECONDS = 23 * 3600.0
MAX_ANSWER = 1024 * 1024
NOT_IN_ANSWERS = frozenset({"setwebhook", "deletewebhook", "close", "logout"})
log = logging.getLogger("sandbox.telegram")
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"


class Webhook:
    """The result of one setWebhook, until the next one or deleteWebhook (docs/reference/telegram.md, section 4)."""

    def __init__(self, telegram: Telegram, bot: Bot, url: str, secret: str, max_connections: int) -> None:
        self.url = url
        self.max_connections = max_connections
        self._telegram = telegram
        self._bot = bot
        self._secret = secret
        self._busy: dict[int, asyncio.Task[None]] = {}
        self._waiting: dict[int, None] = {}
        self._session: aiohttp.ClientSession | None = None
        self._last_error: tuple[int, str] | None = None
        self._gone_since: float | None = None

    def start(self) -> None:
        self._bot.updates.on_push = lambda pending: self._serve(pending.user_id)
        for user_id in self._bot.updates.users():
            self._serve(user_id)

    async def stop(self) -> None:
        """Deliver nothing more; what was not delivered stays in the queue."""
        if self._bot.webhook is self:
            self._bot.webhook = None
            self._bot.updates.on_push = None
        tasks = list(self._busy.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def info(self) -> dict[str, Any]:
        """Webhook's part of getWebhookInfo."""
        info: dict[str, Any] = {"max_connections": self.max_connections, "ip_address": "127.0.0.1"}
        if self._last_error is not None:
            info["last_error_date"], info["last_error_message"] = self._last_error
        return info

    def _serve(self, user_id: int) -> None:
        if user_id in self._busy:
            return
        if len(self._busy) >= self.max_connections:
            self._waiting[user_id] = None
            return
        self._busy[user_id] = self._telegram.world.spawn(self._deliver_all(user_id))

    async def _deliver_all(self, user_id: int) -> None:
        try:
            while (pending := self._bot.updates.first_of(user_id)) is not None:
                await self._deliver(pending)
        finally:
            self._busy.pop(user_id, None)
            if self._bot.webhook is self:
                self._serve_next(user_id)

    def _serve_next(self, last: int) -> None:
        """Serve a person who waits, and the last one again if more updates came for them."""
        if self._waiting:
            waiting = next(iter(self._waiting))
            del self._waiting[waiting]
            self._serve(waiting)
        if self._bot.updates.first_of(last) is not None:
            self._serve(last)

    async def _deliver(self, pending: Pending) -> None:
        """Post one update until it is accepted or expires."""
        failures = 0
        while self._bot.updates.first_of(pending.user_id) is pending:
            asked_to_wait = await self._post(pending)
            if asked_to_wait is None:
                self._bot.updates.remove(pending)
                return
            failures += 1
            longest = self._telegram.world.random.uniform(LONGEST_WAIT, 2 * LONGEST_WAIT)
            wait = asked_to_wait or (0.0 if failures == 1 else min(2.0 ** min(failures - 1, 10), longest))
            left = max(0.0, pending.expires - self._telegram.world.clock.now())
            await self._telegram.world.clock.sleep(min(wait, left))

    async def _post(self, pending: Pending) -> float | None:
        """One attempt. None: accepted. Else the seconds the receiver asked to wait, 0 if it did not say."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=self.max_connections)
            timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        headers = {SECRET_HEADER: self._secret} if self._secret else {}
        try:
            async with self._session.post(
                self.url, json=pending.as_update(), headers=headers, allow_redirects=False
            ) as answer:
                body = await answer.content.read(MAX_ANSWER)
                self._telegram.world.record(
                    "telegram", "webhook", update_id=pending.update_id, kind=pending.kind, status=answer.status
                )
                if 200 <= answer.status < 300:
                    self._gone_since = None
                    await self._act_on(body)
                    return None
                self._failed(f"Wrong response from the webhook: {answer.status} {answer.reason}")
                self._note_gone(answer.status)
                return _retry_after(answer.headers.get("Retry-After"))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._telegram.world.record(
                "telegram", "webhook", update_id=pending.update_id, kind=pending.kind, error=type(error).__name__
            )
            self._failed("Read timeout expired" if isinstance(error, TimeoutError) else "Connection refused")
            return 0.0

    def _failed(self, message: str) -> None:
        self._last_error = (int(self._telegram.world.clock.now()), message)

    def _note_gone(self, status: int) -> None:
        """A receiver that answers 410 for 23 hours loses its webhook."""
        now = self._telegram.world.clock.now()
        if status != 410:
            self._gone_since = None
        elif self._gone_since is None:
            self._gone_since = now
        elif now - self._gone_since >= GONE_SECONDS and self._bot.webhook is self:
            self._telegram.world.spawn(self.stop())

    async def _act_on(self, body: bytes) -> None:
        """A 2xx body may contain one call; its result is not sent anywhere."""
        try:
            wanted = json.loads(body) if body.strip() else None
        except (ValueError, RecursionError):
            return
        if not isinstance(wanted, dict):
            return
        name = str(wanted.pop("method", "")).lower()
        if name not in METHODS or name.startswith("get") or name in NOT_IN_ANSWERS:
            return
        self._telegram.world.record("telegram", NAMES[name], bot=self._bot.id, in_webhook_answer=True)
        try:
            await METHODS[name](Call(self._telegram, self._bot, Params(values=wanted)))
        except ApiError as error:
            log.info("a call in a webhook's answer was refused: %s", error.description)
        except Exception:
            log.exception("the sandbox failed in %s, called in a webhook's answer", name)


def _retry_after(header: str | None) -> float:
    return float(header) if header and header.isdigit() and int(header) <= 3600 else 0.0
