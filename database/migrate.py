"""Bring a database file to the newest schema: Alembic's revisions in one transaction under the gate."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from database import legacy
from database.engine import SqliteFile, _translated
from database.errors import UnsupportedDatabase

SCRIPTS = Path(__file__).parent / "migrations"


def config(connection: Connection | None = None) -> Config:
    settings = Config()
    settings.set_main_option("script_location", str(SCRIPTS))
    settings.attributes["connection"] = connection
    return settings


def newest_revision() -> str:
    head = ScriptDirectory.from_config(config()).get_current_head()
    assert head is not None
    return head


def current_revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def migrate(file: SqliteFile) -> None:
    """Empty, version 1.3 or any later state → newest. All or nothing; safe to repeat and to kill.

    Raises MigrationFailed with a list when an old file holds what can't be read, UnsupportedDatabase for a schema
    made by a newer program.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with _translated(), file.gate():
        with file.engine.connect().execution_options(reading=True) as connection, connection.begin():
            revision, old = current_revision(connection), legacy.is_version_1_3(connection)
        if revision == newest_revision():
            return
        if old:
            legacy.back_up(file)
        with file.engine.begin() as connection:
            _upgrade(connection)


def _upgrade(connection: Connection) -> None:
    try:
        command.upgrade(config(connection), "head")
    except CommandError as error:
        if "Can't locate revision" in str(error):
            raise UnsupportedDatabase("this database was written by a newer version of the program") from error
        raise
