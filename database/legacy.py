"""Version 1.3 databases: wallets in rubles, `payments.payment_id`, a short `jobs`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from database.engine import SqliteFile


def is_version_1_3(connection: Connection) -> bool:
    return False


def back_up(file: SqliteFile) -> None: ...


def step_aside(connection: Connection) -> Any:
    return None


def carry_over(connection: Connection, old: Any) -> None: ...
