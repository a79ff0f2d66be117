"""The SQLite library of all connections. Without a suitable one the program ends with a sentence that says why.

It ends at the import of this module, when the library is missing or too old. The exit status is 2, as for faulty
settings, so that systemd does not try again. A traceback would not say what to install.
"""

from __future__ import annotations

import platform
import sys
from typing import NoReturn

__all__ = ["OLDEST_SQLITE", "sqlite"]

OLDEST_SQLITE = (3, 51, 3)  # older ones can lose commits when several processes checkpoint (the WAL-reset race)
_OLDEST = ".".join(map(str, OLDEST_SQLITE))


def _end(fault: str) -> NoReturn:
    machine = f"{platform.system()} on {platform.machine()}, Python {platform.python_version()}"
    print(
        f"{fault} (this machine: {machine}).\n"
        "Install it with everything else: make install, "
        "or python -m pip install --require-hashes -r requirements.txt.\n"
        "It comes ready-made for Linux on x86_64 and macOS on arm64 with Python 3.11 to 3.14. Elsewhere pip builds it "
        f"from source, with a C compiler and the headers of SQLite {_OLDEST} or newer; "
        "docs/decisions/0001-dependencies.md, Platforms, says how.",
        file=sys.stderr,
    )
    raise SystemExit(2)


try:
    from pysqlite3 import dbapi2 as sqlite
except ImportError as error:
    _end(f"The database needs the package pysqlite3, which can't be loaded: {error}")

if tuple(int(part) for part in sqlite.sqlite_version.split(".")) < OLDEST_SQLITE:
    _end(
        f"The package pysqlite3 brings SQLite {sqlite.sqlite_version} here, "
        f"and versions before {_OLDEST} can lose commits when several processes write"
    )
