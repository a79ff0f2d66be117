"""Where the provider's books and ours disagree, and what an admin decided about it: once, with an audit row.

A difference is written down once however often it is found, and every admin is told once. Its proposal is the one
entry that would settle it; booking it is a person's decision, because no program can know who is right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.sqlite import insert

from database import admin, ledger, outbox
from database import payments as payment_rows
from database import refunds as refund_rows
from database.engine import Tx
from database.errors import IllegalMove, NotFound
from database.refunds import RefundFacts
from database.rows import Difference
from database.schema import differences
from database.states import DifferenceState, Reason

QUARANTINED = "quarantined"
UNKNOWN = "unknown-payment"
REFUND_OF_UNKNOWN = "refund-of-unknown"
SECOND = "second-payment"
NOT_TAKEN = "refund-not-taken"
RECEIPT_LATE = "receipt-late"
NOBODY = 0
"""In `admin_log`: decided by no person."""
MISSING_THERE = ("credited-unknown", "credited-unpaid")
"""Credited here and not paid there, by two names: the proposal takes all that is left of the payment."""


@dataclass(frozen=True)
class Proposal:
    """Kopecks to credit to (`amount` > 0) or to take from (`amount` < 0) a user."""

    user_id: int
    amount: int


@dataclass(frozen=True)
class Found:
    """A difference as it was found; `facts` are what a person must know, amounts in kopecks."""

    kind: str
    provider: str
    about: str  # the provider's id of the payment or refund, or ours where the provider has none
    payment_id: str | None = None
    user_id: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    proposal: Proposal | None = None
    over: str = ""  # why it is no difference any more, for `admin_log`; empty: it is one
    back: int | None = None  # of a refund: kopecks that went back of its payment so far, None for all of it

    @property
    def key(self) -> str:
        return f"{self.provider}:{self.kind}:{self.about}"


def note(tx: Tx, found: Found, *, admins: Sequence[int]) -> Difference | None:
    """Write a difference down and owe the admins the news; None when it was known, or is `over` and closed now."""
    if found.over:
        _close(tx, found, admins)
        return None
    proposal = found.proposal or (_of_what_was_credited(tx, found) if found.kind == REFUND_OF_UNKNOWN else None)
    values = {
        "key": found.key,
        "kind": found.kind,
        "provider": found.provider,
        "payment_id": found.payment_id,
        "user_id": proposal.user_id if proposal and found.user_id is None else found.user_id,
        "details": json.dumps({"about": found.about, **found.facts}, ensure_ascii=False, sort_keys=True),
        "proposal": json.dumps(vars(proposal) if proposal else {}, sort_keys=True),
        "created_at": tx.now,
    }
    row = tx.row(insert(differences).values(**values).on_conflict_do_nothing().returning(differences))
    if row is None:
        return None
    difference = Difference.read(row)
    facts = {"id": str(difference.id), "kind": found.kind}
    outbox.alert_admins(tx, admins, f"difference:{difference.id}", "alert-difference", **facts)
    return difference


def _close(tx: Tx, found: Found, admins: Sequence[int]) -> None:
    """What waits for a decision under this key needs none any more; the admins are told."""
    waiting = differences.c.state == DifferenceState.OPEN
    row = tx.row(select(differences).where(differences.c.key == found.key, waiting))
    if row is None:
        return
    difference = Difference.read(row)
    _decide(tx, NOBODY, difference, DifferenceState.DISMISSED, why=found.over)
    facts = {"id": str(difference.id), "kind": found.kind}
    outbox.alert_admins(tx, admins, f"difference:{difference.id}:over", "alert-difference-over", **facts)


def get(tx: Tx, difference_id: int) -> Difference | None:
    return Difference.maybe(tx.row(select(differences).where(differences.c.id == difference_id)))


def still_open(tx: Tx, *, limit: int = 20) -> tuple[int, list[Difference]]:
    """How many wait for a decision, and the oldest of them."""
    waiting = differences.c.state == DifferenceState.OPEN
    count = int(tx.execute(select(func.count()).where(waiting)).scalar() or 0)
    rows = tx.rows(select(differences).where(waiting).order_by(differences.c.id).limit(limit))
    return count, [Difference.read(row) for row in rows]


def open_of_kind(tx: Tx, kind: str) -> list[Difference]:
    """All of a kind that wait for a decision, oldest first."""
    waiting = (differences.c.kind == kind, differences.c.state == DifferenceState.OPEN)
    return [Difference.read(row) for row in tx.rows(select(differences).where(*waiting).order_by(differences.c.id))]


def booked(tx: Tx, payment_id: str, kind: str) -> list[int]:
    """Kopecks that each decision of the admins has booked for a payment so far; what was taken is negative."""
    rows = tx.rows(select(differences.c.proposal).where(*_decided(payment_id, kind)).order_by(differences.c.id))
    return [int(json.loads(row["proposal"])["amount"]) for row in rows]


def _decided(payment_id: str, kind: str) -> tuple[Any, ...]:
    same = (differences.c.payment_id == payment_id, differences.c.kind == kind)
    return (*same, differences.c.state == DifferenceState.APPLIED)


def apply(tx: Tx, admin_id: int, difference_id: int) -> Difference:
    """Book the proposed entry, once.

    Raises NotFound; IllegalMove when it is decided, proposes nothing, or our books have moved on since it was proposed,
    so that its sum is out of date.
    """
    difference = get_or_raise(tx, difference_id)
    if difference.state is not DifferenceState.OPEN:
        raise IllegalMove(f"difference {difference_id} is {difference.state}")
    if not difference.proposal:
        raise IllegalMove(f"difference {difference_id} proposes no entry")
    user_id, amount = int(difference.proposal["user_id"]), int(difference.proposal["amount"])
    _refuse_what_is_known(tx, difference)
    _refuse_what_is_overtaken(tx, difference, amount)
    settled = difference.kind == UNKNOWN and _adopt(tx, admin_id, difference)
    settled = settled or (difference.kind == QUARANTINED and _end_quarantine(tx, difference, whole=True))
    _decide(tx, admin_id, difference, DifferenceState.APPLIED)
    if settled:
        return get_or_raise(tx, difference_id)
    if difference.kind == UNKNOWN and _was_refunded(tx, difference):
        raise IllegalMove(f"the money of difference {difference_id} was returned meanwhile")
    key = f"fix:{difference_id}"
    if amount > 0:
        ledger.credit(tx, user_id, ledger.check_amount(amount), reason=Reason.CORRECTION, key=key)
    else:
        ledger.take_or_owe(tx, user_id, ledger.check_amount(-amount), reason=Reason.CORRECTION, cause=key)
    outbox.post(tx, key, user_id, "corrected", payload={"amount": amount})
    return get_or_raise(tx, difference_id)


def dismiss(tx: Tx, admin_id: int, difference_id: int) -> Difference:
    """Nothing is to be booked. Raises NotFound, IllegalMove when it is decided."""
    difference = get_or_raise(tx, difference_id)
    if difference.kind == QUARANTINED:
        _end_quarantine(tx, difference, whole=False)
    _decide(tx, admin_id, difference, DifferenceState.DISMISSED)
    return get_or_raise(tx, difference_id)


def _refuse_what_is_known(tx: Tx, difference: Difference) -> None:
    """Money that had no row when it was found, and has one now, is credited by its row or not at all.

    Money that was found without a row, and as a second payment once its row is opened anew, is two differences: only
    one of them is booked.
    """
    if difference.kind not in (UNKNOWN, SECOND):
        return
    about, payment_id = str(difference.details["about"]), difference.details.get("order_id")
    if (other := credited_without_row(tx, difference.provider, about)) is not None:
        raise IllegalMove(f"the money of difference {difference.id} was credited by {other.id}")
    if difference.kind == SECOND:
        return
    known = payment_rows.by_provider_id(tx, about)
    if known is None and payment_id:
        known = payment_rows.get(tx, str(payment_id))
    if known is not None and known.provider_payment_id in (None, about):
        raise IllegalMove(f"the money of difference {difference.id} has its order again: {known.id}")


def _adopt(tx: Tx, admin_id: int, difference: Difference) -> bool:
    """A lost payment whose money came exactly as asked gets its row again and is settled like any other; True then.

    What was given back of it while it was lost is taken back with it: those differences are settled by this one.
    """
    payment_id, about = str(difference.details.get("order_id")), str(difference.details["about"])
    if not difference.details.get("whole") or payment_rows.get(tx, payment_id) is not None:
        return False
    user_id, amount = int(difference.proposal["user_id"]), int(difference.proposal["amount"])
    lost = payment_rows.NewPayment(
        payment_id, user_id, difference.provider, amount, f"lost-{about}", None, stars=difference.details.get("stars")
    )
    noted = _refunds_of_lost(tx, about)
    payment_rows.adopt(tx, lost, about, [_refund_facts(one, amount) for one in noted])
    for one in noted:
        _decide(tx, admin_id, one, DifferenceState.APPLIED)
    return True


def _refund_facts(noted: Difference, whole: int) -> RefundFacts:
    """The refund that a difference tells of; one without a sum, in Stars, is of the `whole` payment (kopecks)."""
    about = str(noted.details["about"])
    return RefundFacts(f"found-{about}", about, int(noted.details.get("theirs") or whole))


def _refunds_of_lost(tx: Tx, provider_payment_id: str) -> list[Difference]:
    """Refunds of a payment without a row that wait for a decision."""
    return [one for one in _noted_refunds(tx, provider_payment_id) if one.state is DifferenceState.OPEN]


def _noted_refunds(tx: Tx, provider_payment_id: str) -> list[Difference]:
    """All refunds of a payment without a row, whatever was decided about them."""
    of_it = func.json_extract(differences.c.details, "$.payment") == provider_payment_id
    query = select(differences).where(differences.c.kind == REFUND_OF_UNKNOWN, of_it).order_by(differences.c.id)
    return [Difference.read(row) for row in tx.rows(query)]


def _was_refunded(tx: Tx, unknown: Difference) -> bool:
    """Something of it went back that its proposal holds: it was found `whole`, or all went back, as in Stars."""
    noted = _noted_refunds(tx, str(unknown.details["about"]))
    return any(unknown.details.get("whole") or not one.details.get("theirs") for one in noted)


def refunded_of_lost(tx: Tx, provider_payment_id: str) -> int:
    """Kopecks that went back of a payment without a row, as far as that was found and waits for a decision."""
    return sum(int(one.details.get("theirs") or 0) for one in _refunds_of_lost(tx, provider_payment_id))


def credited_without_row(tx: Tx, provider: str, provider_payment_id: str) -> Difference | None:
    """The decision that credited a payment which has no row of its own; None when there was none."""
    keys = [f"{provider}:{kind}:{provider_payment_id}" for kind in (UNKNOWN, SECOND)]
    applied = (differences.c.key.in_(keys), differences.c.state == DifferenceState.APPLIED)
    return Difference.maybe(tx.row(select(differences).where(*applied).order_by(differences.c.id).limit(1)))


def _of_what_was_credited(tx: Tx, found: Found) -> Proposal | None:
    """What a refund took out of the credit that a decision gave for its payment; None when it took nothing.

    By sums and not by times: what the provider still held was credited, whenever its refunds were begun and found.
    """
    about = str(found.facts["payment"])
    credited = credited_without_row(tx, found.provider, about)
    if credited is None:
        return None
    user_id, held = int(credited.proposal["user_id"]), int(credited.proposal["amount"])
    whole = int(credited.details.get("theirs") or held)
    since = (whole if found.back is None else found.back) - (whole - held)
    proposed = sum(-int(one.proposal.get("amount", 0)) for one in _noted_refunds(tx, about))
    amount = min(int(found.facts.get("theirs") or whole), since - proposed)
    return Proposal(user_id, -amount) if amount > 0 else None


def _refuse_what_is_overtaken(tx: Tx, difference: Difference, amount: int) -> None:
    """A proposal is as old as its difference: another decision, or a refund, may have moved the same money since.

    Differences of other kinds are each about a payment or a refund of their own, even where they name the same row.
    """
    payment_id = difference.payment_id or ""
    if difference.kind == QUARANTINED:
        later = differences.c.decided_at >= difference.created_at
        gone = tx.row(select(differences.c.id).where(*_decided(payment_id, QUARANTINED), later)) is not None
    elif difference.kind in MISSING_THERE:
        twice = any(tx.row(select(differences).where(*_decided(payment_id, kind))) for kind in MISSING_THERE)
        gone = twice or -amount != refund_rows.left(tx, payment_id)
    elif difference.kind == NOT_TAKEN:
        gone = refund_rows.by_provider_id(tx, str(difference.details["about"])) is not None
    else:
        gone = False
    if gone:
        raise IllegalMove(f"difference {difference.id} was overtaken: its money has moved since")


def _end_quarantine(tx: Tx, difference: Difference, *, whole: bool) -> bool:
    """The quarantine ends with the decision, and the payment is closed; True when it was settled like any other.

    That is so when `whole`, all fits by now, and nothing was decided about it before.
    """
    payment = payment_rows.get(tx, difference.payment_id or "")
    if payment is None:
        raise NotFound(f"payment {difference.payment_id}")
    earlier = payment_rows.decision(tx, payment)
    if not payment_rows.lift_quarantine(tx, payment.id) and earlier is None:
        raise IllegalMove(f"payment {payment.id} is not in quarantine")
    fits = difference.details.get("whole") and difference.proposal.get("amount") == payment.amount
    if whole and fits and earlier is None:
        return payment_rows.settle(tx, payment.id)[1]
    payment_rows.close_decided(tx, payment.id, difference.id)
    return False


def _decide(tx: Tx, admin_id: int, difference: Difference, state: DifferenceState, **details: str) -> None:
    moved = tx.changed(
        update(differences)
        .where(differences.c.id == difference.id, differences.c.state == DifferenceState.OPEN)
        .values(state=state, decided_at=tx.now, decided_by=admin_id)
    )
    if not moved:
        raise IllegalMove(f"difference {difference.id} is {difference.state}")
    facts = {"kind": difference.kind, **difference.proposal, **details}
    admin.log(tx, admin_id, f"difference_{state}", str(difference.id), **facts)


def get_or_raise(tx: Tx, difference_id: int) -> Difference:
    found = get(tx, difference_id)
    if found is None:
        raise NotFound(f"difference {difference_id}")
    return found
