"""Databases of version 1.3 are carried over once: wallets in rubles, `payments.payment_id`, a short `jobs`.

All of it happens in the transaction of revision 0001: the old tables are renamed, the new schema is made, rows are
copied, the old tables are dropped. Only `wallets` stays, for history. The statements are written out, because later
revisions must not change what this one does. Values that can't be read are listed, and then nothing is changed at all.
An old table stays, as `v1_3_users` and so on, if a table that stays refers to it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection

from database import backup, clock
from database.engine import SqliteFile
from database.errors import MigrationFailed, UnsupportedDatabase
from database.legacy import values as read
from database.schema import metadata

log = logging.getLogger(__name__)

OLD_TABLES = ("wallets", "payments", "jobs", "users")
MONEY_TABLES = ("ledger", "balances", "reservations", "debts")  # version 1.3 had none of them
ASIDE = "v1_3_"
MOST_FAULTS = 100
LISTED_AT_ONCE = 500

Row = Mapping[str, Any]
T = TypeVar("T")


def is_version_1_3(connection: Connection) -> bool:
    """Whether it has no schema of ours and at least one table of version 1.3."""
    return "alembic_version" not in _tables(connection) and bool(_old_tables(connection))


def examine(connection: Connection) -> None:
    """Check the file before anything is changed.

    Raises UnsupportedDatabase for another program's file, MigrationFailed with a list when a version 1.3 file holds
    values that can't be read.
    """
    present = _tables(connection)
    old = _old_tables(connection)
    conflicts = sorted((set(present) & set(metadata.tables)) - set(OLD_TABLES if old else ()))
    if conflicts and (not old or set(conflicts) & set(MONEY_TABLES)):
        names = ", ".join(conflicts)
        raise UnsupportedDatabase(f"this file has tables of another program ({names}): choose another DATABASE_URL")
    _read(connection, old, clock.now_ms()).raise_faults()


def back_up(file: SqliteFile) -> None:
    """Put a checked copy next to the file, as `bot.db.v1_3-20260212T101500.bak`. It never replaces an earlier one.

    Raises BackupFailed. The caller holds the gate, so no other process takes the name meanwhile.
    """
    stem = f"{file.path.name}.v1_3-{datetime.fromtimestamp(clock.now(), UTC):%Y%m%dT%H%M%S}"
    target, number = file.path.with_name(f"{stem}.bak"), 1
    while target.exists():
        number += 1
        target = file.path.with_name(f"{stem}-{number}.bak")
    backup.copy(file.path, target)
    log.info("the version 1.3 database was copied to %s", target.name)


def step_aside(connection: Connection) -> dict[str, str] | None:
    """Rename the old tables that have the names of new ones. Returns the old tables by their first names, or None."""
    examine(connection)
    if not _old_tables(connection):
        return None
    _complete_references(connection)
    tables = _tables(connection)
    aside = {name: actual for name, actual in tables.items() if name == "wallets"}
    for name in sorted(set(tables) & set(metadata.tables)):
        for kind, other in _belongings(connection, tables[name]):
            connection.exec_driver_sql(f"DROP {kind} {_quoted(other)}")
        connection.exec_driver_sql(f"ALTER TABLE {_quoted(tables[name])} RENAME TO {_quoted(ASIDE + name)}")
        aside[name] = ASIDE + name
    return aside


def carry_over(connection: Connection, old: Mapping[str, str]) -> None:
    """Copy every row into the new tables, then drop the old ones, except `wallets` and tables that are not ours."""
    now = clock.now_ms()
    rows = _read(connection, {name: old[name] for name in OLD_TABLES if name in old}, now)
    rows.raise_faults()
    _insert(connection, "users", rows.users.values())
    _insert(connection, "payments", rows.payments.values())
    _insert(connection, "jobs", rows.jobs.values())
    for job_id in rows.closed_jobs:
        event = {"job_id": job_id, "status": "cancelled", "attempt": 0, "cause": "closed by the migration", "at": now}
        _insert(connection, "job_events", [event])
    for user_id, amount in rows.wallets.items():
        source = f"migration:{user_id}"
        if amount > 0:
            entry = {"user_id": user_id, "kind": "credit", "amount": amount, "reason": "migration", "key": source}
            _insert(connection, "ledger", [{**entry, "created_at": now}])
        elif amount < 0:
            debt = {"user_id": user_id, "amount": -amount, "cause": source, "created_at": now}
            _insert(connection, "debts", [debt])
    dropped = {old[name] for name in ("payments", "jobs", "users") if name in old}
    for table in sorted(dropped - _referenced(connection, dropped)):
        connection.exec_driver_sql(f"DROP TABLE {_quoted(table)}")
    _report(connection, rows, now)


# --- reading ----------------------------------------------------------------------------------------


@dataclass
class _Old:
    """The content of an old file as rows of the new tables; sums in kopecks."""

    users: dict[int, Row] = field(default_factory=dict)
    wallets: dict[int, int] = field(default_factory=dict)
    payments: dict[str, Row] = field(default_factory=dict)
    jobs: dict[str, Row] = field(default_factory=dict)
    closed_jobs: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def raise_faults(self) -> None:
        if self.faults:
            more = len(self.faults) - MOST_FAULTS
            raise MigrationFailed(self.faults[:MOST_FAULTS] + ([f"and {more} more"] if more > 0 else []))

    def know(self, user_id: int, now: int) -> None:
        """Each person with money, payments or jobs becomes a user, even without a row in `users`."""
        self.users.setdefault(user_id, {"id": user_id, "created_at": now})


def _read(connection: Connection, tables: Mapping[str, str], now: int) -> _Old:
    old = _Old()
    readers = {"users": _read_user, "wallets": _read_wallet, "payments": _read_payment, "jobs": _read_job}
    for name, reader in readers.items():
        if name not in tables:
            continue
        for number, row in enumerate(_rows(connection, tables[name]), start=1):
            try:
                reader(old, row, now)
            except ValueError as fault:
                old.faults.append(f"{name}, row {number}: {fault}")
    if "wallets" not in tables:
        _refuse_money_elsewhere(connection, tables, old)
    return old


def _read_user(old: _Old, row: Row, now: int) -> None:
    user_id = _field(row, read.whole, "user_id", "telegram_id", "tg_id", "id")
    if user_id in old.users:
        raise ValueError(f"user {user_id} is there twice")
    language = read.words(_first(row, "language", "language_code", "lang")).strip()[:16]
    username = read.words(_first(row, "username")).removeprefix("@")
    old.users[user_id] = {
        "id": user_id,
        "language": language or None,
        "name": read.words(_first(row, "name", "full_name", "first_name"))[:128],
        "username": username or None,
        "is_banned": read.flag(_first(row, "is_banned", "banned", "is_blocked", "blocked")),
        "created_at": read.moment(_first(row, "created_at", "registered_at", "joined_at"), now),
    }


def _read_wallet(old: _Old, row: Row, now: int) -> None:
    user_id = _field(row, read.whole, "user_id")
    if user_id in old.wallets:
        raise ValueError(f"user {user_id} has two wallets")
    old.wallets[user_id] = _field(row, read.kopecks, "balance")
    old.know(user_id, now)


def _read_payment(old: _Old, row: Row, now: int) -> None:
    provider_id = _field(row, read.key, "payment_id", "provider_payment_id")
    user_id = _field(row, read.whole, "user_id")
    amount = _field(row, read.kopecks, "amount")
    if amount < 1:
        raise ValueError(f"a payment of {amount} kopecks")
    payment_id = f"v1_3-{provider_id}" if provider_id else f"v1_3-row-{len(old.payments) + 1}"
    if payment_id in old.payments:
        raise ValueError(f"payment_id {provider_id} is there twice")
    word = read.words(_first(row, "status")).strip().lower()
    status = read.PAYMENT_WORDS.get(word)
    created = read.moment(_first(row, "created_at", "created", "timestamp"), now)
    values: dict[str, Any] = {
        "id": payment_id,
        "user_id": user_id,
        "provider": "stars" if read.words(_first(row, "provider")).lower() == "stars" else "yookassa",
        "provider_payment_id": provider_id,
        "amount": amount,
        "status": status or "pending",
        "created_at": created,
        "idempotency_key": payment_id,
        "legacy": 1,
    }
    if status in ("paid", "refunded"):  # already in the wallet, or taken from it: never credited again
        values["paid_at"] = read.moment(_first(row, "paid_at", "updated_at"), created)
        values["refunded_amount"] = amount if status == "refunded" else 0
    elif status is None:
        values["quarantined_reason"] = f"version 1.3 called it {read.shown(word)}: was it credited?"
        old.quarantined.append(payment_id)
    elif status == "pending" and provider_id:
        values |= {"legacy": 0, "next_look_at": now}
    else:  # refused by the provider, or never sent to it; if money comes for it after all, it is credited
        values |= {"legacy": 0, "status": "canceled", "cancel_reason": "before version 2"}
    old.payments[payment_id] = values
    old.know(user_id, now)


def _read_job(old: _Old, row: Row, now: int) -> None:
    job_id = _field(row, read.key, "id", "job_id")
    if job_id is None:
        raise ValueError("id: it is missing")
    if job_id in old.jobs:
        raise ValueError(f"job {job_id} is there twice")
    user_id = _field(row, read.whole, "user_id")
    status = read.JOB_WORDS.get(read.words(_first(row, "status")).strip().lower())
    if status is None:
        old.closed_jobs.append(job_id)
    created = read.moment(_first(row, "created_at", "created", "timestamp"), now)
    ended = read.moment(_first(row, "completed_at", "finished_at", "updated_at"), created)
    rest = read.plain(row, "id", "job_id", "user_id", "model", "prompt", "status", "params")
    old.jobs[job_id] = {
        "id": job_id,
        "user_id": user_id,
        "type": read.job_type(_first(row, "type", "kind")),
        "model": read.words(_first(row, "model")) or "unknown",
        "prompt": read.words(_first(row, "prompt")).replace("\x00", ""),
        "params": json.dumps({**read.mapping(_first(row, "params")), "inputs": [], "v1_3": rest}, ensure_ascii=False),
        "status": status or "cancelled",
        "progress": 100 if status == "completed" else 0,
        "cost_estimate": read.cost(_first(row, "cost", "price", "cost_estimate")),
        "created_at": created,
        "completed_at": ended if status else now,
        "delivered_at": ended if status == "completed" else None,
        "error_code": {"failed": "before_version_2", "completed": None}.get(status or "", "migrated"),
        "legacy": 1,
    }
    old.know(user_id, now)


def _refuse_money_elsewhere(connection: Connection, tables: Mapping[str, str], old: _Old) -> None:
    """Without `wallets` a balance in `users` would be lost silently, so it is a fault."""
    if "users" not in tables:
        return
    for number, row in enumerate(_rows(connection, tables["users"]), start=1):
        if row.get("balance") not in (None, 0, 0.0, ""):
            old.faults.append(f"users, row {number}: a balance of {read.shown(row['balance'])}, and no table wallets")


def _field(row: Row, reader: Callable[[Any], T], *names: str) -> T:
    """A required column, by the first of its names that is there. ValueError names the column and its fault."""
    for name in names:
        if name in row:
            try:
                return reader(row[name])
            except ValueError as fault:
                raise ValueError(f"{name}: {fault}") from None
    raise ValueError(f"there is no column {names[0]}")


def _first(row: Row, *names: str) -> Any:
    """The value of the first of these columns that is not NULL."""
    return next((row[name] for name in names if row.get(name) is not None), None)


# --- the file ---------------------------------------------------------------------------------------


def _tables(connection: Connection) -> dict[str, str]:
    """Every table and view by its name in lower case: for SQLite upper and lower case are the same."""
    found = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
    return {str(row[0]).lower(): str(row[0]) for row in found}


def _old_tables(connection: Connection) -> dict[str, str]:
    tables = _tables(connection)
    return {name: tables[name] for name in OLD_TABLES if name in tables}


def _complete_references(connection: Connection) -> None:
    """Create the missing tables that old tables refer to: the new tables of these names have other keys."""
    tables = _tables(connection)
    for table in tables.values():
        for row in connection.exec_driver_sql(_references_of(table)).all():
            parent, column = str(row[2]), str(row[4] or "id")
            if parent.lower() in metadata.tables and parent.lower() not in _tables(connection):
                connection.exec_driver_sql(f"CREATE TABLE {_quoted(parent)} ({_quoted(column)} PRIMARY KEY)")


def _referenced(connection: Connection, dropped: set[str]) -> set[str]:
    """The old tables that must stay, because `wallets` or another table that stays refers to them."""
    kept = set(_tables(connection).values()) - dropped
    while True:
        found = {str(row[2]) for table in kept for row in connection.exec_driver_sql(_references_of(table))}
        if found & dropped <= kept:
            return found & dropped
        kept |= found & dropped


def _references_of(table: str) -> str:
    return f"PRAGMA foreign_key_list({_quoted(table)})"


def _belongings(connection: Connection, table: str) -> list[tuple[str, str]]:
    """Indexes and triggers of a table. Their names are unique in the file, so the old ones must be dropped first."""
    found = connection.exec_driver_sql(
        "SELECT type, name FROM sqlite_master WHERE lower(tbl_name) = ? AND type IN ('index', 'trigger')"
        " AND sql IS NOT NULL",
        (table.lower(),),
    )
    return [(str(kind), str(name)) for kind, name in found.all()]


def _rows(connection: Connection, table: str) -> Iterator[Row]:
    found = connection.exec_driver_sql(f"SELECT * FROM {_quoted(table)}")  # noqa: S608 - a quoted name of this file
    names = [name.lower() for name in found.keys()]  # noqa: SIM118 - not a mapping
    for row in found:
        yield dict(zip(names, row, strict=True))


def _insert(connection: Connection, table: str, rows: Iterable[Row]) -> None:
    for row in rows:
        columns, marks = ", ".join(row), ", ".join("?" * len(row))
        statement = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608 - our own names
        connection.exec_driver_sql(statement, tuple(row.values()))


def _report(connection: Connection, old: _Old, now: int) -> None:
    """Write what was carried over to the log and to `admin_log`, with the ids of closed jobs and doubtful payments."""
    summary = {
        "users": len(old.users),
        "credited": sum(amount for amount in old.wallets.values() if amount > 0),
        "owed": -sum(amount for amount in old.wallets.values() if amount < 0),
        "payments": len(old.payments),
        "payments_in_doubt": len(old.quarantined),
        "jobs": len(old.jobs),
        "jobs_closed": len(old.closed_jobs),
    }
    log.info("version 1.3 was carried over: %s", summary)
    pages: list[tuple[str, Mapping[str, object]]] = [("migration", summary)]
    for action, ids in (("migration_closed_jobs", old.closed_jobs), ("migration_doubts", old.quarantined)):
        if ids:
            log.warning("%s: %s", action, ", ".join(ids[:LISTED_AT_ONCE]))
        pages += [(action, {"ids": ids[i : i + LISTED_AT_ONCE]}) for i in range(0, len(ids), LISTED_AT_ONCE)]
    for action, details in pages:
        text = json.dumps(details, ensure_ascii=False)
        row = {"admin_id": 0, "action": action, "target": "version 1.3", "details": text, "created_at": now}
        _insert(connection, "admin_log", [row])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
