"""Copies that make themselves: proven before they count, kept by rotation, harmless when the machine is at its end."""

from __future__ import annotations

import asyncio
import json
import resource
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import text

from database import flags as flag_rows
from database.audit.checks import check_file, run_checks
from database.backup_rotation import FOLDER, UNFINISHED, Outcome, Round, kept, make, verified
from database.models import Database, Tx
from services.ops import backups
from services.ops.backups import AGAIN_MS, DUE, EVERY_MS, FIRST_MS, Backups
from services.ops.metrics import Metrics
from services.queue import Queue
from tests.support.bot_env import BotEnv, until
from tests.support.database_fixture import HOUR, Clock, program, url_of

ADMIN = 9001
START = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp()) * 1000
ROUND = "import sys; from database.backup_rotation import main; raise SystemExit(main(sys.argv[1:]))"


@pytest_asyncio.fixture
async def shop(empty_db: Database) -> Database:
    """A database with some entries, whose books the test may break."""
    for user_id in range(1, 6):
        await empty_db.add_balance(user_id, 10_000 * user_id, key=f"gift-{user_id}", reason="gift")
    return empty_db


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / FOLDER


async def round_of(db: Database, folder: Path, now_ms: int = START) -> Round:
    return await asyncio.to_thread(make, db.path, folder, now_ms=now_ms)


async def fatten(db: Database, megabytes: int) -> None:
    """Give the file some weight: one entry of an administrator's log for each megabyte."""

    def write(tx: Tx) -> None:
        for number in range(megabytes):
            tx.execute(
                text("INSERT INTO admin_log (admin_id, action, target, details, created_at)"
                     " VALUES (1, 'test', :n, hex(randomblob(524288)), 1)"), {"n": str(number)},
            )  # fmt: skip

    await db.write(write)


async def balances_in(path: Path) -> dict[int, int]:
    """What a copy says of five people; its books and its file are sound."""
    db = Database(url_of(path))
    try:
        assert await db.read(run_checks) == []
        assert await db.read(check_file) == []
        return {user_id: await db.get_balance(user_id) for user_id in range(1, 6)}
    finally:
        await db.close()


async def told(db: Database) -> list[str]:
    """Which alerts were written for the administrator, oldest first."""
    return await db.read(
        lambda tx: [
            str(json.loads(row["payload"])["text"])
            for row in tx.rows(text("SELECT payload FROM outbox WHERE kind = 'alert' ORDER BY id"))
        ]
    )


# --- one round ------------------------------------------------------------------------------------


async def test_a_copy_counts_once_it_was_restored_and_audited(shop: Database, folder: Path) -> None:
    """The verified copy holds the books as they are; nothing unfinished stays beside it."""
    done = await round_of(shop, folder)
    assert (done.outcome, done.name) == (Outcome.VERIFIED, "20260301-000000.db")
    assert done.size == (folder / done.name).stat().st_size
    assert not (folder / UNFINISHED).exists()
    assert await balances_in(folder / done.name) == {n: 10_000 * n for n in range(1, 6)}


async def test_a_copy_made_while_everybody_writes_is_whole(shop: Database, folder: Path) -> None:
    """Four writers go on: the copy's books balance and hold all that was acknowledged before the round."""
    stop, made = asyncio.Event(), 0

    async def sell(user_id: int) -> None:
        nonlocal made
        while not stop.is_set():
            made += 1
            await shop.add_balance(user_id, 100, key=f"load-{made}", reason="gift")

    before = {user_id: await shop.get_balance(user_id) for user_id in range(1, 6)}
    sellers = [asyncio.create_task(sell(user_id)) for user_id in range(1, 5)]
    done = await round_of(shop, folder)
    during = made
    stop.set()
    await asyncio.gather(*sellers)
    assert done.outcome is Outcome.VERIFIED
    assert during > 10
    copied = await balances_in(folder / done.name)
    assert all(copied[user_id] >= before[user_id] for user_id in before)


async def test_a_damaged_copy_is_set_aside_and_good_ones_stay(shop: Database, folder: Path) -> None:
    """A page of the file is overwritten on disk: the copy is kept under a telling name and counts for nothing."""
    await fatten(shop, 1)
    good = await round_of(shop, folder)
    await shop.close()
    with shop.path.open("r+b") as file:
        file.seek(-20 * 4096, 2)
        file.write(b"\xa5" * 4096 * 10)
    done = await round_of(shop, folder, START + HOUR)
    assert (done.outcome, done.name) == (Outcome.DAMAGED, "20260301-010000-damaged.db")
    assert done.detail
    assert (folder / done.name).exists()
    assert verified(folder) == [good.name]


async def test_books_that_do_not_balance_make_no_verified_copy(shop: Database, folder: Path) -> None:
    """A guard was removed and an entry changed: the copy is set aside as faulty, with the rule that is broken."""
    with sqlite.connect(str(shop.path)) as other:
        other.execute("DROP TRIGGER ledger_no_update")
        other.execute("UPDATE ledger SET amount = amount + 1 WHERE id = 1")
    done = await round_of(shop, folder)
    assert (done.outcome, done.name) == (Outcome.FAULTY, "20260301-000000-faulty.db")
    assert "I4" in done.detail
    assert verified(folder) == []


async def test_a_copy_of_another_schema_is_faulty(shop: Database, folder: Path) -> None:
    """A copy that this program could not run on is none to rely on."""
    with sqlite.connect(str(shop.path)) as other:
        other.execute("UPDATE alembic_version SET version_num = '0001'")
    done = await round_of(shop, folder)
    assert done.outcome is Outcome.FAULTY
    assert "schema" in done.detail


async def test_of_doubtful_copies_the_newest_two_are_kept(shop: Database, folder: Path) -> None:
    """A fault that lasts for days must not fill the disk, and never costs a good copy."""
    good = await round_of(shop, folder)
    with sqlite.connect(str(shop.path)) as other:
        other.execute("UPDATE alembic_version SET version_num = '0001'")
    for hour in range(1, 5):
        await round_of(shop, folder, START + hour * HOUR)
    aside = sorted(one.name for one in folder.glob("*-faulty.db"))
    assert aside == ["20260301-030000-faulty.db", "20260301-040000-faulty.db"]
    assert verified(folder) == [good.name]


async def test_two_rounds_at_once_are_one(shop: Database, folder: Path) -> None:
    """Another process is at it: this one leaves it alone."""
    await fatten(shop, 20)
    rounds = await asyncio.gather(*(round_of(shop, folder) for _ in range(2)))
    assert sorted(one.outcome for one in rounds) in (["busy", "verified"], ["failed", "verified"])
    assert len(verified(folder)) == 1


# --- trouble --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [f"{UNFINISHED}/20260301-000000.db", f"{UNFINISHED}/restored.db", UNFINISHED])
async def test_a_killed_round_leaves_nothing_that_counts(shop: Database, folder: Path, sign: str) -> None:
    """SIGKILL while the copy or its trial is being made: no name is given, and the next round clears up."""
    await fatten(shop, 30)
    with program(ROUND, shop.path, folder, START) as victim:

        async def began() -> bool:
            return victim.poll() is not None or any(one.match(f"*{sign}*") for one in folder.glob(f"{UNFINISHED}*/*")) \
                or (folder / sign).exists()  # fmt: skip

        await until(began, what=f"{sign} is being written")
        victim.kill()
        victim.wait(10)
        for name in verified(folder):  # it may have been quicker than the kill
            await balances_in(folder / name)
    assert (await round_of(shop, folder, START + HOUR)).outcome is Outcome.VERIFIED
    assert not (folder / UNFINISHED).exists()
    assert "20260301-010000.db" in verified(folder)


async def test_a_disk_that_fills_up_in_mid_copy_leaves_no_half_file(shop: Database, folder: Path) -> None:
    """The system refuses to write beyond a size: the round says so, and earlier copies stay."""
    good = await round_of(shop, folder)
    await fatten(shop, 4)

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * 1024, 1024 * 1024))

    with program(ROUND, shop.path, folder, START + HOUR, preexec_fn=bounded) as child:
        said, _ = await asyncio.to_thread(child.communicate, timeout=60)
    assert json.loads(said)["outcome"] == Outcome.FAILED
    assert verified(folder) == [good.name]
    assert sorted(one.name for one in folder.iterdir()) == [".lock", good.name]


async def test_no_copy_takes_the_shops_last_room(shop: Database, folder: Path) -> None:
    """A database bigger than the disk: nothing is written at all, and the sentence names both sizes."""
    await shop.close()
    wal = shop.path.with_name(f"{shop.path.name}-wal")
    with wal.open("wb") as file:
        file.truncate(2**42)  # a hole, which takes no room itself
    done = await round_of(shop, folder)
    wal.unlink()
    assert done.outcome is Outcome.FAILED
    assert "MB are needed" in done.detail
    assert [one.name for one in folder.iterdir()] == [".lock"]


# --- rotation -------------------------------------------------------------------------------------


def test_rotation_keeps_hours_days_and_weeks() -> None:
    """Of a hundred days of hourly copies: 24 hours, the last of 7 days, the last of 4 weeks, and always the newest."""
    begin = datetime(2026, 1, 1, 0, 17, tzinfo=UTC)
    all_names: list[str] = []
    for hour in range(100 * 24):
        all_names.append((begin + timedelta(hours=hour)).strftime("%Y%m%d-%H%M%S.db"))
        all_names = sorted(kept(all_names))
    assert all_names[-24:] == [
        (begin + timedelta(hours=hour)).strftime("%Y%m%d-%H%M%S.db") for hour in range(2400 - 24, 2400)
    ]
    days = {name[:8] for name in all_names}
    assert {(begin + timedelta(days=99 - back)).strftime("%Y%m%d") for back in range(7)} <= days
    weeks = {datetime.strptime(f"{name[:8]}Z", "%Y%m%d%z").strftime("%G%V") for name in all_names}
    assert len(weeks) == 4
    assert len(all_names) <= 24 + 7 + 4


def test_time_without_copies_costs_none() -> None:
    """A shop that was closed for a year keeps what it had beside its first new copy."""
    old = [f"20250101-{hour:02d}0000.db" for hour in range(20)]
    assert kept([*old, "20260301-000000.db"]) == {*old, "20260301-000000.db"}


async def test_only_a_verified_copy_lets_older_ones_go(shop: Database, folder: Path) -> None:
    """Rotation follows a good round and nothing else; files of other names are nobody's business."""
    folder.mkdir()
    old = [f"20250{month}01-{minute:02d}0000.db" for month in range(1, 10) for minute in (1, 2)]
    for name in [*old, "notes.txt", "20250101-000000.db.gz"]:
        (folder / name).write_bytes(b"")
    with sqlite.connect(str(shop.path)) as other:
        other.execute("UPDATE alembic_version SET version_num = '0001'")
    await round_of(shop, folder)
    assert verified(folder) == sorted(old)
    with sqlite.connect(str(shop.path)) as other:
        other.execute("UPDATE alembic_version SET version_num = '0003'")
    done = await round_of(shop, folder, START + HOUR)
    assert set(verified(folder)) == kept([*old, done.name])
    assert (folder / "notes.txt").exists()
    assert (folder / "20250101-000000.db.gz").exists()


# --- when, and who hears of it ----------------------------------------------------------------------


async def test_a_copy_is_due_by_its_row_and_by_nothing_else(shop: Database, folder: Path, clock: Clock) -> None:
    """Restarts neither repeat a copy nor skip one, and of two leaders one makes it."""
    await Backups(shop).work()
    assert not folder.exists()
    clock.forward(FIRST_MS + 1)
    await asyncio.gather(*(Backups(shop).work() for _ in range(3)))
    assert len(verified(folder)) == 1
    clock.forward(EVERY_MS - 60_000)
    await Backups(shop).work()
    assert len(verified(folder)) == 1
    clock.forward(60_001)
    await Backups(shop).work()
    assert len(verified(folder)) == 2


async def test_a_round_whose_process_was_killed_is_made_up_for(shop: Database, folder: Path, clock: Clock) -> None:
    """The bot ends in the middle: its copying ends with it, and the next bot makes the copy ten minutes later."""
    await fatten(shop, 30)
    await Backups(shop).work()
    clock.forward(FIRST_MS + 1)
    working = asyncio.create_task(Backups(shop).work())

    async def began() -> bool:
        return working.done() or (folder / UNFINISHED).exists()

    await until(began, what="the copy is being made")
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    first = len(verified(folder))
    clock.forward(AGAIN_MS + 1)
    await Backups(shop).work()
    assert len(verified(folder)) == first + 1
    assert not (folder / UNFINISHED).exists()


async def test_administrators_hear_once_of_a_row_of_failures(shop: Database, folder: Path, clock: Clock) -> None:
    """The first that fails is told, the next are not; after a good one a failure is news again."""
    keeper = Backups(shop, admins=[ADMIN])
    folder.parent.joinpath(FOLDER).write_text("a file where the folder should be")
    await shop.write(flag_rows.put, DUE, "1")
    await keeper.work()
    assert await told(shop) == ["alert-backup-failed"]
    clock.forward(AGAIN_MS + 1)
    await keeper.work()
    assert await told(shop) == ["alert-backup-failed"]
    folder.unlink()
    clock.forward(AGAIN_MS + 1)
    await keeper.work()
    state = await shop.read(backups.state)
    assert state.good is not None
    assert state.good == state.last
    (name,) = verified(folder)
    (folder / name).unlink()
    (folder / ".lock").unlink()
    folder.rmdir()
    folder.write_text("and again")
    clock.forward(EVERY_MS + 1)
    await keeper.work()
    assert await told(shop) == ["alert-backup-failed"] * 2


async def test_metrics_tell_age_size_and_how_the_last_one_ended(shop: Database, folder: Path, clock: Clock) -> None:
    """Without a copy the age is infinite, so that any limit is passed; then it grows with time."""
    queue = Queue(None)
    page = Metrics(shop, queue)
    assert b"shop_backup_age_seconds +Inf" in await page.page()
    await shop.write(flag_rows.put, DUE, "1")
    await Backups(shop).work()
    clock.forward(90_000)
    lines = (await page.page()).decode().splitlines()
    (name,) = verified(folder)
    assert "shop_backup_age_seconds 90.0" in lines
    assert "shop_backup_verified 1.0" in lines
    assert f"shop_backup_bytes {float((folder / name).stat().st_size)}" in lines
    await queue.close(1)


async def test_the_bot_copies_by_itself(bot_env: BotEnv, tmp_path: Path) -> None:
    """The scheduler runs the task: a due row, and a verified copy lies beside the database."""
    await bot_env.give(1, 100)
    await bot_env.db.write(flag_rows.put, DUE, "1")

    async def made() -> list[str]:
        folder = bot_env.db.path.parent / FOLDER
        return verified(folder) if folder.exists() else []

    (name,) = await until(made, seconds=60, what="a copy")
    copied = Database(url_of(bot_env.db.path.parent / FOLDER / name))
    assert await copied.get_balance(1) == 10_000
    await copied.close()
