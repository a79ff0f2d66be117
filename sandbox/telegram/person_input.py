"""What a person's request says, checked: the bot, the person and the chat it names, its body, texts and messages."""

from __future__ import annotations

import re

from aiohttp import web

from sandbox.telegram.entities import formatted
from sandbox.telegram.params import Params, load_json
from sandbox.telegram.state import Bot, Chat, Json, Message, Person, Telegram

LANGUAGE = re.compile(r"[a-zA-Z]{2,3}(-[a-zA-Z0-9]{2,8})?")


class Refused(Exception):
    """What the person asked for cannot be done; `status` is the HTTP status."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


def bot_or_none(telegram: Telegram, request: web.Request) -> Bot | None:
    """The bot that the query names, else the one that called last, else None."""
    wanted = request.query.get("bot", "")
    if wanted.isascii() and wanted.isdigit() and len(wanted) < 19:
        return telegram.bot(int(wanted))
    return telegram.last_bot


def bot_of(telegram: Telegram, request: web.Request) -> Bot:
    """The same bot. Raises Refused when there is none."""
    bot = bot_or_none(telegram, request)
    if bot is None:
        raise Refused("no bot has called the sandbox yet", 409)
    return bot


def person_of(telegram: Telegram, request: web.Request) -> Person:
    """The person in the path. Raises Refused when there is none."""
    uid = request.match_info["uid"]
    person = telegram.people.get(int(uid)) if uid.isascii() and uid.isdigit() and len(uid) < 19 else None
    if person is None:
        raise Refused("no such user", 404)
    return person


def chat_of(telegram: Telegram, request: web.Request) -> tuple[Bot, Chat]:
    """The person's chat with the bot. Raises Refused when one of them does not exist."""
    bot = bot_of(telegram, request)
    return bot, telegram.chat(bot, person_of(telegram, request).id)


def fields_of(wanted: Json) -> Json:
    """The changeable fields of a person that the request names, checked."""
    fields: Json = {}
    for name in ("first_name", "last_name", "username", "language_code", "role"):
        if name not in wanted:
            continue
        value = wanted[name]
        optional = name in ("last_name", "username")
        if value in (None, "") and optional:
            fields[name] = None
        elif not isinstance(value, str) or not 1 <= len(value.strip()) <= 64:
            raise Refused(f"{name} must be a text of 1-64 characters")
        elif name == "language_code" and not LANGUAGE.fullmatch(value):
            raise Refused("language_code must look like ru or pt-br")
        elif name == "username" and not re.fullmatch(r"\w{3,32}", value, re.ASCII):
            raise Refused("username must be 3-32 of A-Z a-z 0-9 _")
        else:
            fields[name] = value.strip()
    return fields


async def body_of(request: web.Request) -> Json:
    try:
        value = load_json(await request.read() or b"{}")
    except ValueError:
        raise Refused("the body is not JSON") from None
    if not isinstance(value, dict):
        raise Refused("the body must be a JSON object")
    return value


def text_of(params: Params) -> Json:
    text, entities = formatted(params.text("text")[:4096], "", None)
    if not text:
        raise Refused("text is empty")
    return {"text": text, **({"entities": entities} if entities else {})}


def reply_to(chat: Chat, params: Params) -> Json:
    if not params.has("reply_to"):
        return {}
    target = chat.messages.get(params.integer("reply_to"))
    if target is None:
        raise Refused("the message to reply to is gone")
    return {"reply_to_message": {key: value for key, value in target.data.items() if key != "reply_to_message"}}


def message_of(chat: Chat, wanted: Json) -> Message:
    number = wanted.get("message_id")
    message = chat.messages.get(number) if type(number) is int else None
    if message is None:
        raise Refused("no such message")
    return message
