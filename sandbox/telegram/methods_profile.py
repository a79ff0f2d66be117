"""The bot's profile: commands, name, descriptions, menu button; and what it may know about chats."""

from __future__ import annotations

import re
from typing import Any

from sandbox.telegram.builder import units
from sandbox.telegram.call import Call, method
from sandbox.telegram.errors import ApiError, bad_request
from sandbox.telegram.state import Bot, Json, Person

PLAIN_SCOPES = frozenset({"default", "all_private_chats", "all_group_chats", "all_chat_administrators"})
CHAT_SCOPES = frozenset({"chat", "chat_administrators", "chat_member"})
COMMAND = re.compile(r"[a-z0-9_]{1,32}")


def scope_of(call: Call) -> str:
    """The call's scope as a key, e.g. `default` or `chat:1001`. Raises ApiError 400."""
    scope = call.params.object("scope", "BotCommandScope") or {"type": "default"}
    kind = str(scope.get("type")) if isinstance(scope, dict) else ""
    if kind in PLAIN_SCOPES:
        return kind
    if kind not in CHAT_SCOPES:
        raise bad_request("can't parse BotCommandScope: unsupported type specified")
    try:
        chat_id = int(str(scope.get("chat_id")))
    except ValueError:
        chat_id = 0
    if chat_id not in call.telegram.people:
        raise bad_request("chat not found")
    if kind != "chat":
        raise bad_request("can't change commands in private chats with this scope")
    return f"chat:{chat_id}"


def language_of(call: Call) -> str:
    language = call.params.text("language_code").strip().lower()
    if language and not re.fullmatch(r"[a-z]{2}", language):
        raise bad_request("invalid language code specified")
    return language


def commands_for(bot: Bot, person: Person) -> list[Json]:
    """The commands in the person's menu: the narrowest scope wins, within it the person's language."""
    for scope in (f"chat:{person.id}", "all_private_chats", "default"):
        for language in (person.language_code[:2].lower(), ""):
            if commands := bot.commands.get((scope, language)):
                return commands
    return []


def _announce(call: Call) -> None:
    for chat in list(call.bot.chats.values()):
        commands = commands_for(call.bot, chat.person)
        call.telegram.events.publish(call.bot.id, chat.person.id, "commands", {"commands": commands})


@method("setMyCommands")
async def set_my_commands(call: Call) -> Any:
    commands = call.params.object("commands", "BotCommand")
    if not isinstance(commands, list) or not all(isinstance(one, dict) for one in commands):
        raise bad_request("can't parse commands: expected an Array of BotCommand")
    if len(commands) > 100:
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    kept = []
    for one in commands:
        name = str(one.get("command") or "").removeprefix("/")
        description = str(one.get("description") or "").strip()
        if not COMMAND.fullmatch(name):
            raise bad_request("BOT_COMMAND_INVALID")
        if not 1 <= units(description) <= 256:
            raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
        kept.append({"command": name, "description": description})
    key = (scope_of(call), language_of(call))
    if len(call.bot.commands) >= 1000 and key not in call.bot.commands:
        raise bad_request("too many scopes of commands")
    call.bot.commands[key] = kept
    _announce(call)
    return True


@method("getMyCommands")
async def get_my_commands(call: Call) -> Any:
    return call.bot.commands.get((scope_of(call), language_of(call)), [])


@method("deleteMyCommands")
async def delete_my_commands(call: Call) -> Any:
    call.bot.commands.pop((scope_of(call), language_of(call)), None)
    _announce(call)
    return True


def _set_text(call: Call, name: str, limit: int) -> bool:
    text = call.params.text(name).strip()
    if units(text) > limit:
        raise bad_request(f"{name} is too long")
    key = (name, language_of(call))
    if text:
        call.bot.texts[key] = text
    else:
        call.bot.texts.pop(key, None)
    return True


def _get_text(call: Call, name: str, default: str = "") -> Json:
    texts, language = call.bot.texts, language_of(call)
    return {name: texts.get((name, language)) or texts.get((name, "")) or default}


@method("setMyName")
async def set_my_name(call: Call) -> Any:
    _set_text(call, "name", 64)
    call.bot.first_name = call.bot.texts.get(("name", ""), call.bot.first_name)
    return True


@method("getMyName")
async def get_my_name(call: Call) -> Any:
    return _get_text(call, "name", call.bot.first_name)


@method("setMyDescription")
async def set_my_description(call: Call) -> Any:
    return _set_text(call, "description", 512)


@method("getMyDescription")
async def get_my_description(call: Call) -> Any:
    return _get_text(call, "description")


@method("setMyShortDescription")
async def set_my_short_description(call: Call) -> Any:
    return _set_text(call, "short_description", 120)


@method("getMyShortDescription")
async def get_my_short_description(call: Call) -> Any:
    return _get_text(call, "short_description")


@method("setMyProfilePhoto", "removeMyProfilePhoto")
async def set_my_profile_photo(call: Call) -> Any:
    return True


@method("setChatMenuButton")
async def set_chat_menu_button(call: Call) -> Any:
    button = call.params.object("menu_button") or {"type": "default"}
    if not isinstance(button, dict) or button.get("type") not in ("commands", "web_app", "default"):
        raise bad_request("can't parse menu button: unsupported type specified")
    if call.params.has("chat_id"):
        call.chat().menu_button = button
    else:
        call.bot.menu_button = {"type": "commands"} if button["type"] == "default" else button
    return True


@method("getChatMenuButton")
async def get_chat_menu_button(call: Call) -> Any:
    own = call.chat().menu_button if call.params.has("chat_id") else None
    return own or call.bot.menu_button


@method("getChat")
async def get_chat(call: Call) -> Any:
    name = call.params.text("chat_id").strip()
    common = {
        "accent_color_id": 3,
        "max_reaction_count": 11,
        "accepted_gift_types": dict.fromkeys(
            ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels"), False
        ),
    }
    if name.startswith("@") and len(name) > 1:
        return {"id": channel_id(name), "type": "channel", "title": name[1:], "username": name[1:], **common}
    person = call.telegram.people.get(call.chat_id())
    if person is None:
        raise bad_request("chat not found")
    return {**person.as_chat(), **common}


def channel_id(name: str) -> int:
    """An id for any public channel, always the same for the same name: all channels exist here."""
    return -1_000_000_000_000 - int.from_bytes(name.lower().encode()[-4:], "big") % 10**10


@method("getChatMember")
async def get_chat_member(call: Call) -> Any:
    user_id = call.params.integer("user_id")
    if user_id == call.bot.id:
        return {"status": "member", "user": call.bot.as_user()}
    person = call.telegram.people.get(user_id)
    if person is None:
        raise bad_request("PARTICIPANT_ID_INVALID")
    name = call.params.text("chat_id").strip()
    if not name.startswith(("@", "-")) and call.chat_id() != user_id:
        raise bad_request("chat not found")
    status = "left" if user_id in call.telegram.strangers else "member"
    return {"status": status, "user": person.as_user()}


@method("getUserProfilePhotos")
async def get_user_profile_photos(call: Call) -> Any:
    if call.params.integer("user_id") not in call.telegram.people:
        raise ApiError(400, "Bad Request: user not found")
    return {"total_count": 0, "photos": []}
