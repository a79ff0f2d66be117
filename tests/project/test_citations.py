"""Facts about outside systems are cited by page and section, and each citation leads to a section that is there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = "docs/reference"
PAGES = ("telegram", "yookassa", "gemini", "kling")
SUFFIXES = (".py", ".js", ".html", ".md", ".toml", ".ftl", ".example")
NO_SOURCES = {"data", "node_modules"}

fence = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
heading = re.compile(r"^##+ (\d+(?:\.\d+)*)\.? ", re.MULTILINE)

NUMBER = r"\d+(?:\.\d+)*"
RUN = rf"{NUMBER}(?:-{NUMBER})?"
SECTIONS = rf"(sections?) ({RUN}(?:(?:, | and ){RUN})*)"
page = re.compile(rf"{REFERENCE}/(?!README\b)([\w.-]+)\.md")  # the README says how the pages are kept and has no facts
behind_page = re.compile(rf"`?, {SECTIONS}")
anywhere = re.compile(rf"\b{SECTIONS}")
# The form before the pages had names.
sheet = re.compile(r"\bsheet'?s?,? (?:sections? )?\d|\b(?:telegram|yookassa|kling|banana|contract) sheet\b", re.I)
# A citation may begin on one line of a comment and go on in the next.
line_break = re.compile(r"\n[ \t]*(?:(?:#|//|\*)[ \t]*)?")

Sections = dict[str, frozenset[str]]
"""The numbers of the sections of each page."""


def numbered(text: str) -> list[str]:
    """The numbers of a page's headings, in their order."""
    return heading.findall(fence.sub("", text))


def pages_in(folder: Path) -> Sections:
    files = (file for file in folder.glob("*.md") if file.name != "README.md")
    return {file.stem: frozenset(numbered(file.read_text("utf-8"))) for file in files}


def sources(root: Path) -> Iterator[str]:
    """Every file that may cite, its path from the root. This one is left out: its examples are wrong on purpose."""
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith((".", "__")) and name not in NO_SOURCES)
        for name in sorted(files):
            if name.endswith(SUFFIXES) and name != Path(__file__).name:
                yield (Path(folder) / name).relative_to(root).as_posix()


@dataclass(frozen=True)
class Source:
    """A file as one line, and the line on which each character of it stood."""

    path: str
    text: str
    lines: list[int]

    @classmethod
    def of(cls, path: str, text: str) -> Source:
        pieces: list[str] = []
        lines: list[int] = []
        end, number = 0, 1
        for found in line_break.finditer(text):
            pieces.append(text[end : found.start()] + " ")
            lines += [number] * len(pieces[-1])
            end, number = found.end(), number + 1
        pieces.append(text[end:])
        lines += [number] * len(pieces[-1])
        return cls(path, "".join(pieces), lines)

    def at(self, found: re.Match[str], words: str) -> str:
        return f"{self.path}:{self.lines[found.start()]}: {words}"


def each(numbers: str) -> Iterator[str]:
    """The sections behind `2`, `2 and 5`, `3, 4, 6` or `2-7`."""
    for run in re.findall(RUN, numbers):
        first, _, last = run.partition("-")
        if first.isdecimal() and last.isdecimal():
            yield from map(str, range(int(first), int(last) + 1))
        else:
            yield from filter(None, (first, last))


# --- the rules: each takes a file and says what breaks it -------------------------------------------------------------


def citations(source: Source, pages: Sections) -> Iterator[str]:
    """A page is cited with its sections, and both are there."""
    for found in page.finditer(source.text):
        there = pages.get(found[1])
        behind = behind_page.match(source.text, found.end())
        if there is None:
            yield source.at(found, f"there is no page {found[0]}")
        elif behind is None:
            yield source.at(found, f"{found[0]} is cited without a section")
        else:
            asked = list(each(behind[2]))
            if (behind[1] == "section") != (len(asked) == 1):
                yield source.at(found, "one is a section, several are sections")
            for number in asked:
                if number not in there:
                    yield source.at(found, f"{found[0]} has no section {number}")


def bare_numbers(source: Source, pages: Sections) -> Iterator[str]:
    """A section stands behind its page; only a page itself may leave out its name."""
    behind = (behind_page.match(source.text, found.end()) for found in page.finditer(source.text))
    cited = {match.start(1) for match in behind if match is not None}
    of_page = pages.get(source.path.removeprefix(f"{REFERENCE}/").removesuffix(".md"))
    for found in anywhere.finditer(source.text):
        if found.start() in cited:
            continue
        if of_page is None:
            yield source.at(found, f"{found[0]} is cited without its page")
        else:
            yield from (source.at(found, f"there is no section {one}") for one in each(found[2]) if one not in of_page)


def sheets(source: Source, pages: Sections) -> Iterator[str]:
    """Nothing is cited in the form of before."""
    for found in sheet.finditer(source.text):
        yield source.at(found, f"{found[0]!r} names no page")


def offences(path: str, text: str, pages: Sections) -> list[str]:
    source = Source.of(path, text)
    return [told for rule in (citations, bare_numbers, sheets) for told in rule(source, pages)]


@pytest.fixture(scope="module")
def pages() -> Sections:
    return pages_in(ROOT / REFERENCE)


def test_the_pages_number_their_sections(pages: Sections) -> None:
    """Each outside system has its page; its sections are numbered without a gap, subsections under their own."""
    assert set(pages) == set(PAGES)
    for name in PAGES:
        numbers = numbered((ROOT / REFERENCE / f"{name}.md").read_text("utf-8"))
        whole = [int(number) for number in numbers if "." not in number]
        assert len(set(numbers)) == len(numbers)
        assert whole == list(range(whole[0], whole[0] + len(whole)))
        assert {number.partition(".")[0] for number in numbers} == set(map(str, whole))


def test_every_citation_leads_to_a_section(pages: Sections) -> None:
    """No file cites a page or section that is not there, a page without a section, or a section without its page."""
    assert [told for path in sources(ROOT) for told in offences(path, (ROOT / path).read_text("utf-8"), pages)] == []


@pytest.mark.parametrize("name", PAGES)
def test_product_simulator_and_tests_cite_the_page(name: str) -> None:
    """Each page is cited by code, simulator and tests: a search that finds nothing would find no fault either."""
    citing = {path for path in sources(ROOT) if name in page.findall((ROOT / path).read_text("utf-8"))}
    assert {path.partition("/")[0] for path in citing} >= {"services", "sandbox", "tests"}


A_PAGE = "# A system\n\n## 0. In short\n\n## 1. Wire\n\n### 1.1 Bodies\n\n## 2. Limits\n\n```\n## 9. No heading\n```\n"
GOOD = [
    '"""A limit (docs/reference/system.md, section 2)."""',
    "x = 1  # docs/reference/system.md, sections 0 and 2",
    "# docs/reference/system.md, sections 0, 1.1, 2",
    "# docs/reference/system.md, sections 0-2.",
    "See `docs/reference/system.md`, section 1.1: bodies.",
    "    # A limit that is long to tell (docs/reference/system.md,\n    # section 2).",
    '    """A limit that is long to tell (docs/reference/system.md, section\n    2)."""',
    "// docs/reference/system.md, sections 1\n// and 2",
    "How the pages are kept: docs/reference/README.md",
    "A style sheet, the UI's sheet with 2 buttons, a sheet of paper, 3 spreadsheets.",
]
BAD = [
    ("\n# docs/reference/sistem.md, section 2", "2: there is no page docs/reference/sistem.md"),
    ("# docs/reference/system.md, section 3", "1: docs/reference/system.md has no section 3"),
    ("# docs/reference/system.md, section 9", "1: docs/reference/system.md has no section 9"),
    ("# docs/reference/system.md, section 1.2", "1: docs/reference/system.md has no section 1.2"),
    ("# docs/reference/system.md, sections 0, 1 and 12", "1: docs/reference/system.md has no section 12"),
    ("# docs/reference/system.md, sections 1-3", "1: docs/reference/system.md has no section 3"),
    ("x\n# docs/reference/system.md,\n# section 3", "2: docs/reference/system.md has no section 3"),
    ("# docs/reference/system.md", "1: docs/reference/system.md is cited without a section"),
    ("# as docs/reference/system.md says", "1: docs/reference/system.md is cited without a section"),
    ("# docs/reference/system.md, section two", "1: docs/reference/system.md is cited without a section"),
    ("# docs/reference/system.md, section 0, 2", "1: one is a section, several are sections"),
    ("# docs/reference/system.md, sections 2", "1: one is a section, several are sections"),
    ("x = 1\n# free (section 2)", "2: section 2 is cited without its page"),
    ("# said by the telegram sheet", "1: 'telegram sheet' names no page"),
    ("# (its sheet, 5)", "1: 'sheet, 5' names no page"),
]


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Sections:
    folder = tmp_path_factory.mktemp("reference")
    (folder / "system.md").write_text(A_PAGE)
    (folder / "README.md").write_text("# How\n")
    return pages_in(folder)


@pytest.mark.parametrize("text", GOOD)
def test_a_good_citation_passes(text: str, made_up: Sections) -> None:
    """One section, several, a run, in any comment, across the end of a line; other sheets are no citations."""
    assert offences("a.py", text, made_up) == []


@pytest.mark.parametrize(("text", "told"), BAD)
def test_a_bad_citation_is_told_with_its_line(text: str, told: str, made_up: Sections) -> None:
    """A wrong page, a wrong section, a missing one and the form of before are found, so the rule above can fail."""
    assert f"a.py:{told}" in offences("a.py", text, made_up)


def test_a_page_may_speak_of_its_own_sections(made_up: Sections) -> None:
    """Inside a page a number without a page is a section of its own, and must be there as well."""
    path = f"{REFERENCE}/system.md"
    assert offences(path, "See section 2\nand sections 1.1 and 7.", made_up) == [f"{path}:2: there is no section 7"]


def test_every_kind_of_file_is_searched(tmp_path: Path) -> None:
    """Sources, documents, settings and texts are searched; what is hidden, generated or data is not."""
    inside = {"a.py", "web/a.js", "web/a.html", "docs/a.md", "a.toml", "locales/ru/a.ftl", ".env.example"}
    outside = {".venv/a.py", "data/a.md", "sandbox/__pycache__/a.py", "a.png"}
    for name in inside | outside:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert set(sources(tmp_path)) == inside
