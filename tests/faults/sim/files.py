"""The database files of simulated worlds, opened as the product opens them; statements are compiled once for all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.engine import Dialect

from database.clock import now_ms
from database.engine import SqliteFile, Tx

T = TypeVar("T")
_compiled: dict[Any, Any] = {}
_dialects: list[Dialect] = []  # one for all: SQLAlchemy knows a compiled statement again by its dialect


def open_file(path: Path, clock: Callable[[], int] = now_ms) -> SqliteFile:
    """A connection as the product makes it. Compiling statements anew for each took a fifth of a world's time."""
    file = SqliteFile.open(path, clock)
    if not _dialects:
        file.engine.connect().close()  # the first connection tells the dialect what the library can do
        _dialects.append(file.engine.dialect)
    file.engine.dialect = _dialects[0]
    file.engine = file.engine.execution_options(compiled_cache=_compiled)
    return file


def look(path: Path, at: Callable[[Tx], T]) -> T:
    """What stands in a file, read from outside."""
    file = open_file(path)
    try:
        return file.read(at)
    finally:
        with contextlib.suppress(OSError):
            file.close()
