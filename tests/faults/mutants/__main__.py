"""Do the tests of money notice a broken rule? Breaks one rule at a time in a copy of the tree and runs its tests.

python -m tests.faults.mutants            every mutant; ends with 1 when one survives
python -m tests.faults.mutants credit     only those whose name or file holds a word
python -m tests.faults.mutants --list     print the names, run nothing
python -m tests.faults.mutants --write    write the table into docs/testing.md, run nothing
"""

from __future__ import annotations

import argparse
import sys

from tests.faults.mutants.document import DOCUMENT, with_table
from tests.faults.mutants.mutant import Mutant
from tests.faults.mutants.runner import judge_all
from tests.faults.mutants.tables import MUTANTS


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.mutants", description="Break each rule of money on purpose; its tests must go red."
    )
    parser.add_argument("--list", action="store_true", help="print the names and run nothing")
    parser.add_argument("--write", action="store_true", help="write the table into docs/testing.md and run nothing")
    parser.add_argument("words", nargs="*", help="only mutants whose name or file holds one of these words")
    options = parser.parse_args()
    chosen = [one for one in MUTANTS if not options.words or _holds(one, options.words)]
    if options.list:
        print(*(one.name for one in chosen), sep="\n")
        return 0
    if options.write:
        DOCUMENT.write_text(with_table(DOCUMENT.read_text("utf-8"), MUTANTS), "utf-8")
        return 0
    return run(chosen)


def _holds(mutant: Mutant, words: list[str]) -> bool:
    return any(word in text for word in words for text in (mutant.name, *mutant.paths))


def run(mutants: list[Mutant]) -> int:
    """Break each of these rules; 1 when nobody noticed one, or another test did than the table says."""
    verdicts = judge_all(mutants)
    noticed = sum(verdict.red is not None for verdict in verdicts)
    print(f"{noticed} of {len(verdicts)} mutants were noticed")
    others = [verdict for verdict in verdicts if verdict.red is not None and not verdict.is_as_recorded]
    for verdict in others:
        print(f"put {verdict.red} first among the tests of: {verdict.mutant.name}")
    return 1 if others or noticed < len(verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
