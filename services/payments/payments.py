"""Card payments as the rest of the program sees them: the parts put together. Calls go one way, as the arrows do.

notifications ──▶ events ──▶ settlement ──▶ creation ──▶ idempotency
                  polling ──▶ settlement
                                  topups ──▶ creation
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from database.models import Database
from services.common.i18n import Texts
from services.common.keyed_lock import KeyedLock
from services.payments.alerts import AdminAlerts
from services.payments.creation import PaymentCreation
from services.payments.events import ProviderEvents
from services.payments.matching import ShopIdentity
from services.payments.notifications import Notifications
from services.payments.polling import Poller
from services.payments.settlement import Settlement
from services.payments.topups import TopUps
from services.payments.yookassa.client import YooKassaGateway
from services.payments.yookassa.objects import Receipt

MOST_WAITING: Final = 1_000  # questions about one payment that may wait; what is true is decided in the database


class Payments:
    """Card top-ups through YooKassa. Without a gateway everything about them is off."""

    def __init__(
        self,
        db: Database,
        gateway: YooKassaGateway | None,
        texts: Texts,
        *,
        shop_id: str = "",
        test_mode: bool | None = None,
        return_url: str = "https://t.me",
        admins: Sequence[int] = (),
        receipt: Receipt | None = None,
        offered: bool = True,
    ) -> None:
        """`receipt` holds the shop's own terms where every payment needs one; the customer's address is theirs.

        `offered` False: no new payment is begun, while those that were are settled as ever.
        """
        self.enabled = gateway is not None
        self.shop = ShopIdentity(shop_id, test_mode)
        alerts, locks = AdminAlerts(db, admins), KeyedLock(MOST_WAITING)
        creation = PaymentCreation(db, gateway, alerts)
        self.topups = TopUps(
            db, creation, texts, locks, return_url=return_url, receipt=receipt, offered=offered and self.enabled
        )
        self.settlement = Settlement(db, gateway, creation, self.shop, alerts, locks)
        self.events = ProviderEvents(db, gateway, self.settlement, self.shop, alerts)
        self._notifications = Notifications(db, self.events, alerts)
        self._poller = Poller(db, self.settlement, alerts)
        self.open_topup = self.topups.open
        self.check = self.settlement.check
        self.settle = self.settlement.settle
        self.handle_notification = self._notifications.handle

    @property
    def offered(self) -> bool:
        """Whether people may begin to pay by card."""
        return self.topups.offered

    @property
    def sends_receipts(self) -> bool:
        """Whether the shop's receipts are YooKassa's to register."""
        return self.topups.sends_receipts

    @property
    def wants_email(self) -> bool:
        """Whether a customer must leave an address before they can pay."""
        return self.offered and self.sends_receipts

    async def handle_due_notifications(self) -> None:
        """Act on the notifications that had to wait; nothing without a shop."""
        if self.enabled:
            await self._notifications.handle_due()

    async def poll_due(self) -> None:
        """Ask about the payments whose next poll is due; nothing without a shop."""
        if self.enabled:
            await self._poller.poll_due()
