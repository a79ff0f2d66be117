"""YooKassa's notifications that are written down: acted upon at once, or later when that failed."""

from __future__ import annotations

import json
import logging
from functools import partial
from typing import Any, Final

from database import inbox
from database.clock import HOUR_MS
from database.models import Database, InboxItem
from services.common.log import event
from services.payments.alerts import AdminAlerts
from services.payments.batch import for_each
from services.payments.delays import doubled_ms
from services.payments.events import ProviderEvents
from services.payments.matching import PROVIDER

TRIES: Final = 90  # more than three days, the later ones an hour apart
FIRST_DELAY_MS: Final = 5_000
LONGEST_DELAY_MS: Final = HOUR_MS

_log = logging.getLogger(__name__)


class Notifications:
    """What YooKassa tells us. Its content is not trusted: it names a payment or a refund, and YooKassa is asked."""

    def __init__(self, db: Database, events: ProviderEvents, alerts: AdminAlerts) -> None:
        self._db = db
        self._events = events
        self._alerts = alerts

    async def handle(self, item: InboxItem, *, at_once: bool = True) -> None:
        """Act on a notification; one that fails is tried again later, and after days of it the admins are told.

        `at_once`: it has just come, nobody has tried it yet.
        """
        try:
            await self._act_on(item, at_once=at_once)
        except Exception as error:
            event(_log, "notification.put_off", level=logging.WARNING, inbox_id=item.id, error=str(error)[:200])
            await self._alerts.owe_if_refused(error)
            if item.attempts < TRIES:
                delay = doubled_ms(FIRST_DELAY_MS, item.attempts, longest_ms=LONGEST_DELAY_MS)
                await self._db.write(inbox.failed, item.id, type(error).__name__, delay_ms=delay)
                return
            reason = type(error).__name__
            await self._alerts.owe(f"hint:{item.id}", "alert-hint-lost", hint=item.key, error=reason)
        await self._db.write(inbox.done, item.id)

    async def handle_due(self) -> None:
        """Act on those whose process died or that had to wait."""
        due = await self._db.write(inbox.due, source=PROVIDER)
        await for_each(due, partial(self.handle, at_once=False))

    async def _act_on(self, item: InboxItem, *, at_once: bool) -> None:
        body: dict[str, Any] = json.loads(item.body)
        subject, provider_id = str(body["event"]).partition(".")[0], str(body["object"]["id"])
        if subject == "payment":
            await self._events.on_payment_event(provider_id)
        elif subject == "refund":
            await self._events.on_refund_event(provider_id, at_once=at_once)
