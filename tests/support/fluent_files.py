"""The texts of the bot as they are written in `locales`, entry by entry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fluent.syntax import FluentParser
from fluent.syntax import ast as ftl

from services.common.i18n import LOCALES


def entries(language: str) -> Iterator[tuple[str, ftl.EntryType, Path]]:
    """Every entry of a language's files, with its id."""
    for file in sorted((LOCALES / language).glob("*.ftl")):
        for entry in FluentParser().parse(file.read_text(encoding="utf-8")).body:
            if isinstance(entry, ftl.Message | ftl.Term | ftl.Junk):
                name = "" if isinstance(entry, ftl.Junk) else entry.id.name
                yield name, entry, file
