"""Who may import whom, and what no module may do: read from the source, each offence named with its line."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.source_tree import OURS, PRODUCT, ROOT, Module, imports_of, modules_among, modules_of

MAY_IMPORT = {
    "main": {"app", "services", "database"},
    "app": set(PRODUCT) - {"main"},
    "handlers": {"handlers", "services", "database"},
    "scheduler": {"scheduler", "services", "database"},
    "workers": {"workers", "services", "database"},
    "services": {"services", "database"},
    "database": {"database"},
    "sandbox": {"sandbox"},
    "benchmarks": {"benchmarks", *PRODUCT},
}
"""The layers. `services/queue.py` names the workers' functions by dotted path, which is no import."""

ONLY_IN: dict[str, tuple[str, ...]] = {
    "sqlalchemy": ("database/",),
    "alembic": ("database/",),
    "pysqlite3": ("database/", "benchmarks/"),
    "aiosqlite": ("database/",),
    "rq": ("services/queue.py", "workers/"),
    "httpx2": ("services/providers/", "app/check_config.py"),
    "yookassa": ("services/payments/yookassa/client.py",),
    "sqlite3": ("benchmarks/",),
    "requests": ("services/payments/yookassa/client.py",),
    "pickle": ("workers/guard.py",),
    "aiogram": (
        "app/bot.py",
        "app/cli.py",
        "handlers/",
        "services/messaging/",
        "services/payments/stars.py",
        "services/rate_limiter.py",
    ),
}
"""A library is known to the modules that wrap it and to nobody else (product and benchmarks)."""

READS_ENVIRONMENT = ("services/settings.py", "database/engine.py", "app/demo.py", "app/local_redis.py")
BLOCKING = {
    "time.sleep",
    "subprocess.run",
    "subprocess.call",
    "subprocess.check_output",
    "subprocess.check_call",
    "urllib.request.urlopen",
    "requests.get",
    "requests.post",
    "os.system",
    "socket.create_connection",
}


# --- the rules: each takes the modules and says what breaks it ------------------------------------------------------


def layers(modules: list[Module]) -> Iterator[str]:
    for module in modules:
        allowed = MAY_IMPORT.get(module.top)
        for found in imports_of(module) if allowed is not None else ():
            top = found.names[0].partition(".")[0]
            if top in OURS and top not in (allowed or ()):
                yield module.at(found.node, f"{module.top} must not import {top}")


def views(modules: list[Module]) -> Iterator[str]:
    """A view turns facts into a message: it knows no router and no storage."""
    for module in modules:
        if not module.path.startswith("handlers/views/"):
            continue
        for found in imports_of(module):
            if found.names[0].startswith("handlers") and not found.names[0].startswith("handlers.views"):
                yield module.at(found.node, f"a view must not import {found.names[0]}")


def libraries(modules: list[Module]) -> Iterator[str]:
    for module in modules:
        for found in imports_of(module) if module.top in (*PRODUCT, "benchmarks") else ():
            library = found.names[0].partition(".")[0]
            homes = ONLY_IN.get(library)
            if homes is not None and not module.path.startswith(homes):
                yield module.at(found.node, f"{library} belongs in {', '.join(homes) or 'no module'}")


def cycles(modules: list[Module]) -> Iterator[str]:
    """No module leads back to itself.

    An import inside a function or under TYPE_CHECKING counts as well: it hides the circle from Python only.
    """
    names = {module.name for module in modules}
    graph = {
        module.name: {
            name for found in imports_of(module) for name in modules_among(found.names, names) if name != module.name
        }
        for module in modules
    }
    state: dict[str, int] = {}
    trail: list[str] = []

    def visit(name: str) -> Iterator[str]:
        state[name] = 1
        trail.append(name)
        for following in sorted(graph[name]):
            if state.get(following) == 1:
                yield "import cycle: " + " -> ".join([*trail[trail.index(following) :], following])
            elif following not in state:
                yield from visit(following)
        trail.pop()
        state[name] = 2

    for name in sorted(graph):
        if name not in state:
            yield from visit(name)


def blocking_calls(modules: list[Module]) -> Iterator[str]:
    for module in modules:
        if module.top not in (*PRODUCT, "sandbox"):
            continue
        for function in ast.walk(module.tree):
            for call in _own_calls(function) if isinstance(function, ast.AsyncFunctionDef) else ():
                if (name := ast.unparse(call.func)) in BLOCKING:
                    yield module.at(call, f"{name} holds up the whole event loop")


def _own_calls(function: ast.AsyncFunctionDef) -> Iterator[ast.Call]:
    """Calls that run in the coroutine itself, not in functions or lambdas made inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.Call):
            yield node
        waiting.extend(ast.iter_child_nodes(node))


def environment(modules: list[Module]) -> Iterator[str]:
    for module in modules:
        if module.top not in PRODUCT or module.path in READS_ENVIRONMENT:
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv"):
                yield module.at(node, "settings come from services/settings.py, not from the environment")
                break


def ledger_writers(modules: list[Module]) -> Iterator[str]:
    """Money moves in one module; the migration carries old balances over."""
    for module in modules:
        if module.top != "database" or module.path == "database/ledger.py":
            continue
        tables = {
            alias.asname or alias.name
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ImportFrom) and node.module == "database.schema"
            for alias in node.names
            if alias.name in ("ledger", "balances")
        }
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("insert", "update", "delete"):
                continue
            if node.args and ast.unparse(node.args[0]) in tables:
                yield module.at(node, "only database/ledger.py writes entries")


ROW_MODULES = {
    "assets": "asset_rows",
    "differences": "difference_rows",
    "drafts": "draft_rows",
    "flags": "flag_rows",
    "jobs": "job_rows",
    "payments": "payment_rows",
    "provider_calls": "call_rows",
    "refunds": "refund_rows",
    "users": "user_rows",
    "video_jobs": "video_rows",
}
"""Modules of rows whose plain names services and handlers need for their own things."""


def row_names(modules: list[Module]) -> Iterator[str]:
    """A module of rows has one name wherever it is imported."""
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ImportFrom) and node.module == "database":
                for alias in node.names:
                    name = ROW_MODULES.get(alias.name, alias.name)
                    if (alias.asname or alias.name) != name:
                        yield module.at(node, f"database.{alias.name} is imported as {name}")


OUTCOMES = {"changed", "claim", "begin_call", "take_lease"}
"""Calls that may say no without raising, or that say how it went: to drop their answer is to act on a wish."""
REFUSES_ALOUD = (
    "add_entry",
    "settle_debts",
    "take_or_owe",
    "credit",
    "add_balance",
    "subtract_balance",
    "reserve_balance",
    "charge_reserved_balance",
    "refund_balance",
    "reserve",
    "charge",
    "refund",
)
"""Where money moves. None of these may say no by its answer: what was not taken is an error that nobody overlooks."""


def outcomes(modules: list[Module]) -> Iterator[str]:
    """A debit that did not happen can't be overlooked: it raises, and a conditional change's answer is always read."""
    for module in modules:
        if module.top not in PRODUCT:
            continue
        for node in ast.walk(module.tree):
            dropped = node.value if isinstance(node, ast.Expr) else None
            dropped = dropped.value if isinstance(dropped, ast.Await) else dropped
            if isinstance(dropped, ast.Call) and (name := _asked_for(dropped)) in OUTCOMES:
                yield module.at(node, f"the answer of {name} is dropped")
            if module.path == "database/ledger.py" and isinstance(node, ast.FunctionDef) and node.name in REFUSES_ALOUD:
                words = ast.unparse(node.returns) if node.returns else "nothing"
                if "bool" in words.replace("tuple[Entry, bool]", "") or ("None" in words and words != "None"):
                    yield module.at(node, f"{node.name} says no by its answer ({words}) and must raise")


def _asked_for(call: ast.Call) -> str:
    """The function a call ends in; `db.write(rows.claim, ...)` ends in `claim`."""
    name = ast.unparse(call.func).rpartition(".")[2]
    if name in ("write", "read") and call.args:
        return ast.unparse(call.args[0]).rpartition(".")[2]
    return name


def postponed_annotations(modules: list[Module]) -> Iterator[str]:
    for module in modules:
        code = [node for node in module.tree.body if not isinstance(node, ast.Expr)]
        has = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in code)
        if code and not has and not module.path.startswith("database/migrations/"):
            yield module.at(module.tree, "`from __future__ import annotations` is missing")


def test_rules(modules: list[Module]) -> Iterator[str]:
    """Each test states its rule in a docstring, and none is skipped or expected to fail."""
    for module in modules:
        if module.top != "tests" or not module.path.rpartition("/")[2].startswith("test_"):
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _is_test_without_rule(node):
                yield module.at(node, "a test says its rule in a docstring")
            if isinstance(node, ast.Attribute) and node.attr in ("skip", "skipif", "xfail", "importorskip"):
                yield module.at(node, f"{node.attr}: a test that does not run proves nothing")
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("monkeypatch.setattr", "mocker.patch"):
                yield module.at(node, "nothing of ours is patched in tests")


def _is_test_without_rule(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return function.name.startswith("test_") and not ast.get_docstring(function)


def tests_import_no_test(modules: list[Module]) -> Iterator[str]:
    """What several test modules need is in tests/support: a test module is imported only to be run."""
    for module in modules:
        if module.top != "tests":
            continue
        for found in imports_of(module):
            parts = {part for name in found.names for part in name.split(".") if name.startswith("tests.")}
            if any(part.startswith("test_") for part in parts):
                yield module.at(found.node, "a test module is imported; what is shared belongs in tests/support")


test_rules.__test__ = tests_import_no_test.__test__ = False  # type: ignore[attr-defined]

RULES: dict[str, Callable[[list[Module]], Iterator[str]]] = {
    "layers": layers,
    "views": views,
    "libraries": libraries,
    "cycles": cycles,
    "blocking": blocking_calls,
    "environment": environment,
    "ledger": ledger_writers,
    "row names": row_names,
    "outcomes": outcomes,
    "annotations": postponed_annotations,
    "tests": test_rules,
    "imported tests": tests_import_no_test,
}


@pytest.fixture(scope="module")
def tree() -> list[Module]:
    return modules_of(ROOT)


@pytest.mark.parametrize("rule", RULES)
def test_the_tree_keeps_the_rule(rule: str, tree: list[Module]) -> None:
    """No line of the tree breaks the rule."""
    assert list(RULES[rule](tree)) == []


OFFENCES = {
    "layers": [
        ("database/a.py", "\nfrom services.common.log import event", "database/a.py:2"),
        ("workers/a.py", "import handlers.start", "workers/a.py:1"),
        ("handlers/a.py", "def f():\n    from workers import step", "handlers/a.py:2"),
        ("services/a.py", "import json, main", "services/a.py:1"),
        ("services/a.py", "from sandbox.app import serve", "services/a.py:1"),
        ("sandbox/a.py", "from database.models import db", "sandbox/a.py:1"),
        ("handlers/deep/a.py", "from ...tests import conftest", "handlers/deep/a.py:1"),
        ("app/bot.py", "from sandbox.app import serve", "app/bot.py:1"),
    ],
    "views": [
        ("handlers/views/a.py", "from handlers.chat import MenuWord", "handlers/views/a.py:1"),
        ("handlers/views/a.py", "from handlers.orders import intake", "handlers/views/a.py:1"),
    ],
    "libraries": [
        ("handlers/a.py", "from sqlalchemy import select", "handlers/a.py:1"),
        ("services/jobs.py", "import aiogram.types", "services/jobs.py:1"),
        ("workers/a.py", "import httpx2", "workers/a.py:1"),
    ],
    "cycles": [
        ("services/a.py", "import services.b", "services.a -> services.b -> services.a"),
        ("services/a.py", "from services import b", "services.a -> services.b -> services.a"),
        ("services/a.py", "def f():\n    import services.b", "services.a -> services.b -> services.a"),
        ("services/a.py", "if TYPE_CHECKING:\n    from services.b import B", "services.a -> services.b -> services.a"),
    ],
    "blocking": [("services/a.py", "import time\nasync def f():\n    time.sleep(1)", "services/a.py:3")],
    "environment": [("services/a.py", "import os\nx = os.environ['A']", "services/a.py:2")],
    "ledger": [("database/a.py", "from database.schema import ledger as l\nx = insert(l)", "database/a.py:2")],
    "outcomes": [
        ("database/a.py", "def f(tx):\n    tx.changed(1)", "database/a.py:2"),
        ("workers/a.py", "async def f(db):\n    await db.write(jobs.claim, 1)", "workers/a.py:2"),
        ("database/ledger.py", "def reserve(tx) -> bool:\n    return False", "database/ledger.py:1"),
        ("database/ledger.py", "def refund(tx) -> Entry | None:\n    return None", "database/ledger.py:1"),
    ],
    "row names": [
        ("services/a.py", "from database import jobs", "services/a.py:1"),
        ("handlers/a.py", "from database import ledger as ledger_rows", "handlers/a.py:1"),
    ],
    "annotations": [("services/a.py", "x = 1", "services/a.py:1")],
    "tests": [
        ("tests/test_a.py", "def test_x():\n    assert True", "tests/test_a.py:1"),
        ("tests/test_a.py", "import pytest\n@pytest.mark.skip\ndef test_x():\n    'Rule.'", "tests/test_a.py:2"),
    ],
    "imported tests": [
        ("tests/app/test_b.py", "import json\nfrom tests.app.test_a import helper", "tests/app/test_b.py:2"),
        ("tests/support/b.py", "from ..support import test_b", "tests/support/b.py:1"),
    ],
}


@pytest.mark.parametrize(("rule", "offence"), [(rule, one) for rule, many in OFFENCES.items() for one in many])
def test_an_offence_is_found_and_named_with_its_line(rule: str, offence: tuple[str, str, str], tmp_path: Path) -> None:
    """An offence is named with its file and line, so the rules above can fail."""
    path, source, told = offence
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(source)
    if rule == "cycles":
        (file.parent / "b.py").write_text("import services.a")
    (said,) = RULES[rule](modules_of(tmp_path))
    assert told in said


def test_what_runs_in_a_thread_is_no_blocking_call(tmp_path: Path) -> None:
    """A call that a coroutine hands to a thread breaks no rule."""
    (tmp_path / "services").mkdir()
    (tmp_path / "services/a.py").write_text("async def g():\n    await to_thread(lambda: time.sleep(1))\n")
    assert list(blocking_calls(modules_of(tmp_path))) == []
