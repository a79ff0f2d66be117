"""Keyboards, checked as Telegram checks them (docs/reference/telegram.md, sections 2, 3 and 8)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from sandbox.telegram.builder import units
from sandbox.telegram.errors import bad_request

Json = dict[str, Any]
INLINE_LIMIT = 100
REPLY_LIMIT = 300
ACTIONS = (
    "url",
    "callback_data",
    "web_app",
    "login_url",
    "switch_inline_query",
    "switch_inline_query_current_chat",
    "switch_inline_query_chosen_chat",
    "copy_text",
    "callback_game",
    "pay",
    "disabled",
)
STYLES = frozenset({"primary", "success", "danger"})
DECORATION = ("style", "icon_custom_emoji_id")
SCHEMES = frozenset({"http", "https", "tg", "tonsite"})


def read_markup(value: Any) -> Json | None:
    """The markup as the message will carry it, None for none. Raises ApiError 400."""
    if value is None or value == {}:
        return None
    if not isinstance(value, dict):
        raise bad_request("object expected as reply markup")
    if "inline_keyboard" in value:
        rows = _rows(value["inline_keyboard"], "inline keyboard", INLINE_LIMIT)
        keyboard = [[_inline_button(button) for button in row] for row in rows]
        return {"inline_keyboard": keyboard} if keyboard else None
    if "keyboard" in value:
        rows = _rows(value["keyboard"], "keyboard", REPLY_LIMIT)
        return {**value, "keyboard": [[_reply_button(button) for button in row] for row in rows]}
    if value.get("remove_keyboard") or value.get("force_reply"):
        return value
    raise bad_request("object expected as reply markup")


def read_inline(value: Any) -> Json | None:
    """Markup for an edit, where only inline keyboards are allowed."""
    markup = read_markup(value)
    if markup is not None and "inline_keyboard" not in markup:
        raise bad_request("inline keyboard expected")
    return markup


def check_pay_button(markup: Json | None, *, invoice: bool) -> None:
    """A Pay button is allowed on invoices only, as the first button."""
    buttons = [button for row in (markup or {}).get("inline_keyboard", []) for button in row]
    for place, button in enumerate(buttons):
        if button.get("pay") and (not invoice or place > 0):
            raise bad_request("BUTTON_TYPE_INVALID" if not invoice else "BUTTON_POS_INVALID")
    if invoice and buttons and not buttons[0].get("pay"):
        raise bad_request("REPLY_MARKUP_BUY_EMPTY")


def _rows(value: Any, what: str, limit: int) -> list[list[Any]]:
    if not isinstance(value, list) or not all(isinstance(row, list) for row in value):
        raise bad_request(f"can't parse {what}: expected an Array of Array")
    rows = [row for row in value if row]
    if sum(len(row) for row in rows) > limit:
        raise bad_request("REPLY_MARKUP_TOO_LONG")
    return rows


def _inline_button(button: Any) -> Json:
    if not isinstance(button, dict):
        raise bad_request("can't parse inline keyboard button: expected an Object")
    text = button.get("text")
    if not isinstance(text, str) or not text.strip():
        raise bad_request("can't parse inline keyboard button: Text must be non-empty")
    action = next((name for name in ACTIONS if button.get(name) is not None and button.get(name) is not False), None)
    if action is None:
        raise bad_request("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
    kept = {"text": text, action: _action(action, button[action])}
    return {**kept, **_decoration(button)}


def _action(action: str, value: Any) -> Any:
    if action == "callback_data":
        if not isinstance(value, str) or not 1 <= len(value.encode("utf-8", "replace")) <= 64:
            raise bad_request("BUTTON_DATA_INVALID")
    elif action == "url":
        return checked_url(value)
    elif action == "web_app":
        if not isinstance(value, dict):
            raise bad_request('can\'t parse inline keyboard button: Field "web_app" must be of type Object')
        return {"url": checked_url(value.get("url"))}
    elif action == "copy_text":
        text = value.get("text") if isinstance(value, dict) else None
        if not isinstance(text, str) or not 1 <= units(text) <= 256:
            raise bad_request("BUTTON_COPY_TEXT_INVALID")
        return {"text": text}
    return value


def checked_url(value: Any) -> str:
    """The button's address. Raises ApiError 400 if it is not a link."""
    try:
        if not isinstance(value, str) or set(value) & set(" \n\t"):
            raise ValueError
        parts = urlsplit(value)
        if parts.scheme.lower() not in SCHEMES or not (parts.hostname or parts.path):
            raise ValueError
        _ = parts.port
    except ValueError:
        raise bad_request(f"inline keyboard button URL '{value}' is invalid: Wrong HTTP URL") from None
    return value


def is_web_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _reply_button(button: Any) -> Json:
    if isinstance(button, str):
        button = {"text": button}
    if not isinstance(button, dict) or not isinstance(button.get("text"), str) or not button["text"].strip():
        raise bad_request("can't parse keyboard button: Text must be non-empty")
    return {**button, **_decoration(button)}


def _decoration(button: Json) -> Json:
    """Style and icon of a button (since 9.4)."""
    style = button.get("style")
    if style is not None and str(style) not in STYLES:
        raise bad_request("invalid button style specified")
    return {name: button[name] for name in DECORATION if button.get(name) is not None}
