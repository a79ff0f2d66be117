"""The disk under the database: measured for the metrics, and told to the administrators before it is too late."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from database.engine import SqliteFile
from database.models import Database, Tx
from services.common.i18n import Texts
from services.ops.disk import MOST_WAL_BYTES, DiskWatch, Room, measure
from services.ops.metrics import Metrics
from services.queue import Queue
from tests.support.bot_env import BotEnv, until
from tests.support.database_fixture import HOUR, Clock

MB = 1024 * 1024
ADMINS = (9001, 9002)


async def owed(db: Database) -> list[tuple[int, str, str]]:
    """Recipient, sentence in Russian and in English of each alert, oldest first."""
    texts = Texts()

    def read(tx: Tx) -> list[tuple[int, str, str]]:
        found = []
        for row in tx.rows(text("SELECT user_id, json_extract(payload, '$.text') AS name,"
                                " json_extract(payload, '$.args') AS args FROM outbox WHERE kind = 'alert'"
                                " ORDER BY id")):  # fmt: skip
            args = json.loads(row["args"])
            found.append((row["user_id"], texts.t("ru", row["name"], **args), texts.t("en", row["name"], **args)))
        return found

    return await db.read(read)


def watch(db: Database, free: int, used: int, wal: int = 0) -> DiskWatch:
    return DiskWatch(db, admins=ADMINS, measure=lambda _: Room(free, used, wal))


async def test_a_disk_with_room_is_no_news(empty_db: Database) -> None:
    """A tenth of the disk is free and the log is as long as it may be: nobody hears of it."""
    await watch(empty_db, free=10 * MB, used=90 * MB, wal=MOST_WAL_BYTES).check()
    assert await owed(empty_db) == []


async def test_a_disk_that_fills_up_is_told_once_a_day(empty_db: Database, clock: Clock) -> None:
    """Each administrator hears of it while there is still room, and again the next day if nobody acted."""
    full = watch(empty_db, free=99 * MB, used=901 * MB)
    for _ in range(3):
        await full.check()
    told = await owed(empty_db)
    assert [admin for admin, _, _ in told] == list(ADMINS)
    assert "осталось 9 % места (99 МБ)" in told[0][1]
    assert "has 9 % left (99 MB)" in told[0][2]
    clock.forward(24 * HOUR)
    await full.check()
    assert len(await owed(empty_db)) == 2 * len(ADMINS)


async def test_a_log_that_a_reader_holds_up_is_told_and_gives_its_room_back(tmp_path: Path) -> None:
    """Another program reads an old snapshot: the log grows, the admins are told; afterwards it shrinks by itself."""
    db = Database(f"sqlite:///{tmp_path / 'bot.db'}")
    await db.init_db()

    def fatten(tx: Tx) -> None:
        tx.execute(text("INSERT INTO admin_log (admin_id, action, target, details, created_at)"
                        " VALUES (1, 'test', '1', hex(randomblob(4 * 1024 * 1024)), 1)"))  # fmt: skip

    def hold() -> SqliteFile:
        reader = SqliteFile.open(db.path)
        reader.raw.execute("BEGIN")
        reader.raw.execute("SELECT COUNT(*) FROM users").fetchone()
        return reader

    keeper = DiskWatch(db, admins=ADMINS, measure=lambda path: Room(1, 0, measure(path).wal), most_wal=80 * MB)
    reader = hold()
    for _ in range(10):
        await db.write(fatten)
    assert measure(db.path).wal > 80 * MB
    await keeper.check()
    (ru, en), *_ = [(ru, en) for _, ru, en in await owed(db)]
    assert "<code>bot.db-wal</code> вырос до" in ru
    assert "<code>bot.db-wal</code> has grown to" in en
    reader.close()
    for _ in range(3):
        await db.write(fatten)
    assert measure(db.path).wal <= 64 * MB
    await db.close()


async def test_metrics_tell_room_and_log(empty_db: Database) -> None:
    """Numbers of the disk as it is now."""
    queue = Queue(None)
    await empty_db.add_balance(1, 100, key="gift", reason="gift")
    lines = (await Metrics(empty_db, queue).page()).decode().splitlines()
    values = {name: float(value) for name, value in (line.split() for line in lines if line.startswith("shop_"))}
    room = measure(empty_db.path)
    assert values["shop_wal_bytes"] == room.wal > 0
    assert values["shop_disk_free_bytes"] == pytest.approx(room.free, rel=0.1)
    await queue.close(1)


async def test_the_bot_checks_the_disk_by_itself(bot_env: BotEnv) -> None:
    """The scheduler runs the task, and its message reaches the admins."""
    bot_env.app.disk._measure = lambda _: Room(1, 99, 0)
    (periodic,) = [periodic for periodic in bot_env.app.scheduler.tasks if periodic.name == "disk"]
    periodic.due = 0

    async def told() -> bool:
        return bool(await owed(bot_env.db))

    await until(told)
