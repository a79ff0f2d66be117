"""The books as CSV: exact sums, every row once, nothing a spreadsheet would calculate, memory that does not grow."""

from __future__ import annotations

import csv
import io
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from database import clock
from database.models import Database, Tx
from services.ops.export import PAGE, BadPeriod, Period, moment, plain, rubles, write_csv
from services.ops.margin import BOOKS, last_days, write_book
from services.payments.comparison import Report, credited_since, refunded_since
from services.payments.matching import PROVIDER
from services.payments.yookassa_comparison import YooKassaComparison
from tests.support.bot_env import ADMIN, ANYA, BotEnv
from tests.support.command_line import command
from tests.support.database_fixture import busy, url_of
from tests.support.payment_env import PaymentEnv

ALWAYS = Period.parse("2000-01-01", "2100-01-01")


def read(path: Path) -> list[dict[str, str]]:
    raw = path.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    assert raw.endswith(b"\r\n")
    return list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline="")))


@given(st.integers(min_value=-(10**13), max_value=10**13))
def test_rubles_are_exact(kopecks: int) -> None:
    """Two decimals, made of whole kopecks: what is written reads back as the same sum."""
    written = rubles(kopecks)
    whole, _, part = written.removeprefix("-").partition(".")
    assert len(part) == 2
    assert (int(whole) * 100 + int(part)) * (-1 if written.startswith("-") else 1) == kopecks


@pytest.mark.parametrize("cell", ["=1+1", "+7", "-2+3", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")'])
def test_a_formula_is_written_as_a_text(cell: str) -> None:
    """A cell with a user's words never begins like a formula."""
    assert plain(cell) == f"'{cell}"


def test_days_are_moscows() -> None:
    """A day begins at midnight in Moscow, whatever the machine's clock zone; both ends are included."""
    since, until = Period.parse("2026-11-22", "2026-11-22").milliseconds
    assert datetime.fromtimestamp(since / 1000, UTC) == datetime(2026, 11, 21, 21, tzinfo=UTC)
    assert until - since == 86_400_000
    assert moment(since) == "2026-11-22 00:00:00"


@pytest.mark.parametrize(("first", "last"), [("2026-11-02", "2026-11-01"), ("yesterday", "2026-11-01"), ("", ""),
                                             ("2026-13-01", "2026-13-02"), ("1026-01-01", "2026-01-01")])  # fmt: skip
def test_what_is_no_period_is_refused(first: str, last: str) -> None:
    """Days that do not exist or run backwards: a clear no."""
    with pytest.raises(BadPeriod):
        Period.parse(first, last)


async def test_the_three_books_hold_what_happened(payment_env: PaymentEnv, tmp_path: Path) -> None:
    """A payment, its part returned, and their entries: each row once, sums in rubles, no secrets."""
    paid = await payment_env.paid()
    await payment_env.refunds.refund(ADMIN, paid.id, 12_345, refund_id="r1")
    await payment_env.db.add_balance(1, 7, key='=cmd|"/c calc"!A1', reason='quotes ", commas; and\nlines')
    for what, rows in (("ledger", 3), ("payments", 1), ("refunds", 1)):
        assert await write_csv(payment_env.db, what, ALWAYS, tmp_path / f"{what}.csv") == rows
    entries = read(tmp_path / "ledger.csv")
    assert [row["amount_rub"] for row in entries] == ["500.00", "-123.45", "0.07"]
    assert entries[2]["reason"] == 'quotes ", commas; and\nlines'
    (payment,) = read(tmp_path / "payments.csv")
    assert (payment["id"], payment["amount_rub"], payment["refunded_rub"]) == (paid.id, "500.00", "123.45")
    (refund,) = read(tmp_path / "refunds.csv")
    assert (refund["id"], refund["status"], refund["taken_rub"]) == ("r1", "succeeded", "123.45")


async def test_only_the_days_asked_for(payment_env: PaymentEnv, tmp_path: Path) -> None:
    """What happened on other days is left out."""
    await payment_env.paid()
    today = datetime.now(UTC).astimezone(tz=None).date()
    past = Period(today - timedelta(days=30), today - timedelta(days=10))
    assert await write_csv(payment_env.db, "ledger", past, tmp_path / "past.csv") == 0
    assert read(tmp_path / "past.csv") == []


async def test_many_rows_are_each_written_once_in_little_memory(db: Database, tmp_path: Path) -> None:
    """More rows than many pages hold: every one is there, in order, and memory stays that of a few pages."""
    count = 20 * PAGE + 1

    def fill(tx: Tx) -> None:
        tx.execute(text("INSERT INTO users (id, created_at) VALUES (1, 1780000000000)"))
        tx.execute(
            text(
                "INSERT INTO ledger (user_id, kind, amount, reason, key, created_at) WITH RECURSIVE n(i) AS "
                "(SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count) "
                "SELECT 1, 'credit', i, 'fill', 'k' || i, 1780000000000 + i / 7 FROM n"
            ),
            {"count": count},
        )

    await db.write(fill)
    tracemalloc.start()
    try:
        assert await write_csv(db, "ledger", ALWAYS, tmp_path / "many.csv") == count
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12_000_000
    assert [row["id"] for row in read(tmp_path / "many.csv")] == [str(number) for number in range(1, count + 1)]


async def test_long_reads_of_the_books_keep_no_order_waiting(payment_env: PaymentEnv, tmp_path: Path) -> None:
    """What an administrator or the hourly comparison reads of all history has a connection of its own."""
    paid = await payment_env.paid()
    today = last_days(1, clock.now_ms())
    async with busy(payment_env.db):
        for book in BOOKS:
            await write_book(payment_env.db, book, today, tmp_path / book, rubles_per_dollar=100)
        assert [payment.id async for payment in credited_since(payment_env.db, PROVIDER, 0)] == [paid.id]
        assert [refund async for refund in refunded_since(payment_env.db, PROVIDER, 0)] == []
        comparison = YooKassaComparison(payment_env.db, payment_env.gateway, payment_env.payments, Report(), admins=[])
        await comparison.check_quarantine()


async def test_the_command_writes_a_file_and_spares_one_that_exists(payment_env: PaymentEnv, tmp_path: Path) -> None:
    """python main.py export: status 0 and a whole file; an existing file, a wrong day, a wrong book: a sentence."""
    await payment_env.paid()
    settings = {"BOT_TOKEN": "900:token", "DATABASE_URL": payment_env.db.url}
    days = ("--from", "2020-01-01", "--to", "2099-12-31")
    target = tmp_path / "out.csv"
    done = await command(tmp_path, settings, "export", "payments", *days, str(target))
    assert (done.status, done.out) == (0, f"1 rows of payments are in {target}.\n")
    before = target.read_bytes()
    again = await command(tmp_path, settings, "export", "payments", *days, str(target))
    assert (again.status, again.out, target.read_bytes()) == (1, "", before)
    odd = ("--from", "soon", "--to", "later", str(tmp_path / "x"))
    wrong = await command(tmp_path, settings, "export", "ledger", *odd)
    assert (wrong.status, wrong.err) == (1, "a day is written as 2026-11-01\n")
    assert not (tmp_path / "x").exists()


async def test_an_admin_gets_the_books_in_the_chat(bot_env: BotEnv) -> None:
    """/export sends the file; what is no period gets the usage; for others the command does not exist."""
    admin, anya = bot_env.person(ADMIN), bot_env.person(ANYA)
    await bot_env.give(ANYA, 100)
    await admin.say("/export everything")
    await admin.sees("Так: /export", new=True)
    await admin.say("/export ledger 2020-01-01 2099-12-31")
    (sent,) = await admin.gets("document")
    assert sent["document"]["file_name"] == "ledger_2020-01-01_2099-12-31.csv"
    assert "Строк: 1" in sent["caption"]
    await anya.say("/export ledger 2020-01-01 2099-12-31")
    await anya.say("/balance")
    await anya.sees("На балансе", new=True)
    assert not [one for one in await anya.messages() if "document" in one]
    assert url_of(bot_env.db.path) == bot_env.db.url
