"""The providers' books and ours compared: when, how far back, and what the admins are told when it fails.

What is compared stands in `yookassa_comparison.py` and, for Stars, in `stars.py`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from database import clock, outbox
from database import flags as flag_rows
from database.models import Database, Difference, Tx
from services.common.log import event
from services.payments import decisions
from services.payments.comparison import Compare, Report
from services.payments.payments import Payments
from services.payments.yookassa.client import YooKassaGateway
from services.payments.yookassa_comparison import OVERLAP_SECONDS, YooKassaComparison

COMPARED = "yookassa_compared_ms"  # up to when the books of all providers were compared with ours
LATE_SECONDS = 6 * clock.HOUR_SECONDS  # without a whole comparison the admins are told
MOST_DAYS = 3 * 365  # YooKassa lists the last three years (docs/reference/yookassa.md, section 5)

_log = logging.getLogger(__name__)


def _last(tx: Tx, now: int) -> int:
    """Up to when all was compared (UTC ms); a shop begins at its first comparison, however that one ends."""
    kept = flag_rows.get(tx, COMPARED)
    if not kept:
        flag_rows.put(tx, COMPARED, str(now))
    return min(now, int(kept or now))


def age_seconds(tx: Tx) -> float:
    """How long ago all was compared; NaN before the first comparison."""
    kept = flag_rows.get(tx, COMPARED)
    return max(0, tx.now - int(kept)) / 1000 if kept else math.nan


def _tell_if_late(tx: Tx, admins: Sequence[int]) -> None:
    """Owe the admins one alert a day (UTC) while nothing has been compared to the end for too long."""
    age = age_seconds(tx)
    if age > LATE_SECONDS:
        day = datetime.fromtimestamp(tx.now / 1000, UTC).date().isoformat()
        hours = int(age // clock.HOUR_SECONDS)
        outbox.alert_admins(tx, admins, f"not-compared:{day}", "alert-not-compared", hours=hours)


class Reconciliation:
    """Compares with YooKassa's lists where there is a shop, and with those of the other providers."""

    def __init__(
        self,
        db: Database,
        gateway: YooKassaGateway | None,
        payments: Payments,
        *,
        admins: Sequence[int] = (),
        others: Sequence[Compare] = (),
    ) -> None:
        """`others` compare the books of other providers."""
        self._db = db
        self._gateway = gateway
        self._payments = payments
        self._admins = sorted(admins)
        self._others = others

    async def hourly(self) -> None:
        """The hourly task: from where the last one ended, with a day of overlap; the admins are told when all fail.

        Raises as `run`. Without a provider there is nothing to fail, so nobody is told of anything.
        """
        try:
            await self.run()
        finally:  # also when it never ended and was cut off
            await self._db.write(_tell_if_late, self._admins)

    async def run(self, days: float | None = None) -> Report:
        """Compare as `compare` does; what went wrong with the first provider is raised after all were compared."""
        report = await self.compare(days)
        if report.unread:
            raise report.unread[0]
        return report

    async def compare(self, days: float | None = None) -> Report:
        """Compare the last `days`, or all since the last comparison and 26 hours before it.

        A provider whose books can't be read to their end keeps no other from being compared; the report says why. Only
        a run that compared all of it moves on where the next one begins.
        """
        report = Report()
        started = clock.now()
        last = await self._db.write(_last, int(started * 1000)) / 1000
        reach = None if days is None else min(days, MOST_DAYS) * clock.DAY_SECONDS
        since = last - OVERLAP_SECONDS if reach is None else started - reach
        yookassa = YooKassaComparison(self._db, self._gateway, self._payments, report, admins=self._admins)
        comparisons: list[Callable[[], Awaitable[None]]] = [partial(yookassa.run, since, usual=reach is None)]
        comparisons += [partial(compare, report, since) for compare in self._others]
        report.unread = [fault for one in comparisons if (fault := await _fault_of(one)) is not None]
        if not report.unread and not report.failed and since <= last:
            await self._db.write(flag_rows.put, COMPARED, str(int(started * 1000)))
        _log_done(report)
        return report

    async def apply(self, admin_id: int, difference_id: int) -> Difference:
        """Book the proposed entry of a difference, as `decisions.apply`."""
        return await decisions.apply(self._db, self._gateway, admin_id, difference_id)


async def _fault_of(compare: Callable[[], Awaitable[None]]) -> Exception | None:
    """What kept the books of a provider from being compared to their end; None when nothing did."""
    try:
        await compare()
    except Exception as error:
        event(_log, "reconcile.rail_failed", level=logging.WARNING, error=type(error).__name__, detail=str(error)[:200])
        return error
    return None


def _log_done(report: Report) -> None:
    event(
        _log,
        "reconcile.done",
        payments=report.payments,
        refunds=report.refunds,
        settled=report.settled,
        failed=report.failed,
        new=len(report.new),
        unread=len(report.unread),
    )
