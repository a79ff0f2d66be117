"""The daily audit: once a day whatever restarts, told to every administrator with the head, and never in the way."""

from __future__ import annotations

import asyncio
import math
import re
import threading
from typing import Any

import pytest
from sqlalchemy import text

from database import flags as flag_rows
from database import outbox
from database.audit import schedule as audits
from database.audit import seals
from database.models import Database, OutboxItem
from handlers.views.messages import ChatMessages
from services.catalogue import shipped_catalogue
from services.common.i18n import LANGUAGES, Texts
from services.jobs import quote
from services.ops.auditor import Auditor, in_thread
from services.ops.metrics import Metrics
from services.queue import Queue
from services.storefront import Storefront
from tests.support.database_fixture import HOUR, Clock, program
from tests.support.intruder import intruder

ADMINS = (101, 202)
DAY = 24 * HOUR


@pytest.fixture
def auditor(empty_db: Database) -> Auditor:
    return Auditor(empty_db, admins=ADMINS)


@pytest.fixture
def renderer() -> ChatMessages:
    catalogue = shipped_catalogue()
    return ChatMessages(Texts(strict=True), Storefront(catalogue, lambda draft: quote(catalogue, draft)))


def set_to(clock: Clock, hour: int) -> None:
    """The next time it is `hour` o'clock UTC."""
    clock.now += (hour * HOUR - clock.now) % DAY


async def reports(db: Database) -> list[OutboxItem]:
    """What administrators were told, oldest first."""

    def read(tx: Any) -> list[OutboxItem]:
        rows = tx.rows(text("SELECT * FROM outbox WHERE kind = 'audit' ORDER BY id"))
        return [OutboxItem.read(row) for row in rows]

    return await db.read(read)


async def test_the_first_audit_is_made_at_the_next_morning(empty_db: Database, auditor: Auditor, clock: Clock) -> None:
    """A new shop owes no report at its first start; the time stands in a row from then on."""
    set_to(clock, 5)
    await auditor.daily()
    assert await reports(empty_db) == []
    set_to(clock, 6)
    await auditor.daily()
    assert [item.user_id for item in await reports(empty_db)] == [*ADMINS]


async def test_every_administrator_is_told_once_a_day(empty_db: Database, auditor: Auditor, clock: Clock) -> None:
    """However often the task runs, after restarts as well; the next morning there is another one."""
    set_to(clock, 5)
    await auditor.daily()
    for _ in range(2):
        clock.forward(2 * HOUR)
        for someone in (auditor, Auditor(empty_db, admins=ADMINS)):
            await someone.daily()
    assert len(await reports(empty_db)) == 2
    clock.forward(DAY)
    await auditor.daily()
    told = await reports(empty_db)
    assert len(told) == 4
    assert len({item.key for item in told}) == 4


async def test_a_day_without_the_bot_is_made_up_for_once(empty_db: Database, auditor: Auditor, clock: Clock) -> None:
    """Down for a week: one audit at the start, then the next morning."""
    set_to(clock, 5)
    await auditor.daily()
    clock.forward(7 * DAY)
    for _ in range(3):
        await auditor.daily()
    assert len(await reports(empty_db)) == 2
    clock.forward(DAY)
    await auditor.daily()
    assert len(await reports(empty_db)) == 4


async def test_two_bots_send_one_report(empty_db: Database, clock: Clock) -> None:
    """Two that audit at the same time: the result of the first one is recorded."""
    other = Database(empty_db.url, clock=clock)
    both = [Auditor(empty_db, admins=ADMINS), Auditor(other, admins=ADMINS)]
    set_to(clock, 5)
    await both[0].daily()
    set_to(clock, 7)
    await asyncio.gather(*(one.daily() for one in both))
    assert len(await reports(empty_db)) == 2
    await other.close()


async def test_a_clock_that_was_wrong_does_not_silence_the_audit(
    empty_db: Database, auditor: Auditor, clock: Clock
) -> None:
    """A due time years ahead was written under a wrong clock: the next morning it is again."""
    await empty_db.write(flag_rows.put, audits.DUE, str(clock.now + 1000 * DAY))
    await auditor.daily()
    clock.forward(DAY)
    await auditor.daily()
    assert len(await reports(empty_db)) == 2


KILLED = """
import asyncio, os, signal, sys
from database.audit import schedule as audits
from database.models import Database
from services.ops.auditor import Auditor
audits.record = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
db = Database(sys.argv[1], clock=lambda: int(sys.argv[2]))
asyncio.run(Auditor(db, admins=(101, 202)).daily())
"""


async def test_killed_before_the_verdict_is_written_it_is_made_again(
    empty_db: Database, auditor: Auditor, clock: Clock
) -> None:
    """The audit stays due until its report is a row."""
    set_to(clock, 5)
    await auditor.daily()
    set_to(clock, 6)
    with program(KILLED, empty_db.url, clock.now) as process:
        await asyncio.to_thread(process.wait, 60)
        assert process.returncode == -9
    assert await reports(empty_db) == []
    await auditor.daily()
    assert len(await reports(empty_db)) == 2


async def test_the_report_seals_first_and_holds_the_head_and_the_sums(
    empty_db: Database, auditor: Auditor, clock: Clock
) -> None:
    """What leaves the machine covers everything up to this morning."""
    set_to(clock, 5)
    await auditor.daily()
    await empty_db.add_balance(1, 5_000, key="k", reason="r")
    await empty_db.reserve_balance(1, 1_500, "job")
    set_to(clock, 6)
    await auditor.daily()
    head = await empty_db.read(seals.newest)
    assert head is not None
    told = (await reports(empty_db))[0].payload
    assert (told["sound"], told["head"], told["upto"], told["unsealed"]) == (True, head.hash, 2, 0)
    assert (told["entries"], told["balances"], told["held"], told["at"]) == (2, 3_500, 1_500, clock.now)


async def test_broken_books_are_told_with_rule_and_rows(
    empty_db: Database, auditor: Auditor, clock: Clock, renderer: ChatMessages
) -> None:
    """A changed entry is in the message of the next morning, in both languages, with what to do."""
    set_to(clock, 5)
    await auditor.daily()
    await empty_db.add_balance(1, 5_000, key="k", reason="r")
    await auditor.seal()
    async with intruder(empty_db) as connection:
        connection.execute("UPDATE ledger SET amount = 6000")
    set_to(clock, 6)
    await auditor.daily()
    item = (await reports(empty_db))[0]
    assert (item.payload["sound"], item.payload["broken"]["I4"], item.payload["broken"]["I5"]) == (False, ["1"], ["1"])
    for language in LANGUAGES:
        screen = renderer.note(language, item, 0, None)
        assert screen is not None
        assert re.search(r"<b>I4</b>: .+ \(<code>1</code>\)", screen.text)
        assert "/maintenance on" in screen.text
        assert str(item.payload["head"]) in screen.text


async def test_a_broken_chain_is_reported_though_nothing_can_be_sealed(
    empty_db: Database, auditor: Auditor, clock: Clock
) -> None:
    """Sealing refuses to cover the traces, and the audit tells them all the same."""
    set_to(clock, 5)
    await auditor.daily()
    await empty_db.add_balance(1, 5_000, key="k", reason="r")
    await auditor.seal()
    async with intruder(empty_db) as connection:
        connection.execute("DELETE FROM seals")
    set_to(clock, 6)
    await auditor.daily()
    told = (await reports(empty_db))[0].payload
    assert (told["sound"], list(told["broken"]), told["head"]) == (False, ["I4"], "")


async def test_a_sound_report_reads_well(
    empty_db: Database, auditor: Auditor, clock: Clock, renderer: ChatMessages
) -> None:
    """All well, the sums in rubles and the whole head, in both languages; an empty shop has a report as well."""
    set_to(clock, 5)
    await auditor.daily()
    set_to(clock, 6)
    await auditor.daily()
    await empty_db.add_balance(1, 123_400, key="k", reason="r")
    clock.forward(DAY)
    await auditor.daily()
    empty, later = (await reports(empty_db))[0], (await reports(empty_db))[-1]
    for language, well, sum_ in (("ru", "Учёт сходится", "1 234 ₽"), ("en", "The books balance", "1,234")):
        for item in (empty, later):
            screen = renderer.note(language, item, 0, None)
            assert screen is not None
            assert well in screen.text
            assert "Placeable" not in screen.text
        last = renderer.note(language, later, 0, None)
        assert last is not None
        assert f"<code>{later.payload['head']}</code>" in last.text
        assert sum_.replace(" ", "") in re.sub(r"\s", "", last.text)


async def test_a_cancelled_audit_stops_its_thread() -> None:
    """SIGTERM during the audit: the thread is told to stop and the program's end does not wait for the books."""
    begun, ended = threading.Event(), threading.Event()

    def work(stop: threading.Event) -> None:
        begun.set()
        if stop.wait(30):
            ended.set()

    task = asyncio.create_task(in_thread(work))
    assert await asyncio.to_thread(begun.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, 30)


async def test_the_metrics_tell_age_and_verdict(empty_db: Database, auditor: Auditor, clock: Clock) -> None:
    """NaN before the first audit, then the age in seconds and 1 or 0; entries without a seal are counted."""

    async def gauges() -> dict[str, float]:
        page = (await Metrics(empty_db, Queue(None)).page()).decode()
        return {name: float(value) for name, value in re.findall(r"^shop_(\w+) (\S+)$", page, re.MULTILINE)}

    set_to(clock, 5)
    await auditor.daily()
    before = await gauges()
    assert math.isnan(before["audit_age_seconds"])
    assert math.isnan(before["audit_sound"])
    set_to(clock, 6)
    await auditor.daily()
    await empty_db.add_balance(1, 5_000, key="k", reason="r")
    clock.forward(HOUR)
    after = await gauges()
    assert (after["audit_age_seconds"], after["audit_sound"], after["ledger_unsealed"]) == (3600, 1, 1)
    async with intruder(empty_db) as connection:
        connection.execute("UPDATE balances SET balance = 1")
    clock.forward(DAY)
    await auditor.daily()
    assert (await gauges())["audit_sound"] == 0


async def test_the_report_is_sent_once_a_key(empty_db: Database, auditor: Auditor, clock: Clock) -> None:
    """The row's key names day and administrator, so whatever posts it again posts nothing."""
    set_to(clock, 5)
    await auditor.daily()
    set_to(clock, 6)
    await auditor.daily()
    item = (await reports(empty_db))[0]
    assert re.fullmatch(r"audit:\d{4}-\d\d-\d\d:101", item.key)
    await empty_db.write(outbox.post, item.key, item.user_id, "audit", payload={})
    assert len(await reports(empty_db)) == 2
