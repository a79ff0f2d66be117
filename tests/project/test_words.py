"""Words: the product's code speaks the field's language, and words that were retired do not come back."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.source_tree import PRODUCT, ROOT

RETIRED = {
    "CardRail": "YooKassaRefunds",
    "Door": "AsyncSqlite",
    "Duty": "PeriodicTask",
    "Edge": "WebContext",
    "JobLetters": "ChatMessages",
    "Letters": "MessageRenderer",
    "ProgressLetters": "MessageRenderer",
    "RefundRail": "RefundGateway",
    "ResultLetters": "MessageRenderer",
    "Returns": "ProviderRefunds",
    "Shelf": "Storefront",
    "Shop": "BotApp",
    "StarRail": "StarsRefunds",
    "StarTill": "StarsUpdateHandler",
    "Tap": "CallbackAnswer",
    "Till": "UpdateInterceptor",
    "Unsure": "Unknown",
    "Voice": "Localizer",
    "Word": "RefundResult",
    "_checked": "_validated_quote",
    "_must": "get_or_raise",
    "closed_by": "open_circuit",
    "heard_of": "on_payment_event",
    "here": "ctx",
    "look_again": "return_to_polling",
    "look_at_due": "poll_due",
    "look_later": "schedule_poll",
    "look_now": "poll_now",
    "rails": "gateways",
    "shelf": "storefront",
    "voice": "localizer",
}
"""Identifiers and what they are called now."""

PHRASES = re.compile(
    r"\b(?:milliard|hereby|of late|befalls?|reckoning|the door|the till|the shelf|watcher|dut(?:y|ies)|nobody minds)\b",
    re.IGNORECASE,
)
"""Literary English, and names of things that are gone, in comments and docstrings."""


def retired(source: str) -> Iterator[str]:
    """Each retired identifier and phrase in a module's source, with its line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        line = token.start[0]
        if token.type == tokenize.NAME and token.string in RETIRED:
            yield f"{line}: {token.string} is {RETIRED[token.string]}"
        elif token.type == tokenize.COMMENT or (token.type == tokenize.STRING and token.string.startswith('"""')):
            for phrase in PHRASES.finditer(token.string):
                yield f"{line}: {phrase.group()}"


def product_files() -> list[Path]:
    found = [path for top in PRODUCT for path in [ROOT / f"{top}.py", *(ROOT / top).rglob("*.py")]]
    return sorted(path for path in found if path.is_file())


@pytest.mark.parametrize("path", product_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_retired_word_comes_back(path: Path) -> None:
    """Neither as a name nor in a comment or docstring."""
    assert list(retired(path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("async def f(here):\n    pass\n", ["1: here is ctx"]),
        ("class Shelf:\n    '''What is sold.'''\n", ["1: Shelf is Storefront"]),
        ('"""Of late nobody knocks at\nthe door."""\n', ["1: Of late", "1: the door"]),
        ("x = 1  # a duty of the watcher\n", ["1: duty", "1: watcher"]),
        ('event(log, "sweeper.duty_failed", error="here")\n', []),
    ],
)
def test_a_retired_word_is_found(source: str, found: list[str]) -> None:
    """Names and comments are read; texts and names of events are not."""
    assert list(retired(source)) == found
