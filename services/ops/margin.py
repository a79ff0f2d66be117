"""The margin: what orders earned minus what providers cost for them, in kopecks, by day and model.

Providers are paid in dollars; the catalogue has the price of a dollar.
"""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from database import margin
from database.models import Database
from services.ops.export import MOSCOW, WHAT, Period, plain, rubles, write_csv

BOOKS = (*WHAT, "margin")
"""What can be exported."""
ZONE_MS = int(timedelta(hours=3).total_seconds()) * 1000
EPOCH = date(1970, 1, 1)
DAYS_AT_ONCE = 31  # one transaction reads this many days
Key = TypeVar("Key", date, str)


@dataclass(frozen=True)
class Margin:
    """Orders placed on one day for one model, or a sum of these; `charged` and `cost` in kopecks."""

    day: date
    model: str
    orders: int
    open: int
    completed: int
    lost: int  # paid to the provider, not paid by the user
    charged: int
    cost_micro_usd: int
    cost: int

    @property
    def margin(self) -> int:
        return self.charged - self.cost

    @property
    def percent(self) -> int | None:
        """The margin in percent of what was charged; None if nothing was."""
        return None if self.charged <= 0 else round(100 * self.margin / self.charged)

    def __add__(self, other: Margin) -> Margin:
        names = ("orders", "open", "completed", "lost", "charged", "cost_micro_usd", "cost")
        return Margin(self.day, self.model, **{name: getattr(self, name) + getattr(other, name) for name in names})


def kopecks(micro_usd: int, rubles_per_dollar: float) -> int:
    """Micro-dollars in kopecks; half a kopeck is rounded up."""
    return (micro_usd * round(rubles_per_dollar * 100) + 500_000) // 1_000_000


async def margins(db: Database, period: Period, rubles_per_dollar: float) -> AsyncIterator[Margin]:
    """Lines of the period, day by day, with each day's models in order. One query covers a month."""
    first = period.first
    while first <= period.last:
        last = min(period.last, first + timedelta(days=DAYS_AT_ONCE - 1))
        since, until = Period(first, last).milliseconds
        for line in await db.read_apart(margin.lines, since, until, zone_ms=ZONE_MS):
            day = EPOCH + timedelta(days=line.day)
            cost = kopecks(line.cost_micro_usd, rubles_per_dollar)
            yield Margin(**{**vars(line), "day": day, "cost": cost})
        first = last + timedelta(days=1)


def added_up(lines: Iterable[Margin], key: Callable[[Margin], Key]) -> dict[Key, Margin]:
    """Lines with the same key added up, in the order in which the keys first appear."""
    sums: dict[Key, Margin] = {}
    for line in lines:
        name = key(line)
        sums[name] = sums[name] + line if name in sums else line
    return sums


def last_days(count: int, now_ms: int) -> Period:
    """Today in Moscow and the days before it, `count` in all."""
    today = datetime.fromtimestamp(now_ms / 1000, MOSCOW).date()
    return Period(today - timedelta(days=count - 1), today)


_COLUMNS: tuple[tuple[str, Callable[[Margin], str]], ...] = (
    ("day_moscow", lambda one: one.day.isoformat()), ("model", lambda one: plain(one.model)),
    ("orders", lambda one: str(one.orders)), ("open", lambda one: str(one.open)),
    ("completed", lambda one: str(one.completed)), ("lost", lambda one: str(one.lost)),
    ("charged_rub", lambda one: rubles(one.charged)), ("cost_usd", lambda one: dollars(one.cost_micro_usd)),
    ("cost_rub", lambda one: rubles(one.cost)), ("margin_rub", lambda one: rubles(one.margin)),
)  # fmt: skip


def dollars(micro_usd: int) -> str:
    """`33600` → `0.033600`, exact."""
    return f"{micro_usd // 1_000_000}.{micro_usd % 1_000_000:06d}"


async def write_book(db: Database, what: str, period: Period, target: Path, *, rubles_per_dollar: float) -> int:
    """Write one of `BOOKS` to a new CSV file; returns how many rows. Raises FileExistsError, KeyError for `what`."""
    if what != "margin":
        return await write_csv(db, what, period, target)
    written = 0
    with target.open("x", encoding="utf-8-sig", newline="") as file:
        rows_of_file = csv.writer(file, lineterminator="\r\n")
        rows_of_file.writerow([heading for heading, _ in _COLUMNS])
        async for line in margins(db, period, rubles_per_dollar):
            rows_of_file.writerow([write(line) for _, write in _COLUMNS])
            written += 1
    return written
