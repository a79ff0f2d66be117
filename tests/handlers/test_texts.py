"""Every sentence that the bot may need exists in both languages, takes the same arguments, and fits where it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from database.models import JobStatus, JobType
from handlers.commands import ADMINS, PEOPLE
from handlers.views.callbacks import Option
from handlers.views.keyboards import MENU, SAMPLES
from handlers.views.messages import _CANCEL_REASONS, _FAILURE_OF, _FAILURES
from services.base_provider import ErrorCode
from services.common.i18n import LANGUAGES, LOCALES
from services.errors import OrderFault
from services.media.inspect import MediaFault

ROOT = Path(__file__).resolve().parents[2]
ENTRY = re.compile(r"^([a-z][\w-]*) *=(.*(?:\n(?:[ \t]+.*|\s*$))*)", re.M)
VARIABLE = re.compile(r"\{\s*\$(\w+)")


def entries(language: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in sorted((LOCALES / language).glob("*.ftl")):
        for key, body in ENTRY.findall(file.read_text(encoding="utf-8")):
            assert key not in found, f"{key} stands twice in {language}"
            found[key] = body
    return found


def used() -> set[str]:
    """Text ids written out in the bot's code, and those it builds from names of the domain."""
    keys: set[str] = set()
    for file in [*(ROOT / "handlers").rglob("*.py"), *(ROOT / "services").rglob("*.py")]:
        source = file.read_text(encoding="utf-8")
        keys |= set(re.findall(r"\b(?:t|plain)\(\s*\"([a-z][\w-]*)\"", source))
    folders = ("services", "workers", "scheduler", "database")
    for file in (one for folder in folders for one in (ROOT / folder).rglob("*.py")):
        keys |= set(re.findall(r"\"(alert-[a-z-]+)\"", file.read_text(encoding="utf-8")))
    keys |= {f"kind-{one}" for one in JobType} | {f"entry-reserve-{one}" for one in JobType}
    keys |= {f"history-line-{one}" for one in JobStatus} | {f"card-option-{one}" for one in Option}
    keys |= {f"command-{one}" for one in PEOPLE + ADMINS} | {key for row in MENU for key in row}
    keys |= {f"sample-{n}" for n in SAMPLES} | {f"sample-{n}-title" for n in SAMPLES}
    keys |= {code.replace("_", "-") for code in get_args(OrderFault)}
    keys |= set(_FAILURES) | set(_CANCEL_REASONS.values())
    photo_faults = set(MediaFault) - {MediaFault.EMPTY, MediaFault.TOO_LONG, MediaFault.NOT_A_VIDEO}
    return keys | {f"photo-{one}" for one in photo_faults}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_in_use_exists(language: str) -> None:
    """No id of the code, written out or built, is missing in either language."""
    assert used() - set(entries(language)) == set()


def test_both_languages_say_the_same_things() -> None:
    """The same ids with the same arguments in Russian and in English (a plural may leave the number out)."""
    russian, english = entries("ru"), entries("en")
    assert set(russian) == set(english)
    for key, body in russian.items():
        assert set(VARIABLE.findall(body)) == set(VARIABLE.findall(english[key])), key


def test_every_failure_has_its_sentence() -> None:
    """Each way in which a provider or the shop can fail is told in words chosen for it."""
    ours = {"hold_timeout", "refunded_by_admin", "interrupted", "unknown_outcome", "photo_gone", "storage"}
    assert {code.value for code in ErrorCode} | ours == set(_FAILURE_OF)


@pytest.mark.parametrize("language", LANGUAGES)
def test_command_descriptions_fit(language: str) -> None:
    """Telegram takes 256 characters for a command's description, without markup."""
    texts = entries(language)
    for name in PEOPLE + ADMINS:
        assert 1 <= len(texts[f"command-{name}"].strip()) <= 256
        assert "<" not in texts[f"command-{name}"]
