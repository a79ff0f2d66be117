"""The audit of a large database: time, memory, and whether its size slows down the daily business.

python -m benchmarks.audit                      a million entries, as in `python -m benchmarks`
python -m benchmarks.audit --entries 10000000   the full size; about three minutes and 2.5 GB to build, once
python -m benchmarks.audit --keep FOLDER        leave the books there for the next run
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

from pysqlite3 import dbapi2 as sqlite

from benchmarks.books import STORY, Size, build
from benchmarks.machine import describe, side_by_side
from database.models import Database

SMALL = Size(entries=200_000, users=2_000)
FEW = 10
PRICE = 1_200
# In a process of its own, so that the peak of memory is that of the audit.
AUDIT = """
import resource, sys
from pathlib import Path
from database.audit import run as audit
books = audit.run(Path(sys.argv[1]), threads=int(sys.argv[2]), deep=False)
used = resource.getrusage(resource.RUSAGE_SELF)
# Not ru_maxrss: it begins with what the parent had when it forked.
peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024
print(
    f"{books.seconds:.1f} s ({used.ru_utime + used.ru_stime:.1f} s of processor), peak {peak} MB,"
    f" {'sound' if books.sound else 'NOT SOUND'}"
)
for finding in books.findings:
    print("   ", finding.check, finding)
"""


async def audits(folder: Path) -> list[str]:
    """For `python -m benchmarks`: small books, so that all benchmarks take about a minute."""
    return await measure(folder, SMALL)


async def measure(folder: Path, size: Size) -> list[str]:
    """Build (or find) the books in `folder`, audit them whole and with one changed entry, compare with a young shop."""
    path = folder / f"books-{size.entries}-{size.users}-{size.jobs_per_story}.db"
    lines = [f"books of {size.entries} entries, {size.users} users, {size.jobs} jobs, {size.stories} payments"]
    if not path.exists():
        started = time.perf_counter()
        making = folder / "making.db"
        await build(making, size)
        making.rename(path)
        lines.append(f"  built and sealed in {time.perf_counter() - started:.0f} s")
    lines.append(f"  {path.stat().st_size / 2**20:.0f} MB")
    lines.append(f"  audit, two threads: {await audit(path, 2)}")
    lines.append(f"  audit, one thread (as the bot does): {await audit(path, 1)}")
    change_entry(path, size, "amount = amount + 1")
    lines.append(f"  audit with one entry changed: {await audit(path, 2)}")
    change_entry(path, size, "amount = amount - 1")
    lines += await daily_business(folder, path, size)
    return lines


async def audit(path: Path, threads: int) -> str:
    arguments = [sys.executable, "-c", AUDIT, str(path), str(threads)]
    done = await asyncio.to_thread(subprocess.run, arguments, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def change_entry(path: Path, size: Size, change: str) -> None:
    """Change a sealed entry in the middle as an intruder would: drop the triggers, change, create the triggers."""
    with closing(sqlite.connect(str(path), isolation_level=None)) as connection:
        guards = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(f"UPDATE ledger SET {change} WHERE id = {size.entries // 2 // STORY * STORY + 1}")
        for _, sql in guards:
            connection.execute(sql)


async def daily_business(folder: Path, path: Path, size: Size) -> list[str]:
    """The same two actions on a database with ten entries and on the large one, in turn."""
    young = folder / "young.db"
    for old in folder.glob("young.db*"):
        old.unlink()
    new, old_shop = Database(f"sqlite:///{young}"), Database(f"sqlite:///{path}")
    await new.init_db()
    began = time.time_ns()
    person = began  # a new user in both: the length of a user's own history is measured in `benchmarks/money.py`
    for db, number in itertools.product((new, old_shop), range(FEW)):
        await db.add_balance(person, 10**10, key=f"start-{began}-{number}", reason="benchmark")
    numbers = itertools.count()

    def reading(db: Database) -> Callable[[], Coroutine[Any, Any, int]]:
        async def read() -> int:
            for _ in range(20):
                await db.get_balance(person)
            return 20

        return read

    def selling(db: Database) -> Callable[[], Coroutine[Any, Any, int]]:
        async def sell() -> int:
            job_id = f"job-{began}-{next(numbers)}"
            await db.reserve_balance(person, PRICE, job_id)
            await db.charge_reserved_balance(job_id)
            return 1

        return sell

    reads = await side_by_side(reading(old_shop), reading(new), seconds=1.0)
    sales = await side_by_side(selling(old_shop), selling(new), seconds=1.0)
    await old_shop.close()
    await new.close()
    return [
        _line("balance read", size.entries, *reads),
        _line("reserve + charge", size.entries, *sales),
    ]


def _line(subject: str, entries: int, old: float, new: float) -> str:
    return f"  {subject}, {entries} entries: {old:.0f}/s, {FEW} entries {new:.0f}/s, ratio {old / new:.2f}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=None, help="one for each hundred entries, if not told")
    parser.add_argument("--jobs-per-story", type=int, default=1, choices=range(1, 8), help="of each ten entries")
    parser.add_argument("--keep", type=Path, default=None, metavar="FOLDER", help="where the books stay")
    return parser.parse_args()


async def main() -> None:
    options = _arguments()
    size = Size(options.entries, options.users or max(1, options.entries // 100), options.jobs_per_story)
    print(describe())
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
        print("\n".join(await measure(options.keep, size)))
        return
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=".") as folder:
        print("\n".join(await measure(Path(folder), size)))


if __name__ == "__main__":
    asyncio.run(main())
