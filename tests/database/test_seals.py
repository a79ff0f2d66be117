"""Seals over the ledger: whatever is changed behind the triggers is found and named, and sealing itself never fails."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sqlite3
import subprocess
import threading
from pathlib import Path

import pytest

from database import flags as flag_rows
from database import schema
from database.audit import run as audit
from database.audit import seals
from database.audit.checks import run_checks
from database.audit.findings import MOST_IDS, Finding
from database.engine import SqliteFile, Tx
from database.errors import BooksDisagree, BrokenRule, UnsupportedDatabase
from database.models import Database
from database.schema import NO_SEAL, ledger
from tests.support.database_fixture import assert_books, program, run_program, snapshot, url_of
from tests.support.intruder import intruder, other_program

ANNA, BORIS = 7001, 7002
COLUMNS = "id, user_id, kind, amount, reason, job_id, payment_id, key, created_at"


def write_entries(connection: sqlite3.Connection, *rows: tuple[object, ...]) -> None:
    connection.executemany(f"INSERT INTO ledger ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


def mend_balances(connection: sqlite3.Connection) -> None:
    """An intruder who knows the shadow brings it in line, so that only the seals can tell."""
    connection.execute("DELETE FROM balances")
    connection.execute(
        "INSERT INTO balances SELECT u.id, COALESCE(SUM(l.amount), 0), COUNT(l.id), COALESCE(MAX(l.id), 0)"
        " FROM users u LEFT JOIN ledger l ON l.user_id = u.id GROUP BY u.id"
    )


def by_sentence(findings: list[Finding] | tuple[Finding, ...], rule: str = "I4") -> dict[str, tuple[str, ...]]:
    return {finding.sentence: finding.ids for finding in findings if finding.check == rule}


DELETED = "these entries were deleted after they had been sealed"
CHANGED = "these entries were changed after they had been sealed"
RANGES = "the entries in these ranges are not those that were sealed"
CLAIMS = "the seals over these entries tell another count or sum than their entries have"
SEALS_CHANGED = "the seals over these entries were changed"
SEAL_MISSING = "the seal before those over these entries is missing or another one"
NOT_NOTED = "the newest seal is not the one that was noted when it was written"


async def entries(db: Database, count: int, *, first: int = 1) -> None:
    """`count` honest entries of two people: gifts, and every third a spending."""
    for number in range(first, first + count):
        user = ANNA if number % 2 else BORIS
        if number % 3 or number < 6:
            await db.add_balance(user, 1_000 + number, key=f"gift-{number}", reason="gift")
        else:
            await db.subtract_balance(user, number, key=f"spent-{number}", reason="подарок другу")


@pytest.fixture
async def sealed(empty_db: Database) -> Database:
    """Thirty entries under three seals of ten, and three that are not sealed yet."""
    for first in (1, 11, 21):
        await entries(empty_db, 10, first=first)
        assert await empty_db.write(seals.seal) is not None
    await entries(empty_db, 3, first=31)
    await assert_books(empty_db)
    await empty_db.close()
    return empty_db


async def audited(db: Database, **options: object) -> audit.Books:
    return await asyncio.to_thread(audit.run, db.path, **options)  # type: ignore[arg-type]


# --- what a seal is ---------------------------------------------------------------------------------


async def test_a_seal_can_be_recomputed_by_anybody(sealed: Database, database_path: Path) -> None:
    """The hash follows from the description in database/audit/seals.py alone, with nothing but sqlite3 and hashlib."""

    def written(value: str | None) -> bytes:
        data = b"" if value is None else value.encode()
        return (b"" if value is None else str(len(data)).encode()) + b":" + data

    async with other_program(sealed) as connection:
        rows = connection.execute(f"SELECT {COLUMNS} FROM ledger ORDER BY id").fetchall()
        found = connection.execute(
            "SELECT upto_id, first_id, n, total, prev, hash, created_at FROM seals ORDER BY upto_id"
        ).fetchall()
    prev = NO_SEAL
    for upto, first, n, total, told_prev, told, at in found:
        covered = [row for row in rows if first <= row[0] <= upto]
        lines = [
            f"{one[0]},{one[1]},{one[3]},{one[8]},".encode() + b"".join(map(written, (one[2], *one[4:8]))) + b"\n"
            for one in covered
        ]
        marks = b"".join(hashlib.sha256(line).digest()[:4] for line in lines)
        facts = f"seal-1 {prev} {first} {upto} {n} {total} {hashlib.sha256(b''.join(lines)).hexdigest()} {at}\n"
        assert told == hashlib.sha256(facts.encode() + hashlib.sha256(marks).digest()).hexdigest()
        assert (n, total, told_prev) == (len(covered), sum(one[3] for one in covered), prev)
        prev = told
    assert [row[0] for row in found] == [10, 20, 30]


def test_every_column_of_an_entry_is_sealed() -> None:
    """A column that the ledger gets later must come under the seals as well."""
    assert sorted((*seals.NUMBERS, *seals.TEXTS)) == sorted(column.name for column in ledger.c)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", None), ("a", "")),
        (("ab", "c"), ("a", "bc")),
        (("1:a", None), ("1", ":a")),
        (("a\n", "b"), ("a", "\nb")),
        (("a", "b"), ("b", "a")),
        (("a\x00b", None), ("a", None)),
    ],
)
async def test_no_two_entries_are_written_alike(
    empty_db: Database, database_path: Path, one: tuple[str, str | None], other: tuple[str, str | None]
) -> None:
    """NULL is not an empty text, no field runs into its neighbour, and nothing hides behind a NUL byte."""
    await empty_db.add_balance(ANNA, 5, key="k", reason="r")
    written = []
    for reason, job_id in (one, other):
        async with intruder(empty_db) as connection:
            connection.execute("UPDATE ledger SET reason = ?, job_id = ?", (reason, job_id))
        written.append(await empty_db.read(lambda tx: seals.compute(tx).seal.entries_hash))  # type: ignore[union-attr]
    assert written[0] != written[1]


async def test_nothing_new_is_no_seal(sealed: Database) -> None:
    """Sealing twice in a row writes one row; an empty ledger has none."""
    assert (await sealed.write(seals.seal)) is not None
    assert await sealed.write(seals.seal) is None
    assert audit.seal_all(sealed.path) == 0
    assert [one.upto_id for one in await sealed.read(seals.chain)] == [10, 20, 30, 33]
    await assert_books(sealed)


async def test_an_old_ledger_is_sealed_from_its_first_entry_in_batches(empty_db: Database) -> None:
    """However many entries wait: bounded batches, each a seal, until nothing is left."""
    await entries(empty_db, 25)
    assert await empty_db.read(seals.unsealed) == 25
    assert audit.seal_all(empty_db.path, most=10) == 3
    chain = await empty_db.read(seals.chain)
    assert [(one.first_id, one.upto_id, one.n) for one in chain] == [(1, 10, 10), (11, 20, 10), (21, 25, 5)]
    assert (await empty_db.read(seals.unsealed), await empty_db.read(seals.unsealed_ids)) == (0, 0)
    await assert_books(empty_db)


async def test_seals_are_append_only_for_any_program(sealed: Database, database_path: Path) -> None:
    """No program changes, deletes, replaces or squeezes in a seal while the triggers are there."""
    before = await snapshot(sealed, "seals")
    for statement in (
        "UPDATE seals SET total = 0",
        "DELETE FROM seals WHERE upto_id = 30",
        "INSERT OR REPLACE INTO seals SELECT * FROM seals WHERE upto_id = 30",
        "INSERT INTO seals SELECT 99, 31, 1, 1, entries_hash, prev, upper(hash), 1, x'' FROM seals WHERE upto_id = 30",
        "INSERT INTO seals SELECT 99, 41, 1, 1, entries_hash, hash, prev, 1, x'' FROM seals WHERE upto_id = 30",
    ):
        async with other_program(sealed) as connection:
            with pytest.raises(sqlite3.IntegrityError, match="seals"):
                connection.execute(statement)
    assert await snapshot(sealed, "seals") == before


# --- what an intruder does, with the triggers back in place afterwards ------------------------------------


TAMPERING: dict[str, tuple[list[str], dict[str, tuple[str, ...]]]] = {
    "an amount": (["UPDATE ledger SET amount = amount + 1 WHERE id = 14"], {CHANGED: ("14",)}),
    "a reason": (["UPDATE ledger SET reason = 'refund' WHERE id = 2"], {CHANGED: ("2",)}),
    "a time": (["UPDATE ledger SET created_at = created_at - 1 WHERE id = 30"], {CHANGED: ("30",)}),
    "a user": (["UPDATE ledger SET user_id = 7002 WHERE id = 1"], {CHANGED: ("1",)}),
    "a key": (["UPDATE ledger SET key = 'caller:other' WHERE id = 8"], {CHANGED: ("8",)}),
    "a job that was not named": (["UPDATE ledger SET job_id = 'x' WHERE id = 8"], {CHANGED: ("8",)}),
    "many at once": (
        ["UPDATE ledger SET reason = 'x' WHERE id IN (3, 5, 6, 7, 25)"], {CHANGED: ("3", "5-7", "25")}
    ),
    "two rows swapped": (
        [
            "UPDATE ledger SET id = -1 WHERE id = 4", "UPDATE ledger SET id = 4 WHERE id = 16",
            "UPDATE ledger SET id = 16 WHERE id = -1",
        ],
        {CHANGED: ("4", "16")},
    ),
    "one in the middle deleted": (["DELETE FROM ledger WHERE id = 15"], {DELETED: ("15",)}),
    "a whole seal's entries deleted": (["DELETE FROM ledger WHERE id BETWEEN 11 AND 20"], {DELETED: ("11-20",)}),
    "the end deleted": (["DELETE FROM ledger WHERE id >= 29"], {DELETED: ("29-30",)}),
    "all deleted": (["DELETE FROM ledger"], {DELETED: ("1-10", "11-20", "21-30")}),
    "deleted, and another put in its place": (
        [
            "DELETE FROM ledger WHERE id = 12",
            "INSERT INTO ledger SELECT 12, user_id, kind, 777, reason, job_id, payment_id, 'new', created_at"
            " FROM ledger WHERE id = 13",
        ],
        {CHANGED: ("12",)},
    ),
    "one put before the first": (
        ["INSERT INTO ledger SELECT -5, user_id, kind, amount, reason, NULL, NULL, 'new', 1700000000000"
         " FROM ledger WHERE id = 1"],
        {"these entries were put before the first one": ("-5",)},
    ),
    "bytes that are no text": (["UPDATE ledger SET reason = CAST(x'ff41' AS TEXT) WHERE id = 9"], {CHANGED: ("9",)}),
}  # fmt: skip


@pytest.mark.parametrize("way", TAMPERING)
async def test_a_change_behind_the_triggers_is_found_and_named(sealed: Database, database_path: Path, way: str) -> None:
    """The shadow is in line and the triggers are back: the seals tell, and name the very entries."""
    statements, expected = TAMPERING[way]
    async with intruder(sealed) as connection:
        for statement in statements:
            connection.execute(statement)
        mend_balances(connection)
    found = by_sentence((await audited(sealed)).findings)
    assert expected.items() <= found.items(), found
    assert not {CHANGED, DELETED} & set(found) - set(expected)
    assert not any("guards" in sentence for sentence in found)
    assert expected.items() <= by_sentence(await sealed.read(run_checks)).items()


async def test_an_entry_with_a_free_lower_id_is_found(empty_db: Database, database_path: Path) -> None:
    """Where ids have a gap that an honest seal covers, an entry written into it later is found by its range."""
    await entries(empty_db, 4)
    async with other_program(empty_db) as other:
        other.execute(
            "INSERT INTO ledger (id, user_id, kind, amount, reason, key, created_at)"
            " VALUES (9, 7001, 'credit', 5, 'r', 'other program', 1790000000000)"
        )
    assert await empty_db.write(seals.seal) is not None
    gap = by_sentence((await audited(empty_db)).findings)
    assert gap == {"entries before these ids are missing": ("9",)}
    async with intruder(empty_db) as connection:
        write_entries(connection, (6, ANNA, "credit", 500, "gift", None, None, "back-dated", 1_780_000_000_000))
        mend_balances(connection)
    assert by_sentence((await audited(empty_db)).findings)[RANGES] == ("1-9",)


async def test_many_changes_are_named_up_to_a_bound(empty_db: Database, database_path: Path) -> None:
    """A finding names twenty places at most, however much was rewritten."""
    await entries(empty_db, 90)
    audit.seal_all(empty_db.path, most=3)
    async with intruder(empty_db) as connection:
        connection.execute("UPDATE ledger SET reason = 'x' WHERE id % 2")
    found = by_sentence((await audited(empty_db)).findings)
    assert len(found[CHANGED]) == MOST_IDS


SEAL_TAMPERING: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "a sum": ("UPDATE seals SET total = total + 1 WHERE upto_id = 20", {SEALS_CHANGED: ("11-20",), CLAIMS: ("11-20",)}),
    "a time": ("UPDATE seals SET created_at = created_at + 1 WHERE upto_id = 10", {SEALS_CHANGED: ("1-10",)}),
    "its marks": ("UPDATE seals SET marks = zeroblob(40) WHERE upto_id = 20", {SEALS_CHANGED: ("11-20",)}),
    "the first gone": ("DELETE FROM seals WHERE upto_id = 10", {SEAL_MISSING: ("11-20",)}),
    "one in the middle gone": ("DELETE FROM seals WHERE upto_id = 20", {SEAL_MISSING: ("21-30",)}),
}


@pytest.mark.parametrize("way", SEAL_TAMPERING)
async def test_a_changed_or_missing_seal_is_found(sealed: Database, database_path: Path, way: str) -> None:
    """The chain itself can't be edited: a seal hashes its own columns and the one before."""
    statement, expected = SEAL_TAMPERING[way]
    async with intruder(sealed) as connection:
        connection.execute(statement)
    assert by_sentence((await audited(sealed)).findings) == expected


@pytest.mark.parametrize("statement", ["DELETE FROM seals WHERE upto_id = 30", "DELETE FROM seals"])
async def test_a_cut_off_end_of_the_chain_is_found_and_not_sealed_over(
    sealed: Database, database_path: Path, statement: str
) -> None:
    """The newest seal is noted beside the chain; sealing stops until an admin has looked."""
    head = (await audited(sealed)).head
    assert head is not None
    async with intruder(sealed) as connection:
        connection.execute(statement)
    assert by_sentence((await audited(sealed)).findings) == {NOT_NOTED: (head.hash,)}
    before = await snapshot(sealed, "seals")
    with pytest.raises(BooksDisagree):
        audit.seal_all(database_path)
    assert await snapshot(sealed, "seals") == before


async def test_a_chain_that_was_recomputed_whole_is_found_by_a_head_that_left(
    sealed: Database, database_path: Path
) -> None:
    """When entries, balances, every seal and the note are forged, the books agree, but the head was never sent."""
    heads = [one.hash for one in await sealed.read(seals.chain)]
    async with intruder(sealed) as connection:
        connection.execute("UPDATE ledger SET amount = amount + 100000 WHERE id = 13")
        mend_balances(connection)
        connection.execute("DELETE FROM seals WHERE upto_id > 10")
        connection.execute("UPDATE flags SET value = ? WHERE name = 'seal_newest'", (heads[0],))
    audit.seal_all(database_path, most=10)
    forged = await audited(sealed)
    assert forged.sound
    told = await audited(sealed, head=heads[2])
    assert [(one.check, one.ids) for one in told.findings] == [("I4", (heads[2],))]
    assert (await audited(sealed, head=heads[0])).sound, "what that head covers was not touched"
    assert not (await audited(sealed, head=heads[1])).sound


async def test_a_head_that_was_sent_and_is_in_the_outbox_need_not_be_typed(
    sealed: Database, database_path: Path
) -> None:
    """The daily messages are rows for weeks: their heads are compared without being asked."""
    head = (await audited(sealed)).head
    assert head is not None
    async with intruder(sealed) as connection:
        connection.execute(
            "INSERT INTO outbox (key, user_id, kind, payload, created_at)"
            " VALUES ('audit:2026-11-22:1', 1, 'audit', json_object('head', ?), 1)",
            (head.hash,),
        )
    assert (await audited(sealed)).sound
    async with intruder(sealed) as connection:
        connection.execute("UPDATE ledger SET reason = 'x' WHERE id = 30")
        connection.execute("DELETE FROM seals")
        connection.execute("DELETE FROM flags WHERE name = 'seal_newest'")
    audit.seal_all(database_path, most=10)
    found = by_sentence((await audited(sealed)).findings)
    assert found == {"these heads were sent to administrators and are no seals any more": (head.hash,)}


async def test_an_older_and_a_younger_head_are_known_and_others_are_not(sealed: Database) -> None:
    """Any seal of the chain counts, by its first digits as well; an invented one does not."""
    chain = await sealed.read(seals.chain)
    for one in chain:
        assert (await audited(sealed, head=one.hash)).sound
        assert (await audited(sealed, head=one.hash[:16])).sound
    assert not (await audited(sealed, head="0" * 64)).sound


# --- two at once, kills ------------------------------------------------------------------------------


SEAL = """
import sys
from pathlib import Path
from database.audit import run as audit
sys.stdin.readline()
for _ in range(3):
    audit.seal_all(Path(sys.argv[1]), most=7)
"""


async def test_two_processes_seal_at_once(empty_db: Database) -> None:
    """Two bots for a moment: one chain, every entry under exactly one seal, nobody fails."""
    await entries(empty_db, 60)
    with contextlib.ExitStack() as stack:
        both = [stack.enter_context(program(SEAL, empty_db.path, stdin=subprocess.PIPE)) for _ in range(2)]
        said = await asyncio.gather(*(asyncio.to_thread(one.communicate, "go\n", 60) for one in both))
        assert [(one.returncode, err) for one, (_, err) in zip(both, said, strict=True)] == [(0, "")] * 2
    chain = await empty_db.read(seals.chain)
    assert (chain[0].first_id, chain[-1].upto_id, sum(one.n for one in chain)) == (1, 60, 60)
    await assert_books(empty_db)


async def test_a_seal_that_comes_second_is_not_written(empty_db: Database) -> None:
    """Computed from the same head, written one after the other: the second is none, and the schema refuses it."""
    await entries(empty_db, 5)
    first, second = await empty_db.read(seals.compute), await empty_db.read(seals.compute)
    assert first is not None
    assert second is not None
    assert await empty_db.write(seals.add, first)
    assert not await empty_db.write(seals.add, second)

    def force(tx: Tx) -> None:
        values = {**vars(second.seal), "marks": second.marks}
        tx.execute(schema.seals.insert().values(**values))

    with pytest.raises(BrokenRule):
        await empty_db.write(force)
    await assert_books(empty_db)


async def test_entries_that_come_between_hash_and_write_get_the_next_seal(empty_db: Database) -> None:
    """A seal covers what its snapshot held; later entries are not lost and not sealed twice."""
    await entries(empty_db, 5)
    new = await empty_db.read(seals.compute)
    assert new is not None
    await entries(empty_db, 5, first=6)
    assert await empty_db.write(seals.add, new)
    assert await empty_db.write(seals.seal) is not None
    assert [(one.first_id, one.upto_id) for one in await empty_db.read(seals.chain)] == [(1, 5), (6, 10)]
    await assert_books(empty_db)


KILLED = """
import os, signal, sys
from pathlib import Path
from database.audit import run as audit
from database.audit import seals
add = seals.add
def die(tx, new):
    if sys.argv[2] == "after":
        add(tx, new)
    os.kill(os.getpid(), signal.SIGKILL)
seals.add = die
audit.seal_all(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_killed_between_hash_and_commit_nothing_is_half(empty_db: Database, moment: str) -> None:
    """A seal and its note are written together or not at all; the next one seals everything."""
    await entries(empty_db, 5)
    with program(KILLED, empty_db.path, moment) as process:
        await asyncio.to_thread(process.wait, 30)
        assert process.returncode == -9
    assert await empty_db.read(seals.chain) == []
    assert await empty_db.read(flag_rows.get, seals.NEWEST) == ""
    assert audit.seal_all(empty_db.path) == 1
    await assert_books(empty_db)


async def test_sealing_keeps_no_writer_waiting(empty_db: Database) -> None:
    """While a seal is being hashed another connection writes: the hash reads a snapshot and holds no lock."""
    await entries(empty_db, 5)
    file = SqliteFile.open(empty_db.path)
    try:
        with file.reading() as connection:
            tx = Tx(connection, 1_790_000_000_000)
            assert seals.newest(tx) is None
            await entries(empty_db, 1, first=6)
            new = seals.compute(tx)
    finally:
        file.close()
    assert new is not None
    assert new.seal.upto_id == 5


# --- the audit on connections of its own --------------------------------------------------------------


async def test_the_audit_runs_while_others_write(sealed: Database) -> None:
    """Snapshots of different moments are each sound: writing during the audit is no finding."""
    stop = asyncio.Event()

    async def write() -> None:
        number = 100
        while not stop.is_set():
            number += 1
            await sealed.add_balance(ANNA, 10, key=f"load-{number}", reason="gift")
            await sealed.reserve_balance(ANNA, 5, f"job-{number}")
            await sealed.charge_reserved_balance(f"job-{number}", 3)
            await sealed.write(seals.seal)

    writer = asyncio.create_task(write())
    for threads in (1, 2, 3):
        assert (await audited(sealed, threads=threads)).findings == ()
    stop.set()
    await writer


async def test_the_audit_describes_the_books(sealed: Database) -> None:
    """Count, sums, head and what is not sealed yet."""
    await sealed.reserve_balance(ANNA, 500, "job")
    books = await audited(sealed)
    total = sum([await sealed.get_balance(ANNA), await sealed.get_balance(BORIS)])
    assert (books.entries, books.unsealed, books.seals, books.balances, books.held) == (34, 4, 3, total, 500)
    assert books.head == await sealed.read(seals.newest)
    assert books.deep


async def test_the_audit_stops_when_told(sealed: Database) -> None:
    """Who ends the program does not wait for it."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(audit.Stopped):
        await audited(sealed, stop=stop)


async def test_what_can_not_be_checked_is_a_finding(sealed: Database, database_path: Path) -> None:
    """A check that fails for what an intruder wrote is told under its rule and keeps no other from running."""
    async with intruder(sealed) as connection:
        connection.execute("PRAGMA ignore_check_constraints=ON")
        connection.execute(f"UPDATE ledger SET amount = {2**63 - 1} WHERE id IN (1, 3)")
    books = await audited(sealed)
    assert {"I4", "I5", "file"} <= {finding.check for finding in books.findings}
    assert any("could not be carried out" in finding.sentence for finding in books.findings)


async def test_an_older_schema_is_told_as_such(sealed: Database, database_path: Path) -> None:
    """A copy from before the seals is brought up to date by a restore, and the audit says so."""
    async with other_program(sealed) as connection:
        connection.execute("DROP TABLE seals")
    with pytest.raises(UnsupportedDatabase, match="restore"):
        await audited(sealed)


UPGRADED = """
import asyncio, sys
from database.models import Database
asyncio.run(Database(sys.argv[1]).init_db())
"""


async def test_a_ledger_from_before_the_seals_is_upgraded_and_sealed(empty_db: Database, database_path: Path) -> None:
    """The revision adds the table and seals nothing; sealing begins with the first entry."""
    await entries(empty_db, 12)
    await empty_db.close()
    async with other_program(empty_db) as connection:
        connection.execute("DROP TABLE seals")
        connection.execute("DROP INDEX ix_ledger_job_money")
        connection.execute("CREATE INDEX ix_ledger_job_id ON ledger (job_id) WHERE job_id IS NOT NULL")
        connection.execute("UPDATE alembic_version SET version_num = '0002'")
    run_program(UPGRADED, url_of(database_path))
    assert await empty_db.read(seals.chain) == []
    assert audit.seal_all(database_path) == 1
    chain = await empty_db.read(seals.chain)
    assert [(one.first_id, one.upto_id) for one in chain] == [(1, 12)]
    await assert_books(empty_db)
