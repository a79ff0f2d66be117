"""Where a mutant changes the code, and how. The place is found in the syntax tree, never in the text.

    In("database/ledger.py", "charge").replace("price > held.amount", "False")

This looks in the function `charge` for the expression `price > held.amount` and puts `False` in its place. Comments,
docstrings, layout and the order of functions play no part. There must be exactly one such place.

What is looked for is a statement or an expression of Python. `...` in it stands for any expression; at the end of a
list (arguments, elements, operands, statements) it stands for all that follows.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

FOUND = "FOUND"
"""In what is put there, this name stands for what was found."""

_Operation = Literal["replace", "remove", "insert before", "replace in SQL"]
_Scope = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign | ast.AnnAssign
_WITH_REMOVABLE = (ast.Call, ast.BoolOp, ast.Tuple, ast.List, ast.Set)
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class NotFoundOnce(ValueError):
    """What an edit looks for is not there, or is there several times."""


@dataclass(frozen=True)
class Edit:
    """One change at one place; `scope` names a function, class or constant, and is empty for the whole module."""

    path: str
    scope: str
    operation: _Operation
    old: str
    new: str = ""

    def not_found(self, times: int) -> NotFoundOnce:
        where = f"{self.path}, {self.scope}" if self.scope else self.path
        return NotFoundOnce(f"{where}: found {times} times, not once: {self.old}")


@dataclass(frozen=True)
class In:
    """A function, class or constant of a module: what may be changed there."""

    path: str
    scope: str = ""

    def replace(self, old: str, new: str) -> Edit:
        """Put `new` in the place of the statement or expression `old`."""
        return Edit(self.path, self.scope, "replace", old, new)

    def remove(self, old: str) -> Edit:
        """Remove a statement, an argument, an element, or an operand of `and` and `or`."""
        return Edit(self.path, self.scope, "remove", old)

    def before(self, old: str, new: str) -> Edit:
        """Put the statements `new` before the statement `old`."""
        return Edit(self.path, self.scope, "insert before", old, new)

    def sql(self, old: str, new: str) -> Edit:
        """Replace words inside a string. Where `old` has a space, any white space may stand."""
        return Edit(self.path, self.scope, "replace in SQL", old, new)


def mutated(source: str, edits: tuple[Edit, ...]) -> str:
    """A module's source with all these edits made. Raises NotFoundOnce."""
    tree = ast.parse(source)
    for edit in edits:
        apply(edit, tree)
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def apply(edit: Edit, tree: ast.Module) -> None:
    """Change the tree. Raises NotFoundOnce unless there is exactly one place for it."""
    scope = _scope(tree, edit)
    if edit.operation == "replace in SQL":
        _replace_words(edit, scope)
        return
    pattern = _parsed(edit.old)
    found = [place for place in _places(scope) if _alike(pattern, place.node)]
    if len(found) != 1:
        raise edit.not_found(len(found))
    match edit.operation:
        case "replace":
            found[0].put(edit.new)
        case "insert before":
            found[0].put(f"{edit.new}\n{FOUND}")
        case "remove":
            found[0].remove()


# --- where ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """A node, and the field of its parent that holds it; `index` where that is a list."""

    node: ast.AST
    parent: ast.AST
    field: str
    index: int | None

    def put(self, text: str) -> None:
        """Put this code here."""
        new = ast.parse(text).body
        if isinstance(self.node, ast.stmt):
            self._put_statements([_with_found(one, self.node) for one in new])
        elif len(new) == 1 and isinstance(new[0], ast.Expr):
            self._set(_with_found(new[0].value, self.node))
        else:
            raise ValueError(f"an expression is replaced by an expression, not by: {text}")

    def remove(self) -> None:
        if isinstance(self.node, ast.stmt):
            self._put_statements([])
            return
        if self.index is None or not isinstance(self.parent, _WITH_REMOVABLE):
            raise ValueError(f"this can't be removed, only replaced: {ast.unparse(self.node)}")
        rest: list[ast.AST] = getattr(self.parent, self.field)
        del rest[self.index]

    def _put_statements(self, new: list[ast.AST]) -> None:
        body: list[ast.AST] = getattr(self.parent, self.field)
        assert self.index is not None
        body[self.index : self.index + 1] = new
        if not body:
            body.append(ast.Pass())

    def _set(self, new: ast.AST) -> None:
        if self.index is None:
            setattr(self.parent, self.field, new)
        else:
            getattr(self.parent, self.field)[self.index] = new


def _scope(tree: ast.Module, edit: Edit) -> _Scope:
    """The function, class or constant of that name; a method is found by its own name, too, if there is only one."""
    if not edit.scope:
        return tree
    found = [node for name, node in _named(tree, "") if f".{name}".endswith(f".{edit.scope}")]
    if len(found) != 1:
        raise NotFoundOnce(f"{edit.path}: there are {len(found)} of the name {edit.scope}, not one")
    return found[0]


def _named(parent: ast.AST, prefix: str) -> Iterator[tuple[str, _Scope]]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield f"{prefix}{node.name}", node
            yield from _named(node, f"{prefix}{node.name}.")
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(parent, ast.Module):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name):
                yield target.id, node


def _places(scope: ast.AST) -> Iterator[_Place]:
    """Every statement and expression below, docstrings and the targets of assignments left out."""
    for field, value in ast.iter_fields(scope):
        for index, node in enumerate(value) if isinstance(value, list) else ((None, value),):
            if not isinstance(node, ast.AST) or is_docstring(scope, field, index):
                continue
            # A call that stands alone is found as the statement that it is.
            inner = node.value if isinstance(node, ast.Expr) else None
            if isinstance(node, ast.stmt) or isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
                yield _Place(node, scope, field, index)
            yield from (place for place in _places(node) if place.node is not inner)


def is_docstring(parent: ast.AST, field: str, index: int | None) -> bool:
    """Whether this node of its parent is a docstring."""
    if field != "body" or index != 0 or not isinstance(parent, _WITH_DOCSTRING):
        return False
    first = parent.body[0]
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


# --- what -------------------------------------------------------------------------------------------


def _parsed(text: str) -> ast.AST:
    (statement,) = ast.parse(text).body
    return statement


def _alike(pattern: object, node: object) -> bool:
    """Whether the node is what the pattern describes."""
    if _is_anything(pattern):
        return True
    if isinstance(pattern, ast.Expr) and isinstance(node, ast.expr):
        return _alike(pattern.value, node)
    if isinstance(pattern, list) and isinstance(node, list):
        return _all_alike(pattern, node)
    if not isinstance(pattern, ast.AST):
        return pattern == node
    if type(pattern) is not type(node):
        return False
    if isinstance(pattern, ast.Call) and isinstance(node, ast.Call) and _is_open(pattern.args):
        known = {one.arg: one.value for one in node.keywords}
        kept = all(_alike(one.value, known.get(one.arg)) for one in pattern.keywords)
        return kept and _alike(pattern.func, node.func) and _alike(pattern.args, node.args)
    fields = (name for name in pattern._fields if name not in ("ctx", "kind", "type_comment"))
    return all(_alike(getattr(pattern, name, None), getattr(node, name, None)) for name in fields)


def _all_alike(patterns: list[object], nodes: list[object]) -> bool:
    if _is_open(patterns):
        patterns, nodes = patterns[:-1], nodes[: len(patterns) - 1]
    return len(patterns) == len(nodes) and all(map(_alike, patterns, nodes))


def _is_open(patterns: object) -> bool:
    return isinstance(patterns, list) and bool(patterns) and _is_anything(patterns[-1])


def _is_anything(pattern: object) -> bool:
    inner = pattern.value if isinstance(pattern, ast.Expr) else pattern
    return isinstance(inner, ast.Constant) and inner.value is Ellipsis


def _with_found(new: ast.AST, found: ast.AST) -> ast.AST:
    """`new`, with what was found in the place of the name FOUND."""

    class Fill(ast.NodeTransformer):
        def visit_Expr(self, node: ast.Expr) -> ast.AST:
            if isinstance(node.value, ast.Name) and node.value.id == FOUND and isinstance(found, ast.stmt):
                return copy.deepcopy(found)
            return self.generic_visit(node)

        def visit_Name(self, node: ast.Name) -> ast.AST:
            return copy.deepcopy(found) if node.id == FOUND else node

    filled: ast.AST = Fill().visit(new)
    return filled


# --- words inside strings ---------------------------------------------------------------------------


def _replace_words(edit: Edit, scope: ast.AST) -> None:
    words = re.compile(r"\s+".join(map(re.escape, edit.old.split())))
    strings: list[ast.Constant] = []
    times = 0
    for place in _places(scope):
        if isinstance(place.node, ast.Constant) and isinstance(place.node.value, str):
            strings.append(place.node)
            times += len(words.findall(place.node.value))
    if times != 1:
        raise edit.not_found(times)
    for node in strings:
        node.value = words.sub(lambda _: edit.new, str(node.value))
