"""Beginning a top-up by card: the row first, then the payment at YooKassa, then its link."""

from __future__ import annotations

import dataclasses
import json

from database import payments as payment_rows
from database import users as user_rows
from database.models import Database, Payment
from services.common.i18n import Texts
from services.common.keyed_lock import KeyedLock
from services.errors import TopUpUnavailable
from services.payments import ids
from services.payments.creation import FIRST_POLL_MS, PaymentCreation
from services.payments.idempotency import topup_key
from services.payments.matching import PROVIDER
from services.payments.yookassa.objects import Receipt, build_payment_body
from services.pricing import format_rubles


class TopUps:
    """New payments by card."""

    def __init__(
        self,
        db: Database,
        creation: PaymentCreation,
        texts: Texts,
        locks: KeyedLock,
        *,
        return_url: str,
        receipt: Receipt | None,
        offered: bool,
    ) -> None:
        """`receipt` holds the shop's own terms where every payment needs one; the customer's address is theirs.

        `offered` False: no new payment is begun. `locks` has a lock for each payment's id.
        """
        self._db = db
        self._creation = creation
        self._texts = texts
        self._locks = locks
        self._return_url = return_url
        self._receipt = receipt
        self.offered = offered

    @property
    def sends_receipts(self) -> bool:
        """Whether the shop's receipts are YooKassa's to register."""
        return self._receipt is not None

    async def open(
        self,
        user_id: int,
        amount: int,
        *,
        chat_id: int,
        language: str,
        payment_id: str,
        draft_id: str | None = None,
        message_id: int | None = None,
    ) -> Payment:
        """A payment of `amount` kopecks with its link; the same `payment_id` again answers the same payment.

        Raises ValueError for an id or a sum that no payment can have; KeyReused when the id stands for another person
        or sum; TopUpUnavailable: "off" while cards are not offered, "refused" when the shop's settings are wrong (the
        admins are told), "try_later" when YooKassa does not answer (the row stays and is polled), "email" when the shop
        sends receipts and knows no address of this person.
        """
        if not self.offered:
            raise TopUpUnavailable("off")
        if not ids.is_well_formed(payment_id):
            raise ValueError("a payment's id is 1 to 50 of A-Z, a-z, 0-9, _ and -")
        body = build_payment_body(
            amount_kopecks=amount,
            return_url=self._return_url,
            description=self._texts.plain(language, "payment-description", sum=format_rubles(amount, language)),
            order_id=payment_id,
            receipt=await self._receipt_for(user_id),
        )
        new = payment_rows.NewPayment(
            id=payment_id,
            user_id=user_id,
            provider=PROVIDER,
            amount=amount,
            idempotency_key=topup_key(payment_id),
            request_body=json.dumps(body, ensure_ascii=False),
            chat_id=chat_id,
            message_id=message_id,
            draft_id=draft_id,
        )
        payment = await self._db.write(payment_rows.open_payment, new, poll_in_ms=FIRST_POLL_MS)
        async with self._locks.hold(payment.id):
            return await self._creation.ensure(payment.id, wanted=True)

    async def _receipt_for(self, user_id: int) -> Receipt | None:
        """The receipt's terms with the customer's address. Raises TopUpUnavailable("email") without an address."""
        if self._receipt is None:
            return None
        person = await self._db.read(user_rows.get, user_id)
        if person is None or person.email is None:
            raise TopUpUnavailable("email")
        return dataclasses.replace(self._receipt, email=person.email)
