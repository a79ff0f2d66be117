"""The connection to the database: transactions stay whole, with callers cancelled, killed, forked or many at once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from database import ledger
from database.engine import SqliteFile, Tx
from database.migrate import migrate
from database.models import BrokenRule, Database, DatabaseUnavailable, Entry, EntryKind, InsufficientFunds, Refusal
from database.sqlite_library import OLDEST_SQLITE
from tests.support.database_fixture import ROOT, assert_books, program, run_program, snapshot, url_of

ANNA = 7001


def open_files(path: Path) -> int:
    """How many descriptors of this process are open on the database's files."""
    found = 0
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(path))
        except FileNotFoundError:
            continue
    return found


def only_value(tx: Tx, statement: str) -> Any:
    """The only value that a statement answers."""
    return tx.connection.exec_driver_sql(statement).scalar_one()


def fail_halfway(tx: Tx) -> None:
    ledger.add_balance(tx, ANNA, 500, key="half", reason="r")
    raise RuntimeError("the second half never came")


# --- a transaction is whole ---------------------------------------------------------------------------


def owe_a_user_that_nobody_is(tx: Tx) -> None:
    """The foreign key is checked only by COMMIT, which SQLite refuses, and the transaction stays open."""
    tx.connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
    ledger.add_balance(tx, ANNA, 500, key="half", reason="r")
    tx.connection.exec_driver_sql("INSERT INTO balances VALUES (404, 0, 0, 0)")


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [(fail_halfway, RuntimeError, "second half"), (owe_a_user_that_nobody_is, BrokenRule, "FOREIGN KEY")],
    ids=["the function raises", "the commit is refused"],
)
async def test_an_error_rolls_everything_back(
    db: Database, function: Callable[[Tx], None], error: type[Exception], words: str
) -> None:
    """An error is raised, nothing that was written stays, and the next call works."""
    before = await snapshot(db)
    with pytest.raises(error, match=words):
        await db.write(function)
    assert await snapshot(db) == before
    await db.add_balance(ANNA, 500, key="half", reason="r")


async def test_a_reader_sees_one_snapshot(db: Database) -> None:
    """What runs through `read` sees one moment, whatever others commit meanwhile."""
    await db.add_balance(ANNA, 100, key="k", reason="r")

    def look_twice(tx: Tx) -> tuple[int, int]:
        first = ledger.get_balance(tx, ANNA)
        other = SqliteFile(db.path)
        other.write(lambda tx: ledger.add_balance(tx, ANNA, 7, key="meanwhile", reason="r"))
        other.close()
        return first, ledger.get_balance(tx, ANNA)

    assert await db.read(look_twice) == (100, 100)


async def test_a_read_cannot_write(db: Database) -> None:
    """A write that strays into `read` is refused, and the next write works."""
    with pytest.raises(DatabaseUnavailable, match="readonly"):
        await db.read(ledger.add_balance, ANNA, 5, key="k", reason="r")
    assert (await db.add_balance(ANNA, 5, key="k", reason="r")).amount == 5


async def test_broken_rules_come_out_as_ours(db: Database) -> None:
    """A constraint that refuses is BrokenRule, an overdraft InsufficientFunds; no driver's error comes out."""
    with pytest.raises(BrokenRule):
        await db.write(lambda tx: tx.connection.exec_driver_sql("INSERT INTO balances VALUES (1, 2, 3, 4)"))
    with pytest.raises(DatabaseUnavailable):
        await db.write(lambda tx: tx.connection.exec_driver_sql("SELECT nonsense"))
    await db.add_balance(ANNA, 100, key="k", reason="r")
    with pytest.raises(InsufficientFunds):
        await db.write(lambda tx: ledger.add_entry(tx, ANNA, EntryKind.DEBIT, -101, "x", "x"))


async def test_every_connection_is_durable_and_guarded(db: Database) -> None:
    """WAL with FULL, foreign keys and recursive triggers, on a library without the WAL-reset race."""
    pragmas = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "recursive_triggers": 1, "trusted_schema": 0}
    for name, value in pragmas.items():
        assert await db.read(only_value, f"PRAGMA {name}") == value
    version = await db.read(only_value, "SELECT sqlite_version()")
    assert tuple(map(int, version.split("."))) >= OLDEST_SQLITE


# --- many at once -----------------------------------------------------------------------------------


async def test_a_hundred_reserves_with_money_for_one(db: Database) -> None:
    """Of a hundred parallel reserves with money for one, one is granted, the others get InsufficientFunds."""
    await db.add_balance(ANNA, 100, key="k", reason="r")
    calls = [db.reserve_balance(ANNA, 100, f"job-{number}") for number in range(100)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(answer, InsufficientFunds) for answer in answers) == 99
    assert len([answer for answer in answers if not isinstance(answer, BaseException)]) == 1
    assert await db.get_balance(ANNA) == 0


async def test_a_hundred_repeats_at_once(db: Database) -> None:
    """The same call a hundred times at once is one entry, and all get the same answer."""
    calls = [db.add_balance(ANNA, 100, key="k", reason="r") for _ in range(100)]
    answers: list[Entry] = await asyncio.gather(*calls)
    assert len({answer.id for answer in answers}) == 1
    assert await db.get_balance(ANNA) == 100


async def test_charge_and_refund_race(db: Database) -> None:
    """Of a charge and a refund at once one wins, never both, never neither."""
    await db.add_balance(ANNA, 100 * 40, key="k", reason="r")
    for number in range(40):
        await db.reserve_balance(ANNA, 100, f"j{number}")
    pairs = [
        call
        for number in range(40)
        for call in random.sample([db.charge_reserved_balance(f"j{number}"), db.refund_balance(f"j{number}")], 2)
    ]
    answers = await asyncio.gather(*pairs, return_exceptions=True)
    refused = [isinstance(answer, Refusal) for answer in answers]
    assert [sum(refused[2 * number : 2 * number + 2]) for number in range(40)] == [1] * 40


HAMMER = """
import asyncio, random, sys, time
from database.models import Database, Refusal

async def main(url, name, seconds):
    db = Database(url)
    done, slowest, end = 0, 0.0, time.monotonic() + seconds
    chance = random.Random(name)

    async def task(number):
        nonlocal done, slowest
        turn = 0
        while time.monotonic() < end:
            turn += 1
            user, job = chance.randint(1, 5), f"{name}-{number}-{turn}"
            began = time.monotonic()
            try:
                await db.add_balance(user, 10, key=f"add-{job}", reason="r")
                await db.reserve_balance(user, chance.randint(1, 30), job)
                if chance.random() < 0.5:
                    await db.charge_reserved_balance(job, 1)
                else:
                    await db.refund_balance(job)
                    await db.refund_balance(job)
            except Refusal:
                pass
            slowest = max(slowest, time.monotonic() - began)
            done += 1

    await asyncio.gather(*(task(number) for number in range(4)))
    await db.close()
    print(done, slowest)

asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
"""


async def test_four_processes_on_one_file(db: Database) -> None:
    """Four processes write to one file all the time: the books are exact, each gets its turn, none fails as locked."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", HAMMER, db.url, f"p{number}", "3"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number in range(4)
    ]  # fmt: skip
    rounds = []
    for worker in workers:
        out, err = await asyncio.to_thread(worker.communicate, timeout=60)
        assert worker.returncode == 0, err
        done, slowest = out.split()
        rounds.append(int(done))
        assert float(slowest) < 3
    assert min(rounds) * 10 > max(rounds)
    assert await db.read(only_value, "SELECT COUNT(*) FROM ledger") > 100


# --- killed -----------------------------------------------------------------------------------------

KILL_ME = """
import asyncio, os, sys
from sqlalchemy import text
from database import ledger
from database.models import Database, Refusal

def half(tx, turn):
    ledger.add_balance(tx, 7001, 7, key=f"half-{turn}", reason="never whole")
    print("inside", flush=True)
    for _ in range(2000):
        tx.execute(text("SELECT COUNT(*) FROM ledger"))
    raise RuntimeError

async def main():
    db = Database(sys.argv[1])
    for turn in range(100000):
        await db.add_balance(7001, 5, key=f"{sys.argv[2]}-{turn}", reason="r")
        print("added", turn, flush=True)
        await db.reserve_balance(7001, 3, f"{sys.argv[2]}-{turn}")
        await db.refund_balance(f"{sys.argv[2]}-{turn}")
        if turn % 10 == 9:
            try:
                await db.write(half, turn)
            except RuntimeError:
                pass

asyncio.run(main())
"""


async def test_kill_in_the_middle_of_anything(db: Database) -> None:
    """After kill -9 at a random moment the file opens, the books hold, and whatever was answered is there."""
    for turn in range(5):
        with program(KILL_ME, db.url, f"run{turn}") as process:
            assert process.stdout is not None
            lines: list[str] = []
            stop_at = random.randint(5, 60)
            while len(lines) < stop_at:
                lines.append(await asyncio.to_thread(process.stdout.readline))
                assert lines[-1], "the process ended by itself"
            process.send_signal(signal.SIGKILL)
        answered = [line.split()[1] for line in lines if line.startswith("added")]
        keys = {entry.key for entry in await db.read(ledger.history, ANNA, limit=100_000)}
        assert {f"caller:run{turn}-{number}" for number in answered} <= keys
        assert not [key for key in keys if "half" in key]
        await assert_books(db)


async def test_a_killed_holder_frees_the_gate(db: Database) -> None:
    """A process that dies inside a transaction does not keep others waiting."""
    with program(KILL_ME, db.url, "gate") as process:
        assert process.stdout is not None
        while "inside" not in await asyncio.to_thread(process.stdout.readline):
            pass
        process.send_signal(signal.SIGKILL)
        await asyncio.wait_for(db.add_balance(1, 1, key="after", reason="r"), 5)


# --- cancelled --------------------------------------------------------------------------------------


async def test_a_storm_of_cancellations(db: Database, database_path: Path) -> None:
    """Tasks are cancelled at random moments of their calls: the next call works, all repeats agree, books hold."""
    await db.add_balance(ANNA, 1_000_000, key="k", reason="r")
    await db.close()
    chance = random.Random(5)

    async def shop(name: str) -> None:
        for turn in range(50):
            await db.reserve_balance(ANNA, 10, f"{name}-{turn}")
            await (db.charge_reserved_balance(f"{name}-{turn}", 5) if turn % 2 else db.refund_balance(f"{name}-{turn}"))

    for storm in range(12):
        tasks = [asyncio.create_task(shop(f"{storm}-{number}")) for number in range(10)]
        await asyncio.sleep(chance.uniform(0, 0.02))
        for task in chance.sample(tasks, 8):
            task.cancel()
        if storm % 3 == 0:
            await db.close()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        odd = [e for e in ended if e is not None and not isinstance(e, asyncio.CancelledError | DatabaseUnavailable)]
        assert odd == []
        assert await asyncio.wait_for(db.get_balance(ANNA), 5) >= 0
        await assert_books(db)
    held = await db.read(lambda tx: tx.connection.exec_driver_sql("SELECT job_id, state FROM reservations").all())
    for job_id, state in held:
        assert (await db.reserve_balance(ANNA, 10, job_id)).state == state
    await db.close()
    assert open_files(database_path) == 0


async def test_cancelled_while_opening(database_path: Path, db: Database) -> None:
    """Callers cancelled while the connection is being opened leave no second one behind."""
    await db.close()
    for _ in range(20):
        first = [asyncio.create_task(db.get_balance(ANNA)) for _ in range(3)]
        await asyncio.sleep(0)
        for task in first:
            task.cancel()
        await asyncio.gather(*first, return_exceptions=True)
        assert await db.get_balance(ANNA) == 0
        await db.close()
    assert open_files(database_path) == 0


async def test_closing_is_no_end(db: Database) -> None:
    """close() may come twice and at any time; the next call opens again."""
    await db.close()
    await db.close()
    assert await db.get_balance(ANNA) == 0
    calls = [db.add_balance(ANNA, 1, key=f"k{number}", reason="r") for number in range(20)]
    answers = await asyncio.gather(*calls, db.close(), return_exceptions=True)
    assert all(answer is None or isinstance(answer, Entry | DatabaseUnavailable) for answer in answers)
    assert await db.get_balance(ANNA) == sum(isinstance(answer, Entry) for answer in answers)


# --- loops, forks, programs that forget ---------------------------------------------------------------


def test_event_loops_one_after_another(database_path: Path) -> None:
    """One Database serves loop after loop, also when an earlier one ended without close() and with calls under way."""
    shop = Database(url_of(database_path))
    asyncio.run(shop.init_db())

    async def use(number: int) -> None:
        await shop.add_balance(ANNA, 1, key=f"k{number}", reason="r")
        for other in range(20):  # under way when the loop ends
            asyncio.get_running_loop().create_task(shop.add_balance(1, 1, key=f"o{number}-{other}", reason="r"))
        await asyncio.sleep(0)

    for number in range(5):
        asyncio.run(use(number))

    async def end() -> None:
        assert await shop.get_balance(ANNA) == 5
        await assert_books(shop)
        await shop.close()

    asyncio.run(asyncio.wait_for(end(), 20))
    asyncio.run(asyncio.wait_for(shop.close(), 5))


FORK = """
import asyncio, os, sys
from database.models import Database

db = Database(sys.argv[1])

async def parent():
    await db.init_db()
    await db.add_balance(7001, 100, key="parent", reason="r")
    child = os.fork()
    if child == 0:
        os._exit(in_child())
    await db.add_balance(7001, 10, key="parent again", reason="r")
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status
    assert await db.get_balance(7001) == 1111
    await db.close()

def in_child():
    asyncio.events._set_running_loop(None)
    async def use():
        await db.add_balance(7001, 1, key="child", reason="r")
        await db.close()
        await db.add_balance(7001, 1000, key="child again", reason="r")
    asyncio.run(use())
    async def only_close():
        await db.close()
    asyncio.run(only_close())
    return 0

asyncio.run(parent())
print("done")
"""


def test_a_fork_opens_its_own(database_path: Path) -> None:
    """A forked child uses and closes the same Database object without touching its parent's connection."""
    assert run_program(FORK, url_of(database_path), seconds=20) == "done\n"


FORGETS = """
import asyncio, sys
from database.models import Database

async def main():
    db = Database(sys.argv[1])
    await db.init_db()
    await db.add_balance(7001, 100, key="k", reason="r")
    print(await db.get_balance(7001))

asyncio.run(main())
"""


def test_a_program_that_forgets_to_close_ends(database_path: Path) -> None:
    """A program that never calls close() still ends, and what it was answered is there."""
    assert run_program(FORGETS, url_of(database_path), seconds=20) == "100\n"
    assert run_program(FORGETS, url_of(database_path), seconds=20) == "100\n"


async def test_the_address_comes_from_the_environment(tmp_path: Path) -> None:
    """`db` reads DATABASE_URL at its first use, from the environment, else from `.env` in the current folder."""
    code = "import asyncio; from database.models import db; asyncio.run(db.init_db()); print(db.path)"
    environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    environment["PYTHONPATH"] = str(ROOT)
    (tmp_path / ".env").write_text("DATABASE_URL=sqlite:///from-file.db\n")
    named = {"DATABASE_URL": "sqlite:///from-environment.db"}
    for extra, expected in (({}, "from-file.db"), (named, "from-environment.db")):
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", code], cwd=tmp_path, env={**environment, **extra},
            capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == expected
        assert (tmp_path / expected).exists()


# --- what the disk and others do ----------------------------------------------------------------------


@contextmanager
def gate_held(path: Path) -> Iterator[None]:
    """As during a long transaction of another process: the gate is held."""
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        file = SqliteFile(path)
        with file.gate():
            entered.set()
            leave.wait(10)
        file.close()

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait(10)
    try:
        yield
    finally:
        leave.set()
        thread.join()


async def test_readers_do_not_wait_for_writers(db: Database, database_path: Path) -> None:
    """While another process holds the gate, reads answer at once and writes wait."""
    await db.add_balance(ANNA, 100, key="k", reason="r")
    reader = Database(db.url)
    with gate_held(database_path):
        waiting = asyncio.create_task(db.add_balance(ANNA, 1, key="k2", reason="r"))
        assert await asyncio.wait_for(reader.get_balance(ANNA), 5) == 100
        assert not waiting.done()
    assert (await asyncio.wait_for(waiting, 5)).amount == 1
    await reader.close()


async def test_a_read_apart_and_other_work_do_not_wait_for_each_other(db: Database) -> None:
    """A read of the whole history and other calls go on at the same time, and the read can't write."""
    go_on, busy = threading.Event(), threading.Event()

    def long_look(tx: Tx) -> int:
        seen = ledger.get_balance(tx, ANNA)
        busy.set()
        assert go_on.wait(30)
        return seen

    apart = asyncio.create_task(db.read_apart(long_look))
    assert await asyncio.to_thread(busy.wait, 30)
    await db.add_balance(ANNA, 500, key="meanwhile", reason="r")
    busy.clear()
    own = asyncio.create_task(db.read(long_look))
    assert await asyncio.to_thread(busy.wait, 30)
    assert await db.read_apart(ledger.get_balance, ANNA) == 500
    go_on.set()
    assert list(await asyncio.gather(apart, own)) == [0, 500]
    with pytest.raises(DatabaseUnavailable, match="readonly"):
        await db.read_apart(fail_halfway)


async def test_waiting_for_a_stopped_process_has_an_end(db: Database, database_path: Path) -> None:
    """While another process keeps the gate, a write ends with an error of ours; repeated later it is done once."""
    hasty = Database(db.url, patience_seconds=0.3)
    await hasty.get_balance(ANNA)
    with gate_held(database_path):
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable, match="no answer"):
                await hasty.add_balance(ANNA, 100, key="k", reason="r")
    await db.add_balance(ANNA, 100, key="k", reason="r")
    await hasty.close()
    assert await db.get_balance(ANNA) == 100


def test_a_full_disk_is_an_error_of_ours_and_loses_nothing(database_path: Path) -> None:
    """When the file can't grow, writes raise DatabaseUnavailable, reads go on, and with room it works again."""
    file = SqliteFile.open(database_path)
    try:
        migrate(file)
        file.write(lambda tx: ledger.add_balance(tx, ANNA, 100, key="k", reason="r"))
        pages = file.raw.execute("PRAGMA page_count").fetchone()[0]
        file.raw.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(DatabaseUnavailable, match="full"):
            for number in range(10_000):
                key = f"k{number}"
                file.write(partial(ledger.add_balance, user_id=number, amount=1, key=key, reason="r" * 200))
        count = file.read(partial(only_value, statement="SELECT COUNT(*) FROM ledger"))
        assert count == number + 1  # everything before the refusal was answered, and is there
        file.raw.execute("PRAGMA max_page_count=1000000")
        file.write(lambda tx: ledger.add_balance(tx, ANNA, 1, key="room", reason="r"))
        assert file.read(lambda tx: ledger.get_balance(tx, ANNA)) == 101
    finally:
        file.close()


WRITES_WITHOUT_THE_GATE = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
turn = 0
while True:
    turn += 1
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE users SET name = ? WHERE id = 1", (str(turn),))
    connection.execute("COMMIT")
    if turn == 1:
        print("writing", flush=True)
    time.sleep(0.0005)
"""


async def test_a_writer_of_another_program_is_waited_for(db: Database, database_path: Path) -> None:
    """A program that knows nothing of the gate writes all the time: our transactions wait and never fail."""
    await db.add_balance(1, 1_000, key="k", reason="r")
    with program(WRITES_WITHOUT_THE_GATE, database_path) as process:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == "writing\n"
        for number in range(150):
            await db.reserve_balance(1, 5, f"j{number}")
            await db.refund_balance(f"j{number}")
    assert await db.get_balance(1) == 1_000


async def test_a_reader_of_another_program_stops_no_writer(db: Database, database_path: Path) -> None:
    """Another program reads the file for a long time: writing goes on."""
    await db.add_balance(ANNA, 100, key="k", reason="r")
    looking = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN');"
        "print(c.execute('SELECT COUNT(*) FROM ledger').fetchone()[0], flush=True); sys.stdin.read()"
    )
    with program(looking, database_path, stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == "1\n"
        began = time.monotonic()
        for number in range(50):
            await db.add_balance(ANNA, 1, key=f"k{number}", reason="r")
        assert time.monotonic() - began < 5
    assert await db.get_balance(ANNA) == 150
