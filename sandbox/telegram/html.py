"""The Bot API's HTML: a dozen tags, strict about everything else; offsets in its errors are bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sandbox.telegram.builder import Builder, Json, cannot_parse

SIMPLE = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
    "code": "code",
    "pre": "pre",
}
SUPPORTED = frozenset(SIMPLE) | {"a", "span", "blockquote", "tg-emoji", "tg-time"}
NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
REFERENCE = re.compile(r"&(?:#x([0-9a-f]{1,6})|#([0-9]{1,7})|(lt|gt|amp|quot));?", re.I)
TAG_NAME = re.compile(r"[^\s>]*")
ATTRIBUTE = re.compile(r"([^\s=>]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([a-zA-Z0-9.-]+)))?")


@dataclass
class Tag:
    """An open tag: where its text began and what its attributes said."""

    name: str
    start: int
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """A position in the source, shown in bytes; the bytes are counted only when an error shows them."""

    source: str
    at: int

    def __str__(self) -> str:
        return str(len(self.source[: self.at].encode()))


def unescape(text: str) -> str:
    """Numeric references and the four named ones; anything else stays as it is."""

    def one(match: re.Match[str]) -> str:
        hexadecimal, decimal, name = match.groups()
        if name:
            return NAMED[name.lower()]
        code = int(hexadecimal, 16) if hexadecimal else int(decimal)
        return chr(code) if 0 < code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else match.group()

    return REFERENCE.sub(one, text)


def parse_html(source: str) -> tuple[str, list[Json]]:
    """Plain text and entities. Raises ApiError 400 on unsupported, unclosed and crossed tags."""
    out = Builder()
    opened: list[Tag] = []
    at = 0
    while at < len(source):
        following = source.find("<", at)
        if following < 0:
            out.add(unescape(source[at:]))
            break
        out.add(unescape(source[at:following]))
        if source.startswith("</", following):
            at = _close(source, following, opened, out)
        else:
            at = _open(source, following, opened, out)
    if opened:
        raise cannot_parse(f'Can\'t find end tag corresponding to start tag "{opened[-1].name}"')
    return out.text, out.entities


def _open(source: str, at: int, opened: list[Tag], out: Builder) -> int:
    begin = Place(source, at)
    match = TAG_NAME.match(source, at + 1)
    assert match is not None
    name, at = match.group().lower(), match.end()
    if at >= len(source):
        raise cannot_parse(f"Unclosed start tag at byte offset {begin}")
    if name not in SUPPORTED:
        raise cannot_parse(f'Unsupported start tag "{name}" at byte offset {begin}')
    tag = Tag(name, out.offset)
    while True:
        while at < len(source) and source[at].isspace():
            at += 1
        if at >= len(source):
            raise cannot_parse(f'Unclosed start tag "{name}" at byte offset {begin}')
        if source[at] == ">":
            break
        found = ATTRIBUTE.match(source, at)
        if found is None:
            raise cannot_parse(f'Empty attribute name in the tag "{name}" at byte offset {begin}')
        if found.end() < len(source) and source[found.end()] == "=":
            raise cannot_parse(f'Unclosed start tag "{name}" at byte offset {begin}')
        tag.attributes[found[1].lower()] = unescape(found[2] or found[3] or found[4] or "")
        at = found.end()
    if name == "span" and tag.attributes.get("class") != "tg-spoiler":
        raise cannot_parse(f'Tag "span" must have class "tg-spoiler" at byte offset {begin}')
    opened.append(tag)
    return at + 1


def _close(source: str, at: int, opened: list[Tag], out: Builder) -> int:
    begin = Place(source, at)
    if not opened:
        raise cannot_parse(f"Unexpected end tag at byte offset {begin}")
    match = TAG_NAME.match(source, at + 2)
    assert match is not None
    name, end = match.group().lower(), match.end()
    while end < len(source) and source[end].isspace():
        end += 1
    if end >= len(source) or source[end] != ">":
        raise cannot_parse(f"Unclosed end tag at byte offset {begin}")
    tag = opened.pop()
    if name and name != tag.name:
        raise cannot_parse(f'Unmatched end tag at byte offset {begin}, expected "</{tag.name}>", found "</{name}>"')
    _emit(tag, opened, out)
    return end + 1


def _emit(tag: Tag, opened: list[Tag], out: Builder) -> None:
    """Add the entity that the tag stands for."""
    given = tag.attributes
    if tag.name == "a":
        url = given.get("href") or ""
        if re.match(r"(https?|tg|tonsite|ftp)://|mailto:|tel:", url, re.I):
            out.entity("text_link", tag.start, url=url)
        elif re.fullmatch(r"[\w-]+(\.[\w-]+)+(/\S*)?", url):
            out.entity("text_link", tag.start, url=f"http://{url}/" if "/" not in url else f"http://{url}")
    elif tag.name == "span":
        out.entity("spoiler", tag.start)
    elif tag.name == "blockquote":
        out.entity("expandable_blockquote" if "expandable" in given else "blockquote", tag.start)
    elif tag.name == "tg-emoji":
        if not given.get("emoji-id", "").isdigit():
            raise cannot_parse("Invalid custom emoji identifier specified")
        out.entity("custom_emoji", tag.start, custom_emoji_id=given["emoji-id"])
    elif tag.name == "tg-time":
        out.entity("date_time", tag.start)
    elif tag.name == "code" and opened and opened[-1].name == "pre" and opened[-1].start == tag.start:
        language = given.get("class", "")
        if language.startswith("language-"):
            opened[-1].attributes["language"] = language.removeprefix("language-")
        else:
            out.entity("code", tag.start)
    elif tag.name == "pre" and given.get("language"):
        out.entity("pre", tag.start, language=given["language"])
    else:
        out.entity(SIMPLE[tag.name], tag.start)
