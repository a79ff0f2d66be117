"""Returning a payment by an admin's word: our books first, then the provider, and every step can be taken again.

    taken ──asking──▶ sent ──▶ succeeded
      └────────────────┴─────▶ canceled (what was taken is back on the balance)

The row, its key, its exact body and the take-back are one transaction. Whoever dies after that leaves a row with a due
time, and the sweeper takes the next step.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from database import admin, clock, outbox
from database import payments as payment_rows
from database import refunds as refund_rows
from database.models import Database, IllegalMove, KeyReused, NotFound, Payment, Refund, Tx
from services.common.keyed_lock import KeyedLock
from services.common.log import event, log_context
from services.payments.provider_refunds import OWN_ID
from services.payments.yookassa.client import (
    ErrorKind,
    GatewayRefund,
    Receipt,
    YooKassaError,
    YooKassaGateway,
    build_refund_body,
)
from services.pricing import format_rubles

# After 24 h YooKassa forgets the key and would return the money again (docs/reference/yookassa.md, section 1).
KEY_LIVES_SECONDS = 23 * 3600
CLOCK_SLACK_SECONDS = 60.0
FIRST_GAP_MS = 15_000
LONGEST_GAP_MS = 3600 * 1000
MOST_WAITING = 100

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


@dataclass(frozen=True)
class Offer:
    """A partial return before it is confirmed; sums in kopecks, `left` before it, `earlier` without refused ones."""

    payment: Payment
    amount: int
    left: int
    earlier: tuple[Refund, ...]


RefundResult = Succeeded | Pending | Rejected | Unknown


class RefundGateway(Protocol):
    """A provider that can give money back. `ask` may be repeated however often; it raises nothing of the provider's."""

    def body(self, payment: Payment, amount: int, refund_id: str) -> dict[str, Any] | None:
        """What will be sent, word for word, for `amount` kopecks; raises IllegalMove when the rail can't do that."""

    async def ask(self, payment: Payment, refund: Refund) -> RefundResult:
        """Make sure that the provider knows of it, and say what it says."""


class Refunds:
    """Returns that admins ask for, on every rail that can be paid by."""

    def __init__(self, db: Database, gateways: Mapping[str, RefundGateway], *, admins: Sequence[int] = ()) -> None:
        self._db = db
        self._gateways = gateways
        self._admins = sorted(admins)
        self._locks = KeyedLock(MOST_WAITING)

    async def offer(self, payment_id: str, amount: int) -> Offer:
        """What returning `amount` kopecks of a payment would mean. Raises NotFound, IllegalMove when that can't be."""
        payment = await self._db.read(payment_rows.get, payment_id)
        if payment is None:
            raise NotFound(f"payment {payment_id}")
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
        """Return `amount` kopecks of a payment (None: all that is left); the same `refund_id` again goes on with it.

        `seen_left`: what the admin saw as left to return; a return since then makes this one impossible. Answers the
        row in the state it has reached. Raises NotFound, IllegalMove when so much can't be returned.
        """
        payment = await self._db.read(payment_rows.get, payment_id)
        if payment is None:
            raise NotFound(f"payment {payment_id}")
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
            idempotency_key=f"refund-{refund_id}",
            request_body=None if body is None else json.dumps(body, ensure_ascii=False),
        )

        def begin(tx: Tx) -> None:
            _, is_new = refund_rows.begin(tx, new, seen_left=seen_left)
            if is_new:
                admin.log(tx, admin_id, "refund_payment", payment.id, amount=wanted, refund=refund_id)

        await self._db.write(begin)
        event(_log, "refund.begun", refund_id=refund_id, payment_id=payment.id, amount=wanted)

    async def carry_on(self, refund_id: str) -> Refund:
        """Take the next step of a return; answers the row. One that is final stays as it is. Raises NotFound."""
        with log_context(refund_id=refund_id):
            async with self._locks.hold(refund_id):
                refund = await self._db.read(refund_rows.get, refund_id)
                if refund is None:
                    raise NotFound(f"refund {refund_id}")
                if refund.is_final:
                    return refund
                payment = await self._db.read(payment_rows.get, refund.payment_id)
                if payment is None:
                    raise NotFound(f"payment {refund.payment_id}")
                refund = await self._db.write(refund_rows.sending, refund_id)
                word = await self._gateway_of(payment).ask(payment, refund)
                await self._follow(refund, word)
                return await self._db.read(refund_rows.get, refund_id) or refund

    async def _follow(self, refund: Refund, word: RefundResult) -> None:
        match word:
            case Succeeded(provider_refund_id):
                try:
                    await self._db.write(refund_rows.succeed, refund.id, provider_refund_id)
                except KeyReused as error:
                    # Somebody's word of this very return was booked as one of its own, so ours was taken for nothing.
                    await self._db.write(refund_rows.cancel, refund.id, str(error))
            case Pending(provider_refund_id):
                await self._db.write(refund_rows.accepted, refund.id, provider_refund_id)
                await self._later(refund)
            case Rejected(reason):
                event(_log, "refund.refused", level=logging.WARNING, reason=reason)
                await self._db.write(refund_rows.cancel, refund.id, reason)
            case Unknown(reason):
                event(_log, "refund.unsure", level=logging.WARNING, reason=reason)
                await self._later(refund)

    async def _later(self, refund: Refund) -> None:
        gap = min(FIRST_GAP_MS * 2 ** min(refund.looks, 10), LONGEST_GAP_MS)
        await self._db.write(refund_rows.schedule_poll, refund.id, delay_ms=gap)

    async def poll_due(self) -> None:
        """The next step of every return that waits: its process died, or the provider has not decided."""
        for due in await self._db.write(refund_rows.due):
            try:
                refund = await self.carry_on(due.id)
            except Exception as error:  # whatever is wrong with this one, the others have their turn
                event(_log, "refund.look_failed", level=logging.ERROR, refund_id=due.id, error=str(error)[:200])
                continue
            if refund.is_final:
                await self._tell(refund)

    async def _tell(self, refund: Refund) -> None:
        """How a return ended that did not end at once."""
        text = "alert-refund-done" if refund.cancel_reason is None else "alert-refund-canceled"
        payment = await self._db.read(payment_rows.get, refund.payment_id)
        facts = {
            "payment": refund.payment_id,
            "sum": format_rubles(refund.amount, "ru"),
            "user": str(payment.user_id if payment else 0),
        }
        if refund.cancel_reason is not None:
            facts["reason"] = refund.cancel_reason
        await self._db.write(outbox.alert_admins, self._admins, f"refund:{refund.id}", text, **facts)

    def _gateway_of(self, payment: Payment) -> RefundGateway:
        gateway = self._gateways.get(payment.provider)
        if gateway is None:
            raise IllegalMove(f"nobody is connected who could return payments of {payment.provider}")
        return gateway


class YooKassaRefunds:
    """Returns through YooKassa: the stored body under the stored key, and past its time the list first."""

    def __init__(self, db: Database, gateway: YooKassaGateway, *, receipt: Receipt | None = None) -> None:
        """`receipt` holds the shop's own terms where it sends receipts now; a return repeats those of its payment."""
        self._db = db
        self._gateway = gateway
        self._receipt = receipt

    def body(self, payment: Payment, amount: int, refund_id: str) -> dict[str, Any]:
        is_part = amount < payment.amount
        return build_refund_body(
            payment_id=payment.provider_payment_id or "",
            amount_kopecks=amount,
            description=f"Возврат пополнения {payment.id}",
            metadata={"order_id": payment.id, OWN_ID: refund_id},
            receipt=_receipt_of(payment, self._receipt) if is_part else None,  # a whole one repeats the payment's own
        )

    async def ask(self, payment: Payment, refund: Refund) -> RefundResult:
        try:
            return await self._ask(payment, refund)
        except YooKassaError as error:
            return Unknown(str(error))

    async def _ask(self, payment: Payment, refund: Refund) -> RefundResult:
        if refund.provider_refund_id is not None:
            return _word(payment, refund, await self._gateway.get_refund(refund.provider_refund_id))
        if not _key_lives(refund):
            if (found := await self._look_up(payment, refund)) is not None:
                return _word(payment, refund, found)
            await self._db.write(refund_rows.ask_anew, refund.id)
            await self._db.write(refund_rows.sending, refund.id)
        try:
            answer = await self._gateway.create_refund(
                json.loads(refund.request_body or "{}"), idempotency_key=refund.idempotency_key or ""
            )
        except YooKassaError as error:
            if error.kind in (ErrorKind.UNKNOWN_OUTCOME, ErrorKind.RATE_LIMITED, ErrorKind.CREDENTIALS):
                return Unknown(str(error))
            # A no to this request is no word about an earlier one whose answer was lost.
            found = await self._look_up(payment, refund)
            return Rejected(str(error)) if found is None else _word(payment, refund, found)
        return _word(payment, refund, answer)

    async def _look_up(self, payment: Payment, refund: Refund) -> GatewayRefund | None:
        """Our return among those of the payment. Raises YooKassaError when the list can't be read to its end."""
        found = None
        async for listed in self._gateway.list_refunds(payment_id=payment.provider_payment_id or ""):
            if listed.metadata.get(OWN_ID) == refund.id:
                found = listed
        return found


def _key_lives(refund: Refund) -> bool:
    """Whether YooKassa must still know the key if it was ever sent. The row's own age counts: what a restored backup
    holds as unsent may have been sent. A row of tomorrow was written under a wrong clock, so nobody knows its age.
    """
    since = min(refund.created_at, refund.sent_at or refund.created_at)
    return -CLOCK_SLACK_SECONDS <= clock.now() - since / 1000 <= KEY_LIVES_SECONDS


def _word(payment: Payment, refund: Refund, said: GatewayRefund) -> RefundResult:
    if (said.payment_id, said.amount_kopecks, said.currency) != (payment.provider_payment_id, refund.amount, "RUB"):
        return Unknown(f"refund {said.id} at YooKassa is of another payment or sum")
    if said.status == "succeeded":
        return Succeeded(said.id)
    if said.status == "canceled":
        return Rejected(said.reason or "canceled")
    return Pending(said.id)


def _receipt_of(payment: Payment, terms: Receipt | None) -> Receipt | None:
    """What the payment's own receipt said, whatever the settings say by now: a return has the rate of its sale."""
    sent = json.loads(payment.request_body or "{}").get("receipt")
    if not sent:
        if terms is not None:
            raise IllegalMove(f"payment {payment.id} had no receipt, so a part of it can't be returned here")
        return None
    item = sent["items"][0]
    return Receipt(
        email=str(sent["customer"]["email"]),
        tax_system_code=sent.get("tax_system_code"),
        **{name: item[name] for name in ("vat_code", "payment_subject", "payment_mode", "measure")},
    )
