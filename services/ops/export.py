"""Books for the accountant: CSV by RFC 4180, in UTF-8 with a byte order mark, which spreadsheets expect.

Rows are read page by page on a connection of its own, so memory does not grow with the number of rows and no order
waits. Sums are rubles with two decimals, computed from whole kopecks. A text that a spreadsheet would take for a
formula is written as a text. E-mail addresses are not exported.
"""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal, get_args

from database import export
from database.models import Database, Tx

What = Literal["ledger", "payments", "refunds", "receipts"]
WHAT: tuple[str, ...] = get_args(What)
PAGE = 1_000
MOSCOW = timezone(timedelta(hours=3))  # an accountant's days are days in Moscow
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Row = Mapping[str, Any]
Page = Callable[[Tx, int, int, export.Place, int], Sequence[Row]]


class BadPeriod(ValueError):
    """The two texts are not a period of days."""


@dataclass(frozen=True)
class Period:
    """Whole days in Moscow, the first and the last included."""

    first: date
    last: date

    @classmethod
    def parse(cls, first: str, last: str) -> Period:
        """Two days as 2026-11-01. Raises BadPeriod."""
        try:
            period = cls(date.fromisoformat(first), date.fromisoformat(last))
        except ValueError:
            raise BadPeriod("a day is written as 2026-11-01") from None
        if period.first > period.last or period.first.year < 2000 or period.last.year > 2100:
            raise BadPeriod("the first day lies behind the last, or far away")
        return period

    @property
    def milliseconds(self) -> tuple[int, int]:
        """[from, to) in UTC milliseconds."""
        begin = datetime(self.first.year, self.first.month, self.first.day, tzinfo=MOSCOW)
        end = datetime(self.last.year, self.last.month, self.last.day, tzinfo=MOSCOW) + timedelta(days=1)
        return int(begin.timestamp()) * 1000, int(end.timestamp()) * 1000


def rubles(kopecks: int | None) -> str:
    """`-123456` → `-1234.56`, exact at any size; nothing for None."""
    if kopecks is None:
        return ""
    whole, part = divmod(abs(kopecks), 100)
    return f"{'-' if kopecks < 0 else ''}{whole}.{part:02d}"


def moment(milliseconds: int | None) -> str:
    """`2026-11-22 15:04:05` in Moscow; nothing for None."""
    if milliseconds is None:
        return ""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone(MOSCOW).strftime("%Y-%m-%d %H:%M:%S")


def plain(text: object) -> str:
    """A cell that no spreadsheet evaluates: a text that begins like a formula gets an apostrophe before it."""
    cell = "" if text is None else str(text).replace("\x00", "")
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


Column = tuple[str, str, Callable[[Any], str]]  # heading, column, how it is written

_COLUMNS: dict[str, tuple[Page, tuple[Column, ...]]] = {
    "ledger": (
        export.ledger_page,
        (
            ("id", "id", str), ("time_moscow", "created_at", moment), ("user_id", "user_id", str),
            ("kind", "kind", plain), ("amount_rub", "amount", rubles), ("reason", "reason", plain),
            ("job_id", "job_id", plain), ("payment_id", "payment_id", plain), ("key", "key", plain),
        ),
    ),
    "payments": (
        export.payments_page,
        (
            ("id", "id", plain), ("time_moscow", "created_at", moment), ("user_id", "user_id", str),
            ("provider", "provider", plain), ("provider_payment_id", "provider_payment_id", plain),
            ("amount_rub", "amount", rubles), ("refunded_rub", "refunded_amount", rubles), ("stars", "stars", plain),
            ("status", "status", plain), ("paid_moscow", "paid_at", moment),
            ("in_doubt", "quarantined_reason", plain), ("cancel_reason", "cancel_reason", plain),
        ),
    ),
    "refunds": (
        export.refunds_page,
        (
            ("id", "id", plain), ("time_moscow", "created_at", moment), ("payment_id", "payment_id", plain),
            ("user_id", "user_id", str), ("provider", "provider", plain),
            ("provider_payment_id", "provider_payment_id", plain), ("provider_refund_id", "provider_refund_id", plain),
            ("amount_rub", "amount", rubles), ("taken_rub", "taken", rubles), ("owed_rub", "owed", rubles),
            ("status", "status", plain), ("requested_by", "requested_by", plain),
            ("closed_moscow", "closed_at", moment), ("cancel_reason", "cancel_reason", plain),
        ),
    ),
    "receipts": (
        export.receipts_page,
        (
            ("time_moscow", "created_at", moment), ("kind", "kind", plain), ("payment_id", "payment_id", plain),
            ("provider_payment_id", "provider_payment_id", plain), ("provider_refund_id", "provider_refund_id", plain),
            ("amount_rub", "amount", rubles), ("description", "description", plain), ("vat_code", "vat_code", plain),
            ("tax_system_code", "tax_system_code", plain), ("payment_subject", "payment_subject", plain),
            ("payment_mode", "payment_mode", plain),
        ),
    ),
}  # fmt: skip


async def write_csv(db: Database, what: str, period: Period, target: Path) -> int:
    """Write the rows of a period to a new file; returns how many. Raises FileExistsError, KeyError for `what`."""
    page, columns = _COLUMNS[what]
    since, until = period.milliseconds
    written, after = 0, export.BEGINNING
    with target.open("x", encoding="utf-8-sig", newline="") as file:
        rows = csv.writer(file, lineterminator="\r\n")
        rows.writerow([heading for heading, _, _ in columns])
        while found := await db.read_apart(page, since, until, after, PAGE):
            await asyncio.to_thread(rows.writerows, _cells(columns, found))
            after = (int(found[-1]["created_at"]), str(found[-1]["id"]))
            written += len(found)
    return written


def _cells(columns: tuple[Column, ...], found: Iterable[Row]) -> list[list[str]]:
    return [[write(row[name]) for _, name, write in columns] for row in found]
