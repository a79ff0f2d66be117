"""MarkdownV2, in which every reserved character must be escaped, and the old Markdown, which is less strict."""

from __future__ import annotations

import re

from sandbox.telegram.builder import Builder, Json, cannot_parse

RESERVED = frozenset("_*[]()~`>#+-=|{}.!")
MARKS = {"*": "bold", "_": "italic", "__": "underline", "~": "strikethrough", "||": "spoiler"}
LEGACY = {"*": "bold", "_": "italic"}
NAMES = {"*": "Bold", "_": "Italic", "__": "Underline", "~": "Strikethrough", "||": "Spoiler", "[": "TextUrl"}


class _Reader:
    """Reads MarkdownV2 once from start to end; `opened` is the stack of (mark, offset of its text, byte offset)."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.out = Builder()
        self.opened: list[tuple[str, int, int]] = []
        self.quote: int | None = None
        self.line_start = True

    def byte(self) -> int:
        return len(self.source[: self.at].encode())

    def parse(self) -> tuple[str, list[Json]]:
        while self.at < len(self.source):
            self.step()
        self.end_quote()
        if self.opened:
            mark, _, byte = self.opened[-1]
            raise cannot_parse(f"Can't find end of {NAMES[mark]} entity at byte offset {byte}")
        return self.out.text, self.out.entities

    def step(self) -> None:
        source, at = self.source, self.at
        char = source[at]
        first, self.line_start = self.line_start, False
        if first and (char == ">" or source.startswith("**>", at)):
            if self.quote is None:
                self.quote = self.out.offset
            self.at += 1 if char == ">" else 3
        elif char == "\\" and at + 1 < len(source) and 0 < ord(source[at + 1]) <= 126:
            self.out.add(source[at + 1])
            self.at += 2
        elif char == "\n":
            if source[at + 1 : at + 2] != ">":
                self.end_quote()
            self.out.add(char)
            self.at += 1
            self.line_start = True
        elif char == "`":
            self.code()
        elif char == "[" or source.startswith("![", at):
            self.opened.append(("[", self.out.offset, self.byte()))
            self.at += 2 if char == "!" else 1
        elif char == "]" and self.opened and self.opened[-1][0] == "[":
            self.link()
        elif (mark := self.mark()) is not None:
            self.toggle(mark)
        elif char in RESERVED:
            raise cannot_parse(f"Character '{char}' is reserved and must be escaped with the preceding '\\'")
        else:
            self.out.add(char)
            self.at += 1

    def mark(self) -> str | None:
        for mark in ("__", "||", "*", "_", "~"):
            if self.source.startswith(mark, self.at):
                return mark
        return None

    def toggle(self, mark: str) -> None:
        if self.opened and self.opened[-1][0] == mark:
            _, start, _ = self.opened.pop()
            self.out.entity(MARKS[mark], start)
        elif mark == "||" and self.quote is not None and self.source[self.at + 2 : self.at + 3] in ("", "\n"):
            self.out.entity("expandable_blockquote", self.quote)
            self.quote = None
        else:
            self.opened.append((mark, self.out.offset, self.byte()))
        self.at += len(mark)

    def code(self) -> None:
        fence = "```" if self.source.startswith("```", self.at) else "`"
        begin = self.byte()
        end = self.at + len(fence)
        body = []
        while not self.source.startswith(fence, end):
            if end >= len(self.source):
                kind = "Pre" if fence == "```" else "Code"
                raise cannot_parse(f"Can't find end of {kind} entity at byte offset {begin}")
            if self.source[end] == "\\" and end + 1 < len(self.source):
                end += 1
            body.append(self.source[end])
            end += 1
        self.at = end + len(fence)
        text, start = "".join(body), self.out.offset
        if fence == "`":
            self.out.add(text)
            self.out.entity("code", start)
            return
        language = re.match(r"([^\s`]+)\n", text)
        self.out.add(text[language.end() :] if language else text.removeprefix("\n"))
        if language:
            self.out.entity("pre", start, language=language[1])
        else:
            self.out.entity("pre", start)

    def link(self) -> None:
        _, start, byte = self.opened.pop()
        target = re.compile(r"\]\(((?:\\.|[^)\\])*)\)", re.S).match(self.source, self.at)
        if target is None:
            raise cannot_parse(f"Can't find end of a URL at byte offset {byte}")
        url = re.sub(r"\\(.)", r"\1", target[1])
        emoji = re.fullmatch(r"tg://emoji\?id=(\d+)", url)
        if emoji:
            self.out.entity("custom_emoji", start, custom_emoji_id=emoji[1])
        elif url:
            self.out.entity("text_link", start, url=url)
        self.at = target.end()

    def end_quote(self) -> None:
        if self.quote is not None:
            self.out.entity("blockquote", self.quote)
            self.quote = None


def parse_markdown(source: str) -> tuple[str, list[Json]]:
    """Plain text and entities of MarkdownV2. Raises ApiError 400."""
    return _Reader(source).parse()


def parse_legacy_markdown(source: str) -> tuple[str, list[Json]]:
    """Plain text and entities of the old Markdown, which has no nesting. Raises ApiError 400."""
    out = Builder()
    at = 0
    while at < len(source):
        char = source[at]
        begin = len(source[:at].encode())
        if char == "\\" and source[at + 1 : at + 2] in ("_", "*", "`", "["):
            out.add(source[at + 1])
            at += 2
        elif char in LEGACY or char == "`":
            fence = "```" if source.startswith("```", at) else char
            end = source.find(fence, at + len(fence))
            if end < 0:
                raise cannot_parse(f"Can't find end of the entity starting at byte offset {begin}")
            start = out.offset
            out.add(source[at + len(fence) : end])
            out.entity(LEGACY.get(fence, "pre" if fence == "```" else "code"), start)
            at = end + len(fence)
        elif char == "[" and (link := re.compile(r"\[([^\]]*)\]\(([^)]*)\)").match(source, at)):
            start = out.offset
            out.add(link[1])
            out.entity("text_link", start, url=link[2])
            at = link.end()
        else:
            out.add(char)
            at += 1
    return out.text, out.entities
