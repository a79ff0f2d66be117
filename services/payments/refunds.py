"""Refunds that an admin asks for: our books first, then the provider, and every step can be taken again.

    taken ──asking──▶ sent ──▶ succeeded
      └────────────────┴─────▶ canceled (what was taken is back on the balance)

The row, its key, its exact body and the take-back are one transaction. A process that dies after it leaves a row with a
due time, and the sweeper takes the next step.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from database import admin
from database import payments as payment_rows
from database import refunds as refund_rows
from database.clock import HOUR_MS
from database.models import Database, IllegalMove, KeyReused, Payment, Refund, Tx
from services.common.keyed_lock import KeyedLock
from services.common.log import event, log_context
from services.payments.alerts import AdminAlerts
from services.payments.delays import doubled_ms
from services.payments.idempotency import refund_key
from services.pricing import format_rubles

FIRST_GAP_MS: Final = 15_000
LONGEST_GAP_MS: Final = HOUR_MS
MOST_WAITING: Final = 100

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Succeeded:
    """The provider gave the money back."""

    provider_refund_id: str


@dataclass(frozen=True)
class Pending:
    """The provider has it and will decide."""

    provider_refund_id: str


@dataclass(frozen=True)
class Rejected:
    """A certain no: nothing was given back."""

    reason: str


@dataclass(frozen=True)
class Unknown:
    """It may or may not have happened: ask again later."""

    reason: str


RefundResult = Succeeded | Pending | Rejected | Unknown


@dataclass(frozen=True)
class Offer:
    """A partial refund before it is confirmed; sums in kopecks, `left` before it, `earlier` without refused ones."""

    payment: Payment
    amount: int
    left: int
    earlier: tuple[Refund, ...]


class RefundGateway(Protocol):
    """A provider that can give money back. `ask` may be repeated however often; it raises nothing of the provider's."""

    def body(self, payment: Payment, amount: int, refund_id: str) -> dict[str, Any] | None:
        """The request for `amount` kopecks, to be kept and sent byte for byte; None when nothing has to be kept.

        Raises IllegalMove when this provider can't give so much back.
        """

    async def ask(self, payment: Payment, refund: Refund) -> RefundResult:
        """Make sure that the provider knows of it, and say what it says."""


class Refunds:
    """Refunds that admins ask for, through every provider that can be paid by."""

    def __init__(self, db: Database, gateways: Mapping[str, RefundGateway], *, admins: Sequence[int] = ()) -> None:
        """`gateways` by the name of the provider in our rows."""
        self._db = db
        self._gateways = gateways
        self._alerts = AdminAlerts(db, admins)
        self._locks = KeyedLock(MOST_WAITING)

    async def offer(self, payment_id: str, amount: int) -> Offer:
        """What refunding `amount` kopecks of a payment would mean. Raises NotFound, IllegalMove when that can't be."""
        payment = await self._db.read(payment_rows.get_or_raise, payment_id)
        left = await self._db.read(refund_rows.left, payment_id)
        if amount > left:
            raise IllegalMove(f"{left} kopecks of payment {payment_id} are left to return")
        self._gateway_of(payment).body(payment, amount, "offered")
        earlier = [one for one in await self._db.read(refund_rows.of_payment, payment_id) if not one.cancel_reason]
        return Offer(payment, amount, left, tuple(earlier))

    async def refund(
        self,
        admin_id: int,
        payment_id: str,
        amount: int | None = None,
        *,
        refund_id: str,
        seen_left: int | None = None,
    ) -> Refund:
        """Refund `amount` kopecks of a payment (None: all that is left); the same `refund_id` again goes on with it.

        `seen_left`: what the admin saw as left (kopecks); a refund since then makes this one impossible. Answers the
        row in the state it has reached. Raises NotFound, IllegalMove when so much can't be refunded, KeyReused when the
        id stands for another payment or sum.
        """
        payment = await self._db.read(payment_rows.get_or_raise, payment_id)
        known = await self._db.read(refund_rows.get, refund_id)
        if known is None:
            await self._begin(admin_id, payment, amount, refund_id, seen_left)
        elif known.payment_id != payment_id or amount not in (None, known.amount):
            raise KeyReused(f"refund {refund_id} stands for another payment or sum")
        return await self.carry_on(refund_id)

    async def _begin(
        self, admin_id: int, payment: Payment, amount: int | None, refund_id: str, seen_left: int | None
    ) -> None:
        wanted = await self._db.read(refund_rows.left, payment.id) if amount is None else amount
        if wanted <= 0:
            raise IllegalMove(f"nothing is left to return of payment {payment.id}")
        body = self._gateway_of(payment).body(payment, wanted, refund_id)
        new = refund_rows.NewRefund(
            id=refund_id,
            payment_id=payment.id,
            amount=wanted,
            requested_by=admin_id,
            idempotency_key=refund_key(refund_id),
            request_body=None if body is None else json.dumps(body, ensure_ascii=False),
        )

        def begin(tx: Tx) -> None:
            _, is_new = refund_rows.begin(tx, new, seen_left=seen_left)
            if is_new:
                admin.log(tx, admin_id, "refund_payment", payment.id, amount=wanted, refund=refund_id)

        await self._db.write(begin)
        event(_log, "refund.begun", refund_id=refund_id, payment_id=payment.id, amount=wanted)

    async def carry_on(self, refund_id: str) -> Refund:
        """Take the next step of a refund; answers the row. One that is final stays as it is. Raises NotFound."""
        with log_context(refund_id=refund_id):
            async with self._locks.hold(refund_id):
                refund = await self._db.read(refund_rows.get_or_raise, refund_id)
                if refund.is_final:
                    return refund
                payment = await self._db.read(payment_rows.get_or_raise, refund.payment_id)
                refund = await self._db.write(refund_rows.sending, refund_id)
                result = await self._gateway_of(payment).ask(payment, refund)
                await self._follow(refund, result)
                return await self._db.read(refund_rows.get, refund_id) or refund

    async def _follow(self, refund: Refund, result: RefundResult) -> None:
        match result:
            case Succeeded(provider_refund_id):
                try:
                    await self._db.write(refund_rows.succeed, refund.id, provider_refund_id)
                except KeyReused as error:
                    # The provider's refund was booked as one that we did not ask for, so ours was taken for nothing.
                    await self._db.write(refund_rows.cancel, refund.id, str(error))
            case Pending(provider_refund_id):
                await self._db.write(refund_rows.accepted, refund.id, provider_refund_id)
                await self._schedule_poll(refund)
            case Rejected(reason):
                event(_log, "refund.refused", level=logging.WARNING, reason=reason)
                await self._db.write(refund_rows.cancel, refund.id, reason)
            case Unknown(reason):
                event(_log, "refund.unsure", level=logging.WARNING, reason=reason)
                await self._schedule_poll(refund)

    async def _schedule_poll(self, refund: Refund) -> None:
        delay_ms = doubled_ms(FIRST_GAP_MS, refund.looks, longest_ms=LONGEST_GAP_MS)
        await self._db.write(refund_rows.schedule_poll, refund.id, delay_ms=delay_ms)

    async def poll_due(self) -> None:
        """The next step of every refund that waits: its process died, or the provider has not decided."""
        for due in await self._db.write(refund_rows.due):
            try:
                refund = await self.carry_on(due.id)
            except Exception as error:  # whatever is wrong with this one, the others have their turn
                event(_log, "refund.look_failed", level=logging.ERROR, refund_id=due.id, error=str(error)[:200])
                continue
            if refund.is_final:
                await self._announce(refund)

    async def _announce(self, refund: Refund) -> None:
        """Tell the admins how a refund ended that did not end at once."""
        text = "alert-refund-done" if refund.cancel_reason is None else "alert-refund-canceled"
        payment = await self._db.read(payment_rows.get, refund.payment_id)
        facts = {
            "payment": refund.payment_id,
            "sum": format_rubles(refund.amount, "ru"),
            "user": str(payment.user_id if payment else 0),
        }
        if refund.cancel_reason is not None:
            facts["reason"] = refund.cancel_reason
        await self._alerts.owe(f"refund:{refund.id}", text, **facts)

    def _gateway_of(self, payment: Payment) -> RefundGateway:
        gateway = self._gateways.get(payment.provider)
        if gateway is None:
            raise IllegalMove(f"nobody is connected who could return payments of {payment.provider}")
        return gateway
