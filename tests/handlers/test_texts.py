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
from handlers.views.reasons import CANCEL_REASONS, FAILURE_OF, FAILURES
from services.base_provider import ErrorCode
from services.common.i18n import LANGUAGES, LOCALES, Texts
from services.errors import DraftFault
from services.media.inspect import MediaFault

ROOT = Path(__file__).resolve().parents[2]
ENTRY = re.compile(r"^([a-z][\w-]*) *=(.*(?:\n(?:[ \t]+.*|\s*$))*)", re.M)
VARIABLE = re.compile(r"\{\s*\$(\w+)")
PLACEABLE = re.compile(r"\{[^{}]*\}")
TAG = re.compile(r"<(/?)(\w+)[^<>]*>")
TAGS = {"b", "i", "code", "blockquote"}
MARKS = {'"': "“ ” or « »", "'": "’", " - ": " — "}
TAP_LIMIT = 200  # characters of the answer to a tap

# Words that the bot does not use, each with what it uses instead: docs/texts.md says why.
AVOIDED = {
    "en": {
        r"we|us|our|ours|ourselves|we’\w+|let’s": "I, or no person at all",
        r"shall": "should",
        r"administrators?|owners?": "admin",
        r"sums?": "amount",
        r"operations?": "transaction",
        r"press": "tap",
        r"canceled|canceling": "cancelled",
    },
    "ru": {
        r"мы|нас|нам|нами|наш(?:а|е|и|его|ему|ей|им|ими|их|у|ем)?": "я или безлично",
        r"(?:бер|верн|возьм|забер|начн|попробу|провер|продолж|спиш|предлага|дела|приним|найд|разбира|довед|напиш|спрос"
        r"|зна|жд|сним|рису)(?:ем|ём|им)(?:ся)?": "я или безлично",
        r"(?:верну|возвраща|забы|переда|исправи|списа|начисли|свери|закры|сохрани|получи)ли": "безлично: «возвращено»",
        r"(?:взял|понял|нашёл|принял|узнал|нарисовал|снял|сохранил)а?": "без рода: «не найдено»",
        r"знак(?:а|у|ом|и|ов|ам|ами|ах)?": "символ",
        r"точек": "пикселей",
        r"ч[её]ткост\w*": "качество",
        r"владел\w*": "администратор",
        r"провайдер\w*": "поставщик",
        r"еще|счет\w*|платеж|пришел|нашел|прошел|идет|ждет|придет|берет|вернется|начнется": "ё",
    },
}


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
    keys |= {code.replace("_", "-") for code in get_args(DraftFault)}
    keys |= set(FAILURES) | set(CANCEL_REASONS.values())
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
    assert {code.value for code in ErrorCode} | ours == set(FAILURE_OF)


@pytest.mark.parametrize("language", LANGUAGES)
def test_command_descriptions_fit(language: str) -> None:
    """Telegram takes 256 characters for a command's description, without markup."""
    texts = entries(language)
    for name in PEOPLE + ADMINS:
        assert 1 <= len(texts[f"command-{name}"].strip()) <= 256
        assert "<" not in texts[f"command-{name}"]


def faults(language: str, text: str) -> dict[str, str]:
    """The avoided words and marks of a text, each with what to write instead."""
    words = PLACEABLE.sub("{}", TAG.sub("", text))
    found = {
        match[0]: instead
        for pattern, instead in AVOIDED[language].items()
        for match in re.finditer(rf"(?<![\w’])(?:{pattern})(?![\w’])", words, re.IGNORECASE)
    }
    return found | {mark: instead for mark, instead in MARKS.items() if mark in words}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_bot_speaks_with_one_voice(language: str) -> None:
    """The bot is one person without a gender, and one thing has one word: people must not wonder who “we” are."""
    wrong = {key: found for key, body in entries(language).items() if (found := faults(language, body))}
    assert wrong == {}


@pytest.mark.parametrize(
    ("language", "text", "wrong"),
    [
        ("en", "Which language shall we speak?", {"we", "shall"}),
        ("en", "<b>Our</b> owner is told, we’ll see", {"Our", "owner", "we’ll"}),
        ("en", "Let’s go: press the button", {"Let’s", "press"}),
        ("en", 'It\'s "done" - enjoy', {"'", '"', " - "}),
        ("en", "Your house is used, and the bus came; {$us} counts", set()),
        ("ru", "Деньги у нас. Мы вернём их, наша ошибка", {"нас", "Мы", "вернём", "наша"}),
        ("ru", "Вернули 12 ₽, спишем потом", {"Вернули", "спишем"}),
        ("ru", "Не понял: слишком много точек и знаков", {"понял", "точек", "знаков"}),
        ("ru", "Еще один платеж", {"Еще", "платеж"}),
        ("ru", "Деньги вернулись на баланс. Я рисую, знакомый голос, точка", set()),
    ],
)
def test_a_word_out_of_voice_is_found(language: str, text: str, wrong: set[str]) -> None:
    """The rule above catches each kind of word that it names, and no other word that holds the same letters."""
    assert set(faults(language, text)) == wrong


@pytest.mark.parametrize("language", LANGUAGES)
def test_markup_is_closed(language: str) -> None:
    """Every tag is one of Telegram's and is closed in turn: Telegram refuses a message whose markup is broken."""
    for key, body in entries(language).items():
        open_tags: list[str] = []
        for closing, tag in TAG.findall(body):
            assert tag in TAGS, f"{key}: <{tag}>"
            if closing:
                assert open_tags.pop() == tag, key
            else:
                open_tags.append(tag)
        assert open_tags == [], key


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_shown_without_markup_fits(language: str) -> None:
    """Buttons and answers to taps show no markup; an answer has 200 characters, a button no more than a glance."""
    texts = Texts(strict=True)
    for key in shown_plain():
        body = entries(language)[key]
        assert not TAG.search(body), key
        shown = texts.plain(language, key, **dict.fromkeys(VARIABLE.findall(body), "100 000,50 ₽"))
        assert len(shown) <= (40 if key.startswith(("button-", "menu-", "label-")) else TAP_LIMIT), key


def shown_plain() -> set[str]:
    """Text ids that the bot's code shows where Telegram reads no markup."""
    found: set[str] = set()
    for file in (ROOT / "handlers").rglob("*.py"):
        found |= set(re.findall(r"\bplain\(\s*\"([a-z][\w-]*)\"", file.read_text(encoding="utf-8")))
    assert len(found) > 50
    return found | {f"photo-{one}" for one in MediaFault} & set(entries("en"))
