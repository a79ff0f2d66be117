"""What every comparison of a provider's books with ours shares: the report, our side page by page, the differences."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from database import differences as difference_rows
from database import payments as payment_rows
from database import refunds as refund_rows
from database.differences import Found, Proposal
from database.models import Database, Difference, Payment, Refund
from services.common.log import event

_log = logging.getLogger(__name__)


@dataclass
class Report:
    """What a comparison saw: counts, what it settled by itself, and the differences that are new."""

    payments: int = 0
    refunds: int = 0
    settled: int = 0
    failed: int = 0
    unread: list[Exception] = field(default_factory=list)
    """What kept a provider's books from being read to their end, one for each such provider."""
    new: list[Difference] = field(default_factory=list)


Compare = Callable[[Report, float], Awaitable[None]]
"""Compares one provider's books from a time on (seconds since 1970)."""


async def credited_since(db: Database, provider: str, since: float) -> AsyncIterator[Payment]:
    """Payments of a provider by our books from `since` (seconds since 1970) on, read page by page."""
    last = ""
    while page := await db.read_apart(payment_rows.paid_since, provider, int(since * 1000), after=last):
        for payment in page:
            yield payment
        last = page[-1].id


async def refunded_since(db: Database, provider: str, since: float) -> AsyncIterator[Refund]:
    """Refunds of a provider's payments by our books, as `credited_since`."""
    last = ""
    while page := await db.read_apart(refund_rows.succeeded_since, provider, int(since * 1000), after=last):
        for refund in page:
            yield refund
        last = page[-1].id


class Findings:
    """Where a comparison writes down what it found: in the database, in the log, in its report."""

    def __init__(self, db: Database, admins: Sequence[int], report: Report) -> None:
        self._db = db
        self._admins = admins
        self._report = report

    async def note(
        self, payment: Payment, kind: str, about: str, theirs: int, propose: int, *, whole: bool = False
    ) -> None:
        """Write a difference of one of our payments down; `propose` kopecks would settle it, 0: no entry would.

        `theirs`: kopecks at the provider. `whole`: exactly what was asked for, which may be settled as any payment.
        """
        found = Found(
            kind,
            payment.provider,
            about,
            payment_id=payment.id,
            user_id=payment.user_id,
            facts={"theirs": theirs, "ours": payment.amount, "status": payment.status.value, "whole": whole},
            proposal=Proposal(payment.user_id, propose) if propose else None,
        )
        await self.write(found)

    async def write(self, found: Found) -> None:
        """Write a difference down, once; or that it is over."""
        new = await self._db.write(difference_rows.note, found, admins=self._admins)
        if new is not None:
            event(_log, "difference.found", level=logging.ERROR, kind=found.kind, about=found.about)
            self._report.new.append(new)

    def failed(self, name: str, error: Exception) -> None:
        """One payment, refund or difference could not be compared; it must not hide the others."""
        self._report.failed += 1
        event(_log, "reconcile.item_failed", level=logging.ERROR, item=name, error=str(error)[:200])
