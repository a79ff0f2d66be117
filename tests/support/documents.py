"""The project's pages: their names, their text, and what Markdown marks in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from tests.support.database_fixture import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests").rglob("*.md")])
NAMES = [document.relative_to(ROOT).as_posix() for document in DOCUMENTS]

code_span = re.compile(r"`([^`\n]+)`")
fence = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
link = re.compile(r"(?<!\\)!?\[[^\]\n]*\]\(([^)\s]+)\)")


@cache
def text_of(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def spans(name: str) -> Iterator[str]:
    """What stands between backticks, blocks left out."""
    yield from code_span.findall(fence.sub("", text_of(name)))


def slug(heading: str) -> str:
    """The anchor that a heading gets."""
    plain = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return plain.replace(" ", "-")
