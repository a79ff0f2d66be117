"""Methods that send, edit, copy and delete text messages."""

from __future__ import annotations

import copy
from typing import Any

from sandbox.telegram.call import Call, method
from sandbox.telegram.errors import NOT_MODIFIED, bad_request
from sandbox.telegram.markup import check_pay_button, read_inline, read_markup
from sandbox.telegram.state import Chat, Json, Message

DELETABLE_SECONDS = 48 * 3600.0
MEDIA = ("photo", "video", "animation", "document", "audio", "voice", "sticker")
CONTENT = (
    "text",
    "entities",
    "link_preview_options",
    "caption",
    "caption_entities",
    "show_caption_above_media",
    "has_media_spoiler",
    "dice",
    *MEDIA,
)


def markup_of(call: Call, *, invoice: bool = False) -> Json | None:
    markup = read_markup(call.params.object("reply_markup", "reply keyboard markup"))
    check_pay_button(markup, invoice=invoice)
    return markup


def reply_of(call: Call, chat: Chat) -> Json:
    """The message that this one replies to. Raises ApiError 400 if it no longer exists."""
    wanted = call.params.object("reply_parameters")
    if isinstance(wanted, dict):
        number, anyway = wanted.get("message_id"), bool(wanted.get("allow_sending_without_reply"))
    else:
        number = call.params.integer("reply_to_message_id")
        anyway = call.params.flag("allow_sending_without_reply")
    if not number:
        return {}
    target = chat.messages.get(number) if isinstance(number, int) else None
    if target is None:
        if anyway:
            return {}
        raise bad_request("message to be replied not found")
    return {"reply_to_message": {key: value for key, value in target.data.items() if key != "reply_to_message"}}


def options_of(call: Call) -> Json:
    """The options of a message that come back in the Message object."""
    options: Json = {}
    if call.params.flag("protect_content"):
        options["has_protected_content"] = True
    if call.params.has("message_effect_id"):
        options["effect_id"] = call.params.text("message_effect_id")
    return options


def deliver(call: Call, chat: Chat, content: Json, *, invoice: bool = False) -> Message:
    """Check everything besides the content, count the message and post it."""
    reply, options = reply_of(call, chat), options_of(call)
    markup = markup_of(call, invoice=invoice)
    call.sent(chat)
    inline = markup is not None and "inline_keyboard" in markup
    head = {**reply, **options, **content, **({"reply_markup": markup} if inline else {})}
    message = call.telegram.post(call.bot, chat, head, editable=inline or markup is None)
    if markup is not None and not inline:
        set_reply_keyboard(call, chat, markup)
    return message


def set_reply_keyboard(call: Call, chat: Chat, markup: Json) -> None:
    """Show, replace or remove the keyboard under the person's text field."""
    chat.reply_keyboard = markup if "keyboard" in markup else None
    call.telegram.events.publish(call.bot.id, chat.person.id, "keyboard", {"reply_keyboard": chat.reply_keyboard})


def own_message(call: Call, chat: Chat) -> Message:
    """The bot's own message that the call wants to edit. Raises ApiError 400."""
    if call.params.has("inline_message_id"):
        raise bad_request("MESSAGE_ID_INVALID")
    message = call.message(chat, "message to edit not found")
    if message.outgoing or not message.editable:
        raise bad_request("message can't be edited")
    return message


def apply_edit(call: Call, chat: Chat, message: Message, content: Json, *, drop: tuple[str, ...]) -> Json:
    """Replace what `drop` names by `content`, and the keyboard by the call's, in place.

    Raises ApiError 400 if that changes nothing.
    """
    markup = read_inline(call.params.object("reply_markup", "reply keyboard markup"))
    check_pay_button(markup, invoice="invoice" in message.data)
    fresh = {key: value for key, value in message.data.items() if key not in (*drop, "reply_markup", "edit_date")}
    fresh.update(content)
    if markup is not None:
        fresh["reply_markup"] = markup
    if fresh == {key: value for key, value in message.data.items() if key != "edit_date"}:
        raise bad_request(NOT_MODIFIED)
    call.sent(chat)
    message.data = {**fresh, "edit_date": int(call.now)}
    call.telegram.edited(call.bot, chat, message)
    return message.data


def preview_of(call: Call) -> Json:
    options = call.params.object("link_preview_options")
    if isinstance(options, dict) and options:
        return {"link_preview_options": options}
    if call.params.flag("disable_web_page_preview"):
        return {"link_preview_options": {"is_disabled": True}}
    return {}


@method("sendMessage")
async def send_message(call: Call) -> Any:
    chat = call.chat()
    return deliver(call, chat, {**call.text(), **preview_of(call)}).data


@method("editMessageText")
async def edit_message_text(call: Call) -> Any:
    chat = call.chat()
    message = own_message(call, chat)
    content = {**call.text(), **preview_of(call)}
    if "text" not in message.data:
        raise bad_request("there is no text in the message to edit")
    return apply_edit(call, chat, message, content, drop=("text", "entities", "link_preview_options"))


@method("editMessageCaption")
async def edit_message_caption(call: Call) -> Any:
    chat = call.chat()
    message = own_message(call, chat)
    if not any(kind in message.data for kind in MEDIA if kind != "sticker"):
        raise bad_request("there is no caption in the message to edit")
    drop = ("caption", "caption_entities", "show_caption_above_media")
    return apply_edit(call, chat, message, call.caption(), drop=drop)


@method("editMessageReplyMarkup")
async def edit_message_reply_markup(call: Call) -> Any:
    chat = call.chat()
    return apply_edit(call, chat, own_message(call, chat), {}, drop=())


@method("deleteMessage")
async def delete_message(call: Call) -> Any:
    chat = call.chat()
    message = call.message(chat, "message to delete not found")
    if call.now - message.at > DELETABLE_SECONDS:
        raise bad_request("message can't be deleted")
    forget_messages(call, chat, [message.id])
    return True


@method("deleteMessages")
async def delete_messages(call: Call) -> Any:
    chat = call.chat()
    young = [
        number
        for number in numbers_of(call, "message_ids")
        if (message := chat.messages.get(number)) and call.now - message.at <= DELETABLE_SECONDS
    ]
    forget_messages(call, chat, young)
    return True


def numbers_of(call: Call, name: str) -> list[int]:
    """1-100 message identifiers. Raises ApiError 400."""
    numbers = call.params.object(name)
    if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
        raise bad_request(f"can't parse {name}: expected an Array of Integer")
    if not numbers:
        raise bad_request("message identifiers are not specified")
    if len(numbers) > 100:
        raise bad_request("too many message identifiers specified")
    return numbers


def forget_messages(call: Call, chat: Chat, numbers: list[int]) -> None:
    gone = [number for number in numbers if chat.messages.pop(number, None) is not None]
    if gone:
        call.telegram.events.publish(call.bot.id, chat.person.id, "delete", {"message_ids": gone})


@method("copyMessage")
async def copy_message(call: Call) -> Any:
    chat = call.chat()
    content = copied(call, call.params.integer("message_id"))
    if call.params.has("caption"):
        content = {key: value for key, value in content.items() if not key.startswith("caption")} | call.caption()
    return {"message_id": deliver(call, chat, content).id}


@method("forwardMessage")
async def forward_message(call: Call) -> Any:
    chat = call.chat()
    _, original = found_in(call, call.params.integer("message_id"))
    origin = {"type": "user", "date": original.data["date"], "sender_user": original.data["from"]}
    content = {key: value for key, value in original.data.items() if key in CONTENT}
    return deliver(call, chat, {"forward_origin": origin, **copy.deepcopy(content)}).data


@method("copyMessages")
async def copy_messages(call: Call) -> Any:
    chat = call.chat()
    contents = [copied(call, number) for number in numbers_of(call, "message_ids")]
    return [{"message_id": deliver(call, chat, content).id} for content in contents]


def found_in(call: Call, number: int) -> tuple[Chat, Message]:
    """A message of the chat `from_chat_id`. Raises ApiError 400."""
    user_id = call.params.integer("from_chat_id")
    source = call.bot.chats.get(user_id)
    if source is None:
        raise bad_request("chat not found")
    message = source.messages.get(number)
    if message is None:
        raise bad_request("message to copy not found")
    return source, message


def copied(call: Call, number: int) -> Json:
    _, message = found_in(call, number)
    content = {key: value for key, value in message.data.items() if key in CONTENT}
    if not content:
        raise bad_request("message can't be copied")
    return copy.deepcopy(content)
