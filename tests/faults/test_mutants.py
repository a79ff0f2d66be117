"""The table of mutants fits the tree: what it replaces is there, what it runs exists, the document says the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.faults.mutant_table import MUTANTS, Edit, Mutant
from tests.faults.mutants import DOCUMENT, ROOT, Tree, Verdict, replaced, table, written

IDS = [mutant.name for mutant in MUTANTS]


def test_there_are_mutants_of_every_rule_and_no_two_share_a_name() -> None:
    """Names are what people read; at least 25 rules are broken."""
    assert len(set(IDS)) == len(IDS) >= 25


@pytest.mark.parametrize("mutant", MUTANTS, ids=IDS)
def test_a_mutant_can_be_made(mutant: Mutant) -> None:
    """Each text to replace stands exactly once in its file, the result is another program, and its tests exist."""
    for path in {edit.path for edit in mutant.edits}:
        before = text = (ROOT / path).read_text("utf-8")
        for edit in mutant.edits:
            if edit.path == path:
                text = replaced(text, edit.old, edit.new, path)
        assert ast.dump(ast.parse(text)) != ast.dump(ast.parse(before))
    for test in mutant.tests:
        path, _, name = test.partition("::")
        assert re.search(rf"^(?:async )?def {name}\(", (ROOT / "tests" / path).read_text("utf-8"), re.MULTILINE), test


def test_the_document_holds_what_was_found() -> None:
    """The table names every mutant in order, and for each a test out of those that were run."""
    rows = re.findall(r"^\| (.+?) \| .+ \| `(tests/.+?)` \|$", written(DOCUMENT.read_text("utf-8")), re.MULTILINE)
    assert [name for name, _ in rows] == IDS
    assert written(DOCUMENT.read_text("utf-8")) == table(list(zip(MUTANTS, [red for _, red in rows], strict=True)))
    for mutant, (_, red) in zip(MUTANTS, rows, strict=True):
        assert red in {f"tests/{test}" for test in mutant.tests}


def test_a_survivor_is_seen_as_one(tmp_path: Path) -> None:
    """Tests that stay green, that can't be imported or never began are no proof: none of these counts as noticed."""
    tree = Tree.__new__(Tree)
    tree.root = tmp_path
    (tmp_path / "tests").mkdir()
    (tmp_path / "rule.py").write_text("BROKEN = False\n")
    asleep = "def test_a():\n    assert True\n"
    awake = "import rule\n\ndef test_a():\n    assert not rule.BROKEN\n"
    unborn = (
        "import pytest\nimport rule\n\n@pytest.fixture\ndef shop():\n    assert not rule.BROKEN\n"
        "\ndef test_a(shop):\n    assert True\n"
    )
    deaf = "import rule\nassert not rule.BROKEN\n\ndef test_a():\n    assert True\n"
    mutant = Mutant("x", (Edit("rule.py", "False", "True"),), ("test_rule.py::test_a",))
    found: list[Verdict] = []
    for source in (asleep, awake, deaf, unborn):
        (tmp_path / "tests" / "test_rule.py").write_text(source)
        found.append(tree.judge(mutant))
    assert [verdict.red for verdict in found] == [None, "tests/test_rule.py::test_a", None, None]
    assert (tmp_path / "rule.py").read_text() == "BROKEN = False\n"
