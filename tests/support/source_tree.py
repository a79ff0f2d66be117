"""The tree's own Python files, parsed: which there are, and what each imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("main", "app", "handlers", "scheduler", "workers", "services", "database")
OURS = (*PRODUCT, "sandbox", "benchmarks", "tests")


@dataclass(frozen=True)
class Module:
    """One file of ours, parsed."""

    path: str  # from the root, with slashes
    tree: ast.Module

    @property
    def name(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]

    def at(self, node: ast.AST, words: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {words}"


def modules_of(root: Path, tops: tuple[str, ...] = OURS) -> list[Module]:
    files = [root / f"{top}.py" for top in tops if (root / f"{top}.py").is_file()]
    files += sorted(file for top in tops for file in (root / top).rglob("*.py"))
    return [Module(file.relative_to(root).as_posix(), ast.parse(file.read_text("utf-8"))) for file in files]


@dataclass(frozen=True)
class Import:
    """`names` are dotted; `from a import b` is `a` and, in case `b` is a module, `a.b`."""

    node: ast.stmt
    names: tuple[str, ...]


def imports_of(module: Module) -> Iterator[Import]:
    """All imports of a module: also those inside functions, and those for the type checker only."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (Import(node, (alias.name,)) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            yield Import(node, (base, *(f"{base}.{alias.name}" for alias in node.names)))


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module.name.split(".")
    if not module.path.endswith("/__init__.py"):
        package = package[:-1]
    return ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])


def modules_among(imported: tuple[str, ...], modules: set[str]) -> set[str]:
    """`from services import jobs` is the module `services.jobs`; `from services.jobs import Jobs` is it, too."""
    below = {name for name in imported[1:] if name in modules}
    whole = len(below) == len(imported) - 1 and len(imported) > 1
    return below | (set() if whole else {imported[0]} & modules)
