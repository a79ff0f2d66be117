"""What the documents say is there: settings, files, names, tests, targets, commands, links."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from functools import cache

import pytest

from app.version import VERSION
from services.settings import SETTING_NAMES
from tests.support.database_fixture import ROOT
from tests.support.documents import NAMES, code_span, fence, link, slug, spans, text_of

# Words in capitals that are no settings of the shop: arguments of make and of the tests, SQL, names of systemd.
OTHER_NAMES = {
    "PYTEST_ARGS",
    "WORKER_ARGS",
    "LOCK_ARGS",
    "TEST_REDIS_SERVER",
    "CI_PROCESSES",
    "BEGIN_IMMEDIATE",
}
# A page of facts about an outside system is full of that system's own names in capitals. There a word is taken for a
# setting of the shop only when it begins as the settings of the four systems do.
REFERENCE = "docs/reference/"
SETTINGS_OF_SYSTEMS = ("TELEGRAM_", "YOOKASSA_", "GEMINI_", "KLING_")
OURS = {path.name for path in ROOT.iterdir() if not path.name.startswith((".git", ".venv", "data"))} - {"data"}
SUFFIXES = (".py", ".md", ".toml", ".ftl", ".example", ".txt", ".sh")

# What follows an HTTP method is an address of an API, such as `GET /payments/{id}`, and no folder.
api_address = re.compile(r"\b(?:GET|POST) /\S*")


def commands(name: str) -> str:
    """Everything a reader may type: blocks and spans."""
    return "\n".join([*fence.findall(text_of(name)), *spans(name)])


@cache
def defined_in(path: str) -> frozenset[str]:
    """Names a file defines, methods as `Class.method`."""
    found: set[str] = set()
    for node in ast.parse(text_of(path)).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = [one for one in node.body if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef))]
            found.update(f"{node.name}.{method.name}" for method in methods)
    return frozenset(found)


def is_ours(word: str) -> bool:
    """Does it read like a path of this project?"""
    first = word.split("/")[0]
    return bool(re.fullmatch(r"[\w.][\w./-]*", word)) and (
        (first in OURS and ("/" in word or word.endswith(SUFFIXES))) or ("/" not in word and word in OURS)
    )


@pytest.mark.parametrize("name", NAMES)
def test_settings_exist(name: str) -> None:
    """Each setting a document names is one."""
    named = set(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", commands(name)))
    if name.startswith(REFERENCE) and name != REFERENCE + "README.md":
        named = {word for word in named if word.startswith(SETTINGS_OF_SYSTEMS)}
    assert named - set(SETTING_NAMES) - OTHER_NAMES == set()


def test_the_way_to_go_live_names_what_it_needs() -> None:
    """The README names each setting that switches a part of the shop on, and the file that lists all others."""
    missing = {
        "BOT_TOKEN",
        "ADMIN_IDS",
        "REDIS_URL",
        "GEMINI_API_KEY",
        "KLING_API_KEY",
        "YOOKASSA_SHOP_ID",
        "YOOKASSA_SECRET_KEY",
        "PUBLIC_URL",
        "TRUSTED_PROXIES",
    } - set(re.findall(r"[A-Z_]+", text_of("README.md")))
    assert missing == set()
    assert ".env.example" in text_of("README.md")
    listed = re.findall(r"^([A-Z][A-Z0-9_]*)=", text_of(".env.example"), re.MULTILINE)
    assert sorted(listed) == sorted(SETTING_NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_files_exist(name: str) -> None:
    """Each path of ours that a document names is there."""
    paths = {word.split("::")[0].rstrip("/") for word in spans(name) if is_ours(word.split("::")[0])}
    assert {path for path in paths if not (ROOT / path).exists()} == set()


@pytest.mark.parametrize("name", NAMES)
def test_names_are_defined_where_a_document_says(name: str) -> None:
    """`path::name` is a function, class, method or test of that file."""
    wrong = []
    for word in spans(name):
        path, mark, inside = word.partition("::")
        if mark and is_ours(path) and inside not in defined_in(path):
            wrong.append(word)
    assert wrong == []


def demands() -> list[list[str]]:
    """The rows of the one list of demands: what is demanded, its code, its tests."""
    lines = text_of("docs/specification.md").splitlines()
    rows = [line for line in lines if line.startswith("| ") and line != "| demand | code | test |"]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_specification_has_a_test_for_each_demand() -> None:
    """Each row of the specification says where it is met and what shows it; only what is openly missing has no test."""
    rows = demands()
    assert len(rows) >= 185
    assert {len(row) for row in rows} == {3}
    assert [row[0] for row in rows if not row[0] or not row[1]] == []
    assert [row[0] for row in rows if bool(row[2]) == row[1].startswith("open:")] == []
    assert len({row[0] for row in rows}) == len(rows)


def test_each_demand_names_tests_that_are_run() -> None:
    """Each row names tests: functions called so, or a rule that the tree is held to."""
    for demand, _, shown in demands():
        named = [word.partition("::") for word in code_span.findall(shown)]
        tests = [(path, test) for path, mark, test in named if mark]
        assert tests or not shown, demand
        for path, test in tests:
            is_rule = path == "tests/project/test_architecture.py" and f'"{test}": {test},' in text_of(path)
            assert test in defined_in(path), demand
            assert path.startswith("tests/"), demand
            assert test.startswith("test_") or is_rule, demand


@pytest.mark.parametrize("name", sorted({*NAMES} - {"docs/specification.md"}))
def test_there_is_one_list_of_what_tests_show(name: str) -> None:
    """No other document has a table of tests, except for the mutants, which a program writes."""
    text = re.sub(r"<!-- mutants: begin -->.*<!-- mutants: end -->", "", text_of(name), flags=re.DOTALL)
    assert [line for line in text.splitlines() if line.startswith("|") and "::test_" in line] == []


def test_the_map_answers_each_question_with_one_place() -> None:
    """Ten questions of a newcomer, each answered by one name of one file."""
    part = text_of("CONTRIBUTING.md").partition("## The map\n")[2].partition("\n## ")[0]
    rows = [line for line in part.splitlines() if line.startswith("| ") and not line.startswith("| where is")]
    assert len(rows) == 10
    assert [row for row in rows if len(code_span.findall(row)) != 1 or "::" not in row] == []


def test_the_glossary_is_in_order() -> None:
    """Each word is there once, in alphabetical order, with its meaning in its line."""
    rows = [line.strip("|").split("|") for line in text_of("docs/glossary.md").splitlines() if line.startswith("| ")]
    words = [row[0].strip().lower() for row in rows[1:]]
    assert len(words) > 50
    assert words == sorted(set(words))
    assert {len(row) for row in rows} == {2}


@pytest.mark.parametrize("name", NAMES)
def test_make_targets_and_commands_exist(name: str) -> None:
    """Each `make` target and each command of main.py that a document names is one."""
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
    said = set(re.findall(r"(?:^|[`\s(])make ([a-z]+)\b", commands(name)))
    assert said - targets == set()
    known = set(re.findall(r'add_parser\("([a-z-]+)"', text_of("app/command_line.py"))) | {"backup", "restore"}
    assert set(re.findall(r"main\.py ([a-z][a-z-]*)", commands(name))) - known == set()


@pytest.mark.parametrize("name", NAMES)
def test_commands_of_the_chat_exist(name: str) -> None:
    """A word like `/refund` is a command of the bot or a route of its server."""
    source = "".join(path.read_text("utf-8") for path in (ROOT / "handlers").rglob("*.py"))
    filters = " ".join(re.findall(r"Command\(([^)]*)\)", source))
    known = {f"/{word}" for word in re.findall(r'"(\w+)"', filters)}
    known |= set(re.findall(r'add_(?:get|post)\("(/[\w/]+)"', source)) | {"/start", "/webhooks/"}
    said = {word.split()[0] for word in spans(name) if re.match(r"/[a-z]+(?:$|[ /])", word)}
    assert {word for word in said if not word.startswith(("/usr", "/etc", "/srv"))} - known == set()


@pytest.mark.parametrize("runbook", ["RUNBOOK.md", "RUNBOOK.ru.md"])
def test_metrics_in_the_runbook_are_those_of_the_page(runbook: str) -> None:
    """The runbook names every metric, and none that does not exist."""
    page = text_of("services/ops/metrics.py")
    exported = {f"shop_{name}" for name in re.findall(r'^ +"(\w+)": "[A-Z1]', page, re.MULTILINE)}
    assert exported
    named = set(re.findall(r"\bshop_[a-z_]+", text_of(runbook))) - {"shop_queue"}
    assert named == exported


def test_each_requirement_has_its_reason() -> None:
    """What is pinned stands in the table of the decision about dependencies, and nothing else does."""
    table = re.findall(r"^\| (.+?) \|", text_of("docs/decisions/0001-dependencies.md"), re.MULTILINE)
    named = {word.removesuffix(" and its plugins") for cell in table[1:] for word in cell.split(", ")}
    files = text_of("requirements.in") + text_of("requirements-dev.in")
    pins = set(re.findall(r"^([A-Za-z][\w.-]*)==", files, re.MULTILINE))
    assert named == {pin for pin in pins if not pin.startswith("pytest-")}


def test_the_changelog_knows_the_version() -> None:
    """The newest version of the changelog is the program's, older ones follow it, and each has its day."""
    heads = re.findall(r"^## (.+)$", text_of("CHANGELOG.md"), re.MULTILINE)
    found = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)", head) for head in heads]
    assert None not in found
    versions = [tuple(int(part) for part in one.groups()[:3]) for one in found if one]
    assert ".".join(map(str, versions[0])) == VERSION
    assert versions == sorted(set(versions), reverse=True)


def test_the_script_for_new_machines_can_be_started() -> None:
    """.ci/run is executable, the shell understands it, and it names no host."""
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)], check=False, capture_output=True, text=True).stderr == ""
    assert "://" not in script.read_text("utf-8")


def test_a_public_runner_does_what_every_machine_does() -> None:
    """The pipeline runs .ci/run, may only read the repository, and names the version of each action."""
    pipeline = text_of(".github/workflows/ci.yml")
    assert re.findall(r"^ +- run: (.+)$", pipeline, re.MULTILINE) == ["bash .ci/run"]
    assert re.findall(r"^permissions:\n((?: +.+\n)+)", pipeline, re.MULTILINE) == ["  contents: read\n"]
    actions = re.findall(r"uses: (\S+)", pipeline)
    assert actions
    assert [action for action in actions if not re.fullmatch(r"actions/[a-z-]+@v\d+", action)] == []
    assert "secrets" not in pipeline


def test_the_hooks_before_a_commit_check_what_make_check_does() -> None:
    """Each program of `make check` is a hook, from the environment that is there; nothing is fetched."""
    hooks = text_of(".pre-commit-config.yaml")
    assert re.findall(r"repo: (\S+)", hooks) == ["local"]
    entries = set(re.findall(r"entry: \.venv/bin/([a-z]+(?: [a-z]+)?)", hooks))
    checks = text_of("Makefile").partition("\ncheck:")[2].partition("\n\n")[0]
    assert entries == set(re.findall(r"\$\(BIN\)/([a-z]+(?: [a-z]+)?)", checks))


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    """Each link inside the project ends at a file, and at a heading where it names one."""
    broken = []
    for target in link.findall(text_of(name)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        if not file.exists():
            broken.append(target)
        elif anchor:
            headings = re.findall(r"^#+ (.+)$", fence.sub("", file.read_text("utf-8")), re.MULTILINE)
            if anchor not in map(slug, headings):
                broken.append(target)
    assert broken == []


@pytest.mark.parametrize("name", NAMES)
def test_a_document_is_finished_and_speaks_of_the_product(name: str) -> None:
    """No note to oneself, no number of a tracker, no path of somebody's machine."""
    text = text_of(name)
    assert re.findall(r"\b(?:TODO|FIXME|TBD|XXX)\b|(?<!\w)#\d+\b", text) == []
    folders = set(re.findall(r"(?<![\w.:/<>*`)}])/(\w+)/", api_address.sub("", text)))
    assert folders <= {"etc", "srv", "usr", "path"}
    assert max(len(line) for line in fence.sub("", text).splitlines() if not line.startswith("|")) <= 120
