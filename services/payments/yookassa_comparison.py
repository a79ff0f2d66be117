"""YooKassa's lists and our rows compared, both ways.

What is certainly ours is settled as if a notification had told of it: money that came is credited, money that went is
taken back. Everything else is a difference, written down once with a proposed entry, for a person to decide.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from database import differences as difference_rows
from database import ledger
from database import payments as payment_rows
from database import refunds as refund_rows
from database.clock import DAY_SECONDS, HOUR_SECONDS
from database.differences import Found
from database.models import Database, Payment, Refund, RefundStatus, Tx
from database.refunds import Undecided
from services.common.log import event
from services.payments.comparison import Findings, Report, credited_since, refunded_since
from services.payments.matching import CURRENCY, PROVIDER
from services.payments.payments import Payments
from services.payments.receipt_checks import RECEIPT_SECONDS, check_late_receipts, check_receipt
from services.payments.yookassa.client import GatewayPayment, GatewayRefund, YooKassaError, YooKassaGateway
from services.payments.yookassa.objects import moment

OVERLAP_SECONDS = 26 * HOUR_SECONDS
REFUND_OVERLAP_SECONDS = 8 * DAY_SECONDS  # a refund may take days from its creation to its success

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ours:
    """Our side of a payment: its row, and what the ledger credited for it (kopecks, None for no entry)."""

    payment: Payment
    credited: int | None


def ours(tx: Tx, provider_payment_id: str, payment_id: str | None = None) -> Ours | None:
    """Our side of YooKassa's payment, by its id or by the id of ours that it carries; None when we have no row."""
    payment = payment_rows.by_provider_id(tx, provider_payment_id) or (
        payment_rows.get(tx, payment_id) if payment_id else None
    )
    if payment is None:
        return None
    entry = ledger.find_entry(tx, f"payment:{payment.id}")
    return Ours(payment, None if entry is None else entry.amount)


class YooKassaComparison:
    """One comparison with YooKassa's lists; what it finds goes to `report`."""

    def __init__(
        self,
        db: Database,
        gateway: YooKassaGateway | None,
        payments: Payments,
        report: Report,
        *,
        admins: Sequence[int],
    ) -> None:
        self._db = db
        self._gateway = gateway
        self._payments = payments
        self._report = report
        self._findings = Findings(db, admins, report)

    async def run(self, since: float, *, usual: bool) -> None:
        """Compare from `since` (seconds since 1970) on, and what was set aside.

        The `usual` comparison looks further back for what takes days to come to its end. Raises YooKassaError when a
        list can't be read to its end.
        """
        if self._gateway is not None:
            receipts = RECEIPT_SECONDS if usual and self._payments.sends_receipts else 0
            await self._compare_payments(self._gateway, since - receipts)
            refunds = REFUND_OVERLAP_SECONDS - OVERLAP_SECONDS if usual else 0
            await self._compare_refunds(self._gateway, since - refunds)
            if self._payments.sends_receipts:
                await check_late_receipts(self._db, self._gateway, self._findings)
        await self.check_quarantine()

    # --- payments -------------------------------------------------------------------------------------

    async def _compare_payments(self, gateway: YooKassaGateway, since: float) -> None:
        seen: set[str] = set()
        async for facts in gateway.list_payments(status="succeeded", captured_at__gte=moment(since)):
            seen.add(facts.id)
            self._report.payments += 1
            try:
                await self._check_listed(facts)
            except Exception as error:  # one that can't be compared must not hide the others
                self._findings.failed(facts.id, error)
        async for payment in credited_since(self._db, PROVIDER, since):
            if payment.provider_payment_id not in seen:
                try:
                    await self._check_unlisted(gateway, payment)
                except Exception as error:
                    self._findings.failed(payment.id, error)

    async def _check_listed(self, facts: GatewayPayment) -> None:
        """YooKassa has the money of this payment: have we?"""
        known = await self._db.read(ours, facts.id, facts.order_id)
        if known is None or (known.payment.provider_payment_id or facts.id) != facts.id:
            await self._payments.events.on_payment_event(facts.id)  # writes the difference down as for a notification
            return
        if known.payment.status not in payment_rows.CREDITED and not known.payment.quarantined_reason:
            event(_log, "payment.found_by_comparison", level=logging.WARNING, provider_payment_id=facts.id)
            await self._payments.events.on_payment_event(facts.id)
            known = await self._db.read(ours, facts.id, facts.order_id) or known
            self._report.settled += known.payment.status in payment_rows.CREDITED
        payment = known.payment
        if self._payments.sends_receipts:
            await check_receipt(self._findings, payment, facts, facts.captured_at)
        if payment.quarantined_reason or payment.status not in payment_rows.CREDITED or payment.legacy:
            return
        if facts.amount_kopecks != payment.amount or facts.currency != CURRENCY:
            missing = facts.amount_kopecks - payment.amount if facts.currency == CURRENCY else 0
            await self._findings.note(payment, "sum-differs", facts.id, facts.amount_kopecks, missing)
        elif known.credited != payment.amount:
            missing = payment.amount - (known.credited or 0)
            await self._findings.note(payment, "not-credited", facts.id, facts.amount_kopecks, missing)

    async def _check_unlisted(self, gateway: YooKassaGateway, payment: Payment) -> None:
        """We credited it and YooKassa's list of the time does not hold it: ask about this one."""
        about = payment.provider_payment_id or payment.id
        facts = await gateway.find_payment(about)
        if facts is not None and facts.status == "succeeded":
            await self._check_listed(facts)
            return
        kind = "credited-unknown" if facts is None else "credited-unpaid"
        await self._findings.note(payment, kind, about, 0, payment.refunded_amount - payment.amount)

    # --- quarantine -----------------------------------------------------------------------------------

    async def check_quarantine(self) -> None:
        """What was set aside waits for a person: with the sum that YooKassa has, where it has one."""
        for payment in await self._db.read_apart(payment_rows.set_aside):
            if payment.provider == PROVIDER and self._gateway is None:
                continue  # nobody can be asked, and that says nothing of the money
            try:
                await self._check_set_aside(payment)
            except YooKassaError as error:
                self._findings.failed(payment.id, error)

    async def _check_set_aside(self, payment: Payment) -> None:
        there = await self._held_there(payment)
        paid = there.amount_kopecks - there.refunded_kopecks if there else 0
        booked = await self._db.read(difference_rows.booked, payment.id, difference_rows.QUARANTINED)
        may_book = payment.status not in payment_rows.CREDITED and not payment.legacy
        propose = paid - sum(booked) if may_book else 0
        if (booked or payment.quarantined_reason is None) and not propose:
            return  # a person has settled it
        # Money that comes or goes later is news again, and so is a sum that was seen before the last booking.
        about = f"{payment.provider_payment_id or payment.id}:{paid}" + (f":{len(booked)}" if booked else "")
        whole = there is not None and there.refunded_kopecks == 0 and self._fits(payment, there)
        await self._findings.note(payment, difference_rows.QUARANTINED, about, paid, propose, whole=whole)

    def _fits(self, payment: Payment, facts: GatewayPayment) -> bool:
        return self._payments.shop.mismatch(payment, facts) is None

    async def _held_there(self, payment: Payment) -> GatewayPayment | None:
        """The payment as YooKassa has it, when it holds money of it that is ours. Raises YooKassaError: can't tell."""
        if self._gateway is None or payment.provider != PROVIDER or payment.provider_payment_id is None:
            return None
        facts = await self._gateway.find_payment(payment.provider_payment_id)
        return facts if facts is not None and facts.paid and self._payments.shop.has_our_money(facts) else None

    # --- refunds --------------------------------------------------------------------------------------

    async def _compare_refunds(self, gateway: YooKassaGateway, since: float) -> None:
        seen: set[str] = set()
        async for refund in gateway.list_refunds(status="succeeded", created_at__gte=moment(since)):
            seen.add(refund.id)
            self._report.refunds += 1
            try:
                await self._check_listed_refund(gateway, refund)
            except Undecided:
                continue  # one of ours is under way: the next comparison knows more
            except Exception as error:
                self._findings.failed(refund.id, error)
        async for row in refunded_since(self._db, PROVIDER, since):
            if row.provider_refund_id not in seen:
                try:
                    await self._check_unlisted_refund(gateway, row)
                except Exception as error:
                    self._findings.failed(row.id, error)

    async def _check_listed_refund(self, gateway: YooKassaGateway, refund: GatewayRefund) -> None:
        """YooKassa gave money back: have we taken it back? Raises Undecided while it may be one of ours under way."""
        row = await self._db.read(refund_rows.by_provider_id, refund.id)
        if row is None or not row.is_final:
            await self._payments.events.on_refund_event(refund.id)
            row = await self._db.read(refund_rows.by_provider_id, refund.id)
            self._report.settled += row is not None and row.is_final
        payment = await self._db.read(payment_rows.by_provider_id, refund.payment_id)
        if payment is None:
            await self._findings.write(await self._refund_of_unknown(gateway, refund))
            return
        if self._payments.sends_receipts:
            await check_receipt(self._findings, payment, refund, refund.created_at)
        amount = refund.amount_kopecks
        if row is None:
            if not payment.quarantined_reason and await self._db.read(payment_rows.decision, payment) is None:
                await self._findings.note(payment, difference_rows.NOT_TAKEN, refund.id, amount, -amount)
        elif row.status is RefundStatus.CANCELED or row.amount != amount:
            taken = row.amount if row.status is RefundStatus.SUCCEEDED else 0
            await self._findings.note(payment, "refund-sum-differs", refund.id, amount, taken - amount)

    async def _refund_of_unknown(self, gateway: YooKassaGateway, refund: GatewayRefund) -> Found:
        """A refund of a payment without a row. Where a decision has credited that, what came back since goes, too."""
        facts = {"theirs": refund.amount_kopecks, "payment": refund.payment_id}
        back = 0
        if await self._db.read(difference_rows.credited_without_row, PROVIDER, refund.payment_id) is not None:
            there = await gateway.find_payment(refund.payment_id)
            back = there.refunded_kopecks if there else 0
        return Found(difference_rows.REFUND_OF_UNKNOWN, PROVIDER, refund.id, facts=facts, back=back)

    async def _check_unlisted_refund(self, gateway: YooKassaGateway, row: Refund) -> None:
        """We took money back and YooKassa's list does not say that it gave it: ask about this one."""
        about = row.provider_refund_id or row.id
        theirs = await gateway.find_refund(about)
        if theirs is not None and theirs.status == "succeeded" and theirs.amount_kopecks == row.amount:
            return
        payment = await self._db.read(payment_rows.get, row.payment_id)
        if payment is not None:
            await self._findings.note(payment, "refund-unknown", about, 0, row.amount)
