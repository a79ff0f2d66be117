"""The mutants fit the product: what they change is there, what they run exists, and the document says the same."""

from __future__ import annotations

import ast
import builtins
import re
import symtable
from functools import cache
from pathlib import Path

import pytest

from tests.faults.mutants.document import DOCUMENT, table, table_in
from tests.faults.mutants.edits import FOUND, Edit, In, NotFoundOnce, is_docstring, mutated
from tests.faults.mutants.mutant import Mutant, mutant
from tests.faults.mutants.runner import ROOT, Tree, Verdict
from tests.faults.mutants.tables import MUTANTS

NAMES = [one.name for one in MUTANTS]


def test_there_are_mutants_of_every_rule_and_no_two_share_a_name() -> None:
    """Names are what people read; none of the rules that were ever broken on purpose is dropped."""
    assert len(set(NAMES)) == len(NAMES) >= 97


@pytest.mark.parametrize("one", MUTANTS, ids=NAMES)
def test_a_mutant_can_be_made(one: Mutant) -> None:
    """Each edit finds exactly one place, the result is another program, and the tests exist."""
    for path, source in sources(one).items():
        made = mutated(source, edits_of(one, path))
        assert statements(made) != statements(source)
        assert undefined_names(made) == set(), "a test would go red because of the name, not because of the rule"
    for test in one.tests:
        path, _, name = test.partition("::")
        assert re.search(rf"^(?:async )?def {name}\(", (ROOT / "tests" / path).read_text("utf-8"), re.MULTILINE), test


def undefined_names(source: str) -> set[str]:
    """Names that are neither in a function nor in the module nor built in; it compiles the source, too."""
    module = symtable.symtable(source, "mutant", "exec")
    known = {*module.get_identifiers(), *dir(builtins), "__file__"}
    found: set[str] = set()
    tables = [module]
    while tables:
        table = tables.pop()
        found |= {one.get_name() for one in table.get_symbols() if one.is_global()}
        tables += table.get_children()
    return found - known


@pytest.mark.parametrize("one", MUTANTS, ids=NAMES)
def test_a_mutant_is_found_by_meaning(one: Mutant) -> None:
    """Other comments, docstrings, layout and order of functions: the same mutant is made."""
    for path, source in sources(one).items():
        edits = edits_of(one, path)
        assert statements(mutated(reworded(source), edits)) == statements(reworded(mutated(source, edits)))


@cache
def read(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def sources(one: Mutant) -> dict[str, str]:
    return {path: read(path) for path in one.paths}


def edits_of(one: Mutant, path: str) -> tuple[Edit, ...]:
    return tuple(edit for edit in one.edits if edit.path == path)


@cache
def statements(source: str) -> list[str]:
    """The program, whatever its layout and the order of its functions."""
    return sorted(map(ast.dump, ast.parse(source).body))


@cache
def reworded(source: str) -> str:
    """The same program without comments, with other docstrings and another layout, its functions in another order."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if is_docstring(node, "body", 0):
            getattr(node, "body", [])[0] = ast.Expr(ast.Constant("Said in other words."))
    functions = [one for one in tree.body if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef))]
    rest = [one for one in tree.body if one not in functions]
    return ast.unparse(ast.Module([*rest, *reversed(functions)], []))


# --- the edits --------------------------------------------------------------------------------------

MODULE = '''
"""A module: return total."""

LIMITS = {"image": 3, "video": 1}

class Shop:
    def pay(self, amount, key):
        """Return None for an amount of 0."""
        if amount == 0:  # nothing to do
            return None
        total = add(self.balance, -amount, key=key)
        log("paid", amount)
        return total

def read(tx):
    return tx.execute("""SELECT id FROM ledger
                         WHERE amount < 0 AND user_id = 1""")
'''


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (In("x.py", "pay").replace("amount == 0", "False"), "if False:"),
        (In("x.py", "Shop.pay").replace("add(self.balance, ...)", "0"), "total = 0"),
        (In("x.py", "pay").replace("total = ...", f"total = 1\n{FOUND}"), "total = 1\n"),
        (In("x.py", "pay").replace("-amount", f"abs({FOUND})"), "add(self.balance, abs(-amount), key=key)"),
        (In("x.py", "pay").replace("if amount == 0: ...", "del key"), "        del key\n        total ="),
        (In("x.py", "pay").before('log("paid", ...)', "key = None"), "key = None\n        log('paid', amount)"),
        (In("x.py", "pay").remove("log(...)"), "key=key)\n        return total"),
        (In("x.py", "pay").remove("return None"), "if amount == 0:\n            pass"),
        (In("x.py", "pay").remove("-amount"), "add(self.balance, key=key)"),
        (In("x.py", "LIMITS").replace("3", "300"), "LIMITS = {'image': 300, 'video': 1}"),
        (In("x.py", "read").sql("WHERE amount < 0 AND", "WHERE"), "WHERE user_id = 1"),
        (In("x.py", "read").sql("ledger WHERE amount < 0", "ledger WHERE 0"), "ledger WHERE 0 AND user_id"),
    ],
)
def test_an_edit_changes_the_one_place_it_names(edit: Edit, line: str) -> None:
    """Expressions and statements are replaced, inserted and removed; words of SQL whatever their white space."""
    made = mutated(MODULE, (edit,))
    assert line in made
    assert '"""Return None for an amount of 0."""' in made


@pytest.mark.parametrize(
    "edit",
    [
        In("x.py", "pay").replace("amount == 1", "False"),  # not there
        In("x.py", "pay").replace("amount", "0"),  # there four times
        In("x.py", "read").replace("amount == 0", "False"),  # in another function
        In("x.py", "pay").sql("Return None", "Return 0"),  # in a docstring
        In("x.py", "sell").remove("return total"),  # no such function
        In("x.py", "pay").remove("if amount == 0: pass"),  # another body
        In("x.py", "pay").remove("add(self.balance, ..., key=amount)"),  # another argument
    ],
)
def test_an_edit_that_fits_no_place_or_several_is_an_error(edit: Edit) -> None:
    """A rule whose code has changed is noticed here, instead of a mutant that changes something else."""
    with pytest.raises(NotFoundOnce, match=r"x\.py"):
        mutated(MODULE, (edit,))


def test_what_a_program_needs_can_not_be_removed() -> None:
    """One side of a comparison can only be replaced."""
    with pytest.raises(ValueError, match="only replaced"):
        mutated(MODULE, (In("x.py", "pay").remove("0"),))


# --- the verdict and the document -------------------------------------------------------------------


def test_the_document_holds_the_table() -> None:
    """docs/testing.md shows every mutant, where it is, and the test that goes red: `--write` writes it."""
    assert table_in(DOCUMENT.read_text("utf-8")) == table(MUTANTS)


def test_a_survivor_is_seen_as_one(tmp_path: Path) -> None:
    """Tests that stay green, can't be imported or never begin are no proof: with them a mutant counts as a survivor."""
    tree = Tree(tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "rule.py").write_text("BROKEN = False\n")
    green = "def test_a():\n    assert True\n"
    red = "import rule\n\ndef test_a():\n    assert not rule.BROKEN\n"
    red_at_setup = (
        "import pytest\nimport rule\n\n@pytest.fixture\ndef shop():\n    assert not rule.BROKEN\n"
        "\ndef test_a(shop):\n    assert True\n"
    )
    red_at_import = "import rule\nassert not rule.BROKEN\n\ndef test_a():\n    assert True\n"
    one = mutant("x", In("rule.py", "BROKEN").replace("False", "True"), noticed_by="test_rule.py::test_a")
    found: list[Verdict] = []
    for source in (green, red, red_at_import, red_at_setup):
        (tmp_path / "tests" / "test_rule.py").write_text(source)
        found.append(tree.judge(one))
    assert [verdict.red for verdict in found] == [None, "tests/test_rule.py::test_a", None, None]
    assert (tmp_path / "rule.py").read_text() == "BROKEN = False\n"
