"""Asking YooKassa about open payments by themselves, for whose end no notification may ever come."""

from __future__ import annotations

import logging
from typing import Final

from database import clock
from database import payments as payment_rows
from database.models import Database, Payment, PaymentStatus
from services.common.log import event
from services.payments.alerts import AdminAlerts
from services.payments.batch import for_each
from services.payments.creation import FIRST_POLL_MS
from services.payments.settlement import Settlement

PAYABLE_SECONDS: Final = 70 * 60  # the link lives about an hour
LONGEST_WHILE_PAYABLE_MS: Final = 300_000
LATE_POLL_MS: Final = clock.HOUR_MS
RARE_AFTER_SECONDS: Final = 48 * clock.HOUR_SECONDS
RARE_POLL_MS: Final = 6 * clock.HOUR_MS
LAST_POLL_SECONDS: Final = 90 * clock.DAY_SECONDS

_log = logging.getLogger(__name__)


class Poller:
    """Settles the payments whose next poll is due."""

    def __init__(self, db: Database, settlement: Settlement, alerts: AdminAlerts) -> None:
        self._db = db
        self._settlement = settlement
        self._alerts = alerts

    async def poll_due(self) -> None:
        """Ask about the payments whose next poll is due, a few at once."""
        await for_each(await self._db.write(payment_rows.take_due), self._poll)

    async def _poll(self, payment: Payment) -> None:
        try:
            await self._settlement.settle(payment.id)
        except Exception as error:  # whatever is wrong with this one, it waits its turn like the others
            event(_log, "payment.look_failed", level=logging.WARNING, payment_id=payment.id, error=str(error)[:200])
            await self._alerts.owe_if_refused(error)
        await self._schedule_next(payment.id)

    async def _schedule_next(self, payment_id: str) -> None:
        """Whatever the poll brought, the next one lies ahead by the payment's age."""
        now = await self._db.read(payment_rows.get_or_raise, payment_id)
        if now.status is PaymentStatus.PENDING and now.next_look_at is not None:
            await self._db.write(payment_rows.schedule_poll, payment_id, delay_ms=_next_poll_ms(now))


def _next_poll_ms(payment: Payment) -> int | None:
    """Growing gaps while the link lives, hourly for two days, then rarely; None when nothing more can come."""
    age_seconds = clock.now() - payment.created_at / 1000
    if age_seconds > LAST_POLL_SECONDS:
        return None
    if age_seconds > RARE_AFTER_SECONDS:
        return RARE_POLL_MS
    if age_seconds > PAYABLE_SECONDS:
        return LATE_POLL_MS
    return min(FIRST_POLL_MS * (1 + payment.looks), LONGEST_WHILE_PAYABLE_MS)
