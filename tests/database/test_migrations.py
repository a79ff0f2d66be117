"""From an empty file, a version 1.3 file or any later state to the newest schema: exact, once, all or nothing."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from database import jobs as job_rows
from database import ledger, schema
from database import payments as payment_rows
from database import refunds as refund_rows
from database.engine import SqliteFile
from database.legacy import values as legacy_values
from database.migrate import newest_revision
from database.models import (
    Database,
    DatabaseError,
    DatabaseUnavailable,
    IllegalMove,
    JobType,
    MigrationFailed,
    Payment,
    UnsupportedDatabase,
)
from tests.support.database_fixture import ROOT, assert_books, run_program, snapshot, url_of
from tests.support.version_1_3 import VERSION_1_3

INIT = "import asyncio; from database.models import db; asyncio.run(db.init_db())"


@contextmanager
def file_of(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as another program sees it; closed before ours opens it."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def make(path: Path, script: str = VERSION_1_3) -> None:
    with file_of(path) as connection:
        connection.executescript(script)


def dump(path: Path) -> list[str]:
    """Everything in a file: schema and rows."""
    with file_of(path) as connection:
        connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
        return list(connection.iterdump())


def copies(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.v1_3-*.bak"))


async def rows(db: Database, query: str) -> list[tuple[Any, ...]]:
    return await db.read(lambda tx: [tuple(row) for row in tx.execute(text(query))])


async def migrated(path: Path) -> Database:
    """Bring the file up to date; the books hold then."""
    db = Database(url_of(path))
    await db.init_db()
    await assert_books(db)
    return db


# --- version 1.3 ------------------------------------------------------------------------------------


async def test_wallets_become_entries(database_path: Path) -> None:
    """Each wallet is one credit of exactly its sum; a negative one is a debt, an empty one is nothing."""
    make(database_path)
    db = await migrated(database_path)
    assert await rows(db, "SELECT user_id, kind, amount, reason, key FROM ledger ORDER BY user_id") == [
        (1, "credit", 15_075, "migration", "migration:1"),
        (2, "credit", 30, "migration", "migration:2"),
    ]
    assert await rows(db, "SELECT user_id, amount, cause, settled FROM debts") == [(3, 2_050, "migration:3", 0)]
    assert [await db.get_balance(user_id) for user_id in (1, 2, 3, 4, 5)] == [15_075, 30, 0, 0, 0]
    await db.add_balance(3, 3_000, key="gift", reason="gift")
    assert await db.get_balance(3) == 950
    await assert_books(db)
    await db.close()


async def test_wallets_stay_as_they_were(database_path: Path) -> None:
    """The old wallets are kept for history, row by row; of the other old tables only what they refer to."""
    make(database_path)
    with file_of(database_path) as old:
        wallets = old.execute("SELECT * FROM wallets").fetchall()
        people = old.execute("SELECT * FROM users").fetchall()
    await (await migrated(database_path)).close()
    with file_of(database_path) as new:
        assert new.execute("SELECT * FROM wallets").fetchall() == wallets
        assert new.execute("SELECT * FROM v1_3_users").fetchall() == people
        assert new.execute("SELECT name FROM sqlite_master WHERE name LIKE 'v1_3%'").fetchall() == [("v1_3_users",)]
        assert new.execute("PRAGMA foreign_key_list(wallets)").fetchone()[2] == "v1_3_users"


async def test_the_shop_works_on_a_carried_over_file(database_path: Path) -> None:
    """References of old tables do not stand in the way: new people, money and jobs as on a fresh file."""
    make(database_path)
    db = await migrated(database_path)
    for user_id in (1, 3, 4, 77):
        await db.add_balance(user_id, 5_000, key=f"k{user_id}", reason="r")
        order = job_rows.NewJob(f"new-{user_id}", user_id, JobType.IMAGE, "m", "p", {}, 300, hold_ms=1_000)
        await db.write(job_rows.start, order, max_active=3)
        await db.write(job_rows.cancel, order.id, user_id)
    await assert_books(db)
    await db.close()


async def test_people_keep_names_and_bans(database_path: Path) -> None:
    """Users are carried over with all that is known; a person with only money, payments or jobs becomes a user too."""
    make(database_path)
    db = await migrated(database_path)
    assert await rows(db, "SELECT id, name, username, is_banned FROM users ORDER BY id") == [
        (1, "Anna", "anna", 0), (2, "Boris", None, 1), (3, "", None, 0), (4, "", None, 0), (5, "", None, 0),
        (6, "", None, 0),
    ]  # fmt: skip
    assert await rows(db, "SELECT created_at FROM users WHERE id = 1") == [(1_770_804_000_000,)]
    await db.close()


async def test_paid_payments_are_never_credited_again(database_path: Path) -> None:
    """What version 1.3 credited is in the wallet: settling it again, by whatever name, writes nothing."""
    make(database_path)
    db = await migrated(database_path)
    before = await snapshot(db)
    for provider_id, status in (("2d-paid", "paid"), ("2d-back", "refunded")):
        payment = await db.read(payment_rows.by_provider_id, provider_id)
        assert payment is not None
        assert (payment.status, payment.legacy) == (status, 1)
        assert (await db.write(payment_rows.settle, payment.id))[1] is False
    assert await snapshot(db) == before
    await db.close()


async def test_pending_payments_settle_as_any_other(database_path: Path) -> None:
    """A payment still open, or canceled and paid after all, is credited once when its money comes."""
    make(database_path)
    db = await migrated(database_path)
    assert [payment.provider_payment_id for payment in await db.read(payment_rows.due)] == ["2d-wait"]
    for provider_id, user_id, before, after in (("2d-wait", 1, 15_075, 20_125), ("2d-gone", 2, 30, 7_030)):
        payment = await db.read(payment_rows.by_provider_id, provider_id)
        assert payment is not None
        assert payment.legacy == 0
        assert await db.get_balance(user_id) == before
        assert [(await db.write(payment_rows.settle, payment.id))[1] for _ in range(3)] == [True, False, False]
        assert await db.get_balance(user_id) == after
    await assert_books(db)
    await db.close()


async def test_a_payment_in_doubt_waits_for_a_person(database_path: Path) -> None:
    """A status that nobody knows might have been credited: it is quarantined and listed, never credited by itself."""
    make(database_path)
    db = await migrated(database_path)
    payment = await db.read(payment_rows.by_provider_id, "2d-what")
    assert isinstance(payment, Payment)
    assert "strange" in (payment.quarantined_reason or "")
    with pytest.raises(IllegalMove):
        await db.write(payment_rows.settle, payment.id)
    assert await rows(db, "SELECT details FROM admin_log WHERE action = 'migration_doubts'") == [
        ('{"ids": ["v1_3-2d-what"]}',)
    ]
    await db.close()


async def test_a_legacy_payment_can_be_taken_back(database_path: Path) -> None:
    """When the provider returns money of an old payment, it is taken from the balance like any other."""
    make(database_path)
    db = await migrated(database_path)
    await db.write(refund_rows.take_back, "v1_3-2d-paid", refund_id="r", provider_refund_id="yr", amount=10_000)
    assert await db.get_balance(1) == 5_075
    await assert_books(db)
    await db.close()


async def test_open_jobs_are_closed_and_listed(database_path: Path) -> None:
    """Jobs are carried over as legacy; open ones are cancelled and listed for the admins; no money moves."""
    make(database_path)
    db = await migrated(database_path)
    assert await rows(db, "SELECT id, user_id, type, prompt, status, legacy, step, due_at FROM jobs ORDER BY id") == [
        ("1", 1, "image", "a cat", "completed", 1, None, None),
        ("2", 1, "video", "a dog", "cancelled", 1, None, None),
        ("3", 2, "edit", "", "failed", 1, None, None),
        ("4", 6, "animate", "a fox", "cancelled", 1, None, None),
    ]
    assert await rows(db, "SELECT details FROM admin_log WHERE action = 'migration_closed_jobs'") == [
        ('{"ids": ["2", "4"]}',)
    ]
    assert await rows(db, "SELECT job_id, status FROM job_events") == [("2", "cancelled"), ("4", "cancelled")]
    assert await rows(db, "SELECT created_at FROM jobs WHERE id IN ('1', '3') ORDER BY id") == [
        (1_770_800_400_000,), (1_770_800_000_000,)
    ]  # fmt: skip
    job = await db.read(job_rows.get, "1")
    assert job is not None
    assert job.params == {"inputs": [], "v1_3": {"kind": "image", "created_at": "2026-02-11T12:00:00+03:00"}}
    with pytest.raises(IllegalMove):
        await db.write(job_rows.compensate, "1", "admin")
    await db.close()


async def test_a_copy_is_made_first(database_path: Path) -> None:
    """Before anything changes a whole, sound copy of the old file lies next to it; another run makes no second."""
    make(database_path)
    before = dump(database_path)
    db = await migrated(database_path)
    once = await snapshot(db, "users", "ledger", "debts", "payments", "jobs", "admin_log", "job_events")
    copy = copies(database_path)[0]
    assert dump(copy) == before
    await db.init_db()
    await db.init_db()
    assert await snapshot(db, *once) == once
    assert copies(database_path) == [copy]
    assert [path.name for path in database_path.parent.iterdir() if path.name.startswith(".")] == []
    await db.close()


@pytest.mark.parametrize("missing", ["users", "wallets", "payments", "jobs"])
async def test_each_old_table_may_be_missing(database_path: Path, missing: str) -> None:
    """A version 1.3 file without one of its tables is carried over with what it has."""
    make(database_path)
    make(database_path, f"DROP TABLE {missing}")
    db = await migrated(database_path)
    assert len(await rows(db, "SELECT id FROM payments")) == (0 if missing == "payments" else 5)
    assert len(await rows(db, "SELECT id FROM jobs")) == (0 if missing == "jobs" else 4)
    assert await db.get_balance(1) == (0 if missing == "wallets" else 15_075)
    await db.close()


async def test_unknown_tables_stay(database_path: Path) -> None:
    """Tables that we know nothing of keep their rows; one whose name we need is kept under another."""
    make(database_path)
    make(
        database_path,
        """CREATE TABLE promo (code TEXT); INSERT INTO promo VALUES ('X');
           CREATE TABLE assets (id INTEGER PRIMARY KEY, path TEXT); INSERT INTO assets VALUES (1, 'a.png');
           CREATE INDEX ix_assets_expires_at ON assets(path);
           CREATE VIEW rich AS SELECT user_id FROM wallets WHERE balance > 100;""",
    )
    db = await migrated(database_path)
    assert await rows(db, "SELECT * FROM promo") == [("X",)]
    assert await rows(db, "SELECT * FROM v1_3_assets") == [(1, "a.png")]
    assert await rows(db, "SELECT * FROM rich") == [(1,)]
    assert await rows(db, "SELECT * FROM assets") == []
    await db.close()


async def test_names_are_found_in_any_case(database_path: Path) -> None:
    """SQLite does not tell names apart by case, so neither do we."""
    make(
        database_path,
        """CREATE TABLE Wallets (User_ID INTEGER, Balance TEXT); INSERT INTO Wallets VALUES (1, ' 12,50 ');
           CREATE TABLE PAYMENTS (Payment_Id TEXT, USER_ID TEXT, Amount INTEGER, Status TEXT);
           INSERT INTO PAYMENTS VALUES ('p', '1', 5, 'PENDING');""",
    )
    db = await migrated(database_path)
    assert await db.get_balance(1) == 1_250
    assert await rows(db, "SELECT provider_payment_id, amount, legacy FROM payments") == [("p", 500, 0)]
    await db.close()


async def test_texts_that_are_no_utf8_come_over(database_path: Path) -> None:
    """A prompt with broken bytes is no reason to stop; the bytes are replaced."""
    make(database_path, "CREATE TABLE jobs (id TEXT, user_id INTEGER, prompt TEXT, status TEXT)")
    with file_of(database_path) as old:
        old.execute("INSERT INTO jobs VALUES ('j', 1, CAST(x'6869FF' AS TEXT), 'done')")
    db = await migrated(database_path)
    assert await rows(db, "SELECT prompt FROM jobs") == [("hi\ufffd",)]
    await db.close()


WALLETS = "CREATE TABLE wallets (user_id, balance); INSERT INTO wallets VALUES (1, 5), "
PAYMENTS = "CREATE TABLE payments (payment_id, user_id, amount, status);"
PAYMENTS += "INSERT INTO payments VALUES ('p', 1, 5, 'paid'), "
UNREADABLE = {
    "word": (WALLETS + "(2, 'abc')", "wallets, row 2: balance: 'abc' is no sum"),
    "infinity": (WALLETS + "(2, 9e999)", "inf is no sum"),
    "nan": (WALLETS + "(2, 'nan')", "'nan' is no sum"),
    "huge": (WALLETS + "(2, 1000000001)", "too many"),
    "huge real": (WALLETS + "(2, 1e300)", "too many"),
    "huge text": (WALLETS + "(2, '9999999999999999')", "is no sum"),
    "bytes": (WALLETS + "(2, x'3132')", "is no sum"),
    "part of a kopeck": (WALLETS + "(2, 12.345)", "no whole number of kopecks"),
    "thousands": (WALLETS + "(2, '1,000')", "is no sum"),
    "empty": (WALLETS + "(2, '')", "is no sum"),
    "two wallets": (WALLETS + "(1, 5)", "user 1 has two wallets"),
    "no user": (WALLETS + "(NULL, 5)", "user_id: it is missing"),
    "strange user": (WALLETS + "('me', 5)", "user_id: 'me' is no id"),
    "user of half": (WALLETS + "(1.5, 5)", "user_id: 1.5 is no id"),
    "no column": ("CREATE TABLE wallets (user_id, sum); INSERT INTO wallets VALUES (1, 5)", "no column balance"),
    "same payment": (PAYMENTS + "('p', 1, 5, 'paid')", "payment_id p is there twice"),
    "payment of nobody": (PAYMENTS + "('q', NULL, 5, 'paid')", "user_id: it is missing"),
    "payment of nothing": (PAYMENTS + "('q', 1, 0, 'paid')", "a payment of 0 kopecks"),
    "payment of less": (PAYMENTS + "('q', 1, -5, 'paid')", "a payment of -500 kopecks"),
    "payment of a word": (PAYMENTS + "('q', 1, 'much', 'paid')", "'much' is no sum"),
    "payment id of bytes": (PAYMENTS + "(x'00', 1, 5, 'paid')", "is no id"),
    "same job": ("CREATE TABLE jobs (id, user_id); INSERT INTO jobs VALUES (1, 1), ('1', 1)", "job 1 is there twice"),
    "job of nobody": ("CREATE TABLE jobs (id, user_id); INSERT INTO jobs VALUES (1, NULL)", "user_id: it is missing"),
    "same user": ("CREATE TABLE users (id); INSERT INTO users VALUES (1), ('1')", "user 1 is there twice"),
    "money elsewhere": ("CREATE TABLE users (id, balance); INSERT INTO users VALUES (1, 5)", "no table wallets"),
}


@pytest.mark.parametrize(("script", "said"), UNREADABLE.values(), ids=UNREADABLE)
async def test_what_cannot_be_read_changes_nothing(database_path: Path, script: str, said: str) -> None:
    """A value that can't be carried over stops the migration with a list; the file is what it was, without a copy."""
    make(database_path, script)
    before = dump(database_path)
    with pytest.raises(MigrationFailed) as failed:
        await Database(url_of(database_path)).init_db()
    assert len(failed.value.faults) == 1
    assert said in failed.value.faults[0]
    assert dump(database_path) == before
    assert copies(database_path) == []


async def test_all_faults_are_listed_at_once(database_path: Path) -> None:
    """The list names every fault of every table (the first hundred, then how many more)."""
    make(database_path, WALLETS + ", ".join(f"({n}, 'x')" for n in range(2, 152)))
    make(database_path, "CREATE TABLE jobs (id, user_id); INSERT INTO jobs VALUES (NULL, 1)")
    with pytest.raises(MigrationFailed) as failed:
        await Database(url_of(database_path)).init_db()
    assert len(failed.value.faults) == 101
    assert failed.value.faults[-1] == "and 51 more"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, 0), (0, 0), (100, 10_000), (-5, -500), (1_000_000_000, 10**11), (0.0, 0), (-0.0, 0), (150.75, 15_075),
        (0.1 + 0.2, 30), (1.1 * 3, 330), (19.99, 1_999), (1234567.89, 123_456_789), (999_999_999.99, 99_999_999_999),
        ("12.50", 1_250), ("12,50", 1_250), (" 100 ", 10_000), ("7.5", 750), ("-3,20", -320), ("+4", 400),
    ],
)  # fmt: skip
def test_rubles_become_kopecks(value: object, expected: int) -> None:
    """Every form in which version 1.3 could keep a sum is read to the kopeck."""
    assert legacy_values.kopecks(value) == expected


# --- any shape --------------------------------------------------------------------------------------

SUMS = st.integers(0, 10**9)
USER_IDS = st.integers(1, 12)


def as_real(amount: int) -> float:
    return amount / 100


def as_text(amount: int) -> str:
    return f" {amount // 100},{amount % 100:02d}"


def as_decimal(amount: int) -> str:
    return str(Decimal(amount) / 100)


SPELLINGS: st.SearchStrategy[Callable[[int], object]] = st.sampled_from([as_real, as_text, as_decimal])
OldFile = tuple[dict[int, int], list[tuple[str, int, int, str | None]], list[tuple[int | str, int, str | None]]]
"""Wallets by user; payments by id, user, amount and status; jobs by id, user and status."""


@st.composite
def old_files(draw: st.DrawFn) -> OldFile:
    wallets = draw(st.dictionaries(USER_IDS, SUMS | SUMS.map(lambda amount: -amount), max_size=8))
    words = st.sampled_from(["pending", "paid", "succeeded", "canceled", "refunded", "???", None])
    paid = draw(st.lists(st.tuples(st.uuids().map(str), USER_IDS, st.integers(1, 10**8), words), max_size=6))
    states = st.sampled_from(["pending", "processing", "completed", "failed", "cancelled", "running", None, ""])
    ids = st.integers(1, 99) | st.text("abcdef", min_size=1, max_size=6)
    made = draw(st.lists(st.tuples(ids, USER_IDS, states), max_size=6, unique_by=lambda job: str(job[0])))
    return wallets, paid, made


@given(old=old_files(), data=st.data())
@settings(max_examples=25, deadline=None)
def test_any_version_1_3_file_is_carried_over_exactly(
    tmp_path_factory: pytest.TempPathFactory, old: OldFile, data: st.DataObject
) -> None:
    """Whatever the spelling: balance = wallet or 0, debt = what was below 0, each payment credited at most once."""
    wallets, paid, made = old
    path = tmp_path_factory.mktemp("old") / "bot.db"
    with file_of(path) as connection:
        connection.execute("CREATE TABLE wallets (user_id, balance)")
        connection.execute("CREATE TABLE payments (payment_id, user_id, amount, status)")
        connection.execute("CREATE TABLE jobs (id, user_id, type, status)")
        for user_id, amount in wallets.items():
            spell = data.draw(SPELLINGS) if amount >= 0 else as_real
            connection.execute("INSERT INTO wallets VALUES (?, ?)", (user_id, spell(amount)))
        for name, user_id, amount, word in paid:
            connection.execute(
                "INSERT INTO payments VALUES (?, ?, ?, ?)", (name, user_id, data.draw(SPELLINGS)(amount), word)
            )
        connection.executemany("INSERT INTO jobs VALUES (?, ?, 'image', ?)", made)

    async def check() -> None:
        db = await migrated(path)
        owed = {user: -amount for user, amount in wallets.items() if amount < 0}
        assert dict(await rows(db, "SELECT user_id, amount FROM debts")) == owed
        for user_id in range(1, 13):
            assert await db.get_balance(user_id) == max(wallets.get(user_id, 0), 0)
        came: dict[int, int] = {}
        for name, user_id, amount, word in paid:
            payment = await db.read(payment_rows.by_provider_id, name)
            assert payment is not None
            assert payment.amount == amount
            credited = False
            if payment.quarantined_reason is None:
                credited = (await db.write(payment_rows.settle, payment.id))[1]
            assert credited is (word in ("pending", "canceled"))
            came[user_id] = came.get(user_id, 0) + amount * credited
        for user_id in range(1, 13):
            assert await db.get_balance(user_id) == max(wallets.get(user_id, 0) + came.get(user_id, 0), 0)
        assert {name for (name,) in await rows(db, "SELECT id FROM jobs")} == {str(job[0]) for job in made}
        assert await rows(db, "SELECT id FROM jobs WHERE status IN ('pending', 'processing')") == []
        await assert_books(db)
        await db.close()

    asyncio.run(check())


# --- killed at any moment ---------------------------------------------------------------------------

KILLED = """
import asyncio, os, signal, sys, threading
from database.models import Database

CALLS = ("execute", "backup", "fsync", "link", "unlink", "commit")
last, seen = int(sys.argv[2]), 0

def watch(frame, event, called):
    global seen
    if event == "c_call" and getattr(called, "__name__", "") in CALLS:
        seen += 1
        if seen == last:
            os.kill(os.getpid(), signal.SIGKILL)

threading.setprofile(watch)  # the migration runs on a thread of its own
asyncio.run(Database(sys.argv[1]).init_db())
print(seen)
"""


def killed_after(path: Path, calls: int) -> subprocess.CompletedProcess[str]:
    """Run the migration in a process that kills itself before its n-th call of SQLite or the disk (0: never)."""
    command = [sys.executable, "-c", KILLED, url_of(path), str(calls)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


async def test_killed_at_any_moment_and_run_again(tmp_path: Path) -> None:
    """kill -9 at moments all along the migration, then run again: always the same result, never half of one."""
    tables = ("users", "ledger", "debts", "payments", "jobs")
    columns = {"users": "id, name", "ledger": "user_id, amount, key", "debts": "user_id, amount",
               "payments": "id, amount, status, legacy, quarantined_reason", "jobs": "id, status, legacy"}  # fmt: skip

    async def content(path: Path) -> list[list[tuple[Any, ...]]]:
        db = await migrated(path)
        found = [await rows(db, f"SELECT {columns[table]} FROM {table} ORDER BY 1") for table in tables]
        await db.close()
        return found

    make(tmp_path / "whole.db")
    whole = killed_after(tmp_path / "whole.db", 0)
    assert whole.returncode == 0, whole.stderr
    expected, calls = await content(tmp_path / "whole.db"), int(whole.stdout)
    assert calls > 50
    for moment in sorted({round(calls * part / 8) for part in range(1, 8)} | {calls - 1, calls}):
        path = tmp_path / f"{moment}.db"
        make(path)
        before = dump(path)
        assert killed_after(path, moment).returncode == -signal.SIGKILL
        after = dump(path)
        assert after == before or any("ck_balances_never_negative" in line for line in after)
        assert await content(path) == expected


# --- the schema ---------------------------------------------------------------------------------------


def schema_of(path: Path) -> dict[tuple[str, str], list[str]]:
    """Every table, index, trigger and view of a file without layout; a table's constraints in a fixed order.

    A column that was added later stands behind the constraints in the file's text, so the two are told apart.
    """
    with file_of(path) as connection:
        found = connection.execute(
            "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
    schema_found = {}
    for kind, name, sql in found:
        plain = " ".join(re.sub(r"([(),])", r" \1 ", sql).split())
        if kind == "table":
            parts = parts_of(plain.partition(" ( ")[2].removesuffix(" STRICT").removesuffix(" )"))
            columns = [part for part in parts if not part.startswith("CONSTRAINT ")]
            constraints = sorted(part for part in parts if part.startswith("CONSTRAINT "))
            schema_found[kind, name] = [plain.partition(" ( ")[0], *columns, *constraints]
        else:
            schema_found[kind, name] = [plain]
    return schema_found


def parts_of(body: str) -> list[str]:
    """What stands between the commas of a CREATE TABLE, those inside brackets left alone."""
    parts: list[list[str]] = [[]]
    depth = 0
    for word in body.split():
        depth += {"(": 1, ")": -1}.get(word, 0)
        if word == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(word)
    return [" ".join(part) for part in parts]


async def test_the_revisions_make_the_schema_of_the_program(tmp_path: Path) -> None:
    """All revisions on an empty file give exactly what `database.schema` says; if not, a new revision is missing."""
    await (await migrated(tmp_path / "migrated.db")).close()
    file = SqliteFile.open(tmp_path / "created.db")
    with file.writing() as connection:
        schema.create_all(connection)
    file.close()
    by_revisions, by_program = schema_of(tmp_path / "migrated.db"), schema_of(tmp_path / "created.db")
    assert by_revisions.pop(("table", "alembic_version"))
    assert by_revisions == by_program
    assert len(by_program) > 50
    assert newest_revision() == schema.REVISION
    with file_of(tmp_path / "migrated.db") as connection:
        strict = connection.execute("SELECT name, strict FROM pragma_table_list").fetchall()
    assert {name for name, is_strict in strict if not is_strict and "sqlite_" not in name} == {"alembic_version"}


async def test_an_old_file_gets_the_same_schema(tmp_path: Path) -> None:
    """A version 1.3 file ends with the same schema as a new one, beside the tables kept for history."""
    make(tmp_path / "old.db")
    for name in ("old", "new"):
        await (await migrated(tmp_path / f"{name}.db")).close()
    old, new = schema_of(tmp_path / "old.db"), schema_of(tmp_path / "new.db")
    assert {name for _, name in set(old) - set(new)} == {"wallets", "v1_3_users"}
    assert {key: old[key] for key in new} == new


# --- new, newer, broken and foreign files -----------------------------------------------------------


async def test_a_new_file_is_created(tmp_path: Path) -> None:
    """No file, no folder: both are made; running again is harmless."""
    db = Database(url_of(tmp_path / "a" / "b" / "bot.db"))
    await db.init_db()
    await db.add_balance(1, 100, key="k", reason="r")
    await db.init_db()
    assert await db.get_balance(1) == 100
    await assert_books(db)
    assert list((tmp_path / "a" / "b").glob("*.bak")) == []
    await db.close()


@pytest.mark.parametrize("old", [False, True], ids=["empty", "version 1.3"])
def test_six_processes_at_once(database_path: Path, old: bool) -> None:
    """Six processes run the command on one file: one does the work, all succeed, one copy is made."""
    if old:
        make(database_path)
    environment = {**os.environ, "DATABASE_URL": url_of(database_path)}
    started = [
        subprocess.Popen([sys.executable, "-c", INIT], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    for process in started:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert len(copies(database_path)) == int(old)

    async def check() -> None:
        db = await migrated(database_path)
        assert await db.get_balance(1) == (15_075 if old else 0)
        await db.close()

    asyncio.run(check())


def test_the_documented_command_ends(database_path: Path) -> None:
    """The command of the documentation makes the database named by DATABASE_URL and ends."""
    run_program(INIT, seconds=20, env={**os.environ, "DATABASE_URL": url_of(database_path)})
    with file_of(database_path) as made:
        assert made.execute("SELECT COUNT(*) FROM ledger").fetchone() == (0,)


async def test_a_newer_schema_is_refused(database_path: Path) -> None:
    """A file that a newer program has migrated is left alone."""
    await (await migrated(database_path)).close()
    make(database_path, "UPDATE alembic_version SET version_num = '9999'")
    before = dump(database_path)
    with pytest.raises(UnsupportedDatabase, match="newer"):
        await Database(url_of(database_path)).init_db()
    assert dump(database_path) == before


@pytest.mark.parametrize("table", ["ledger", "jobs_of_ours", "drafts", "reservations"])
async def test_a_file_of_another_program(database_path: Path, table: str) -> None:
    """A file of a program we don't know is left alone when it has a table of a name we need."""
    make(database_path, f"CREATE TABLE {table} (a); INSERT INTO {table} VALUES (1)")
    before = dump(database_path)
    db = Database(url_of(database_path))
    if table == "jobs_of_ours":
        await db.init_db()
        assert await rows(db, f"SELECT * FROM {table}") == [(1,)]
        await db.close()
    else:
        with pytest.raises(UnsupportedDatabase, match=table):
            await db.init_db()
        assert dump(database_path) == before


async def test_an_old_file_with_a_ledger_is_refused(database_path: Path) -> None:
    """Wallets beside a ledger that is not ours: nobody can tell which of them holds the money."""
    make(database_path)
    make(database_path, "CREATE TABLE ledger (id INTEGER PRIMARY KEY, user_id, amount)")
    before = dump(database_path)
    with pytest.raises(UnsupportedDatabase, match="ledger"):
        await Database(url_of(database_path)).init_db()
    assert dump(database_path) == before


BROKEN: dict[str, bytes] = {
    "text": b"hello, I am a letter\n" * 500,
    "zeros": b"\x00" * 8192,
    "header only": b"SQLite format 3\x00" + b"\xff" * 4080,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
async def test_a_file_that_is_no_database(database_path: Path, content: bytes) -> None:
    """A file of another kind is refused with an error of ours, and keeps its bytes."""
    database_path.write_bytes(content)
    db = Database(url_of(database_path))
    for call in (db.init_db, lambda: db.get_balance(1)):
        with pytest.raises(DatabaseError):
            await call()
    assert database_path.read_bytes() == content
    await db.close()


async def test_a_truncated_database(database_path: Path) -> None:
    """A database that lost its end is refused with an error of ours, not with a driver's."""
    db = await migrated(database_path)
    for number in range(300):
        await db.add_balance(number, 100, key=f"k{number}", reason="r")
    await db.close()
    content = database_path.read_bytes()
    database_path.write_bytes(content[: len(content) // 3 // 4096 * 4096])
    with pytest.raises(DatabaseUnavailable, match="damaged"):
        await db.read(ledger.history, 299)
    await db.close()


@pytest.mark.parametrize("place", ["a folder", "/proc/nowhere/bot.db"])
async def test_a_place_that_cannot_hold_a_file(tmp_path: Path, place: str) -> None:
    """A path that is a folder or can't be made is refused with an error of ours."""
    (tmp_path / "a folder").mkdir()
    db = Database(url_of(Path(place) if place.startswith("/") else tmp_path / place))
    for call in (db.init_db, lambda: db.get_balance(1)):
        with pytest.raises(DatabaseError):
            await call()


BAD_URLS: Sequence[str] = (
    "postgresql://localhost/shop", "mysql://localhost/shop", "sqlite://", "sqlite:///", "sqlite:///:memory:", "bot.db",
    "sqlite://host/bot.db",
)  # fmt: skip


@pytest.mark.parametrize("url", BAD_URLS)
async def test_urls_that_name_no_file(url: str) -> None:
    """A DATABASE_URL that we can't serve is refused with a sentence that says what would do."""
    with pytest.raises(UnsupportedDatabase, match="DATABASE_URL"):
        await Database(url).init_db()


async def test_several_databases_are_made_at_once_in_one_process(tmp_path: Path) -> None:
    """The library that migrates keeps its connection in globals: one file's schema never goes into another."""
    shops = [Database(f"sqlite:///{tmp_path / f'{number}.db'}") for number in range(6)]
    await asyncio.gather(*(shop.init_db() for shop in shops))
    for shop in shops:
        assert await shop.get_balance(1) == 0
        await shop.close()
