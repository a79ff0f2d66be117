"""What a mutant is: a rule in plain words, the edits that break it, and the tests that must notice."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults.mutants.edits import Edit


@dataclass(frozen=True)
class Mutant:
    """`name` says what is wrong with the product; `tests` are node ids below tests/, and the first one must go red."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """The modules it changes, each once."""
        return tuple(dict.fromkeys(edit.path for edit in self.edits))


def mutant(name: str, *edits: Edit, noticed_by: str | tuple[str, ...]) -> Mutant:
    """One line of the tables."""
    return Mutant(name, edits, (noticed_by,) if isinstance(noticed_by, str) else noticed_by)
