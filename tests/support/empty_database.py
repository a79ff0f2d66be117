"""An empty shop's database file, as `init_db` makes it, made once for all tests of a process: migrating takes longer
than most tests."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from database.engine import SqliteFile
from database.migrate import migrate


def lay_out(path: Path) -> None:
    """Put an empty shop of the newest schema at `path`, unless there is a file already."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_content())


@functools.cache
def _content() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        file = SqliteFile.open(path)
        try:
            migrate(file)
        finally:
            file.close()  # the last connection folds the log into the file
        assert [one.name for one in path.parent.iterdir() if one.name.endswith("-wal")] == []
        return path.read_bytes()
