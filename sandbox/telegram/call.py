"""One call of the Bot API and the table of methods that can answer it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sandbox.telegram.builder import units
from sandbox.telegram.entities import formatted
from sandbox.telegram.errors import bad_request
from sandbox.telegram.params import Params
from sandbox.telegram.state import Bot, Chat, Json, Message, Telegram

TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024
SOURCE_LIMIT = 32_768  # with its markup, before parsing


@dataclass
class Call:
    """Who calls, with what, and against which state."""

    telegram: Telegram
    bot: Bot
    params: Params

    @property
    def now(self) -> float:
        return self.telegram.world.clock.now()

    def chat(self) -> Chat:
        """The chat that the call names. Raises ApiError 400 or 403."""
        return self.telegram.chat_for_bot(self.bot, self.chat_id())

    def chat_id(self) -> int:
        wanted = self.params.text("chat_id").strip()
        if not wanted:
            raise bad_request("chat_id is empty")
        try:
            return int(wanted) if len(wanted) <= 20 else 0
        except ValueError:
            return 0

    def sent(self, chat: Chat, messages: int = 1) -> None:
        """Count messages against the limits. Raises ApiError 429."""
        self.bot.limits.spend(chat.person.id, messages)

    def message(self, chat: Chat, missing: str, name: str = "message_id") -> Message:
        """The message the call names. Raises ApiError 400 with `missing` when there is none."""
        if not self.params.has(name):
            raise bad_request("message identifier is not specified")
        found = chat.messages.get(self.params.integer(name))
        if found is None:
            raise bad_request(missing)
        return found

    def text(self, name: str = "text", limit: int = TEXT_LIMIT) -> Json:
        """`text` and `entities` of the call. Raises ApiError 400 when empty, too long or badly marked up."""
        source = self.params.text(name)
        if len(source) > SOURCE_LIMIT:
            raise bad_request("message is too long")
        text, entities = formatted(source, self.params.text("parse_mode"), self.params.object("entities"))
        if not text:
            raise bad_request("message text is empty")
        if units(text) > limit:
            raise bad_request("message is too long")
        return {"text": text, **({"entities": entities} if entities else {})}

    def caption(self, given: Json | None = None) -> Json:
        """`caption` and `caption_entities` of the call, or of one item of an album."""
        if given is not None:
            raw, mode = given.get("caption") or "", given.get("parse_mode") or ""
            marks = given.get("caption_entities")
            above = bool(given.get("show_caption_above_media"))
        else:
            raw, mode = self.params.text("caption"), self.params.text("parse_mode")
            marks = self.params.object("caption_entities")
            above = self.params.flag("show_caption_above_media")
        if not isinstance(raw, str) or not isinstance(mode, str):
            raise bad_request("can't parse caption: expected a String")
        if len(raw) > SOURCE_LIMIT:
            raise bad_request("message caption is too long")
        text, entities = formatted(raw, mode, marks)
        if units(text) > CAPTION_LIMIT:
            raise bad_request("message caption is too long")
        if not text:
            return {}
        caption: Json = {"caption": text}
        if entities:
            caption["caption_entities"] = entities
        if above:
            caption["show_caption_above_media"] = True
        return caption


Method = Callable[[Call], Awaitable[Any]]
METHODS: dict[str, Method] = {}
NAMES: dict[str, str] = {}


def method(*names: str) -> Callable[[Method], Method]:
    """Put a function into the table under these names; their case does not matter."""

    def put(function: Method) -> Method:
        for name in names:
            METHODS[name.lower()] = function
            NAMES[name.lower()] = name
        return function

    return put
