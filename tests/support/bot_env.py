"""The whole bot in the sandbox, and the people who write to it: each test says what they do and what they then see."""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio
from PIL import Image

from app.bot import BotApp
from database.models import Database
from services.messaging.pace import Pace
from tests.support.database_fixture import assert_books
from tests.support.empty_database import lay_out
from tests.support.sandbox_fixture import ADMIN, TOKEN, Sandbox

BOT_ID = int(TOKEN.split(":")[0])
ANYA, BOB = 1001, 1002

Json = dict[str, Any]


def picture(width: int = 640, height: int = 480, kind: str = "JPEG", colour: str = "teal") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(out, kind)
    return out.getvalue()


def words_of(message: Json) -> str:
    return str(message.get("text") or message.get("caption") or "")


def buttons_of(message: Json) -> list[Json]:
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    return [button for row in rows for button in row]


def labels_of(message: Json) -> list[str]:
    return [str(button["text"]) for button in buttons_of(message)]


async def _a_moment() -> None:
    await asyncio.sleep(0.02)


async def until(
    condition: Callable[[], Awaitable[Any]],
    *,
    seconds: float = 15.0,
    what: str = "",
    pause: Callable[[], Awaitable[None]] = _a_moment,
) -> Any:
    """Wait until the condition gives something true, and give that."""
    deadline = time.monotonic() + seconds
    while not (answer := await condition()):
        assert time.monotonic() < deadline, f"did not happen within {seconds} s: {what}"
        await pause()
    return answer


@dataclass
class Person:
    """Someone in a chat with the bot, over the sandbox's own API for people."""

    id: int
    sandbox: Sandbox
    query: str = f"?bot={BOT_ID}"
    last: int = field(default=0)  # messages up to this id were there when the person last did something

    async def _call(self, path: str, body: Any = None, *, verb: str = "POST") -> Any:
        url = f"{self.sandbox.url}/_chat/users/{self.id}/{path}{self.query}"
        sending = {"data": body} if isinstance(body, aiohttp.FormData) else {"json": body} if body is not None else {}
        async with self.sandbox.http.request(verb, url, **sending) as answer:
            told = await answer.json()
            assert answer.status == 200, told
            return told

    async def messages(self) -> list[Json]:
        """Everything in the chat, oldest first; what the bot wrote has no `outgoing`."""
        found: list[Json] = (await self._call("messages", verb="GET"))["messages"]
        return found

    async def _news(self) -> None:
        """Until something happens in the chat; at most a tenth of a second, should it have happened just before."""
        await self.sandbox.world.faces["telegram"].events.changed(BOT_ID, self.id, 0.1)

    async def _done(self, answer: Any) -> list[Json]:
        sent: list[Json] = answer["messages"]
        self.last = sent[-1]["message_id"]
        return sent

    async def say(self, text: str) -> Json:
        return (await self._done(await self._call("send", {"text": text})))[0]

    def again(self, said: Json) -> None:
        """What was said comes once more, as when the bot dies before it could note that it was handled."""
        bot = self.sandbox.world.faces["telegram"].bot(BOT_ID)
        bot.updates.push("message", {name: value for name, value in said.items() if name != "outgoing"}, self.id)

    async def photo(self, *pictures: bytes, caption: str = "", kind: str = "photo", name: str = "p.jpg") -> list[Json]:
        """Send a photo, or several as an album; `kind` "document" sends them as files."""
        form = aiohttp.FormData()
        form.add_field("kind", kind)
        if caption:
            form.add_field("caption", caption)
        for data in pictures:
            form.add_field("file", io.BytesIO(data), filename=name, content_type="application/octet-stream")
        return await self._done(await self._call("send", form))

    async def write(self, **content: Any) -> Json:
        """A message of a kind that the sandbox's page does not offer (sticker, voice, location …)."""
        telegram = self.sandbox.world.faces["telegram"]
        bot = telegram.bot(BOT_ID)
        message = telegram.receive(bot, telegram.chat(bot, self.id), content)
        self.last = message.id
        return dict(message.data)

    async def block(self) -> None:
        await self._call("block", {})

    async def unblock(self) -> None:
        await self._call("unblock", {})

    # --- what comes back ----------------------------------------------------------------------------

    async def find(self, text: str, *, new: bool = False) -> Json | None:
        """The newest message of the bot's that holds `text`; `new`: only one that came after what I last wrote."""
        for message in reversed(await self.messages()):
            if (
                not message.get("outgoing")
                and text in words_of(message)
                and (not new or message["message_id"] > self.last)
            ):
                return message
        return None

    async def sees(self, text: str, *, new: bool = False, seconds: float = 40.0) -> Json:
        """Wait for a message (new or edited) that holds `text`."""
        deadline = time.monotonic() + seconds
        while (message := await self.find(text, new=new)) is None:
            if time.monotonic() > deadline:
                said = "\n---\n".join(
                    f"{'> ' if one.get('outgoing') else ''}{words_of(one)} {labels_of(one)}"
                    for one in await self.messages()
                )
                raise AssertionError(f"{text!r} did not come; the chat:\n{said}")
            await self._news()
        return message

    async def loses(self, message: Json) -> None:
        """Wait until a message has been taken out of the chat."""

        async def gone() -> bool:
            return message["message_id"] not in [one["message_id"] for one in await self.messages()]

        await until(gone, what="the old message is taken away", pause=self._news)

    async def gets(self, kind: str, *, count: int = 1, seconds: float = 40.0) -> list[Json]:
        """Wait for so many messages of the bot's that carry a photo, document, video …"""

        async def enough() -> list[Json]:
            found = [one for one in await self.messages() if not one.get("outgoing") and kind in one]
            return found if len(found) >= count else []

        found: list[Json] = await until(enough, seconds=seconds, what=f"{count} {kind}", pause=self._news)
        return found

    async def tap(self, label: str, *, on: Json | None = None) -> str:
        """Press the newest button whose words hold `label` (or the one on a message) without waiting; its query."""

        async def visible() -> tuple[Json, Json] | None:
            candidates = [on] if on is not None else list(reversed(await self.messages()))
            for message in candidates:
                for button in buttons_of(message):
                    if label in button["text"] and "callback_data" in button:
                        return message, button
            return None

        message, button = await until(visible, seconds=10, what=f"the button {label!r}", pause=self._news)
        body = {"message_id": message["message_id"], "data": button["callback_data"]}
        return str((await self._call("press", body))["callback_query_id"])

    async def press(self, label: str, *, on: Json | None = None) -> str:
        """Press a button and wait for the answer on it; gives the answer's text ("" for none)."""
        return await self.answer_to(await self.tap(label, on=on))

    async def link(self) -> str:
        """The address behind the newest button that opens a page; waits for one."""

        async def shown() -> str | None:
            for message in reversed(await self.messages()):
                for button in buttons_of(message):
                    if "url" in button:
                        return str(button["url"])
            return None

        return str(await until(shown, what="a button with a link", pause=self._news))

    async def press_raw(self, data: str) -> str:
        """A tap with data that stands on no message any more, as an old client may send; the answer's text."""
        return await self.answer_to(self.tap_raw(data))

    def tap_raw(self, data: str) -> str:
        """The same without waiting for the answer; its query."""
        telegram = self.sandbox.world.faces["telegram"]
        bot = telegram.bot(BOT_ID)
        chat = telegram.chat(bot, self.id)
        message = next(one for one in reversed(chat.messages.values()) if not one.outgoing)
        from sandbox.telegram.state import Query

        query = Query(bot.next_query_id(), self.id, self.sandbox.world.clock.now())
        bot.queries[query.id] = query
        payload = {"id": query.id, "from": chat.person.as_user(), "message": message.data, "chat_instance": "1"}
        bot.updates.push("callback_query", {**payload, "data": data}, self.id)
        return str(query.id)

    async def answer_to(self, query_id: str) -> str:
        """What the bot answered to a tap; waits for it."""

        async def answered() -> Json | None:
            for call in reversed(self.sandbox.world.calls):
                told = call.detail.get("params", {})
                if call.name == "answerCallbackQuery" and told.get("callback_query_id") == query_id:
                    return dict(told)
            return None

        return str((await until(answered, what="the answer to a tap")).get("text") or "")


@dataclass
class BotEnv:
    """A running bot and its sandbox."""

    app: BotApp
    sandbox: Sandbox
    counter: int = 0

    @property
    def db(self) -> Database:
        return self.app.db

    def person(self, user_id: int = ANYA) -> Person:
        return Person(user_id, self.sandbox)

    async def newcomer(self, first_name: str = "Ира", language: str = "ru") -> Person:
        """A user whom the bot does not know yet."""
        body = {"first_name": first_name, "language_code": language}
        async with self.sandbox.http.post(f"{self.sandbox.url}/_chat/users", json=body) as answer:
            return Person((await answer.json())["id"], self.sandbox)

    async def give(self, user_id: int, rubles: int) -> None:
        self.counter += 1
        await self.db.add_balance(user_id, rubles * 100, key=f"test-{self.counter}", reason="test")

    async def pay(self, payment_id: str) -> None:
        """The customer pays on YooKassa's page."""
        from database import payments as payment_rows

        payment = await self.db.read(payment_rows.get, payment_id)
        assert payment is not None
        url = f"{self.sandbox.url}/_control/yookassa/payments/{payment.provider_payment_id}/pay"
        async with self.sandbox.http.post(url, json={}) as answer:
            assert answer.status == 200, await answer.text()


@contextlib.asynccontextmanager
async def open_bot_env(sandbox: Sandbox, folder: Path, **settings: str) -> AsyncIterator[BotEnv]:
    """The bot as `main.py` runs it, in this process; its books must hold when it has stopped."""
    async with contextlib.AsyncExitStack() as stack:
        usual = {"HTTP_PORT": "0", "RATE_LIMIT_PER_MINUTE": "1000"}
        app = BotApp(sandbox.settings(folder, **{**usual, **settings}), stack)
        lay_out(app.db.path)
        await app.open()
        # The sandbox's clock runs 200 times as fast as ours, and so may the bot.
        app.bot.session.middleware[0].pace = Pace(per_second=2_000, chat_per_second=200, chat_burst=1_000)  # type: ignore[attr-defined]
        running = asyncio.create_task(app.run())
        bot_env = BotEnv(app, sandbox)
        try:
            yield bot_env
        finally:
            app.stop.set()
            await running
            await assert_books(app.db)


@pytest_asyncio.fixture
async def bot_env(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[BotEnv]:
    async with open_bot_env(sandbox, tmp_path) as opened:
        yield opened


__all__ = ["ADMIN", "ANYA", "BOB", "BotEnv", "Person", "bot_env", "open_bot_env", "picture"]
