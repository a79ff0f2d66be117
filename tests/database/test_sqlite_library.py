"""A machine without a SQLite library that will do: every program ends with sentences that say what to install."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from database.sqlite_library import OLDEST_SQLITE
from tests.support.database_fixture import ROOT

INIT_DB = "import asyncio; from database.models import db; asyncio.run(db.init_db())"
PROGRAMS = {
    "the bot": ["main.py"],
    "the demo": ["main.py", "demo"],
    "the audit": ["main.py", "audit"],
    "the workers": ["-m", "workers"],
    "init_db": ["-c", INIT_DB],
}
FAULTS = {
    "missing": ("raise ModuleNotFoundError(\"No module named 'pysqlite3'\")", "No module named 'pysqlite3'"),
    "broken": ("raise ImportError('libsqlite3.so.0: cannot open')", "libsqlite3.so.0: cannot open"),
    "too old": ("from sqlite3.dbapi2 import *; sqlite_version = '3.46.1'", "SQLite 3.46.1"),
}
CASES = [
    *(("missing", program) for program in PROGRAMS),
    ("broken", "the bot"),
    *(("too old", program) for program in ("the bot", "the workers", "init_db")),
]


@pytest.mark.parametrize(("fault", "program"), CASES)
def test_a_program_says_what_to_install(fault: str, program: str, tmp_path: Path) -> None:
    """Status 2, the fault, the machine and the command that mends it; no traceback, and no file is made."""
    source, told = FAULTS[fault]
    (tmp_path / "shadow" / "pysqlite3").mkdir(parents=True)
    (tmp_path / "shadow" / "pysqlite3" / "__init__.py").touch()
    (tmp_path / "shadow" / "pysqlite3" / "dbapi2.py").write_text(source)
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "shadow"),
        "DATABASE_URL": f"sqlite:///{tmp_path}/data/bot.db",
        "REDIS_URL": "redis://127.0.0.1:1",
        "BOT_TOKEN": "1:token-of-a-test",
    }
    ended = subprocess.run(
        [sys.executable, *PROGRAMS[program]], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert told in ended.stderr
    assert f"{platform.system()} on {platform.machine()}, Python {platform.python_version()}" in ended.stderr
    assert "--require-hashes -r requirements.txt" in ended.stderr
    assert ".".join(map(str, OLDEST_SQLITE)) in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    assert not (tmp_path / "data").exists()
