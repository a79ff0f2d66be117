"""Pages in two languages say the same, and an alert sends its reader to a heading that exists in their language."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest
from fluent.syntax import FluentSerializer

from services.common.i18n import LANGUAGES
from tests.support.documents import NAMES, code_span, link, slug, text_of
from tests.support.fluent_files import entries

# A page `NAME.ru.md` is the translation of `NAME.md`; a new one is compared as well.
PAIRS = [(name.removesuffix(".ru.md") + ".md", name) for name in NAMES if name.endswith(".ru.md")]
RUNBOOK_OF = {"en": "RUNBOOK.md", "ru": "RUNBOOK.ru.md"}
SHELLS = ("bash", "sh")

heading_line = re.compile(r"(#+) (.+)")
fence_line = re.compile(r" *```(\w*)")
# A comment of the shell, or a string, which may hold the same sign and line breaks.
comment_or_string = re.compile(r"""(?:^|(?<=\s))#[^\n]*|('[^']*'|"(?:\\.|[^"\\])*")""", re.MULTILINE)
link_target = re.compile(r"(?<=\])\([^)\s]+\)")
step = re.compile(r"^ *\d+\. ", re.MULTILINE)
number = re.compile(r"\d+(?:[.:]\d+)*")
quoted = re.compile(r"[“«]([^”»]+)[”»]")


@dataclass
class Section:
    """A heading and what stands under it up to the next one. What stands before the first has level 0."""

    level: int
    heading: str
    prose: list[str] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)

    @property
    def code(self) -> set[str]:
        """What stands between backticks: settings, metrics, commands of the chat."""
        return set(code_span.findall("\n".join(self.prose)))

    @property
    def numbers(self) -> set[str]:
        """Times, sizes and sums in the sentences; the numbers of steps are none."""
        sentences = link_target.sub("", code_span.sub("", "\n".join(self.prose)))
        return set(number.findall(step.sub("", sentences)))


def sections_of(page: str) -> list[Section]:
    """The page cut at its headings. A line of a block that looks like a heading is none."""
    found = [Section(0, "")]
    block: list[str] | None = None
    for line in page.splitlines():
        edge = fence_line.match(line)
        if block is not None:
            block.append(line)
            if edge:
                found[-1].blocks.append(_typed(block))
                block = None
        elif edge:
            block = [line]
        elif title := heading_line.match(line):
            found.append(Section(len(title[1]), title[2].strip()))
        else:
            found[-1].prose.append(line)
    return found


def _typed(block: list[str]) -> str:
    """What a reader types or sees: the block as it is. Comments of the shell are prose, so they may be translated."""
    text = "\n".join(block)
    language = fence_line.match(block[0])
    if language is None or language[1] not in SHELLS:
        return text
    bare = comment_or_string.sub(lambda found: found[1] or "", text)
    return "\n".join(line.rstrip() for line in bare.splitlines() if line.strip())


def untranslated(original: str, translation: str) -> list[str]:
    """What two pages don't have in common: headings by their levels, blocks, code between backticks, numbers."""
    ours, theirs = sections_of(original), sections_of(translation)
    faults: list[str] = []
    for one, other in zip(ours, theirs, strict=False):
        where = f"{one.heading!r} and {other.heading!r}"
        if one.level != other.level:  # from here on the sections don't belong together
            return [*faults, f"{where}: levels {one.level} and {other.level}"]
        if one.blocks != other.blocks:
            faults.append(f"{where}: blocks {one.blocks} and {other.blocks}")
        if odd := sorted((one.code ^ other.code) | (one.numbers ^ other.numbers)):
            faults.append(f"{where}: only in one of them {odd}")
    longer = ours if len(ours) > len(theirs) else theirs
    faults += [f"{one.heading!r} is in one of them only" for one in longer[min(len(ours), len(theirs)) :]]
    return faults


def place_named(message: str, page: str, headings: list[str]) -> int | None:
    """The number of the heading to which a message sends its reader; None when it names no page.

    Raises ValueError when it names another page than `page`, or quotes none of the headings.
    """
    pages = set(re.findall(r"[\w./-]+\.md\b", message))
    if not pages:
        return None
    if pages != {page}:
        raise ValueError(f"names {', '.join(sorted(pages))}, should name {page}")
    places = [headings.index(words) for words in quoted.findall(message) if words in headings]
    if not places:
        raise ValueError(f"quotes no heading of {page}: {message}")
    return places[0]


def headings_of(page: str) -> list[str]:
    return [section.heading for section in sections_of(text_of(page))]


# --- the pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("original", "translation"), PAIRS)
def test_a_translation_has_all_of_its_original(original: str, translation: str) -> None:
    """Section by section: the same levels of headings, commands, settings, metrics and numbers."""
    assert untranslated(text_of(original), text_of(translation)) == []


def test_the_runbook_is_there_in_every_language_of_the_alerts() -> None:
    """An admin reads in the language in which the alert came."""
    assert set(RUNBOOK_OF) == set(LANGUAGES)
    assert (RUNBOOK_OF["en"], RUNBOOK_OF["ru"]) in PAIRS


@pytest.mark.parametrize("page", RUNBOOK_OF.values())
def test_the_runbook_begins_with_the_way_to_each_section(page: str) -> None:
    """The tables at the top lead to every section that says something."""
    _, title, *sections = sections_of(text_of(page))
    reached = set(link.findall("\n".join(title.prose)))
    speaking = [section for section in sections if "".join(section.prose).strip() or section.blocks]
    assert [one.heading for one in speaking if f"#{slug(one.heading)}" not in reached] == []


def test_alerts_name_a_heading_of_the_runbook_in_their_language() -> None:
    """Each alert that sends its reader to a page names one in its own language, and the same place in both."""
    places: dict[str, dict[str, int]] = {language: {} for language in LANGUAGES}
    for language, page in RUNBOOK_OF.items():
        headings = headings_of(page)
        for name, entry, _ in entries(language):
            if (place := place_named(FluentSerializer().serialize_entry(entry), page, headings)) is not None:
                places[language][name] = place
    assert places["ru"] == places["en"]
    assert "alert-disk" in places["en"]


# --- the checks find what they are for ----------------------------------------------------------------

PAGE = """# Shop

Set `REDIS_URL`.

## Start

1. Start the bot.

   ```bash
   make run  # the bot
   echo "no # comment"
   ```

```ini
# /etc/systemd/system/shop.service
```

## Stop

Watch `shop_users`: it ends within 20 s.
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Set `REDIS_URL`.", "Задайте `REDIS_URL`."),
        ("  # the bot", "    # бот"),
        ("   make run", "   # Запускаем:\n   make run"),
        ("## Stop", "## Остановка"),
    ],
)
def test_what_may_be_translated(before: str, after: str) -> None:
    """Prose, headings and the comments of the shell are the translator's."""
    assert untranslated(PAGE, _changed(before, after)) == []


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("## Stop\n", "", "'Stop' is in one of them only"),
        ("## Stop", "### Stop", "levels 2 and 3"),
        ("make run", "make demo", "make demo"),
        ("no # comment", "no # комментарий", "комментарий"),
        ("# /etc/systemd/system/shop.service", "# /etc/systemd/system/bot.service", "bot.service"),
        ("   make run  # the bot\n", "", "blocks"),
        ("`REDIS_URL`", "`REDIS`", "['REDIS', 'REDIS_URL']"),
        ("Watch `shop_users`", "Следите за метрикой", "['shop_users']"),
        ("within 20 s", "через 30 с", "['20', '30']"),
    ],
)
def test_what_a_translation_has_lost_or_changed_is_found(before: str, after: str, named: str) -> None:
    """A heading, a command, a line of a file, a setting, a metric or a number that is not the same in both pages."""
    faults = untranslated(PAGE, _changed(before, after))
    assert any(named in fault for fault in faults), faults


def _changed(before: str, after: str) -> str:
    assert PAGE.count(before) == 1
    return PAGE.replace(before, after)


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("Что делать — в RUNBOOK.md, «Диск заполнен».", "should name RUNBOOK.ru.md"),
        ("Что делать — в RUNBOOK.ru.md, «The disk is full».", "quotes no heading"),
        ("Что делать — в RUNBOOK.ru.md.", "quotes no heading"),
    ],
)
def test_an_alert_that_leads_nowhere_is_found(message: str, fault: str) -> None:
    """The page of another language, a heading that is not there, no heading at all."""
    with pytest.raises(ValueError, match=fault):
        place_named(message, "RUNBOOK.ru.md", ["Деньги", "Диск заполнен"])


def test_an_alert_that_names_a_heading_is_understood() -> None:
    """Whichever comes first, the page or the heading; a message that names no page asks for nothing."""
    headings = ["Деньги", "Диск заполнен"]
    for message in (
        "«Диск заполнен» в RUNBOOK.ru.md",
        "в RUNBOOK.ru.md, «Диск заполнен»",
        "RUNBOOK.ru.md «Диск заполнен»",
    ):
        assert place_named(message, "RUNBOOK.ru.md", headings) == 1
    assert place_named("Проверьте диск.", "RUNBOOK.ru.md", headings) is None
