"""The states of jobs, reservations, payments and refunds, and the one table of allowed moves."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class EntryKind(StrEnum):
    """What an entry of the ledger does to the balance."""

    CREDIT = "credit"  # money came in: a top-up, a grant, a migrated wallet
    DEBIT = "debit"  # money was reserved or taken
    REFUND = "refund"  # money that was debited for a job came back


class Reason(StrEnum):
    """Why an entry was written. Callers of `add_balance` may give other reasons."""

    RESERVE = "reserve"  # the price of a job, reserved before it runs
    REFUND = "refund"  # the whole reserve given back
    DIFFERENCE = "difference"  # the part of a reserve that the job did not cost
    COMPENSATION = "compensation"  # given back after the charge
    TOPUP = "topup"  # a payment arrived
    GRANT = "grant"  # a gift of an admin
    TAKEBACK = "takeback"  # the payment was returned by its provider
    DEBT = "debt"  # a later credit paid a debt
    RETURNED = "returned"  # a take-back undone: the provider refused to give the money back to the customer
    CORRECTION = "correction"  # an admin's decision about a difference between the provider's books and ours
    MIGRATION = "migration"  # the wallet of a version 1.3 database


class ReservationState(StrEnum):
    RESERVED = "reserved"  # taken from the balance, the job is open
    CHARGED = "charged"  # the result exists, the money is earned (final)
    REFUNDED = "refunded"  # all of it given back (final)


class JobType(StrEnum):
    IMAGE = "image"  # prompt → image
    EDIT = "edit"  # photos and prompt → image
    VIDEO = "video"  # prompt → video
    ANIMATE = "animate"  # photo and prompt → video

    @property
    def is_image(self) -> bool:
        """Whether the result is an image; otherwise it is a video."""
        return self in (JobType.IMAGE, JobType.EDIT)


class JobStatus(StrEnum):
    PENDING = "pending"  # paid for, waits for a worker
    PROCESSING = "processing"  # a worker or the provider works on it
    COMPLETED = "completed"  # result stored, money charged (final)
    FAILED = "failed"  # no result, money back (final)
    CANCELLED = "cancelled"  # the user changed their mind in time, money back (final)


class JobStep(StrEnum):
    """The next step of an open job."""

    IMAGE = "image"  # call the image provider (a worker)
    SUBMIT = "submit"  # submit the video to its provider (a worker)
    WATCH = "watch"  # poll the video at its provider (the scheduler)
    FINISH = "finish"  # download and store the video (a worker)


class PaymentStatus(StrEnum):
    PENDING = "pending"  # the customer may still pay
    PAID = "paid"  # credited
    REFUNDED = "refunded"  # all of it returned by the provider and taken back (final)
    CANCELED = "canceled"  # refused or expired at the provider


class RefundStatus(StrEnum):
    """The progress of a refund. One that we did not start is written down when it has succeeded."""

    TAKEN = "taken"  # taken from the customer's balance, the provider not asked yet
    SENT = "sent"  # the provider was or is being asked; the outcome may be unknown
    SUCCEEDED = "succeeded"  # the provider gave the money back (final)
    CANCELED = "canceled"  # the provider refused: what was taken is on the balance again (final)


class DifferenceState(StrEnum):
    """What an admin decided about a difference between the provider's books and ours."""

    OPEN = "open"
    APPLIED = "applied"  # the proposed entry was booked (final)
    DISMISSED = "dismissed"  # nothing was booked (final)


class CallOutcome(StrEnum):
    """How a call of a provider ended. A row without an outcome was written before the call and never completed."""

    OK = "ok"
    REFUSED = "refused"  # certain: no result, nothing billed
    UNKNOWN = "unknown"  # the provider may have done and billed it


OPEN_JOBS = (JobStatus.PENDING, JobStatus.PROCESSING)

JOB_MOVES: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.PENDING: frozenset({JobStatus.PROCESSING, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.PROCESSING: frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}

RESERVATION_MOVES: Mapping[ReservationState, frozenset[ReservationState]] = {
    ReservationState.RESERVED: frozenset({ReservationState.CHARGED, ReservationState.REFUNDED}),
    ReservationState.CHARGED: frozenset(),
    ReservationState.REFUNDED: frozenset(),
}

# A canceled payment may still turn out paid: the customer's bank can be later than the provider's own timeout.
PAYMENT_MOVES: Mapping[PaymentStatus, frozenset[PaymentStatus]] = {
    PaymentStatus.PENDING: frozenset({PaymentStatus.PAID, PaymentStatus.CANCELED}),
    PaymentStatus.CANCELED: frozenset({PaymentStatus.PAID}),
    PaymentStatus.PAID: frozenset({PaymentStatus.REFUNDED}),
    PaymentStatus.REFUNDED: frozenset(),
}

UNDER_WAY = (RefundStatus.TAKEN, RefundStatus.SENT)

# A provider may report success before we have noted that we asked.
REFUND_MOVES: Mapping[RefundStatus, frozenset[RefundStatus]] = {
    RefundStatus.TAKEN: frozenset({RefundStatus.SENT, RefundStatus.SUCCEEDED, RefundStatus.CANCELED}),
    RefundStatus.SENT: frozenset({RefundStatus.SUCCEEDED, RefundStatus.CANCELED}),
    RefundStatus.SUCCEEDED: frozenset(),
    RefundStatus.CANCELED: frozenset(),
}

DIFFERENCE_MOVES: Mapping[DifferenceState, frozenset[DifferenceState]] = {
    DifferenceState.OPEN: frozenset({DifferenceState.APPLIED, DifferenceState.DISMISSED}),
    DifferenceState.APPLIED: frozenset(),
    DifferenceState.DISMISSED: frozenset(),
}
