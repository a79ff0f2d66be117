"""The life of a top-up, each step one transaction: open, accepted, settled or canceled, taken back.

Facts about money come only from what the provider answered when asked; the caller has compared them with the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, insert, or_, select, update

from database import ledger, outbox
from database import refunds as refund_rows
from database import users as user_rows
from database.clock import DAY_MS, HOUR_MS
from database.engine import Tx
from database.errors import IllegalMove, KeyReused, NotFound
from database.refunds import RefundFacts
from database.rows import Payment
from database.schema import differences, payments
from database.states import DifferenceState, PaymentStatus, Reason


@dataclass(frozen=True)
class NewPayment:
    """A top-up of `amount` kopecks; `request_body` is what will be sent, byte for byte, however often."""

    id: str
    user_id: int
    provider: str
    amount: int
    idempotency_key: str
    request_body: str | None
    chat_id: int | None = None
    message_id: int | None = None
    draft_id: str | None = None
    stars: int | None = None


ASKING_MS = 150_000  # a poll taken by a process that died is taken again after this
WATCHED_MS = 90 * DAY_MS  # how long the money of a decided quarantine is still compared
CREDITED = (PaymentStatus.PAID, PaymentStatus.REFUNDED)
LONGEST_GAP_MS = 7 * HOUR_MS  # a next poll further ahead was written under a wrong clock


def get(tx: Tx, payment_id: str) -> Payment | None:
    return Payment.maybe(tx.row(select(payments).where(payments.c.id == payment_id)))


def by_provider_id(tx: Tx, provider_payment_id: str) -> Payment | None:
    return Payment.maybe(tx.row(select(payments).where(payments.c.provider_payment_id == provider_payment_id)))


def of_user(tx: Tx, user_id: int, *, limit: int = 10) -> list[Payment]:
    query = select(payments).where(payments.c.user_id == user_id).order_by(payments.c.created_at.desc()).limit(limit)
    return [Payment.read(row) for row in tx.rows(query)]


def open_payment(tx: Tx, new: NewPayment, *, poll_in_ms: int | None) -> Payment:
    """Write the payment down before anybody is asked for money; the same id again answers the same row.

    `poll_in_ms`: when the poller asks about it first; None where nobody can be asked. Raises KeyReused when the id
    stands for another person or sum; ValueError for a sum that no payment can have.
    """
    earlier = get(tx, new.id)
    if earlier is not None:
        if (earlier.user_id, earlier.amount) != (new.user_id, new.amount):
            raise KeyReused(f"payment {new.id} stands for another sum or user")
        return earlier
    user_rows.ensure(tx, new.user_id)
    ledger.check_amount(new.amount)
    next_poll_at = None if poll_in_ms is None else tx.now + poll_in_ms
    tx.execute(insert(payments).values(**vars(new), created_at=tx.now, next_look_at=next_poll_at))
    return get_or_raise(tx, new.id)


def adopt(tx: Tx, lost: NewPayment, provider_payment_id: str, refunded: Sequence[RefundFacts]) -> Payment:
    """Write a payment down again that these books have lost and that was paid, and settle it, all at once."""
    payment = open_payment(tx, lost, poll_in_ms=None)
    tx.execute(update(payments).where(payments.c.id == payment.id).values(provider_payment_id=provider_payment_id))
    return settle(tx, payment.id, refunded)[0]


def sending(tx: Tx, payment_id: str) -> Payment:
    """Note that the request is being sent, and since when its key counts: it is good for a day from then on.

    The row's own age counts: what a restored backup holds as unsent may have been sent.
    """
    unsent = (payments.c.id == payment_id, payments.c.sent_at.is_(None))
    tx.execute(update(payments).where(*unsent).values(sent_at=payments.c.created_at))
    return get_or_raise(tx, payment_id)


def ask_anew(tx: Tx, payment_id: str) -> Payment:
    """The provider has nothing of it and has forgotten its key: it will be sent under a new one."""
    payment = get_or_raise(tx, payment_id)
    base, _, times = payment.idempotency_key.partition(".")
    tx.execute(
        update(payments)
        .where(payments.c.id == payment_id, payments.c.provider_payment_id.is_(None))
        .values(sent_at=tx.now, idempotency_key=f"{base}.{int(times or 0) + 1}")
    )
    return get_or_raise(tx, payment_id)


def accepted(
    tx: Tx, payment_id: str, *, provider_payment_id: str, confirmation_url: str | None, poll_in_ms: int
) -> Payment:
    """The provider knows the payment. Raises KeyReused when the row stands for another of its payments."""
    payment = get_or_raise(tx, payment_id)
    if payment.provider_payment_id not in (None, provider_payment_id):
        raise KeyReused(f"payment {payment_id} is {payment.provider_payment_id} at the provider")
    tx.execute(
        update(payments)
        .where(payments.c.id == payment_id)
        .values(
            provider_payment_id=provider_payment_id,
            confirmation_url=confirmation_url or payment.confirmation_url,
            next_look_at=tx.now + poll_in_ms if payment.status is PaymentStatus.PENDING else payment.next_look_at,
        )
    )
    return get_or_raise(tx, payment_id)


def set_message(tx: Tx, payment_id: str, chat_id: int, message_id: int) -> None:
    tx.execute(update(payments).where(payments.c.id == payment_id).values(chat_id=chat_id, message_id=message_id))


def settle(tx: Tx, payment_id: str, refunded: Sequence[RefundFacts] = ()) -> tuple[Payment, bool]:
    """The money has arrived: `paid` and one credit, together; answers the payment and whether this call did it.

    What was `refunded` before the credit is taken back in the same transaction: nobody asks about a paid payment again.
    Late is fine (a canceled payment may still be paid), twice is fine (nothing more happens). Where an admin has
    decided about this money nothing is credited, and the payment is closed. Raises NotFound; IllegalMove for a
    quarantined one, IllegalMove or KeyReused when the refunds do not fit.
    """
    payment = get_or_raise(tx, payment_id)
    if payment.status in CREDITED:
        return payment, False
    if payment.quarantined_reason:
        raise IllegalMove(f"payment {payment_id} is in quarantine: {payment.quarantined_reason}")
    if (number := decision(tx, payment)) is not None:
        close_decided(tx, payment_id, number)
        return get_or_raise(tx, payment_id), False
    moved = tx.changed(
        update(payments)
        .where(payments.c.id == payment_id, payments.c.status == payment.status)
        .values(status=PaymentStatus.PAID, paid_at=tx.now, next_look_at=None)
    )
    if not moved:
        return get_or_raise(tx, payment_id), False
    ledger.credit(
        tx, payment.user_id, payment.amount, reason=Reason.TOPUP, key=f"payment:{payment_id}", payment_id=payment_id
    )
    outbox.post(tx, f"credited:{payment_id}", payment.user_id, "credited", payment_id=payment_id)
    for one in refunded:
        refund_rows.take_back(tx, payment_id, **vars(one))
    return get_or_raise(tx, payment_id), True


def paid_in_stars(tx: Tx, payment_id: str, *, user_id: int, charge_id: str, stars: int) -> tuple[Payment, bool]:
    """Telegram took Stars for a payment: one credit per charge; answers the payment and whether this call credited.

    A further charge for a payment that has one is a payment of its own: another row, another credit. Raises NotFound
    for an unknown payment, IllegalMove when person or price are not the payment's.
    """
    known = by_provider_id(tx, charge_id)
    if known is not None:
        return known, False
    payment = get_or_raise(tx, payment_id)
    if payment.provider != "stars" or (payment.user_id, payment.stars) != (user_id, stars):
        raise IllegalMove(f"payment {payment_id} is of another person or price")
    if payment.provider_payment_id is not None:
        second = NewPayment(
            f"{payment.id}+{charge_id}"[:200], user_id, "stars", payment.amount, f"stars-{charge_id}", None, stars=stars
        )
        payment = open_payment(tx, second, poll_in_ms=None)
    tx.execute(update(payments).where(payments.c.id == payment.id).values(provider_payment_id=charge_id))
    return settle(tx, payment.id)


def cancel(tx: Tx, payment_id: str, reason: str) -> bool:
    """The provider will not take the money any more. True if this call closed the payment."""
    moved = tx.changed(
        update(payments)
        .where(payments.c.id == payment_id, payments.c.status == PaymentStatus.PENDING)
        .values(status=PaymentStatus.CANCELED, cancel_reason=reason[:100], next_look_at=None)
    )
    if moved:
        payment = get_or_raise(tx, payment_id)
        outbox.post(tx, f"canceled:{payment_id}", payment.user_id, "payment_canceled", payment_id=payment_id)
    return moved


def close_stale(tx: Tx, provider: str, *, before: int, limit: int = 500) -> int:
    """Close payments that nobody paid and nobody can pay any more, opened before a UTC time in milliseconds.

    Nobody is told: the person left the invoice unpaid and knows it. A late success is credited all the same. Answers
    how many.
    """
    stale = select(payments.c.id).where(
        payments.c.provider == provider,
        payments.c.status == PaymentStatus.PENDING,
        payments.c.created_at < before,
        payments.c.provider_payment_id.is_(None),
        payments.c.quarantined_reason.is_(None),
    )
    closed = tx.execute(
        update(payments)
        .where(payments.c.id.in_(stale.limit(limit)), payments.c.status == PaymentStatus.PENDING)
        .values(status=PaymentStatus.CANCELED, cancel_reason="stale", next_look_at=None)
    )
    return int(closed.rowcount)


def close_unsent(tx: Tx, payment_id: str, reason: str) -> bool:
    """The provider refused to create it and has nothing of it: close the payment. True if this call did."""
    return tx.changed(
        update(payments)
        .where(
            payments.c.id == payment_id,
            payments.c.status == PaymentStatus.PENDING,
            payments.c.provider_payment_id.is_(None),
        )
        .values(status=PaymentStatus.CANCELED, cancel_reason=reason[:100], next_look_at=None)
    )


def decision(tx: Tx, payment: Payment) -> int | None:
    """The difference by which an admin decided about a payment's money, before it had a row or in quarantine.

    What was decided stands: nothing credits this money again. None when nobody has decided.
    """
    set_aside = and_(differences.c.kind == "quarantined", differences.c.payment_id == payment.id)
    unknown = differences.c.key == f"{payment.provider}:unknown-payment:{payment.provider_payment_id}"
    query = select(differences.c.id).where(or_(set_aside, unknown), differences.c.state != DifferenceState.OPEN)
    number = tx.execute(query.order_by(differences.c.id).limit(1)).scalar()
    return None if number is None else int(number)


def lift_quarantine(tx: Tx, payment_id: str) -> bool:
    """End the quarantine, because its money is being decided about. True if there was one."""
    marked = (payments.c.id == payment_id, payments.c.quarantined_reason.is_not(None))
    return tx.changed(update(payments).where(*marked).values(quarantined_reason=None, next_look_at=None))


def close_decided(tx: Tx, payment_id: str, number: int) -> None:
    """Difference `number` decided about its money: nothing is credited by itself any more, and nobody is told."""
    tx.execute(
        update(payments)
        .where(payments.c.id == payment_id, payments.c.status == PaymentStatus.PENDING)
        .values(status=PaymentStatus.CANCELED, cancel_reason=f"difference {number}", next_look_at=None)
    )


def quarantine(tx: Tx, payment_id: str, reason: str, *, admins: Sequence[int]) -> None:
    """What the provider says does not fit our row: credit nothing, tell the admins; what they decided stands."""
    payment = get_or_raise(tx, payment_id)
    if payment.status not in CREDITED and (number := decision(tx, payment)) is not None:
        close_decided(tx, payment_id, number)
        return
    moved = tx.changed(
        update(payments)
        .where(payments.c.id == payment_id, payments.c.quarantined_reason.is_(None))
        .values(quarantined_reason=reason[:200], next_look_at=None)
    )
    if moved:
        outbox.alert_admins(
            tx, admins, f"quarantine:{payment_id}", "alert-quarantine", payment_id=payment_id, reason=reason[:200]
        )


def due(tx: Tx, *, limit: int = 50) -> list[Payment]:
    """Payments to ask the provider about, by the time of their next poll.

    Where more are due than can be asked about, as after an outage, half of them are the newest: somebody waits for
    those, and the abandoned ones of three months must not come before them.
    """
    query = select(payments).where(tx.is_due(payments.c.next_look_at, LONGEST_GAP_MS))
    found = [Payment.read(row) for row in tx.rows(query.order_by(payments.c.next_look_at).limit(limit))]
    if len(found) < limit:
        return found
    longest = {payment.id: payment for payment in found[: limit - limit // 2]}
    newest = (Payment.read(row) for row in tx.rows(query.order_by(payments.c.created_at.desc()).limit(limit // 2)))
    return list({**longest, **{payment.id: payment for payment in newest}}.values())


def any_paid(tx: Tx, provider: str) -> bool:
    """Whether anything was ever credited through this provider."""
    return bool(paid_since(tx, provider, 0, limit=1))


def paid_since(tx: Tx, provider: str, since: int, *, after: str = "", limit: int = 500) -> list[Payment]:
    """A page of the payments credited since a UTC time in milliseconds, those of version 1.3 left out.

    By id, and only ids behind `after`: no index is by the time, so all pages together read the table once.
    """
    query = (
        select(payments)
        .where(
            payments.c.id > after,
            payments.c.provider == provider,
            payments.c.paid_at >= since,
            payments.c.legacy == 0,
            payments.c.status.in_(CREDITED),
        )
        .order_by(payments.c.id)
        .limit(limit)
    )
    return [Payment.read(row) for row in tx.rows(query)]


def set_aside(tx: Tx, *, limit: int = 1_000) -> list[Payment]:
    """Payments in quarantine, and those whose quarantine ended recently without a credit: money may come after all."""
    ended = select(differences.c.payment_id).where(
        differences.c.kind == "quarantined", differences.c.decided_at > tx.now - WATCHED_MS
    )
    after_all = and_(payments.c.id.in_(ended), payments.c.status.not_in(CREDITED))
    query = select(payments).where(or_(payments.c.quarantined_reason.is_not(None), after_all))
    return [Payment.read(row) for row in tx.rows(query.order_by(payments.c.created_at.desc()).limit(limit))]


def take_due(tx: Tx, *, limit: int = 50) -> list[Payment]:
    """Take what is due and put it off at once: a poll that fails or never ends must not always come first."""
    taken = due(tx, limit=limit)
    if taken:
        ids = [payment.id for payment in taken]
        tx.execute(update(payments).where(payments.c.id.in_(ids)).values(next_look_at=tx.now + ASKING_MS))
    return taken


def schedule_poll(tx: Tx, payment_id: str, *, delay_ms: int | None) -> None:
    """Ask again after `delay_ms`; None: nothing more can come of it."""
    next_poll_at = None if delay_ms is None else tx.now + delay_ms
    tx.execute(
        update(payments)
        .where(payments.c.id == payment_id, payments.c.status == PaymentStatus.PENDING)
        .values(next_look_at=next_poll_at, looks=payments.c.looks + 1)
    )


def get_or_raise(tx: Tx, payment_id: str) -> Payment:
    payment = get(tx, payment_id)
    if payment is None:
        raise NotFound(f"payment {payment_id}")
    return payment
