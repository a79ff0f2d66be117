"""Runs the tests of a rule while that rule is broken, in a copy of the project."""

from __future__ import annotations

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

from tests.faults.mutants.edits import mutated
from tests.faults.mutants.mutant import Mutant

ROOT = Path(__file__).resolve().parents[3]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "__pycache__", "data", ".*_cache", ".hypothesis", "*.db")
AT_ONCE = 2
SECONDS = 300  # for the tests of one mutant; a mutant that makes a test hang is noticed as well

# A tree that can't be imported, or in which no test can begin, proves nothing about the tests.
NO_PROOF = ("error during collection", "error at setup of")

_red = re.compile(r"^(?:FAILED|ERROR) (tests/\S+?::\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Verdict:
    """What became of one mutant: the test that went red, or the end of what was printed when none did."""

    mutant: Mutant
    red: str | None
    output: str = ""

    @property
    def is_as_recorded(self) -> bool:
        """The table promises that the first test of a mutant goes red."""
        return self.red == f"tests/{self.mutant.tests[0]}"

    def __str__(self) -> str:
        if self.red is None:
            return f"SURVIVED: {self.mutant.name}  ({self.output})"
        if not self.is_as_recorded:
            return f"noticed by another test than the table says: {self.mutant.name}  ({self.red})"
        return f"noticed: {self.mutant.name}  ({self.red})"


class Tree:
    """A copy of the project in which one mutant at a time is made."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def copy(cls, root: Path) -> Tree:
        shutil.copytree(ROOT, root, ignore=LEFT_OUT)
        return cls(root)

    def run(self, tests: Iterable[str]) -> tuple[int, str]:
        """Run tests (node ids below tests/) up to the first red one; the status and what was printed."""
        # Without bytecode: a file that changes twice in a second, to the same length, would not be compiled again.
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
        """Make the mutant, run its tests, and put the code back."""
        hung = Verdict(mutant, f"tests/{mutant.tests[0]}")
        with self._made(mutant):
            try:
                status, output = self.run(mutant.tests)
            except subprocess.TimeoutExpired:
                return hung
        found = _red.search(output)
        if status == 1 and found and not any(words in output.lower() for words in NO_PROOF):
            return Verdict(mutant, found.group(1))
        if status == 1 and "Timeout" in output:
            return hung
        return Verdict(mutant, None, output[-2_000:])

    @contextmanager
    def _made(self, mutant: Mutant) -> Iterator[None]:
        before = {path: (self.root / path).read_text("utf-8") for path in mutant.paths}
        try:
            for path, source in before.items():
                edits = tuple(edit for edit in mutant.edits if edit.path == path)
                (self.root / path).write_text(mutated(source, edits), "utf-8")
            yield
        finally:
            for path, source in before.items():
                (self.root / path).write_text(source, "utf-8")


def judge_all(mutants: Sequence[Mutant]) -> list[Verdict]:
    """Every mutant, two at a time; each verdict is printed as it comes. Without mutants the tests must be green."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        trees: queue.Queue[Tree] = queue.Queue()
        for number in range(AT_ONCE):
            trees.put(Tree.copy(Path(folder, str(number))))

        @contextmanager
        def free_tree() -> Iterator[Tree]:
            tree = trees.get()
            try:
                yield tree
            finally:
                trees.put(tree)

        def run(tests: Sequence[str]) -> tuple[int, str]:
            with free_tree() as tree:
                return tree.run(tests)

        def judge(mutant: Mutant) -> Verdict:
            with free_tree() as tree:
                verdict = tree.judge(mutant)
            print(verdict, flush=True)
            return verdict

        tests = sorted({test for mutant in mutants for test in mutant.tests})
        for status, output in pool.map(run, filter(None, (tests[::2], tests[1::2]))):
            if status != 0:
                raise SystemExit(f"without any mutant these tests are red:\n{output[-4_000:]}")
        return list(pool.map(judge, mutants))
