"""What can happen to whole processes that share one file: stopped, locked out, refused by the disk, another version.

The whole list, with the tests of other files, is docs/specification.md.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import text

from database.models import Database, DatabaseError, DatabaseUnavailable, JobStatus
from tests.support.bot_env import ANYA, Person
from tests.support.database_fixture import change, program, run_program, snapshot
from tests.support.job_env import JobEnv, until
from tests.support.job_programs import STEP, environment
from tests.support.process_env import Process, ProcessEnv

STOPS_INSIDE = """
import sys
from pathlib import Path
from database import ledger
from database.engine import SqliteFile

def half(tx):
    ledger.add_balance(tx, 1, 50, key="theirs", reason="r")
    print("inside", flush=True)
    sys.stdin.readline()

SqliteFile.open(Path(sys.argv[1])).write(half)
"""

SHELL = """
import sqlite3, sys
shell = sqlite3.connect(sys.argv[1], isolation_level=None)
shell.execute("BEGIN IMMEDIATE")
print("holding", flush=True)
sys.stdin.readline()
"""


async def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return await asyncio.to_thread(process.stdout.readline)


async def test_who_waits_for_a_stopped_process_gets_an_answer_and_both_are_done_once(
    db: Database, database_path: Path
) -> None:
    """SIGSTOP inside a transaction: readers go on, writers hear "unknown" in time, and keys settle it afterwards."""
    await db.add_balance(1, 100, key="before", reason="r")
    hasty = Database(db.url, patience_seconds=0.3)
    assert await hasty.get_balance(1) == 100
    with program(STOPS_INSIDE, database_path, stdin=subprocess.PIPE) as process:
        assert await said(process) == "inside\n"
        process.send_signal(signal.SIGSTOP)
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable, match="no answer"):
                await hasty.add_balance(1, 7, key="ours", reason="r")
        assert await asyncio.wait_for(db.get_balance(1), 5) == 100
        process.send_signal(signal.SIGCONT)
        process.communicate("\n", timeout=20)
        assert process.returncode == 0
    await db.add_balance(1, 7, key="ours", reason="r")
    await hasty.close()
    assert await db.get_balance(1) == 157


@pytest.mark.parametrize("revision", ["0001", "9999"], ids=["older file", "newer file"])
async def test_a_worker_of_another_version_than_the_file_touches_nothing(
    job_env: JobEnv, tmp_path: Path, revision: str
) -> None:
    """In the midst of an upgrade the step is left in its row, unpaid and unclaimed, to a worker that fits the file."""
    await job_env.give(1, 100)
    job = await job_env.order()
    fits = await job_env.db.read(lambda tx: tx.execute(text("SELECT version_num FROM alembic_version")).scalar())
    await change(job_env, "UPDATE alembic_version SET version_num = :revision", revision=revision)
    before = await snapshot(job_env.db, "jobs", "ledger", "provider_calls")

    async def step() -> None:
        environ = environment(job_env, tmp_path)
        await asyncio.to_thread(run_program, STEP, "workers.image_worker.run", job.id, env=environ)

    await step()
    assert await snapshot(job_env.db, "jobs", "ledger", "provider_calls") == before
    await change(job_env, "UPDATE alembic_version SET version_num = :fits", fits=fits)
    await step()
    assert (await job_env.job(job.id)).status is JobStatus.COMPLETED
    assert await job_env.entries() == [("test", 10_000), ("reserve", -1200)]


async def test_a_file_that_another_program_has_not_made_yet_is_waited_for(database_path: Path, db: Database) -> None:
    """A program that is started before the schema is there or fits gets an error; the same object works later."""
    early = Database(db.url)

    async def migrated_to(revision: str) -> None:
        await db.write(lambda tx: tx.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'")).close())

    fits = await db.read(lambda tx: str(tx.execute(text("SELECT version_num FROM alembic_version")).scalar()))
    for revision, told in (("0001", "older"), ("9999", "newer")):
        await migrated_to(revision)
        with pytest.raises(DatabaseError, match=told):
            await early.get_balance(1)
    await migrated_to(fits)
    assert (await early.add_balance(1, 5, key="k", reason="r")).amount == 5
    await early.close()
    without_file = Database(f"sqlite:///{database_path.with_name('new.db')}")
    with pytest.raises(DatabaseUnavailable, match="older"):
        await without_file.get_balance(1)
    await without_file.init_db()
    assert await without_file.get_balance(1) == 0
    await without_file.close()


# --- the books can't be written --------------------------------------------------------------------------------


async def reasons(process_env: ProcessEnv) -> set[str]:
    async with process_env.sandbox.http.get(f"http://127.0.0.1:{process_env.port}/ready") as answer:
        names = set((await answer.json())["reasons"])
        assert answer.status == (503 if names else 200)
        return names


async def told_and_mended(process_env: ProcessEnv, bot: Process, *, mended: bool) -> None:
    async def seen() -> bool:
        assert bot.running, bot.tail()
        return (await reasons(process_env) == set()) is mended

    await until(seen, seconds=40, what="the bot is ready again" if mended else "/ready names the database")


async def test_a_shell_that_holds_a_transaction_is_told_and_loses_nothing(process_env: ProcessEnv) -> None:
    """An open BEGIN IMMEDIATE in a shell: /ready says so, and what was sent meanwhile is done afterwards."""
    bot = await process_env.bot()
    anya = Person(ANYA, process_env.sandbox)
    await told_and_mended(process_env, bot, mended=True)
    with program(SHELL, process_env.db.path, stdin=subprocess.PIPE) as shell:
        assert await said(shell) == "holding\n"
        await anya.say("/balance")
        await told_and_mended(process_env, bot, mended=False)
        assert await reasons(process_env) == {"database"}
        shell.communicate("\n", timeout=20)
    await told_and_mended(process_env, bot, mended=True)
    await anya.sees("На балансе", new=True)


async def test_a_disk_that_refuses_every_write_is_told_and_loses_nothing(process_env: ProcessEnv) -> None:
    """As after an I/O error or a remount read-only: the bot lives, /ready says so, nothing is done by halves."""
    bot = await process_env.bot()
    anya = Person(ANYA, process_env.sandbox)
    await told_and_mended(process_env, bot, mended=True)
    bot.largest_file(100_000)  # the log of this process stays below it, the books are larger
    await told_and_mended(process_env, bot, mended=False)
    assert await reasons(process_env) == {"database"}
    await anya.say("/balance")

    async def refused() -> bool:
        return "update.not_written" in bot.log.read_text(errors="replace")

    await until(refused, seconds=40, what="the message could not be written down")
    bot.largest_file(resource.RLIM_INFINITY)
    await told_and_mended(process_env, bot, mended=True)
    await anya.sees("На балансе", new=True)
