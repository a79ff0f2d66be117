"""A simulated Telegram: chats, long polling, files, Stars; with 429, 403, 5xx, lost answers and repeats."""

from __future__ import annotations

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from aiogram import Bot
from aiogram.client.session.base import BaseSession
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramConflictError,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.methods import TelegramMethod
from aiogram.types import File as TelegramFile
from aiogram.types import Message, StarTransactions, Update, User
from aiogram.types.base import UNSET_TYPE

from tests.faults.sim.world import World, current

Json = dict[str, Any]
BOT: Json = {"id": 900, "is_bot": True, "first_name": "Shop", "username": "shop_bot"}


@dataclass
class ChatState:
    """One person's chat as they see it."""

    messages: dict[int, Json] = field(default_factory=dict)
    last_id: int = 0
    blocked: bool = False

    def newest(self) -> list[Json]:
        """What the bot wrote, newest first."""
        return [one for one in reversed(self.messages.values()) if one["from"]["id"] == BOT["id"]]


class SimSession(BaseSession):
    """A bot's connection to the server."""

    def __init__(self, server: SimTelegram) -> None:
        super().__init__()
        self._server = server

    async def make_request(self, bot: Bot, method: TelegramMethod[Any], timeout: int | None = None) -> Any:
        return await self._server.serve(bot, method)

    async def stream_content(self, url: str, *_: Any, **__: Any) -> AsyncGenerator[bytes, None]:
        yield await self._server.content(url)

    async def close(self) -> None:
        """There is nothing to close."""


class SimTelegram:
    """The server. People act through `say`, `tap` and `pay_stars`, bots through a `session`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chats: defaultdict[int, ChatState] = defaultdict(ChatState)
        self.updates: list[Json] = []
        self.last_update = 0
        self.arrived = asyncio.Event()
        self.pollers: list[object] = []
        self.files: dict[str, bytes] = {}
        self.file_names: dict[str, str] = {}
        self.results: Counter[str] = Counter()  # job id → how often its image or video came into the chat
        self.transactions: list[Json] = []
        self.refunded: set[str] = set()
        self.charges: dict[str, Json] = {}
        self.invoices: dict[str, Json] = {}
        self._waiting_checkouts: dict[str, asyncio.Future[bool]] = {}

    # --- people ---------------------------------------------------------------------------------------

    def person(self, user_id: int) -> Json:
        return {"id": user_id, "is_bot": False, "first_name": f"P{user_id}", "language_code": "ru"}

    def push(self, kind: str, body: Json) -> int:
        """Something for the bot; Telegram keeps it until a poll with a higher offset confirms it."""
        self.last_update += 1
        self.updates.append({"update_id": self.last_update, kind: body})
        self.arrived.set()
        return self.last_update

    def say(self, user_id: int, **content: Any) -> Json:
        chat = self.chats[user_id]
        chat.last_id += 1
        message = {
            "message_id": chat.last_id,
            "date": int(self.world.now()),
            "chat": self._chat(user_id),
            "from": self.person(user_id),
            **content,
        }
        chat.messages[chat.last_id] = message
        self.push("message", message)
        return message

    def block(self, user_id: int, blocked: bool) -> None:
        """A person blocks or unblocks the bot; the bot is told (docs/reference/telegram.md, section 4)."""
        chat = self.chats[user_id]
        member, kicked = {"user": BOT, "status": "member"}, {"user": BOT, "status": "kicked", "until_date": 0}
        chat.blocked = blocked
        self.push(
            "my_chat_member",
            {
                "date": int(self.world.now()),
                "chat": self._chat(user_id),
                "from": self.person(user_id),
                "old_chat_member": member if blocked else kicked,
                "new_chat_member": kicked if blocked else member,
            },
        )

    def upload(self, data: bytes, *, name: str = "") -> str:
        file_id = f"file-{len(self.files) + 1}"
        self.files[file_id], self.file_names[file_id] = data, name
        return file_id

    def photo(self, data: bytes, side: int) -> list[Json]:
        file_id = self.upload(data)
        size = {"file_unique_id": file_id, "width": side, "height": side, "file_size": len(data)}
        return [{"file_id": file_id, **size}]

    def tap(self, user_id: int, message: Json, data: str) -> None:
        self.push(
            "callback_query",
            {
                "id": f"q{self.last_update + 1}",
                "from": self.person(user_id),
                "message": message,
                "chat_instance": "1",
                "data": data,
            },
        )

    async def pay_stars(self, user_id: int, message: Json) -> bool:
        """Pay an invoice: Telegram asks the bot, waits ten seconds at most, and only then takes the Stars."""
        invoice = self.invoices.get(str(message["message_id"]) + f":{user_id}")
        if invoice is None:
            return False
        query_id = f"checkout{self.last_update + 1}"
        answer = self._waiting_checkouts[query_id] = asyncio.get_running_loop().create_future()
        self.push("pre_checkout_query", {"id": query_id, "from": self.person(user_id), **invoice})
        try:
            async with asyncio.timeout(10):
                allowed = await answer
        except TimeoutError:
            allowed = False
        if not allowed:
            return False
        charge = f"stx_{len(self.charges) + 1}"
        self.charges[charge] = {"user_id": user_id, **invoice}
        self.transactions.append(self._transaction(charge, user_id, invoice, incoming=True))
        paid = {**invoice, "telegram_payment_charge_id": charge, "provider_payment_charge_id": ""}
        self.say(user_id, successful_payment=paid)
        if self.world.fails(0.3):  # the same message again, as a new update
            self.push("message", self.chats[user_id].messages[self.chats[user_id].last_id])
        return True

    def return_stars(self, charge: str) -> None:
        """Telegram gives the Stars back, and says so in the chat."""
        if charge in self.refunded:
            return
        self.refunded.add(charge)
        body = self.charges[charge]
        self.transactions.append(self._transaction(charge, body["user_id"], body, incoming=False))
        told = {key: body[key] for key in ("currency", "total_amount", "invoice_payload")}
        self.say(body["user_id"], refunded_payment={**told, "telegram_payment_charge_id": charge})

    def _transaction(self, charge: str, user_id: int, invoice: Json, *, incoming: bool) -> Json:
        partner = {
            "type": "user",
            "transaction_type": "invoice_payment",
            "user": self.person(user_id),
            "invoice_payload": invoice["invoice_payload"],
        }
        side = {"source": partner} if incoming else {"receiver": partner}
        return {"id": charge, "amount": invoice["total_amount"], "date": int(self.world.now()), **side}

    # --- the bots -------------------------------------------------------------------------------------

    def session(self) -> SimSession:
        return SimSession(self)

    async def serve(self, bot: Bot, method: TelegramMethod[Any]) -> Any:
        """One call of the Bot API, with the faults that may happen on its way there and back."""
        world, name = self.world, type(method).__name__
        await world.step(f"telegram {name}")
        if name == "GetUpdates":
            return await self._poll(bot, method)
        most = world.chances.telegram
        if world.fails(most):
            raise world.chance.choice(
                [
                    TelegramRetryAfter(
                        method=method, message="Too Many Requests", retry_after=world.chance.randint(1, 6)
                    ),
                    TelegramServerError(method=method, message="Internal Server Error"),
                    TelegramNetworkError(method=method, message="ClientOSError"),
                ]
            )
        answer = self._apply(bot, method, name)
        await world.step(f"telegram {name} done")
        if world.fails(most / 2):
            raise TelegramNetworkError(method=method, message="ServerDisconnectedError")
        return answer

    async def _poll(self, bot: Bot, method: Any) -> list[Update]:
        """Long polling. The second of two pollers ends the first, as Telegram does with 409."""
        process = current.get()
        if (self.pollers and self.pollers[-1] is not process) or not self.pollers:
            self.pollers.append(process)
        if method.offset is not None:
            self.updates = [one for one in self.updates if one["update_id"] >= method.offset]
        try:
            async with asyncio.timeout(method.timeout or 0):
                while not self.updates:
                    self.arrived.clear()
                    await self.arrived.wait()
                    if self.pollers[-1] is not process:
                        self.pollers.remove(process)
                        raise TelegramConflictError(method=method, message="Conflict: terminated by other getUpdates")
        except TimeoutError:
            return []
        if self.world.fails(self.world.chances.telegram / 2):
            raise TelegramNetworkError(method=method, message="ServerDisconnectedError")
        return [Update.model_validate(one, context={"bot": bot}) for one in self.updates[:100]]

    async def content(self, url: str) -> bytes:
        """A file that a person sent, by its address."""
        await self.world.step("telegram file")
        if self.world.fails(self.world.chances.telegram):
            raise OSError("connection reset")
        return self.files[url.rsplit("/", 1)[1]]

    def _apply(self, bot: Bot, method: Any, name: str) -> Any:
        chat_id = getattr(method, "chat_id", None)
        if chat_id is not None and name.startswith(("Send", "Edit")):
            if chat_id not in self.chats:
                raise TelegramBadRequest(method=method, message="Bad Request: chat not found")
            if self.chats[chat_id].blocked:
                raise TelegramForbiddenError(method=method, message="Forbidden: bot was blocked by the user")
        handler = getattr(self, f"_on_{_snake(name)}", None)
        return True if handler is None else handler(bot, method)

    # --- methods of the Bot API -----------------------------------------------------------------------

    def _on_get_me(self, bot: Bot, method: Any) -> User:
        return User.model_validate(BOT)

    def _on_get_file(self, bot: Bot, method: Any) -> TelegramFile:
        data = self.files[method.file_id]
        return TelegramFile(
            file_id=method.file_id, file_unique_id=method.file_id, file_size=len(data), file_path=method.file_id
        )

    def _on_send_message(self, bot: Bot, method: Any) -> Message:
        return self._post(bot, method, text=method.text)

    def _on_send_photo(self, bot: Bot, method: Any) -> Message:
        file_id = self._file(method.photo)
        size = {"file_unique_id": file_id, "width": 90, "height": 90}
        return self._post(bot, method, photo=[{"file_id": file_id, **size}], caption=_text(method.caption))

    def _on_send_document(self, bot: Bot, method: Any) -> Message:
        file_id = self._file(method.document)
        self._count_result(file_id)
        document = {"file_id": file_id, "file_unique_id": file_id}
        return self._post(bot, method, document=document, caption=_text(method.caption))

    def _on_send_video(self, bot: Bot, method: Any) -> Message:
        file_id = self._file(method.video)
        self._count_result(file_id)
        video = {"file_id": file_id, "file_unique_id": file_id, "width": 64, "height": 64, "duration": 5}
        return self._post(bot, method, video=video, caption=_text(method.caption))

    def _on_send_invoice(self, bot: Bot, method: Any) -> Message:
        amount = sum(price.amount for price in method.prices)
        invoice = {
            "title": method.title,
            "description": method.description,
            "start_parameter": "",
            "currency": method.currency,
            "total_amount": amount,
        }
        sent = self._post(bot, method, invoice=invoice)
        self.invoices[f"{sent.message_id}:{method.chat_id}"] = {
            "currency": method.currency,
            "total_amount": amount,
            "invoice_payload": method.payload,
        }
        return sent

    def _on_edit_message_text(self, bot: Bot, method: Any) -> Any:
        message = self.chats[method.chat_id].messages.get(method.message_id)
        if message is None:
            raise TelegramBadRequest(method=method, message="Bad Request: message to edit not found")
        if "text" not in message:
            raise TelegramBadRequest(method=method, message="Bad Request: there is no text in the message to edit")
        markup = _markup(method)
        if (message["text"], message.get("reply_markup")) == (method.text, markup):
            raise TelegramBadRequest(method=method, message="Bad Request: message is not modified")
        message["text"] = method.text
        message.pop("reply_markup", None)
        if markup is not None:
            message["reply_markup"] = markup
        return Message.model_validate(message, context={"bot": bot})

    def _on_edit_message_reply_markup(self, bot: Bot, method: Any) -> Any:
        message = self.chats[method.chat_id].messages.get(method.message_id)
        if message is None:
            raise TelegramBadRequest(method=method, message="Bad Request: message to edit not found")
        message.pop("reply_markup", None)
        return Message.model_validate(message, context={"bot": bot})

    def _on_delete_message(self, bot: Bot, method: Any) -> bool:
        if self.chats[method.chat_id].messages.pop(method.message_id, None) is None:
            raise TelegramBadRequest(method=method, message="Bad Request: message to delete not found")
        return True

    def _on_answer_pre_checkout_query(self, bot: Bot, method: Any) -> bool:
        waiting = self._waiting_checkouts.pop(method.pre_checkout_query_id, None)
        if waiting is None or waiting.done():
            raise TelegramBadRequest(method=method, message="Bad Request: query is too old")
        waiting.set_result(bool(method.ok))
        return True

    def _on_refund_star_payment(self, bot: Bot, method: Any) -> bool:
        charge = method.telegram_payment_charge_id
        if charge not in self.charges or self.charges[charge]["user_id"] != method.user_id:
            raise TelegramBadRequest(method=method, message="Bad Request: CHARGE_NOT_FOUND")
        if charge in self.refunded:
            raise TelegramBadRequest(method=method, message="Bad Request: CHARGE_ALREADY_REFUNDED")
        self.return_stars(charge)
        return True

    def _on_get_star_transactions(self, bot: Bot, method: Any) -> StarTransactions:
        offset = method.offset or 0
        page = self.transactions[offset : offset + (method.limit or 100)]
        return StarTransactions.model_validate({"transactions": page}, context={"bot": bot})

    # --- small parts ----------------------------------------------------------------------------------

    def _post(self, bot: Bot, method: Any, **content: Any) -> Message:
        chat = self.chats[method.chat_id]
        chat.last_id += 1
        message = {
            "message_id": chat.last_id,
            "date": int(self.world.now()),
            "chat": self._chat(method.chat_id),
            "from": BOT,
            **content,
        }
        if (markup := _markup(method)) is not None and "inline_keyboard" in markup:
            message["reply_markup"] = markup
        chat.messages[chat.last_id] = message
        return Message.model_validate(message, context={"bot": bot})

    def _file(self, given: Any) -> str:
        """A file's id: a new one for bytes, the known one for an id."""
        if isinstance(given, str):
            return given
        return self.upload(given.data, name=given.filename or "")

    def _count_result(self, file_id: str) -> None:
        name = self.file_names[file_id]  # picture-<job>.png, clip-<job>.mp4
        self.results[name.split("-", 1)[-1].rsplit(".", 1)[0]] += 1

    def _chat(self, user_id: int) -> Json:
        return {"id": user_id, "type": "private", "first_name": f"P{user_id}"}


def _snake(name: str) -> str:
    """`send_message` for `SendMessage`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _markup(method: Any) -> Json | None:
    markup = getattr(method, "reply_markup", None)
    return None if markup is None or isinstance(markup, UNSET_TYPE) else markup.model_dump(exclude_none=True)


def _text(words: Any) -> str:
    return words if isinstance(words, str) else ""
