"""The provider's books and ours compared, both ways.

What is certainly ours and certain is settled as any other word of the provider's: money that came is credited, money
that went is taken back. Everything else is a difference, written down once with a proposed entry, for a person.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from database import clock, ledger, outbox
from database import differences as difference_rows
from database import flags as flag_rows
from database import payments as payment_rows
from database import refunds as refund_rows
from database.differences import Found, Proposal
from database.models import (
    Database,
    Difference,
    DifferenceState,
    IllegalMove,
    Payment,
    PaymentStatus,
    Refund,
    RefundStatus,
    Tx,
)
from database.refunds import Undecided
from services.common.log import event
from services.payments.settlement import PROVIDER
from services.payments.topups import Payments
from services.payments.yookassa.client import ErrorKind, GatewayPayment, GatewayRefund, YooKassaError, YooKassaGateway
from services.payments.yookassa.objects import moment, seconds_of

COMPARED = "yookassa_compared_ms"  # up to when the books of all rails were compared with ours
OVERLAP_SECONDS = 26 * 3600
REFUND_OVERLAP_SECONDS = 8 * 24 * 3600  # a refund may take days from its creation to its success
RECEIPT_SECONDS = 3 * 24 * 3600  # then a receipt is one for the support (docs/reference/yookassa.md, section 6)
LATE_SECONDS = 6 * 3600  # without a whole comparison the admins are told
DAY_SECONDS = 24 * 3600
MOST_DAYS = 3 * 365  # YooKassa lists the last three years (docs/reference/yookassa.md, section 5)
FINAL = (PaymentStatus.PAID, PaymentStatus.REFUNDED)
HELD_THERE = (difference_rows.QUARANTINED, difference_rows.UNKNOWN, difference_rows.SECOND)
"""Kinds of difference whose proposal is made of what YooKassa holds of a payment."""

_log = logging.getLogger(__name__)


@dataclass
class Report:
    """What a comparison saw: counts, what it settled by itself, and the differences that are new."""

    payments: int = 0
    refunds: int = 0
    settled: int = 0
    failed: int = 0
    unread: list[Exception] = field(default_factory=list)
    """What kept the books of a rail from being read to their end, one for each such rail."""
    new: list[Difference] = field(default_factory=list)


@dataclass(frozen=True)
class Ours:
    """Our side of a payment: its row, and what the ledger credited for it (kopecks, None for no entry)."""

    payment: Payment
    credited: int | None


def ours(tx: Tx, provider_payment_id: str, order_id: str | None = None) -> Ours | None:
    payment = payment_rows.by_provider_id(tx, provider_payment_id) or (
        payment_rows.get(tx, order_id) if order_id else None
    )
    if payment is None:
        return None
    entry = ledger.find_entry(tx, f"payment:{payment.id}")
    return Ours(payment, None if entry is None else entry.amount)


async def credited_since(db: Database, provider: str, since: float) -> AsyncIterator[Payment]:
    """Payments of a provider by our books from `since` (seconds since 1970) on, read page by page."""
    last = ""
    while page := await db.read_apart(payment_rows.paid_since, provider, int(since * 1000), after=last):
        for payment in page:
            yield payment
        last = page[-1].id


async def returned_since(db: Database, provider: str, since: float) -> AsyncIterator[Refund]:
    """Returns of a provider's payments by our books, as `credited_since`."""
    last = ""
    while page := await db.read_apart(refund_rows.succeeded_since, provider, int(since * 1000), after=last):
        for refund in page:
            yield refund
        last = page[-1].id


Compare = Callable[[Report, float], Awaitable[None]]


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
        outbox.alert_admins(tx, admins, f"not-compared:{day}", "alert-not-compared", hours=int(age // 3600))


async def _fault_of(rail: Callable[[], Awaitable[None]]) -> Exception | None:
    """What kept the books of a rail from being compared to their end, None when nothing did."""
    try:
        await rail()
    except Exception as error:
        event(_log, "reconcile.rail_failed", level=logging.WARNING, error=type(error).__name__, detail=str(error)[:200])
        return error
    return None


class Reconciliation:
    """Compares with YooKassa's lists where there is a shop, and with those of the other rails."""

    def __init__(
        self,
        db: Database,
        gateway: YooKassaGateway | None,
        payments: Payments,
        *,
        admins: Sequence[int] = (),
        others: Sequence[Compare] = (),
    ) -> None:
        """`others` compare the books of other rails, each from a time on (seconds since 1970)."""
        self._db = db
        self._gateway = gateway
        self._payments = payments
        self._admins = sorted(admins)
        self._others = others

    async def hourly(self) -> None:
        """The sweeper's duty: from where the last one ended, with a day of overlap; admins hear when none ends well.

        Without a provider there is nothing to fail, so nobody is told of anything.
        """
        try:
            await self.run()
        finally:  # also when it never ended and was cut off
            await self._db.write(_tell_if_late, self._admins)

    async def run(self, days: float | None = None) -> Report:
        """Compare as `compare` does; what went wrong with the first rail that can't be read is raised after all."""
        report = await self.compare(days)
        if report.unread:
            raise report.unread[0]
        return report

    async def compare(self, days: float | None = None) -> Report:
        """Compare the last `days`, or all since the last comparison and 26 hours before it.

        A rail whose books can't be read to their end keeps no other from being compared; the report says why. Only a
        run that compared all of it moves on where the next one begins.
        """
        report = Report()
        started = clock.now()
        last = await self._db.write(_last, int(started * 1000)) / 1000
        reach = None if days is None else min(days, MOST_DAYS) * DAY_SECONDS
        since = last - OVERLAP_SECONDS if reach is None else started - reach
        rails: list[Callable[[], Awaitable[None]]] = [partial(self._shop, report, since, reach is None)]
        rails += [partial(compare, report, since) for compare in self._others]
        report.unread = [fault for rail in rails if (fault := await _fault_of(rail)) is not None]
        if not report.unread and not report.failed and since <= last:
            await self._db.write(flag_rows.put, COMPARED, str(int(started * 1000)))
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
        return report

    async def _shop(self, report: Report, since: float, usual: bool) -> None:
        """YooKassa's lists, and what was set aside. Raises YooKassaError when a list can't be read to its end.

        The `usual` comparison looks further back than `since` for what takes days to come to its end.
        """
        if self._gateway is not None:
            receipts = RECEIPT_SECONDS if usual and self._payments.sends_receipts else 0
            await self._payments_of(self._gateway, report, since - receipts)
            returns = REFUND_OVERLAP_SECONDS - OVERLAP_SECONDS if usual else 0
            await self._refunds_of(self._gateway, report, since - returns)
            await self._late_receipts(self._gateway, report)
        await self._quarantined(report)

    # --- decisions ------------------------------------------------------------------------------------

    async def apply(self, admin_id: int, difference_id: int) -> Difference:
        """Book the proposed entry, once, while YooKassa still has what it was proposed from.

        Raises NotFound; IllegalMove when it is decided or out of date; YooKassaError when that can't be asked.
        """
        difference = await self._db.read(difference_rows.get, difference_id)
        if difference is not None and difference.state is DifferenceState.OPEN and difference.proposal:
            await self._refuse_what_changed(difference)
        return await self._db.write(difference_rows.apply, admin_id, difference_id)

    async def _refuse_what_changed(self, difference: Difference) -> None:
        """Money that waits for a decision may be returned in the cabinet meanwhile, and no row of ours shows it."""
        if difference.provider != PROVIDER or difference.kind not in HELD_THERE:
            return
        if self._gateway is None:
            raise YooKassaError(ErrorKind.UNKNOWN_OUTCOME, "no shop is connected")
        about, _, _ = str(difference.details["about"]).partition(":")
        there = await self._found(self._gateway, about)
        kept = there.amount_kopecks - there.refunded_kopecks if there and there.status == "succeeded" else 0
        if difference.kind == difference_rows.QUARANTINED:
            then = int(difference.details["theirs"])
        else:
            then = int(difference.proposal["amount"])
        if difference.details.get("whole") and difference.kind == difference_rows.UNKNOWN:
            then -= await self._db.read(difference_rows.returned_of_lost, about)  # taken back together with the credit
        if kept != then:
            raise IllegalMove(f"difference {difference.id} is out of date: YooKassa holds {kept} kopecks by now")

    @staticmethod
    async def _found(gateway: YooKassaGateway, provider_payment_id: str) -> GatewayPayment | None:
        """The payment as YooKassa has it; None when it has no such payment. Raises YooKassaError: can't tell."""
        try:
            return await gateway.get_payment(provider_payment_id)
        except YooKassaError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
            return None

    # --- payments -------------------------------------------------------------------------------------

    async def _payments_of(self, gateway: YooKassaGateway, report: Report, since: float) -> None:
        seen: set[str] = set()
        async for facts in gateway.list_payments(status="succeeded", captured_at__gte=moment(since)):
            seen.add(facts.id)
            report.payments += 1
            try:
                await self._payment_there(report, facts)
            except Exception as error:  # one that can't be compared must not hide the others
                self._failed(report, facts.id, error)
        async for payment in credited_since(self._db, PROVIDER, since):
            if payment.provider_payment_id not in seen:
                try:
                    await self._payment_here(gateway, report, payment)
                except Exception as error:
                    self._failed(report, payment.id, error)

    async def _payment_there(self, report: Report, facts: GatewayPayment) -> None:
        """YooKassa has the money of this payment: have we?"""
        known = await self._db.read(ours, facts.id, facts.order_id)
        if known is None or (known.payment.provider_payment_id or facts.id) != facts.id:
            await self._payments.on_payment_event(facts.id)  # writes the difference down as for any notification
            return
        if known.payment.status not in FINAL and not known.payment.quarantined_reason:
            event(_log, "payment.found_by_comparison", level=logging.WARNING, provider_payment_id=facts.id)
            await self._payments.on_payment_event(facts.id)
            known = await self._db.read(ours, facts.id, facts.order_id) or known
            report.settled += known.payment.status in FINAL
        payment = known.payment
        await self._receipt(report, payment, facts, facts.captured_at)
        if payment.quarantined_reason or payment.status not in FINAL or payment.legacy:
            return
        if facts.amount_kopecks != payment.amount or facts.currency != "RUB":
            missing = facts.amount_kopecks - payment.amount if facts.currency == "RUB" else 0
            await self._note(report, payment, "sum-differs", facts.id, facts.amount_kopecks, missing)
        elif known.credited != payment.amount:
            missing = payment.amount - (known.credited or 0)
            await self._note(report, payment, "not-credited", facts.id, facts.amount_kopecks, missing)

    async def _payment_here(self, gateway: YooKassaGateway, report: Report, payment: Payment) -> None:
        """We credited it and YooKassa's list of the time does not hold it: ask about this one."""
        about = payment.provider_payment_id or payment.id
        try:
            facts = await gateway.get_payment(about)
        except YooKassaError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
            await self._note(report, payment, "credited-unknown", about, 0, payment.refunded_amount - payment.amount)
            return
        if facts.status != "succeeded":
            await self._note(report, payment, "credited-unpaid", about, 0, payment.refunded_amount - payment.amount)
        else:
            await self._payment_there(report, facts)

    async def _quarantined(self, report: Report) -> None:
        """What was set aside waits for a person: with the sum that YooKassa has, where it has one."""
        for payment in await self._db.read_apart(payment_rows.set_aside):
            if payment.provider == PROVIDER and self._gateway is None:
                continue  # nobody can be asked, and that says nothing of the money
            try:
                await self._held(report, payment)
            except YooKassaError as error:
                self._failed(report, payment.id, error)

    async def _held(self, report: Report, payment: Payment) -> None:
        there = await self._held_there(payment)
        paid = there.amount_kopecks - there.refunded_kopecks if there else 0
        booked = await self._db.read(difference_rows.booked, payment.id, "quarantined")
        propose = paid - sum(booked) if payment.status not in FINAL and not payment.legacy else 0
        if (booked or payment.quarantined_reason is None) and not propose:
            return  # a person has settled it
        # Money that comes or goes later is news again, and so is a sum that was seen before the last booking.
        about = f"{payment.provider_payment_id or payment.id}:{paid}" + (f":{len(booked)}" if booked else "")
        whole = there is not None and there.refunded_kopecks == 0 and self._payments.fits(payment, there)
        await self._note(report, payment, "quarantined", about, paid, propose, whole=whole)

    async def _held_there(self, payment: Payment) -> GatewayPayment | None:
        """The payment as YooKassa has it, when it holds money of it that is ours. Raises YooKassaError: can't tell."""
        if self._gateway is None or payment.provider != PROVIDER or payment.provider_payment_id is None:
            return None
        facts = await self._found(self._gateway, payment.provider_payment_id)
        if facts is None or facts.status != "succeeded" or not facts.paid or facts.currency != "RUB":
            return None
        return facts if self._payments.is_of_our_shop(facts) else None

    # --- refunds --------------------------------------------------------------------------------------

    async def _refunds_of(self, gateway: YooKassaGateway, report: Report, since: float) -> None:
        seen: set[str] = set()
        async for refund in gateway.list_refunds(status="succeeded", created_at__gte=moment(since)):
            seen.add(refund.id)
            report.refunds += 1
            try:
                await self._refund_there(gateway, report, refund)
            except Undecided:
                continue  # one of ours is under way: the next comparison knows more
            except Exception as error:
                self._failed(report, refund.id, error)
        async for row in returned_since(self._db, PROVIDER, since):
            if row.provider_refund_id not in seen:
                try:
                    await self._refund_here(gateway, report, row)
                except Exception as error:
                    self._failed(report, row.id, error)

    async def _refund_there(self, gateway: YooKassaGateway, report: Report, refund: GatewayRefund) -> None:
        """YooKassa gave money back: have we taken it back?"""
        row = await self._db.read(refund_rows.by_provider_id, refund.id)
        if row is None or not row.is_final:
            await self._payments.on_refund_event(refund.id)
            row = await self._db.read(refund_rows.by_provider_id, refund.id)
            report.settled += row is not None and row.is_final
        payment = await self._db.read(payment_rows.by_provider_id, refund.payment_id)
        if payment is None:
            await self._write(report, await self._return_of_unknown(gateway, refund))
            return
        await self._receipt(report, payment, refund, refund.created_at)
        if row is None:
            if not payment.quarantined_reason and await self._db.read(payment_rows.decision, payment) is None:
                amount = refund.amount_kopecks
                await self._note(report, payment, "refund-not-taken", refund.id, amount, -amount)
        elif row.status is RefundStatus.CANCELED or row.amount != refund.amount_kopecks:
            taken = row.amount if row.status is RefundStatus.SUCCEEDED else 0
            amount = refund.amount_kopecks
            await self._note(report, payment, "refund-sum-differs", refund.id, amount, taken - amount)

    async def _return_of_unknown(self, gateway: YooKassaGateway, refund: GatewayRefund) -> Found:
        """A return of a payment without a row. Where a decision has credited that, what came back since goes, too."""
        facts = {"theirs": refund.amount_kopecks, "payment": refund.payment_id}
        back = 0
        if await self._db.read(difference_rows.credited_without_row, PROVIDER, refund.payment_id) is not None:
            there = await self._found(gateway, refund.payment_id)
            back = there.refunded_kopecks if there else 0
        return Found(difference_rows.RETURN_OF_UNKNOWN, PROVIDER, refund.id, facts=facts, back=back)

    async def _refund_here(self, gateway: YooKassaGateway, report: Report, row: Refund) -> None:
        """We took money back and YooKassa's list does not say that it gave it: ask about this one."""
        try:
            said = await gateway.get_refund(row.provider_refund_id or row.id)
        except YooKassaError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
        else:
            if said.status == "succeeded" and said.amount_kopecks == row.amount:
                return
        payment = await self._db.read(payment_rows.get, row.payment_id)
        if payment is not None:
            about = row.provider_refund_id or row.id
            await self._note(report, payment, "refund-unknown", about, 0, row.amount)

    # --- receipts -------------------------------------------------------------------------------------

    async def _receipt(
        self, report: Report, payment: Payment, there: GatewayPayment | GatewayRefund, at: str | None
    ) -> None:
        """The receipt of a payment, or of a return of it, of the time `at`: was it registered, as the law wants it?

        No notification tells of that, and no entry of ours could settle it: a person sees to it, or time does.
        """
        if not self._payments.sends_receipts:
            return
        if there.receipt_registration == "canceled":
            await self._note(report, payment, "receipt-refused", there.id, there.amount_kopecks, 0)
        elif there.receipt_registration == "pending" and at is not None:
            since = seconds_of(at)
            if since is not None and clock.now() - since > RECEIPT_SECONDS:
                await self._note(report, payment, difference_rows.RECEIPT_LATE, there.id, there.amount_kopecks, 0)

    async def _late_receipts(self, gateway: YooKassaGateway, report: Report) -> None:
        """Receipts that were late may be registered, or refused, when no list reaches back to them any more."""
        if not self._payments.sends_receipts:
            return
        for late in await self._db.read(difference_rows.open_of_kind, difference_rows.RECEIPT_LATE):
            try:
                await self._late_receipt(gateway, report, late)
            except Exception as error:
                self._failed(report, late.key, error)

    async def _late_receipt(self, gateway: YooKassaGateway, report: Report, late: Difference) -> None:
        about = str(late.details["about"])
        payment = await self._db.read(payment_rows.get, late.payment_id or "")
        if payment is None:
            return
        try:
            there: GatewayPayment | GatewayRefund
            if about == payment.provider_payment_id:
                there = await gateway.get_payment(about)
            else:
                there = await gateway.get_refund(about)
        except YooKassaError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
            return  # a person has to look for it
        if there.receipt_registration == "canceled":
            await self._receipt(report, payment, there, None)
            why = "the receipt is refused"
        elif there.receipt_registration == "succeeded":
            why = "the receipt is registered"
        else:
            return
        event(_log, "difference.over", kind=late.kind, about=about, why=why)
        await self._write(report, Found(late.kind, late.provider, about, over=why))

    # --- small parts ----------------------------------------------------------------------------------

    async def _note(
        self, report: Report, payment: Payment, kind: str, about: str, theirs: int, propose: int, *, whole: bool = False
    ) -> None:
        """Write a difference of one of our payments down; `propose` kopecks would settle it, 0: no entry would.

        `whole`: it is exactly what was ordered, and may be settled like any other payment.
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
        await self._write(report, found)

    async def _write(self, report: Report, found: Found) -> None:
        new = await self._db.write(difference_rows.note, found, admins=self._admins)
        if new is not None:
            event(_log, "difference.found", level=logging.ERROR, kind=found.kind, about=found.about)
            report.new.append(new)

    @staticmethod
    def _failed(report: Report, name: str, error: Exception) -> None:
        report.failed += 1
        event(_log, "reconcile.item_failed", level=logging.ERROR, item=name, error=str(error)[:200])
