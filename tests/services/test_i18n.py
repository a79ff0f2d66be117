"""Texts: both languages say the same things, safely, with the right plurals."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fluent.syntax import ast as ftl
from fluent.syntax.visitor import Visitor

from services.common.i18n import LANGUAGES, MissingText, Safe, Texts, pick_language
from tests.support.fluent_files import entries

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def texts() -> Texts:
    return Texts(strict=True)


class _Variables(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def visit_VariableReference(self, node: ftl.VariableReference) -> None:  # noqa: N802 (fluent's name)
        self.names.add(node.id.name)


def variables(language: str) -> dict[str, set[str]]:
    """Message id → the names of its variables."""
    found: dict[str, set[str]] = {}
    for name, entry, _ in entries(language):
        visitor = _Variables()
        visitor.visit(entry)
        found[name] = visitor.names
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_line_is_understood(language: str) -> None:
    """No file holds a line that Fluent cannot read, and no id is written twice."""
    seen: dict[str, Path] = {}
    for name, entry, file in entries(language):
        assert not isinstance(entry, ftl.Junk), f"{file.name}: {entry.content}"
        assert name not in seen, f"{name} is in {file.name} and in {seen[name].name}"
        seen[name] = file
    assert seen


def test_both_languages_have_the_same_texts_and_variables() -> None:
    """An id in one language is in the other as well, with the same variables."""
    assert variables("ru") == variables("en")


def test_every_text_renders_in_both_languages(texts: Texts) -> None:
    """Every text can be shown when its variables are given, and leaves no placeholder behind."""
    for language in LANGUAGES:
        for key, names in variables(language).items():
            shown = texts.t(language, key, **dict.fromkeys(names, 5))
            assert shown.strip()
            assert "{" not in shown


def used_ids() -> Iterator[tuple[str, set[str] | None, str]]:
    """Every text id written out in the code, the arguments given (None when they are not all visible), and where."""
    for folder in ("app", "handlers", "services", "workers", "scheduler"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                    continue
                if node.func.attr not in {"t", "plain"} or len(node.args) < 2:
                    continue
                key = node.args[1]
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    names = {keyword.arg for keyword in node.keywords}
                    known = None if None in names else {name for name in names if name is not None}
                    yield key.value, known, f"{file.relative_to(ROOT)}:{node.lineno}"


def test_every_text_used_in_the_code_exists() -> None:
    """Each `t(language, "id", ...)` in the code names an id that exists and gives the variables it needs."""
    known = variables("ru")
    for key, given, where in used_ids():
        assert key in known, f"{where}: there is no text {key}"
        assert given is None or known[key] <= given, f"{where}: {key} needs {known[key] - given}"


@pytest.mark.parametrize(
    ("count", "russian", "english"),
    [
        (1, "1 картинка", "1 picture"),
        (2, "2 картинки", "2 pictures"),
        (5, "5 картинок", "5 pictures"),
        (11, "11 картинок", "11 pictures"),
        (21, "21 картинка", "21 pictures"),
        (1.5, "1,5 картинки", "1.5 pictures"),
        (0, "0 картинок", "0 pictures"),
        (112, "112 картинок", "112 pictures"),
    ],
)
def test_plurals(texts: Texts, count: float, russian: str, english: str) -> None:
    """Numbers choose the form of the noun as each language wants it."""
    assert texts.t("ru", "count-pictures", count=count) == russian
    assert texts.t("en", "count-pictures", count=count) == english


@pytest.mark.parametrize(
    ("key", "forms"),
    [
        ("count-seconds", "1 секунда, 2 секунды, 5 секунд"),
        ("count-minutes", "1 минута, 2 минуты, 5 минут"),
        ("count-days", "1 день, 2 дня, 5 дней"),
        ("count-clips", "1 клип, 2 клипа, 5 клипов"),
    ],
)
def test_each_noun_has_its_forms(texts: Texts, key: str, forms: str) -> None:
    """Each counted noun has its three Russian forms."""
    assert ", ".join(texts.t("ru", key, count=count) for count in (1, 2, 5)) == forms


def folder_with(tmp_path: Path, russian: str, english: str) -> Path:
    for language, text in (("ru", russian), ("en", english)):
        (tmp_path / language).mkdir()
        (tmp_path / language / "some.ftl").write_text(text, encoding="utf-8")
    return tmp_path


def test_arguments_cannot_become_markup(tmp_path: Path) -> None:
    """A user's words are escaped for Telegram's HTML; only what is marked `Safe` goes in as it is."""
    texts = Texts(folder_with(tmp_path, "hi = <b>{ $name }</b>", "hi = <b>{ $name }</b>"), strict=True)
    assert texts.t("ru", "hi", name='<a href="x">&') == '<b>&lt;a href="x"&gt;&amp;</b>'
    assert texts.t("ru", "hi", name=Safe("<i>Ann</i>")) == "<b><i>Ann</i></b>"
    assert texts.t("ru", "hi", name="{ $other }") == "<b>{ $other }</b>", "an argument is no pattern"


def test_plain_text_is_for_places_without_markup(tmp_path: Path) -> None:
    """A button shows characters, so nothing is escaped there."""
    texts = Texts(folder_with(tmp_path, "buy = { $name } &amp; ещё", "buy = { $name } &amp; more"), strict=True)
    assert texts.plain("en", "buy", name="Tom & <Jerry>") == "Tom & <Jerry> & more"


def test_what_is_missing_raises_when_strict(tmp_path: Path) -> None:
    """Tests fail on a missing id, a text in one language only, and a missing argument."""
    texts = Texts(folder_with(tmp_path, "hi = { $name }\nonly = тут", "hi = { $name }"), strict=True)
    for language, key in (("ru", "nothing"), ("en", "only"), ("ru", "hi")):
        with pytest.raises(MissingText, match=key):
            texts.t(language, key)


def test_what_is_missing_is_shown_clumsily_in_production(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A user gets the other language's text, or at last the id, and the log names what is missing."""
    texts = Texts(folder_with(tmp_path, "only = тут", "other = here"))
    assert texts.t("en", "only") == "тут"
    assert texts.t("ru", "other") == "here"
    assert texts.t("ru", "nothing") == "nothing"
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert [record.getMessage() for record in caplog.records] == ["text.missing"] * 4


@pytest.mark.parametrize(
    ("code", "chosen", "language"),
    [
        ("ru", None, "ru"),
        ("ru-RU", None, "ru"),
        ("uk", None, "ru"),
        ("be", None, "ru"),
        ("kk", None, "ru"),
        ("uz", None, "ru"),
        ("ky", None, "ru"),
        (None, None, "ru"),
        ("", None, "ru"),
        ("???", None, "ru"),
        ("en", None, "en"),
        ("en_GB", None, "en"),
        ("de", None, "en"),
        ("pt-br", None, "en"),
        ("de", "ru", "ru"),
        ("ru", "en", "en"),
        ("en", "xx", "en"),
    ],
)
def test_language_is_chosen_or_guessed(code: str | None, chosen: str | None, language: str) -> None:
    """The user's choice wins; else Telegram's code decides, with Russian first where it is read or nothing is known."""
    assert pick_language(code, chosen) == language
