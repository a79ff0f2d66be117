"""Every sentence a user reads, in Russian and in English.

Texts are in `locales/<language>/*.ftl` (Fluent), so that plurals and word order are part of the language and not of the
code. A text is HTML for Telegram: arguments are escaped, so a user's own words never become markup.
"""

from __future__ import annotations

import functools
import html
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from fluent.runtime import FluentBundle, FluentResource
from fluent.syntax.ast import Resource

from services.common.log import event

Language = Literal["ru", "en"]
Argument = str | int | float

LANGUAGES: Final[tuple[Language, ...]] = ("ru", "en")
LOCALES: Final = Path(__file__).resolve().parents[2] / "locales"

# Languages whose speakers are more likely to read Russian than English.
_READ_RUSSIAN = frozenset(
    {"ru", "be", "uk", "kk", "uz", "ky", "tg", "tk", "az", "hy", "ka", "mo", "mn", "tt", "ba", "ce"}
)

_log = logging.getLogger(__name__)


class MissingText(LookupError):
    """A text has no such id, or an argument it needs was not given."""


class Safe(str):
    """Text that is already Telegram HTML; it goes into a sentence unchanged."""

    __slots__ = ()


def pick_language(language_code: str | None, chosen: str | None = None) -> Language:
    """The language to use: the one the user chose, else by Telegram's `language_code`; Russian when in doubt."""
    if chosen == "ru" or chosen == "en":
        return "ru" if chosen == "ru" else "en"
    primary = (language_code or "").replace("_", "-").split("-")[0].lower()
    if not (2 <= len(primary) <= 3 and primary.isascii() and primary.isalpha()):
        return "ru"
    return "ru" if primary in _READ_RUSSIAN else "en"


class Texts:
    """The texts of all languages, read once.

    `strict` is for tests: a missing text raises `MissingText`. Otherwise it is logged, and the text of the other
    language, or else the id itself, is shown: a poor answer is better than none.
    """

    def __init__(self, folder: Path = LOCALES, *, strict: bool = False) -> None:
        self._strict = strict
        self._bundles = {language: _bundle(folder / language, language) for language in LANGUAGES}

    def t(self, language: str | None, key: str, /, **args: Argument) -> str:
        """The text `key` as Telegram HTML. Numbers choose plurals; a `str` is escaped unless it is `Safe`.

        Raises:
            MissingText: only when strict.
        """
        return self._render(language, key, args, _escape)

    def plain(self, language: str | None, key: str, /, **args: Argument) -> str:
        """The text for a place without HTML: a button, the answer to a tap, an invoice's title."""
        return html.unescape(self._render(language, key, args, str))

    def _render(self, language: str | None, key: str, args: dict[str, Argument], prepare: Callable[[str], str]) -> str:
        ready = {name: prepare(value) if isinstance(value, str) else value for name, value in args.items()}
        first: Language = "en" if language == "en" else "ru"
        for candidate in (first, *(other for other in LANGUAGES if other != first)):
            bundle = self._bundles[candidate]
            if not bundle.has_message(key):
                self._missing(key, candidate, "no such text")
                continue
            pattern = bundle.get_message(key).value
            if pattern is None:
                self._missing(key, candidate, "the text is empty")
                continue
            text, problems = bundle.format_pattern(pattern, ready)
            for problem in problems:
                self._missing(key, candidate, str(problem))
            return str(text)
        return key

    def _missing(self, key: str, language: str, problem: str) -> None:
        if self._strict:
            raise MissingText(f"{key} ({language}): {problem}")
        event(_log, "text.missing", level=logging.ERROR, text_id=key, language=language, problem=problem)


def _escape(value: str) -> str:
    return value if isinstance(value, Safe) else html.escape(value, quote=False)


def _bundle(folder: Path, language: Language) -> FluentBundle:
    # Without isolation marks: Telegram shows the invisible characters around numbers as gaps in some clients.
    bundle = FluentBundle([language], use_isolating=False)
    for file in sorted(folder.glob("*.ftl")):
        bundle.add_resource(_parsed(file.read_text(encoding="utf-8")))
    return bundle


@functools.cache  # parsing takes longer than the rest of a start, and its result never changes
def _parsed(text: str) -> Resource:
    return FluentResource(text)
