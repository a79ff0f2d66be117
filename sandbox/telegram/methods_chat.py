"""Methods beside the messages: answers to button presses, chat actions, drafts, reactions, pins and dice."""

from __future__ import annotations

from typing import Any

from sandbox.telegram.builder import units
from sandbox.telegram.call import Call, method
from sandbox.telegram.errors import QUERY_TOO_OLD, ApiError, bad_request
from sandbox.telegram.markup import checked_url
from sandbox.telegram.methods_messages import deliver
from sandbox.telegram.state import QUERY_SECONDS, Draft

ACTIONS = frozenset(
    {
        "typing",
        "upload_photo",
        "record_video",
        "upload_video",
        "record_voice",
        "upload_voice",
        "upload_document",
        "choose_sticker",
        "find_location",
        "record_video_note",
        "upload_video_note",
        "record_audio",
        "upload_audio",
    }
)
DRAFT_SECONDS = 30.0
DICE = {"🎲": 6, "🎯": 6, "🏀": 5, "⚽": 5, "🎳": 6, "🎰": 64}


@method("answerCallbackQuery")
async def answer_callback_query(call: Call) -> Any:
    query = call.bot.queries.get(call.params.text("callback_query_id"))
    if query is None or query.answered or call.now - query.asked > QUERY_SECONDS:
        raise bad_request(QUERY_TOO_OLD)
    text = call.params.text("text")
    if units(text) > 200:
        raise bad_request("MESSAGE_TOO_LONG")
    url = call.params.text("url")
    if url:
        checked_url(url)
    query.answered = True
    answer = {
        "callback_query_id": query.id,
        "text": text or None,
        "show_alert": call.params.flag("show_alert"),
        "url": url or None,
    }
    call.telegram.events.publish(call.bot.id, query.user_id, "callback_answer", answer)
    return True


@method("sendChatAction")
async def send_chat_action(call: Call) -> Any:
    chat = call.chat()
    action = call.params.text("action")
    if action not in ACTIONS:
        raise bad_request("wrong parameter action in request")
    call.telegram.events.publish(call.bot.id, chat.person.id, "action", {"action": action})
    return True


@method("sendMessageDraft", "sendRichMessageDraft")
async def send_message_draft(call: Call) -> Any:
    chat = call.chat()
    if not call.params.integer("draft_id"):
        raise bad_request("draft_id must be non-zero")
    text = call.text()["text"] if call.params.has("text") else ""
    chat.draft = Draft(call.params.integer("draft_id"), call.params.flag("can_stop"), call.now + DRAFT_SECONDS)
    shown = {"text": text, "draft_id": chat.draft.id, "can_stop": chat.draft.can_stop}
    call.telegram.events.publish(call.bot.id, chat.person.id, "draft", shown)
    return True


@method("setMessageReaction")
async def set_message_reaction(call: Call) -> Any:
    chat = call.chat()
    message = call.message(chat, "message to react not found")
    reaction = call.params.object("reaction") or []
    if not isinstance(reaction, list) or not all(isinstance(one, dict) for one in reaction) or len(reaction) > 1:
        raise bad_request("REACTION_INVALID")
    call.telegram.events.publish(
        call.bot.id, chat.person.id, "reaction", {"message_id": message.id, "reaction": reaction}
    )
    return True


@method("pinChatMessage")
async def pin_chat_message(call: Call) -> Any:
    chat = call.chat()
    message = call.message(chat, "message to pin not found")
    chat.pinned = [*(number for number in chat.pinned if number != message.id), message.id][-100:]
    return True


@method("unpinChatMessage")
async def unpin_chat_message(call: Call) -> Any:
    chat = call.chat()
    number = call.params.integer("message_id") or (chat.pinned[-1] if chat.pinned else 0)
    if number not in chat.pinned:
        raise bad_request("message to unpin not found")
    chat.pinned.remove(number)
    return True


@method("unpinAllChatMessages")
async def unpin_all_chat_messages(call: Call) -> Any:
    call.chat().pinned.clear()
    return True


@method("sendDice")
async def send_dice(call: Call) -> Any:
    chat = call.chat()
    emoji = call.params.text("emoji") or "🎲"
    if emoji not in DICE:
        raise ApiError(400, "Bad Request: unsupported emoji specified")
    value = call.telegram.world.random.randint(1, DICE[emoji])
    return deliver(call, chat, {"dice": {"emoji": emoji, "value": value}}).data
