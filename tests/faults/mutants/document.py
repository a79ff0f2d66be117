"""The table of mutants in docs/testing.md: written from the tables here, without running anything."""

from __future__ import annotations

from collections.abc import Sequence

from tests.faults.mutants.mutant import Mutant
from tests.faults.mutants.runner import ROOT

DOCUMENT = ROOT / "docs" / "testing.md"
BEGIN, END = "<!-- mutants: begin -->", "<!-- mutants: end -->"


def table(mutants: Sequence[Mutant]) -> str:
    """The rule that is broken, where, and the test that goes red."""
    lines = ["| broken on purpose | in | the test that goes red |", "|---|---|---|"]
    for mutant in mutants:
        files = ", ".join(f"`{path}`" for path in mutant.paths)
        lines.append(f"| {mutant.name} | {files} | `tests/{mutant.tests[0]}` |")
    return "\n".join(lines)


def table_in(document: str) -> str:
    """The table as it stands in a document."""
    return document.partition(BEGIN)[2].partition(END)[0].strip()


def with_table(document: str, mutants: Sequence[Mutant]) -> str:
    """The document with the table of these mutants. Raises ValueError where it has no place for one."""
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document needs {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{table(mutants)}\n{END}{tail}"
