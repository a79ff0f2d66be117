"""Are the tests of money awake? Breaks one rule at a time in a copy of the tree and runs the tests that guard it.

python -m tests.faults.mutants            every mutant; ends with 1 when one survives
python -m tests.faults.mutants --write    and writes what it found into docs/testing.md
python -m tests.faults.mutants credit     only those whose name holds a word
"""

from __future__ import annotations

import argparse
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.mutant_table import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "testing.md"
BEGIN, END = "<!-- mutants: begin -->", "<!-- mutants: end -->"
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "__pycache__", "data", ".*_cache", ".hypothesis", "*.db")
AT_ONCE = 2
SECONDS = 300  # for the tests of one mutant; a rule whose lack makes a test hang is noticed as well

_red = re.compile(r"^(?:FAILED|ERROR) (tests/\S+?::\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Verdict:
    """What became of one mutant: the test that noticed it, or why nobody did."""

    mutant: Mutant
    red: str | None
    said: str = ""


class Tree:
    """A copy of the project in which one mutant at a time is alive."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "tree"
        shutil.copytree(ROOT, self.root, ignore=LEFT_OUT)

    def run(self, tests: Iterable[str]) -> tuple[int, str]:
        """Run tests (node ids below tests/) up to the first red one; the status and what was printed."""
        # Without bytecode: a file changed twice in a second, to the same length, would not be compiled anew.
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(self.root)}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-rfE", "-p", "no:cacheprovider"]
        process = subprocess.run(
            [*command, "-o", "timeout=60", *(f"tests/{test}" for test in tests)],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return process.returncode, process.stdout + process.stderr

    def judge(self, mutant: Mutant) -> Verdict:
        before = {edit.path: (self.root / edit.path).read_text("utf-8") for edit in mutant.edits}
        try:
            for edit in mutant.edits:
                path = self.root / edit.path
                path.write_text(replaced(path.read_text("utf-8"), edit.old, edit.new, edit.path), "utf-8")
                compile(path.read_text("utf-8"), edit.path, "exec")
            status, said = self.run(mutant.tests)
        except subprocess.TimeoutExpired:
            return Verdict(mutant, f"tests/{mutant.tests[0]}", "it never ended")
        finally:
            for name, text in before.items():
                (self.root / name).write_text(text, "utf-8")
        found = _red.search(said)
        # A tree that can't even be imported, or no shop be opened in, proves nothing about the tests.
        asleep = ("error during collection", "error at setup of")
        if status == 1 and found and not any(words in said.lower() for words in asleep):
            return Verdict(mutant, found.group(1))
        if status == 1 and "Timeout" in said:
            return Verdict(mutant, f"tests/{mutant.tests[0]}")
        return Verdict(mutant, None, said[-2_000:])


def replaced(text: str, old: str, new: str, where: str) -> str:
    """`text` with `old` replaced. Raises ValueError unless it stands there exactly once."""
    if (times := text.count(old)) != 1:
        raise ValueError(f"{where}: found {times} times, not once: {old!r}")
    return text.replace(old, new)


def table(found: Sequence[tuple[Mutant, str]]) -> str:
    """The table for people: the rule that is broken, where, and the test that goes red."""
    lines = ["| broken on purpose | in | the test that goes red |", "|---|---|---|"]
    for mutant, red in found:
        files = ", ".join(f"`{path}`" for path in dict.fromkeys(edit.path for edit in mutant.edits))
        lines.append(f"| {mutant.name} | {files} | `{red}` |")
    return "\n".join(lines)


def written(document: str) -> str:
    """The table as it stands in a document."""
    return document.partition(BEGIN)[2].partition(END)[0].strip()


def judge_all(mutants: Sequence[Mutant]) -> list[Verdict]:
    """Every mutant, two at a time, each told as it is decided. The tests must be green without any first."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        trees: queue.Queue[Tree] = queue.Queue()
        for number in range(AT_ONCE):
            (place := Path(folder, str(number))).mkdir()
            trees.put(Tree(place))

        @contextmanager
        def a_tree() -> Iterator[Tree]:
            tree = trees.get()
            try:
                yield tree
            finally:
                trees.put(tree)

        def sound(tests: Sequence[str]) -> tuple[int, str]:
            with a_tree() as tree:
                return tree.run(tests)

        def judge(mutant: Mutant) -> Verdict:
            with a_tree() as tree:
                verdict = tree.judge(mutant)
            word = "noticed" if verdict.red else "SURVIVED"
            print(f"{word}: {mutant.name}  ({verdict.red or verdict.said})", flush=True)
            return verdict

        tests = sorted({test for mutant in mutants for test in mutant.tests})
        for status, said in pool.map(sound, filter(None, (tests[::2], tests[1::2]))):
            if status != 0:
                raise SystemExit(f"without any mutant these tests are red:\n{said[-4_000:]}")
        return list(pool.map(judge, mutants))


def main() -> int:
    parser = argparse.ArgumentParser(description="Break each rule of money on purpose; its tests must go red.")
    parser.add_argument("--write", action="store_true", help="write the table into docs/testing.md")
    parser.add_argument("words", nargs="*", help="only mutants whose name holds one of these words")
    options = parser.parse_args()
    chosen = [one for one in MUTANTS if not options.words or any(word in one.name for word in options.words)]
    verdicts = judge_all(chosen)
    survivors = [verdict.mutant.name for verdict in verdicts if verdict.red is None]
    print(f"{len(verdicts) - len(survivors)} of {len(verdicts)} mutants were noticed")
    if options.write and not survivors and len(chosen) == len(MUTANTS):
        head, _, rest = DOCUMENT.read_text("utf-8").partition(BEGIN)
        found = table([(verdict.mutant, verdict.red or "") for verdict in verdicts])
        DOCUMENT.write_text(f"{head}{BEGIN}\n{found}\n{END}{rest.partition(END)[2]}", "utf-8")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
