"""Formatted text: what a bot sends (HTML, MarkdownV2, entities) becomes plain text with entities in UTF-16 units."""

from __future__ import annotations

import re
from typing import Any

from sandbox.telegram.builder import Json, cannot_parse, units
from sandbox.telegram.errors import bad_request
from sandbox.telegram.html import parse_html
from sandbox.telegram.markdown import parse_legacy_markdown, parse_markdown

ENTITY_TYPES = frozenset(
    {
        "mention",
        "hashtag",
        "cashtag",
        "bot_command",
        "url",
        "email",
        "phone_number",
        "bold",
        "italic",
        "underline",
        "strikethrough",
        "spoiler",
        "blockquote",
        "expandable_blockquote",
        "code",
        "pre",
        "text_link",
        "text_mention",
        "custom_emoji",
        "date_time",
    }
)
MAX_ENTITIES = 100


def formatted(text: str, parse_mode: str, entities: Any) -> tuple[str, list[Json]]:
    """Plain, trimmed text and its entities. Raises ApiError 400 `can't parse entities: …`."""
    mode = parse_mode.lower()
    text = text.replace("\r", "")
    if mode == "html":
        text, found = parse_html(text)
    elif mode == "markdownv2":
        text, found = parse_markdown(text)
    elif mode == "markdown":
        text, found = parse_legacy_markdown(text)
    elif mode:
        raise bad_request("unsupported parse_mode")
    else:
        found = _given(text, entities)
    text, found = _trimmed(text, found)
    found += _detected(text, found)
    found.sort(key=lambda one: (one["offset"], -one["length"]))
    return text, found[:MAX_ENTITIES]


def _given(text: str, entities: Any) -> list[Json]:
    """The caller's own entities, checked; those of unknown kind or outside the text are dropped or refused."""
    if entities is None:
        return []
    if not isinstance(entities, list):
        raise bad_request("can't parse entities JSON object")
    total = units(text)
    found = []
    for one in entities:
        if not isinstance(one, dict) or not all(type(one.get(key)) is int for key in ("offset", "length")):
            raise cannot_parse("expected an Array of MessageEntity")
        if one["offset"] < 0 or one["length"] < 0 or one["offset"] + one["length"] > total:
            raise cannot_parse("entity begins or ends outside of the text")
        if str(one.get("type")) in ENTITY_TYPES and one["length"] > 0:
            found.append({key: value for key, value in one.items() if value is not None})
    return found


def _trimmed(text: str, entities: list[Json]) -> tuple[str, list[Json]]:
    """Without white space at both ends; the entities are shortened as well."""
    left = units(text) - units(text.lstrip())
    stripped = text.strip()
    end = units(stripped)
    kept = []
    for one in entities:
        start = max(0, one["offset"] - left)
        stop = min(end, one["offset"] + one["length"] - left)
        if stop > start:
            kept.append({**one, "offset": start, "length": stop - start})
    return stripped, kept


DETECTORS = (
    ("url", re.compile(r"(?<![\w/@.])(?:https?://[^\s<>\"]+[^\s<>\".,:;!?)\]]|t\.me/[\w/?=&-]+)", re.I)),
    ("email", re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}", re.I)),
    ("mention", re.compile(r"(?<![\w/@])@[a-z]\w{2,31}\b", re.I)),
    ("bot_command", re.compile(r"(?<![\w/<>])/[a-z0-9_]{1,64}(?:@[a-z]\w{2,31})?\b", re.I)),
    ("hashtag", re.compile(r"(?<!\w)#\w*[^\W\d_]\w*")),
)
OPAQUE = frozenset({"code", "pre", "text_link", "text_mention"})


def _detected(text: str, given: list[Json]) -> list[Json]:
    """Links, mentions and commands that Telegram finds by itself, outside code and links."""
    taken = [(one["offset"], one["offset"] + one["length"]) for one in given if one["type"] in OPAQUE]
    found = []
    for kind, pattern in DETECTORS:
        for match in pattern.finditer(text):
            start = units(text[: match.start()])
            stop = start + units(match.group())
            if all(stop <= begin or start >= end for begin, end in taken):
                taken.append((start, stop))
                found.append({"type": kind, "offset": start, "length": stop - start})
    return found
