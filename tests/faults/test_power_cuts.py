"""Power cuts at any moment: the product's own connection, schema and transactions on a disk that loses what it may.

The product opens every image that a cut can leave. It shows exactly the books of some moment, no earlier than the last
acknowledged transaction, and the audit finds nothing.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from database import assets as asset_rows
from database import inbox, ledger, outbox
from database import jobs as job_rows
from database import payments as payment_rows
from database import provider_calls as call_rows
from database import refunds as refund_rows
from database.audit.checks import check_file, run_checks
from database.engine import SqliteFile, Tx
from database.migrate import migrate
from database.models import JobType, Refusal
from database.states import CallOutcome, JobStep
from tests.faults.disk import Disk, Recorder, recording
from tests.faults.examples import SOAK

CUTS = 520 * max(SOAK, 1)
TABLES = (
    "users", "ledger", "balances", "reservations", "jobs", "payments", "refunds", "debts", "provider_calls", "assets",
    "inbox", "outbox",
)  # fmt: skip
Action = Callable[[Tx], object]


def books(file: SqliteFile) -> str:
    """A digest of every row of every table of money, and of the schema with its guards."""
    digest = hashlib.sha256()
    file.raw.execute("BEGIN")
    for statement in ("sql FROM sqlite_schema ORDER BY name", *(f"* FROM {name} ORDER BY 1" for name in TABLES)):
        digest.update(repr(file.raw.execute(f"SELECT {statement}").fetchall()).encode())
    file.raw.execute("COMMIT")
    return digest.hexdigest()


def actions(chance: random.Random, count: int) -> Iterator[Action]:
    """What a day of the product writes, each one transaction of its own."""
    for number in range(count):
        user = chance.randint(1, 6)
        yield from (
            _job(number, user, chance.choice(("finish", "cheap", "fail", "cancel", "open")))
            if number % 2
            else _payment(number, user, chance.choice(("settle", "part", "whole", "open")))
        )


def _payment(number: int, user: int, end: str) -> Iterator[Action]:
    name, sum_ = f"p{number}", 5_000
    new = payment_rows.NewPayment(name, user, "yookassa", sum_, f"key-{name}", "{}")
    yield lambda tx: payment_rows.open_payment(tx, new, poll_in_ms=10_000)
    yield lambda tx: inbox.receive(tx, "yookassa", f"payment.succeeded:{name}", "{}")
    if end == "open":
        return
    yield lambda tx: payment_rows.settle(tx, name)
    if end != "settle":
        back = sum_ if end == "whole" else 1_700
        yield lambda tx: refund_rows.take_back(
            tx, name, refund_id=f"r{name}", provider_refund_id=f"yk-{name}", amount=back
        )


def _job(number: int, user: int, end: str) -> Iterator[Action]:
    name = f"j{number}"
    new = job_rows.NewJob(
        id=name,
        user_id=user,
        type=JobType.IMAGE,
        model="m",
        prompt="a fox " * 40,
        params={},
        price=1_200,
        hold_ms=900_000,
    )
    asset = asset_rows.NewAsset(f"a{name}", user, f"k/{name}", "0" * 64, "image/png", 10, 1, 1)
    yield lambda tx: ledger.add_balance(tx, user, 1_300, key=f"gift-{name}", reason="gift")
    yield lambda tx: job_rows.start(tx, new, max_active=1_000)
    if end == "cancel":
        yield lambda tx: job_rows.cancel(tx, name, user)
    if end in ("cancel", "open"):
        return
    yield lambda tx: job_rows.claim(tx, name, JobStep.IMAGE)
    calls: list[int | None] = []
    yield lambda tx: calls.append(call_rows.begin_call(tx, name, 1, provider="gemini", model="m"))
    yield lambda tx: call_rows.end_call(tx, calls[0] or 0, CallOutcome.OK if end != "fail" else CallOutcome.REFUSED)
    if end == "fail":
        yield lambda tx: job_rows.fail(tx, name, "refused", attempt=1)
        return
    price = 700 if end == "cheap" else None
    yield lambda tx: job_rows.finish(tx, name, 1, asset, keep_ms=1_000_000, price=price)
    yield _send_messages
    if end == "cheap":
        yield lambda tx: job_rows.compensate(tx, name, "a scratch")


def _send_messages(tx: Tx) -> None:
    for item in outbox.claim(tx, limit=5):
        outbox.sent(tx, item.id)


@pytest.fixture
def fast(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: hundreds of images need no real disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder)


class Day:
    """A day of the product on a recorded disk: the books after each transaction, in order."""

    def __init__(self, path: Path, recorder: Recorder) -> None:
        self.path = path
        self.recorder = recorder
        self.states: list[str] = []
        self.now = 1_780_000_000_000

    def clock(self) -> int:
        self.now += 1
        return self.now

    def open(self) -> SqliteFile:
        return SqliteFile.open(self.path, self.clock)

    def run(self, chance: random.Random, count: int, prepare: Callable[[SqliteFile], object] = str) -> int:
        """Migrate, then `count` jobs and payments, with restarts in between. Answers the event at which they begin."""
        file = self.open()
        migrate(file)
        prepare(file)
        self._acknowledge(file)
        begin = len(self.recorder.events)
        for turn, action in enumerate(actions(chance, count)):
            if turn and turn % 150 == 0:
                file.close()
                file = self.open()
                prepare(file)
            try:
                file.write(action)
            except Refusal:
                continue  # too little money, cancelled too late: nothing was written
            self._acknowledge(file)
        file.close()
        return begin

    def _acknowledge(self, file: SqliteFile) -> None:
        self.recorder.acknowledged()
        self.states.append(books(file))
        if len(self.states) % 10 == 1:
            assert file.read(run_checks) == []


def faulty_images(day: Day, begin: int, cuts: int, folder: Path) -> Iterator[str]:
    """Cut the power `cuts` times; says what is wrong with each image that is not as it may be.

    The same books give the same audit, and those of the day were audited, so only some images are audited again.
    """
    chance, events = random.Random(11), day.recorder.events
    disk = Disk(events)
    seen: set[tuple[int, int]] = set()
    for number, moment in enumerate(sorted(chance.choices(range(begin, len(events) + 1), k=cuts))):
        disk.advance(moment)
        left = disk.cut(chance)
        image = (disk.acknowledged, hash(tuple(left.items())))
        if image in seen:
            continue
        seen.add(image)
        path = _written(left, folder / f"cut-{number}")
        if wrong := _fault_of(path, day.states, disk.acknowledged, audit=number % 20 == 0):
            yield f"cut {number} after event {moment} of {len(events)}: {wrong}"
        shutil.rmtree(path.parent)
    assert len(seen) > cuts / 2, "so many cuts left the same image that little was checked"


def _written(left: dict[str, bytes], place: Path) -> Path:
    """What is left, in a folder of its own; the path of the database."""
    place.mkdir()
    for name, content in left.items():
        (place / name).write_bytes(content)
    return place / "bot.db"


def _fault_of(path: Path, states: list[str], acknowledged: int, *, audit: bool) -> str | None:
    file = SqliteFile.open(path)
    try:
        if (found := file.raw.execute("PRAGMA integrity_check").fetchall()) != [("ok",)]:
            return f"the file is damaged: {found}"
        allowed = states[acknowledged - 1 : acknowledged + 1]
        if (now := books(file)) not in allowed:
            which = states.index(now) + 1 if now in states else None
            return f"{acknowledged} were acknowledged, the books are those of {which or 'no moment'}"
        broken = file.read(run_checks) if audit else []
        return f"the audit says {broken}" if broken else None
    finally:
        file.close()


def test_no_power_cut_loses_or_halves_what_was_acknowledged(fast: Path) -> None:
    """Hundreds of cuts in a day of payments, orders, refunds, checkpoints, restarts: nothing is lost or half done."""
    source = fast / "day"
    source.mkdir()
    with recording(source) as recorder:
        day = Day(source / "bot.db", recorder)
        begin = day.run(random.Random(5), 50)
    assert len(day.states) > 200
    syncs = [event for event in recorder.events if event.kind == "sync" and event.file.endswith("bot.db")]
    assert len(syncs) > 3, "the day was too short for a checkpoint"
    assert list(faulty_images(day, begin, CUTS, fast)) == []


def test_a_cut_in_the_first_start_leaves_a_file_that_can_be_started_again(fast: Path) -> None:
    """A cut while the tables are made: the next start makes them, and the books are empty."""
    source = fast / "day"
    source.mkdir()
    with recording(source) as recorder:
        day = Day(source / "bot.db", recorder)
        begin = day.run(random.Random(5), 0)
    chance, disk = random.Random(3), Disk(recorder.events)
    for number, moment in enumerate(sorted(chance.choices(range(begin), k=15))):
        disk.advance(moment)
        file = SqliteFile.open(_written(disk.cut(chance), fast / f"start-{number}"))
        try:
            migrate(file)
            assert books(file) == day.states[0]
            assert file.read(run_checks) + file.read(check_file) == []
        finally:
            file.close()


@pytest.mark.parametrize("setting", ["synchronous=NORMAL", "synchronous=OFF"])
def test_power_cuts_show_a_connection_that_does_not_wait_for_the_disk(fast: Path, setting: str) -> None:
    """The same day with a connection that does not wait for the disk: the cuts above would have shown it."""
    source = fast / "day"
    source.mkdir()
    with recording(source) as recorder:
        day = Day(source / "bot.db", recorder)
        begin = day.run(random.Random(5), 30, lambda file: file.raw.execute(f"PRAGMA {setting}"))
    assert any(faulty_images(day, begin, 40, fast))
