"""Bring a database file to the newest schema: Alembic's revisions in one transaction, with the gate held."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from database import clock
from database.audit.checks import check_file, run_checks
from database.engine import SqliteFile, Tx, translated
from database.errors import MigrationFailed, UnsupportedDatabase
from database.legacy import carry_over as legacy

SCRIPTS = Path(__file__).parent / "migrations"


def config(connection: Connection | None = None) -> Config:
    settings = Config()
    settings.set_main_option("script_location", str(SCRIPTS))
    settings.attributes["connection"] = connection
    return settings


_ALONE = threading.Lock()  # Alembic keeps its connection in globals, so one thread at a time


def newest_revision() -> str:
    head = ScriptDirectory.from_config(config()).get_current_head()
    assert head is not None
    return head


def current_revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def migrate(file: SqliteFile) -> None:
    """An empty file, version 1.3 or any later version → the newest. All or nothing; safe to repeat and to kill.

    Raises MigrationFailed with a list when an old file holds values that can't be read or its books would not be
    sound, UnsupportedDatabase for a schema of a newer or another program.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with _ALONE, translated(), file.gate():
        with file.reading() as connection:
            revision = current_revision(connection)
        if revision == newest_revision():
            return
        with _tolerant_of_old_files(file):
            if revision is None:
                _prepare_first_revision(file)
            with file.writing() as connection:
                _upgrade(connection)
                _check_books(connection)


def _prepare_first_revision(file: SqliteFile) -> None:
    """Refuse before anything is changed. A version 1.3 file is copied only when all of it can be read."""
    with file.reading() as connection:
        legacy.examine(connection)
        old = legacy.is_version_1_3(connection)
    if old:
        legacy.back_up(file)


@contextlib.contextmanager
def _tolerant_of_old_files(file: SqliteFile) -> Iterator[None]:
    """Accept old files as they are.

    Old views and triggers may be broken or name tables that are renamed, so a rename must not check them. Old texts
    need not be UTF-8.
    """
    file.raw.execute("PRAGMA legacy_alter_table=ON")
    file.raw.text_factory = lambda data: str(data, "utf-8", "replace")
    try:
        yield
    finally:
        file.raw.text_factory = str
        file.raw.execute("PRAGMA legacy_alter_table=OFF")


def _check_books(connection: Connection) -> None:
    tx = Tx(connection, clock.now_ms())
    findings = run_checks(tx) + check_file(tx)
    if findings:
        raise MigrationFailed([f"{found.check}: {found.sentence} ({', '.join(found.ids)})" for found in findings])


def _upgrade(connection: Connection) -> None:
    try:
        command.upgrade(config(connection), "head")
    except CommandError as error:
        if "Can't locate revision" in str(error):
            raise UnsupportedDatabase("this database was written by a newer version of the program") from error
        raise
