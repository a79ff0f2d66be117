"""Points: where a kill could matter, read from the code. Each committed transaction and each effect outside is one.

The list is not kept by hand. A new `db.write(…)`, a new call of a provider or of Telegram, a new file that is flushed
is in it as soon as it is written; `tests/faults/test_kill.py` fails until some scenario passes it.

    python -m tests.faults.points    prints all of them with their places

A point's name is what the code calls it: `commit database.jobs.start`, `telegram SendPhoto`,
`http services.providers.kling.Kling.submit`, `file services.media.store._write os.fsync`.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from aiogram import Bot
from aiogram.types import CallbackQuery, Message

ROOT = Path(__file__).parent.parent.parent
FOLDERS = ("database", "services", "workers", "scheduler", "handlers", "app")
# A revision is one point as a whole (`migration …`).
LEFT_OUT = ("database/migrations/",)
DATABASES = ("db", "_db")
BOTS = ("bot", "_bot")
MESSAGES = {"message": Message, "query": CallbackQuery}
CONNECTION_MODULE = "database.engine"
FILE_CALLS = ("fsync", "replace")


class NotUnderstood(AssertionError):
    """The code commits or sends in a way that is not known here: add it here, so that the list stays whole."""


@dataclass(frozen=True)
class Place:
    """Where a call stands: the line, and the functions around it from the outermost in."""

    module: str
    line: int
    around: tuple[ast.AST, ...]

    @property
    def qualname(self) -> str:
        parts: list[str] = []
        for node in self.around:
            if isinstance(node, ast.ClassDef):
                parts.append(node.name)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                parts += [node.name, "<locals>"]
            elif isinstance(node, ast.Lambda):
                parts += ["<lambda>", "<locals>"]
        return ".".join(parts[:-1] if parts and parts[-1] == "<locals>" else parts)

    def __str__(self) -> str:
        return f"{self.module}:{self.line}"


@dataclass
class Module:
    """One parsed file: its calls with their places, its imports and its functions."""

    name: str
    tree: ast.Module
    calls: list[tuple[ast.Call, Place]] = field(default_factory=list)
    imports: dict[str, str] = field(default_factory=dict)
    functions: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, path: Path) -> Module:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        module = cls(name, ast.parse(path.read_text(encoding="utf-8")))
        module._walk(module.tree, ())
        return module

    def _walk(self, node: ast.AST, around: tuple[ast.AST, ...]) -> None:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                self.imports[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Call):
            self.calls.append((node, Place(self.name, node.lineno, around)))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            around = (*around, node)
            self.functions.add(f"{self.name}.{Place(self.name, node.lineno, around).qualname}")
        for child in ast.iter_child_nodes(node):
            self._walk(child, around)


class Code:
    """All of the product's modules."""

    def __init__(self) -> None:
        paths = [ROOT / "main.py", *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))]
        kept = [path for path in paths if not path.relative_to(ROOT).as_posix().startswith(LEFT_OUT)]
        self.modules = [Module.read(path) for path in kept]
        self.functions = {name for module in self.modules for name in module.functions}

    # --- commits ------------------------------------------------------------------------------------

    def commits(self) -> Iterator[tuple[str, Place]]:
        """The function of every `db.write(function, …)` and `file.write(…)`, wherever it comes from."""
        for module in self.modules:
            for call, place in module.calls if module.name != CONNECTION_MODULE else ():
                if not (isinstance(call.func, ast.Attribute) and call.func.attr == "write" and call.args):
                    continue
                found = self._functions(module, call.args[0], place)
                if not self._is_database(module, call.func.value):
                    if found and ast.unparse(call.func.value) == "file":
                        yield from ((f"commit {name}", place) for name in found)
                    elif found:
                        raise NotUnderstood(f"{place}: is this write one of the database's? Its receiver is unknown")
                    continue
                if not found:
                    raise NotUnderstood(f"{place}: which function is committed here?")
                yield from ((f"commit {name}", place) for name in found)

    @staticmethod
    def _is_database(module: Module, receiver: ast.expr) -> bool:
        last = receiver.attr if isinstance(receiver, ast.Attribute) else getattr(receiver, "id", "")
        return last in DATABASES or (last == "self" and module.name == "database.models")

    def _functions(self, module: Module, node: ast.expr, place: Place) -> set[str]:
        """The names of the functions that an argument may stand for."""
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "partial":
            return self._functions(module, node.args[0], place)
        if isinstance(node, ast.Lambda):
            inner = Place(module.name, node.lineno, (*place.around, node))
            return {f"{module.name}.{inner.qualname}"}
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "self":
                (owner, *_) = [one.name for one in place.around if isinstance(one, ast.ClassDef)]
                return self._known(f"{module.name}.{owner}.{node.attr}")
            return self._known(f"{module.imports.get(node.value.id, '?')}.{node.attr}")
        if isinstance(node, ast.Name):
            return self._named(module, node.id, place)
        return set()

    def _named(self, module: Module, name: str, place: Place) -> set[str]:
        for depth in range(len(place.around), 0, -1):
            function = place.around[depth - 1]
            if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            scope = Place(module.name, place.line, place.around[:depth])
            for node in ast.walk(function):
                if isinstance(node, ast.FunctionDef) and node is not function and node.name == name:
                    return self._known(f"{module.name}.{scope.qualname}.<locals>.{name}")
                if isinstance(node, ast.Assign) and any(
                    isinstance(target, ast.Name) and target.id == name for target in node.targets
                ):
                    return self._mentioned(module, node.value)
            given = [argument.arg for argument in function.args.args]
            if name in given:
                return self._passed(module, function.name, given.index(name) - (given[0] == "self"))
        return self._known(f"{module.name}.{name}") | self._known(module.imports.get(name, "?"))

    def _passed(self, module: Module, function: str, number: int) -> set[str]:
        """What the callers of a function in the same module give as its parameter."""
        found: set[str] = set()
        for call, place in module.calls:
            called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if called == function and len(call.args) > number:
                found |= self._functions(module, call.args[number], place)
        return found

    def _mentioned(self, module: Module, value: ast.expr) -> set[str]:
        found: set[str] = set()
        for node in ast.walk(value):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found |= self._known(f"{module.imports.get(node.value.id, '?')}.{node.attr}")
        return found

    def _known(self, name: str) -> set[str]:
        return {name} & self.functions

    # --- effects ------------------------------------------------------------------------------------

    def effects(self) -> Iterator[tuple[str, Place]]:
        for module in self.modules:
            for call, place in module.calls:
                if isinstance(call.func, ast.Attribute):
                    yield from self._effect(module, call, call.func, place)

    def _effect(self, module: Module, call: ast.Call, func: ast.Attribute, place: Place) -> Iterator[tuple[str, Place]]:
        receiver = func.value
        owner = receiver.attr if isinstance(receiver, ast.Attribute) else getattr(receiver, "id", "")
        if owner in BOTS and func.attr in BOT_METHODS:
            yield f"telegram {BOT_METHODS[func.attr]}", place
        elif owner in MESSAGES and (method := _shortcut(MESSAGES[owner], func.attr)):
            yield f"telegram {method}", place
        elif module.name.startswith("services.providers.") and func.attr == "request" and owner in _HTTP_CLIENTS:
            yield f"http {module.name}.{place.qualname}", place
        elif module.name == "services.payments.yookassa.client" and owner == "self" and func.attr in _YOOKASSA:
            yield from _yookassa(call, func.attr, place)
        elif owner == "os" and func.attr in FILE_CALLS:
            yield f"file {module.name}.{place.qualname} os.{func.attr}", place
        elif owner in ("assets", "_store") and func.attr in ("put", "delete", "sweep"):
            yield f"store {func.attr}", place
        elif owner == "queue" or owner == "_queue":
            if func.attr == "submit":
                yield "queue submit", place
        elif func.attr == "enqueue_call":
            yield "queue enqueue_call", place

    # --- migration ----------------------------------------------------------------------------------

    def migration(self) -> Iterator[tuple[str, Place]]:
        """`migrate` (its end is the commit), the functions of its module that it runs, the copy, each revision."""
        (module,) = [one for one in self.modules if one.name == "database.migrate"]
        for call, place in module.calls:
            if place.qualname == "migrate" and isinstance(call.func, ast.Name):
                name = call.func.id
                if f"{module.name}.{name}" in self.functions and name not in _NOT_STEPS:
                    yield f"migration {name}", place
            if isinstance(call.func, ast.Attribute) and ast.unparse(call.func) == "legacy.back_up":
                yield "migration back_up", place
        yield "migration migrate", Place(module.name, 1, ())
        for path in sorted((ROOT / "database/migrations/versions").glob("[0-9]*.py")):
            yield f"migration {path.stem}", Place(f"database.migrations.{path.stem}", 1, ())


_HTTP_CLIENTS = ("_http", "_api", "_files")
_YOOKASSA = ("_act", "_look", "_list", "_call")
_NOT_STEPS = (
    "newest_revision",
    "current_revision",
    "_tolerant_of_old_files",
)  # these only read, or change a setting in memory


def _yookassa(call: ast.Call, through: str, place: Place) -> Iterator[tuple[str, Place]]:
    constants = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    given = [value for value in constants if isinstance(value, str)]
    match through:
        case "_act" if given:
            yield f"yookassa POST {given[0]}", place
        case "_look" if given:
            yield f"yookassa GET {given[0]}/*", place
        case "_list" if given:
            yield f"yookassa GET {given[0]}", place
        case "_call" if len(given) == 2:
            yield f"yookassa {given[0]} {given[1]}", place


def _shortcut(kind: type, name: str) -> str | None:
    """The method of the Bot API behind `message.answer(…)` and its like."""
    returned = getattr(getattr(kind, name, None), "__annotations__", {}).get("return")
    text = returned if isinstance(returned, str) else getattr(returned, "__name__", "")
    return text if text[:1].isupper() and not text.startswith(("Any", "Optional")) else None


def _bot_methods() -> dict[str, str]:
    made = {
        name: "".join(part.capitalize() for part in name.split("_"))
        for name, _ in inspect.getmembers(Bot, inspect.iscoroutinefunction)
    }
    return {**made, "me": "GetMe"}


BOT_METHODS = _bot_methods()


def find() -> dict[str, list[str]]:
    """Every point of the code → the places where it stands."""
    code, found = Code(), dict[str, list[str]]()
    every: list[tuple[str, Any]] = [*code.commits(), *code.effects(), *code.migration()]
    for name, place in every:
        found.setdefault(name, []).append(str(place))
    return dict(sorted(found.items()))


@cache
def names() -> frozenset[str]:
    """Every point of the code."""
    return frozenset(find())


if __name__ == "__main__":
    for point, places in find().items():
        print(f"{point:80} {', '.join(places)}")
