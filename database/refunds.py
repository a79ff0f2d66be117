"""Refunds, money of a payment that goes back: taken here first, then asked of the provider, then final.

A refund that we start is a row with its own id, key and exact body, written together with its take-back; its id
travels in the provider's metadata, so that whatever tells of it first (our answer, a notification, a list) finds the
same row. A refund that we did not start gets its row when it is first seen. Either way one refund is taken back once.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, insert, select, update

from database import ledger, outbox
from database.clock import HOUR_MS
from database.engine import Tx
from database.errors import IllegalMove, KeyReused, NotFound, Refusal
from database.rows import Payment, Refund
from database.schema import payments, refunds
from database.states import UNDER_WAY, EntryKind, PaymentStatus, Reason, RefundStatus

HANDLING_MS = 60_000  # a step that is taken is carried out at once; after this the sweeper takes it again
FAR_MS = 2 * HOUR_MS  # further ahead than any pause of ours: written under a wrong clock


class Undecided(Refusal):
    """A refund of ours of this very sum is under way, so nobody can tell yet whether this is it: ask again later."""


@dataclass(frozen=True)
class RefundFacts:
    """What a provider says of money of a payment that it gave back; `amount` in kopecks.

    `refund_id` becomes the id of the row, should it need one of its own; `own_id` is the id of ours that the provider's
    metadata carries, None when it carries none.
    """

    refund_id: str
    provider_refund_id: str
    amount: int
    own_id: str | None = None


@dataclass(frozen=True)
class NewRefund:
    """A refund that an admin asks for; `amount` in kopecks; `request_body` is sent byte for byte, however often."""

    id: str
    payment_id: str
    amount: int
    requested_by: int
    idempotency_key: str
    request_body: str | None


def get(tx: Tx, refund_id: str) -> Refund | None:
    return Refund.maybe(tx.row(select(refunds).where(refunds.c.id == refund_id)))


def by_provider_id(tx: Tx, provider_refund_id: str) -> Refund | None:
    return Refund.maybe(tx.row(select(refunds).where(refunds.c.provider_refund_id == provider_refund_id)))


def of_payment(tx: Tx, payment_id: str) -> list[Refund]:
    query = select(refunds).where(refunds.c.payment_id == payment_id).order_by(refunds.c.created_at, refunds.c.id)
    return [Refund.read(row) for row in tx.rows(query)]


def left(tx: Tx, payment_id: str) -> int:
    """Kopecks of a payment that can still be refunded: what came, less what went and what is under way."""
    payment = _payment(tx, payment_id)
    if payment.status is not PaymentStatus.PAID:
        return 0
    going = select(func.coalesce(func.sum(refunds.c.amount), 0))
    under_way = tx.execute(going.where(refunds.c.payment_id == payment_id, refunds.c.status.in_(UNDER_WAY))).scalar()
    return max(0, payment.amount - payment.refunded_amount - int(under_way or 0))


def begin(tx: Tx, new: NewRefund, *, seen_left: int | None = None) -> tuple[Refund, bool]:
    """Take the money from the customer and write the refund down, together; the same id again answers the same row.

    Answers the row and whether it is new. `seen_left`: what was left to refund (kopecks) when it was decided; if that
    has changed since, it is refused. Raises IllegalMove for that, and when the payment has not so much left; KeyReused
    for another payment or sum.
    """
    earlier = get(tx, new.id)
    if earlier is not None:
        if (earlier.payment_id, earlier.amount) != (new.payment_id, new.amount):
            raise KeyReused(f"refund {new.id} stands for another payment or sum")
        return earlier, False
    payment = _payment(tx, new.payment_id)
    if payment.provider_payment_id is None or ledger.check_amount(new.amount) > left(tx, payment.id):
        raise IllegalMove(f"payment {payment.id} is {payment.status}, {new.amount} kopecks can't be returned")
    if seen_left not in (None, left(tx, payment.id)):
        raise IllegalMove(f"something of payment {payment.id} was returned since")
    taken, owed = _take(tx, payment, new.amount, new.id)
    values = {**vars(new), "taken": taken, "owed": owed, "status": RefundStatus.TAKEN}
    tx.execute(insert(refunds).values(**values, created_at=tx.now, next_look_at=tx.now + HANDLING_MS))
    return get_or_raise(tx, new.id), True


def sending(tx: Tx, refund_id: str) -> Refund:
    """Note that the provider is being asked, and since when its key counts; a final refund stays as it is."""
    tx.execute(
        update(refunds)
        .where(refunds.c.id == refund_id, refunds.c.status == RefundStatus.TAKEN)
        .values(status=RefundStatus.SENT)
    )
    tx.execute(
        update(refunds)
        .where(refunds.c.id == refund_id, refunds.c.status == RefundStatus.SENT, refunds.c.sent_at.is_(None))
        .values(sent_at=tx.now)
    )
    return get_or_raise(tx, refund_id)


def ask_anew(tx: Tx, refund_id: str) -> None:
    """The provider has nothing of it and has forgotten the key by now: the key's time starts again."""
    tx.execute(
        update(refunds).where(refunds.c.id == refund_id, refunds.c.provider_refund_id.is_(None)).values(sent_at=None)
    )


def accepted(tx: Tx, refund_id: str, provider_refund_id: str) -> Refund:
    """The provider knows it. Raises NotFound; KeyReused when the row stands for another of its refunds."""
    refund = get_or_raise(tx, refund_id)
    if refund.provider_refund_id not in (None, provider_refund_id):
        raise KeyReused(f"refund {refund_id} is {refund.provider_refund_id} at the provider")
    if refund.provider_refund_id is None:
        known = by_provider_id(tx, provider_refund_id)
        if known is not None:
            raise KeyReused(f"refund {provider_refund_id} is {known.id} here")
        tx.execute(update(refunds).where(refunds.c.id == refund_id).values(provider_refund_id=provider_refund_id))
    return get_or_raise(tx, refund_id)


def succeed(tx: Tx, refund_id: str, provider_refund_id: str) -> tuple[Refund, bool]:
    """The provider gave the money back; answers the row and whether this call closed it."""
    refund = accepted(tx, refund_id, provider_refund_id)
    if not _close(tx, refund, RefundStatus.SUCCEEDED):
        return get_or_raise(tx, refund_id), False
    _count(tx, _payment(tx, refund.payment_id), refund)
    return get_or_raise(tx, refund_id), True


def cancel(tx: Tx, refund_id: str, reason: str) -> bool:
    """The provider does not give it back: the customer has the money again here, and what is owed is settled first.

    True if this call did it. Raises IllegalMove for one that succeeded.
    """
    refund = get_or_raise(tx, refund_id)
    if refund.status is RefundStatus.SUCCEEDED:
        raise IllegalMove(f"refund {refund_id} has succeeded")
    if not _close(tx, refund, RefundStatus.CANCELED, reason):
        return False
    payment = _payment(tx, refund.payment_id)
    entry = ledger.add_entry(
        tx,
        payment.user_id,
        EntryKind.REFUND,
        refund.amount,
        Reason.RETURNED,
        f"returned:{refund.id}",
        payment_id=None if payment.legacy else payment.id,
    )
    ledger.settle_debts(tx, payment.user_id, entry)
    return True


def take_back(
    tx: Tx, payment_id: str, *, refund_id: str, provider_refund_id: str, amount: int, own_id: str | None = None
) -> tuple[Refund, bool]:
    """The provider says that it gave money of a paid payment back; it is taken back once, whoever started it.

    Answers the row and whether this call learned something new. Raises IllegalMove when the payment is not credited
    yet (settle first) or more would be refunded than was paid, KeyReused when the refund stands for something else
    here, Undecided while it may be one of ours.
    """
    known = by_provider_id(tx, provider_refund_id)
    own = get(tx, own_id) if own_id else None
    row = known or (own if own is not None and own.provider_refund_id is None else None)
    if row is not None and (row.payment_id, row.amount) != (payment_id, amount):
        raise KeyReused(f"refund {provider_refund_id} was of another payment or sum")
    if row is not None and row.status is not RefundStatus.CANCELED:
        return succeed(tx, row.id, provider_refund_id)
    if known is not None:
        raise IllegalMove(f"refund {provider_refund_id} was canceled and undone here")
    payment = _payment(tx, payment_id)
    after = payment.refunded_amount + ledger.check_amount(amount)
    if payment.status is not PaymentStatus.PAID or after > payment.amount:
        raise IllegalMove(f"payment {payment_id} is {payment.status}, {amount} kopecks can't be taken back")
    if own_id is None and _may_be_ours(tx, payment_id, amount):
        raise Undecided(f"a return of {amount} kopecks of payment {payment_id} is under way")
    taken, owed = _take(tx, payment, amount, refund_id)
    values = {"id": refund_id, "payment_id": payment_id, "provider_refund_id": provider_refund_id, "amount": amount}
    values |= {"taken": taken, "owed": owed, "status": RefundStatus.SUCCEEDED, "created_at": tx.now}
    tx.execute(insert(refunds).values(**values, closed_at=tx.now))
    refund = get_or_raise(tx, refund_id)
    _count(tx, payment, refund)
    return refund, True


def due(tx: Tx, *, limit: int = 50) -> list[Refund]:
    """Refunds whose next step is due, put off at once: one that never ends must not always come first."""
    its_time = tx.is_due(refunds.c.next_look_at, FAR_MS)
    query = select(refunds).where(its_time).order_by(refunds.c.next_look_at).limit(limit)
    found = [Refund.read(row) for row in tx.rows(query)]
    if found:
        ids = [refund.id for refund in found]
        tx.execute(update(refunds).where(refunds.c.id.in_(ids)).values(next_look_at=tx.now + HANDLING_MS))
    return found


def schedule_poll(tx: Tx, refund_id: str, *, delay_ms: int) -> None:
    tx.execute(
        update(refunds)
        .where(refunds.c.id == refund_id, refunds.c.status.in_(UNDER_WAY))
        .values(next_look_at=tx.now + delay_ms, looks=refunds.c.looks + 1)
    )


def succeeded_since(tx: Tx, provider: str, since: int, *, after: str = "", limit: int = 500) -> list[Refund]:
    """A page of the refunds that succeeded by our books since a UTC time in milliseconds: by id, behind `after`."""
    query = (
        select(refunds)
        .join(payments, payments.c.id == refunds.c.payment_id)
        .where(
            refunds.c.id > after,
            payments.c.provider == provider,
            refunds.c.status == RefundStatus.SUCCEEDED,
            func.coalesce(refunds.c.closed_at, refunds.c.created_at) >= since,
        )
        .order_by(refunds.c.id)
        .limit(limit)
    )
    return [Refund.read(row) for row in tx.rows(query)]


# --- small parts ------------------------------------------------------------------------------------


def _take(tx: Tx, payment: Payment, amount: int, refund_id: str) -> tuple[int, int]:
    return ledger.take_or_owe(
        tx,
        payment.user_id,
        amount,
        reason=Reason.TAKEBACK,
        cause=f"takeback:{refund_id}",
        payment_id=None if payment.legacy else payment.id,
    )


def _close(tx: Tx, refund: Refund, status: RefundStatus, reason: str | None = None) -> bool:
    return tx.changed(
        update(refunds)
        .where(refunds.c.id == refund.id, refunds.c.status.in_(UNDER_WAY))
        .values(status=status, cancel_reason=reason and reason[:100], next_look_at=None, closed_at=tx.now)
    )


def _count(tx: Tx, payment: Payment, refund: Refund) -> None:
    """Count what the provider gave back on the payment, and owe the customer the news."""
    refunded = payment.refunded_amount + refund.amount
    if refunded > payment.amount:
        raise IllegalMove(f"more would be returned of payment {payment.id} than was paid")
    status = PaymentStatus.REFUNDED if refunded == payment.amount else PaymentStatus.PAID
    tx.execute(update(payments).where(payments.c.id == payment.id).values(refunded_amount=refunded, status=status))
    outbox.post(
        tx,
        f"takeback:{refund.id}",
        payment.user_id,
        "took_back",
        payment_id=payment.id,
        payload={"amount": refund.amount, "owed": refund.owed},
    )


def _may_be_ours(tx: Tx, payment_id: str, amount: int) -> bool:
    query = select(refunds.c.id).where(
        refunds.c.payment_id == payment_id,
        refunds.c.amount == amount,
        refunds.c.status.in_(UNDER_WAY),
        refunds.c.provider_refund_id.is_(None),
    )
    return tx.row(query) is not None


def _payment(tx: Tx, payment_id: str) -> Payment:
    payment = Payment.maybe(tx.row(select(payments).where(payments.c.id == payment_id)))
    if payment is None:
        raise NotFound(f"payment {payment_id}")
    return payment


def get_or_raise(tx: Tx, refund_id: str) -> Refund:
    refund = get(tx, refund_id)
    if refund is None:
        raise NotFound(f"refund {refund_id}")
    return refund
