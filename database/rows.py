"""Rows as frozen classes, one for each table. Amounts are in kopecks, times in UTC milliseconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from sqlalchemy import RowMapping

from database.states import (
    OPEN_JOBS,
    CallOutcome,
    DifferenceState,
    EntryKind,
    JobStatus,
    JobStep,
    JobType,
    PaymentStatus,
    RefundStatus,
    ReservationState,
)

Converters = Mapping[str, Callable[[str], Any]]


UNREADABLE: Mapping[str, Any] = {"unreadable": True}
"""Stands for a mapping that can't be read: one broken row must not stop the reading of the others."""


def _mapping(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return UNREADABLE
    return value if isinstance(value, dict) else UNREADABLE


def _ids(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


class Row:
    """A frozen dataclass that is read from a row of its table. Columns that it does not name are left out.

    `_from_text` names the columns that are stored as text and have another type in Python.
    """

    _from_text: ClassVar[Converters] = {}
    __match_args__: ClassVar[tuple[str, ...]] = ()  # the fields' names, filled in by dataclass

    @classmethod
    def read(cls, row: RowMapping) -> Self:
        values = {name: row[name] for name in cls.__match_args__}
        for name, convert in cls._from_text.items():
            if values[name] is not None:
                values[name] = convert(values[name])
        return cls(**values)

    @classmethod
    def maybe(cls, row: RowMapping | None) -> Self | None:
        return None if row is None else cls.read(row)


@dataclass(frozen=True)
class User(Row):
    id: int
    language: str | None
    language_chosen: int
    name: str
    username: str | None
    is_banned: int
    is_unreachable: int
    created_at: int
    email: str | None = field(repr=False)


@dataclass(frozen=True)
class Entry(Row):
    """One line of the ledger; `amount` is signed."""

    _from_text: ClassVar[Converters] = {"kind": EntryKind}

    id: int
    user_id: int
    kind: EntryKind
    amount: int
    reason: str
    job_id: str | None
    payment_id: str | None
    key: str
    created_at: int


@dataclass(frozen=True)
class Reservation(Row):
    _from_text: ClassVar[Converters] = {"state": ReservationState}

    job_id: str
    user_id: int
    amount: int
    charged: int
    state: ReservationState
    hold_until: int


@dataclass(frozen=True)
class Job(Row):
    _from_text: ClassVar[Converters] = {"type": JobType, "status": JobStatus, "step": JobStep, "params": _mapping}

    id: str
    user_id: int
    type: JobType
    model: str
    prompt: str
    params: Mapping[str, Any]
    status: JobStatus
    progress: int
    cost_estimate: int
    cost_actual: int | None
    attempt: int
    created_at: int
    started_at: int | None
    completed_at: int | None
    delivered_at: int | None
    error_code: str | None
    step: JobStep | None
    dispatches: int
    due_at: int | None
    lease_until: int | None
    failures: int
    external_key: str | None
    external_id: str | None
    external_url: str | None
    chat_id: int | None
    status_message_id: int | None
    parent_job_id: str | None
    legacy: int

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_JOBS


@dataclass(frozen=True)
class ProviderCall(Row):
    _from_text: ClassVar[Converters] = {"outcome": CallOutcome}

    id: int
    job_id: str
    attempt: int
    provider: str
    model: str
    outcome: CallOutcome | None
    code: str | None
    cost_micro_usd: int
    started_at: int
    ended_at: int | None


@dataclass(frozen=True)
class RecentCall(Row):
    """A call as the circuit breaker sees it; `is_running`: it has no outcome and its worker still has the job."""

    _from_text: ClassVar[Converters] = {"outcome": CallOutcome}

    outcome: CallOutcome | None
    code: str | None
    started_at: int
    ended_at: int | None
    is_running: int


@dataclass(frozen=True)
class Asset(Row):
    """A stored file: a user's photo (`input`) or a result (`result`); `size` in bytes."""

    id: str
    user_id: int
    job_id: str | None
    role: str
    store_key: str
    sha256: str
    mime: str
    size: int
    width: int
    height: int
    duration_ms: int | None
    file_id: str | None
    preview_file_id: str | None
    created_at: int
    expires_at: int
    deleted_at: int | None


@dataclass(frozen=True)
class Draft(Row):
    """An order that is not confirmed yet; `inputs` are ids of assets in the order in which the user sent them."""

    _from_text: ClassVar[Converters] = {"type": JobType, "params": json.loads, "inputs": _ids}

    id: str
    user_id: int
    chat_id: int
    message_id: int | None
    type: JobType
    model: str
    prompt: str
    params: Mapping[str, Any]
    inputs: tuple[str, ...]
    parent_job_id: str | None
    revision: int
    created_at: int
    updated_at: int


@dataclass(frozen=True)
class Payment(Row):
    _from_text: ClassVar[Converters] = {"status": PaymentStatus}

    id: str
    user_id: int
    provider: str
    provider_payment_id: str | None
    amount: int
    refunded_amount: int
    status: PaymentStatus
    quarantined_reason: str | None
    created_at: int
    paid_at: int | None
    idempotency_key: str
    request_body: str | None = field(repr=False)  # may hold the customer's e-mail
    sent_at: int | None
    confirmation_url: str | None
    cancel_reason: str | None
    next_look_at: int | None
    looks: int
    chat_id: int | None
    message_id: int | None
    draft_id: str | None
    legacy: int
    stars: int | None


@dataclass(frozen=True)
class Refund(Row):
    """The refund of a payment: `taken` from the balance at once, `owed` as a debt."""

    _from_text: ClassVar[Converters] = {"status": RefundStatus}

    id: str
    payment_id: str
    provider_refund_id: str | None
    amount: int
    taken: int
    owed: int
    created_at: int
    status: RefundStatus
    requested_by: int | None
    idempotency_key: str | None
    request_body: str | None = field(repr=False)  # may hold the customer's e-mail
    sent_at: int | None
    next_look_at: int | None
    looks: int
    cancel_reason: str | None

    @property
    def is_final(self) -> bool:
        return self.status in (RefundStatus.SUCCEEDED, RefundStatus.CANCELED)


@dataclass(frozen=True)
class Difference(Row):
    """A difference between the provider's books and ours; `proposal` is the entry that would settle it, {} for none."""

    _from_text: ClassVar[Converters] = {
        "state": DifferenceState,
        "details": json.loads,
        "proposal": json.loads,
    }

    id: int
    key: str
    kind: str
    provider: str
    payment_id: str | None
    user_id: int | None
    details: Mapping[str, Any]
    proposal: Mapping[str, Any]
    state: DifferenceState
    created_at: int


@dataclass(frozen=True)
class Debt(Row):
    id: int
    user_id: int
    amount: int
    cause: str
    settled: int


@dataclass(frozen=True)
class InboxItem(Row):
    id: int
    source: str
    key: str
    body: str
    attempts: int


@dataclass(frozen=True)
class OutboxItem(Row):
    """A message to a user: `kind` says which; its contents are in the payload and the rows that it names."""

    _from_text: ClassVar[Converters] = {"payload": _mapping}

    id: int
    key: str
    user_id: int
    kind: str
    job_id: str | None
    payment_id: str | None
    payload: Mapping[str, Any]
    created_at: int
    attempts: int
