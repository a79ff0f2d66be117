"""Tables, named constraints and triggers. They refuse what must never happen to money, from any program that writes.

Amounts are integer kopecks. Times are UTC milliseconds and only informative: order is by id. The triggers work for any
connection, also that of another program with its own SQLite (3.40 can parse all of this).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TypeVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    literal,
)

from database.states import (
    DIFFERENCE_MOVES,
    JOB_MOVES,
    OPEN_JOBS,
    PAYMENT_MOVES,
    REFUND_MOVES,
    RESERVATION_MOVES,
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

State = TypeVar("State", bound=StrEnum)

MAX_AMOUNT = 10**11
"""The largest sum of one entry: 10¹¹ kopecks, a billion rubles."""

NO_SEAL = "0" * 64
"""The `prev` of the first seal, which has no seal before it."""

REVISION = "0003"
"""The newest revision in `database/migrations`, written here because workers do not import Alembic."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Big = BigInteger().with_variant(Integer(), "sqlite")  # STRICT tables have only INTEGER, which has 64 bits


def _one_of(column: str, words: type[StrEnum]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({_quoted(words)})", name=f"{column}_known")


def _quoted(words: Iterable[StrEnum]) -> str:
    return ", ".join(f"'{word}'" for word in sorted(words))


def _flag(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0")


users = Table(
    "users",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=False),
    Column("language", Text),  # null: the user never wrote; else the last known or the chosen language
    _flag("language_chosen"),
    Column("name", Text, nullable=False, server_default=""),
    Column("username", Text),
    _flag("is_banned"),
    _flag("is_unreachable"),  # the chat refused our messages (blocked, deactivated)
    Column("created_at", Big, nullable=False),
    Column("email", Text),  # where receipts go
    CheckConstraint("is_banned IN (0, 1)", name="banned_is_flag"),
    Index("ix_users_username", "username"),
    sqlite_strict=True,
)

balances = Table(
    "balances",
    metadata,
    Column("user_id", Big, ForeignKey("users.id"), primary_key=True, autoincrement=False),
    Column("balance", Big, nullable=False),
    Column("entries", Big, nullable=False),
    Column("last_id", Big, nullable=False),
    CheckConstraint("balance >= 0", name="never_negative"),
    sqlite_strict=True,
)

ledger = Table(
    "ledger",
    metadata,
    Column("id", Big, primary_key=True),
    Column("user_id", Big, ForeignKey("users.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("amount", Big, nullable=False),
    Column("reason", Text, nullable=False),
    Column("job_id", Text),
    Column("payment_id", Text, ForeignKey("payments.id")),
    Column("key", Text, nullable=False),
    Column("created_at", Big, nullable=False),
    UniqueConstraint("key"),
    _one_of("kind", EntryKind),
    CheckConstraint(f"amount <> 0 AND amount BETWEEN -{MAX_AMOUNT} AND {MAX_AMOUNT}", name="amount_in_range"),
    CheckConstraint("(kind = 'debit') = (amount < 0)", name="sign_follows_kind"),
    CheckConstraint("created_at > 1000000000000", name="created_in_ms"),
    Index("ix_ledger_user_id_amount", "user_id", "amount"),
    Index("ix_ledger_user_id_id", "user_id", "id"),
    Index(
        "ix_ledger_job_money",  # holds all that the audit asks about the money of a job, so it reads no rows
        "job_id",
        "reason",
        "amount",
        "user_id",
        sqlite_where=Column("job_id", Text).is_not(None),
        postgresql_where=Column("job_id", Text).is_not(None),
    ),
    Index(
        "uq_ledger_once_per_job",
        "job_id",
        "reason",
        unique=True,
        sqlite_where=Column("reason", Text).in_(["reserve", "refund", "difference"]),
        postgresql_where=Column("reason", Text).in_(["reserve", "refund", "difference"]),
    ),
    Index(
        "uq_ledger_credit_once_per_payment",
        "payment_id",
        unique=True,
        sqlite_where=Column("kind", Text) == "credit",
        postgresql_where=Column("kind", Text) == "credit",
    ),
    sqlite_strict=True,
)

seals = Table(
    "seals",
    metadata,
    Column("upto_id", Big, primary_key=True, autoincrement=False),  # the last entry it covers
    Column("first_id", Big, nullable=False),  # the first: always the one after the seal before
    Column("n", Big, nullable=False),
    Column("total", Big, nullable=False),
    Column("entries_hash", Text, nullable=False),  # of the entries alone
    Column("prev", Text, nullable=False),
    Column("hash", Text, nullable=False),  # of all other columns; the next seal has it as `prev`
    Column("created_at", Big, nullable=False),
    Column("marks", LargeBinary, nullable=False),  # four bytes of each entry's own hash, to find a changed entry
    UniqueConstraint("prev"),
    UniqueConstraint("hash"),
    CheckConstraint("n > 0 AND first_id > 0 AND upto_id >= first_id", name="covers_entries"),
    CheckConstraint("length(hash) = 64 AND length(prev) = 64 AND length(entries_hash) = 64", name="hashes_are_whole"),
    sqlite_strict=True,
)

reservations = Table(
    "reservations",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("user_id", Big, ForeignKey("users.id"), nullable=False),
    Column("amount", Big, nullable=False),
    Column("charged", Big, nullable=False, server_default="0"),
    Column("state", Text, nullable=False, server_default="reserved"),
    Column("hold_until", Big, nullable=False),
    Column("created_at", Big, nullable=False),
    Column("closed_at", Big),
    _one_of("state", ReservationState),
    CheckConstraint(f"amount BETWEEN 1 AND {MAX_AMOUNT}", name="amount_in_range"),
    CheckConstraint(
        "CASE state WHEN 'charged' THEN charged BETWEEN 1 AND amount ELSE charged = 0 END", name="charged_fits_state"
    ),
    Index("ix_reservations_user_id", "user_id"),
    Index(
        "ix_reservations_open",
        "hold_until",
        sqlite_where=Column("state", Text) == "reserved",
        postgresql_where=Column("state", Text) == "reserved",
    ),
    sqlite_strict=True,
)

_OPEN = Column("status", Text).in_(["pending", "processing"])

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Big, ForeignKey("users.id"), nullable=False),
    Column("type", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("prompt", Text, nullable=False, server_default=""),
    Column("params", Text, nullable=False, server_default="{}"),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("progress", Integer, nullable=False, server_default="0"),
    Column("cost_estimate", Big, nullable=False),
    Column("cost_actual", Big),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("created_at", Big, nullable=False),
    Column("started_at", Big),
    Column("completed_at", Big),
    Column("delivered_at", Big),
    Column("error_code", Text),
    # --- its next step: every timer is a due time in the row ---
    Column("step", Text),  # null once final
    Column("dispatches", Integer, nullable=False, server_default="0"),  # messages sent to the queue so far
    Column("due_at", Big),  # when the scheduler looks at it; null once final
    Column("lease_until", Big),  # a worker has it until then
    Column("failures", Integer, nullable=False, server_default="0"),  # temporary failures of the present step
    Column("external_key", Text),  # our id at the provider, written before the first submit
    Column("external_id", Text),  # the provider's id of the task
    Column("external_url", Text),  # the address of the finished video
    # --- the user's status message ---
    Column("chat_id", Big),
    Column("status_message_id", Big),
    Column("parent_job_id", Text),
    _flag("legacy"),
    _one_of("type", JobType),
    _one_of("status", JobStatus),
    CheckConstraint(f"step IS NULL OR step IN ({_quoted(JobStep)})", name="step_known"),
    CheckConstraint("progress BETWEEN 0 AND 100", name="progress_in_percent"),
    CheckConstraint("cost_estimate >= 0 AND (cost_actual IS NULL OR cost_actual >= 0)", name="costs_not_negative"),
    CheckConstraint(
        "(status IN ('pending', 'processing')) = (step IS NOT NULL AND due_at IS NOT NULL)", name="open_jobs_have_owner"
    ),
    CheckConstraint("legacy = 1 OR (status = 'completed') = (cost_actual IS NOT NULL)", name="completed_has_cost"),
    Index("ix_jobs_user_id_created_at", "user_id", "created_at"),
    Index("ix_jobs_due", "due_at", sqlite_where=_OPEN, postgresql_where=_OPEN),
    Index("ix_jobs_open_by_user", "user_id", sqlite_where=_OPEN, postgresql_where=_OPEN),
    Index("uq_jobs_external_key", "external_key", unique=True),
    Index("ix_jobs_external_id", "external_id"),
    sqlite_strict=True,
)

IS_OPEN = jobs.c.status.in_([literal(status.value, literal_execute=True) for status in OPEN_JOBS])
"""The condition of the indexes over open jobs, written exactly as there.

For `status IN (?, ?)` SQLite would not use these indexes, and queries that run every second would read all jobs.
"""

job_events = Table(
    "job_events",
    metadata,
    Column("id", Big, primary_key=True),
    Column("job_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("step", Text),
    Column("attempt", Integer, nullable=False),
    Column("cause", Text, nullable=False),
    Column("at", Big, nullable=False),
    Index("ix_job_events_job_id", "job_id"),
    sqlite_strict=True,
)

provider_calls = Table(
    "provider_calls",
    metadata,
    Column("id", Big, primary_key=True),
    Column("job_id", Text, ForeignKey("jobs.id"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("outcome", Text),  # null: written before the call, its outcome is not known
    Column("code", Text),
    Column("cost_micro_usd", Big, nullable=False, server_default="0"),
    Column("started_at", Big, nullable=False),
    Column("ended_at", Big),
    CheckConstraint(f"outcome IS NULL OR outcome IN ({_quoted(CallOutcome)})", name="outcome_known"),
    Index("ix_provider_calls_job_id", "job_id"),
    sqlite_strict=True,
)

assets = Table(
    "assets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Big, ForeignKey("users.id"), nullable=False),
    Column("job_id", Text),
    Column("role", Text, nullable=False),
    Column("store_key", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("mime", Text, nullable=False),
    Column("size", Big, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("duration_ms", Integer),
    Column("file_id", Text),  # Telegram's id of the original, once it was sent
    Column("preview_file_id", Text),
    Column("created_at", Big, nullable=False),
    Column("expires_at", Big, nullable=False),
    Column("deleted_at", Big),
    CheckConstraint("role IN ('input', 'result')", name="role_known"),
    CheckConstraint("size > 0 AND width > 0 AND height > 0", name="not_empty"),
    Index("uq_assets_store_key", "store_key", unique=True),
    Index("ix_assets_expires_at", "expires_at", sqlite_where=Column("deleted_at", Big).is_(None)),
    Index(
        "uq_assets_result_once_per_job",
        "job_id",
        unique=True,
        sqlite_where=Column("role", Text) == "result",
        postgresql_where=Column("role", Text) == "result",
    ),
    sqlite_strict=True,
)

drafts = Table(
    "drafts",
    metadata,
    Column("id", Text, primary_key=True),  # becomes the job's id: a second confirmation finds the job of the first
    Column("user_id", Big, ForeignKey("users.id"), nullable=False),
    Column("chat_id", Big, nullable=False),
    Column("message_id", Big),
    Column("type", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("prompt", Text, nullable=False, server_default=""),
    Column("params", Text, nullable=False, server_default="{}"),
    Column("inputs", Text, nullable=False, server_default="[]"),
    Column("parent_job_id", Text),
    Column("revision", Integer, nullable=False, server_default="0"),
    Column("created_at", Big, nullable=False),
    Column("updated_at", Big, nullable=False),
    _one_of("type", JobType),
    Index("ix_drafts_user_id", "user_id", "updated_at"),
    Index("ix_drafts_updated_at", "updated_at"),
    sqlite_strict=True,
)

conversations = Table(
    "conversations",
    metadata,
    Column("key", Text, primary_key=True),
    Column("state", Text),
    Column("data", Text, nullable=False, server_default="{}"),
    Column("updated_at", Big, nullable=False),
    Index("ix_conversations_updated_at", "updated_at"),
    sqlite_strict=True,
)

payments = Table(
    "payments",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Big, ForeignKey("users.id"), nullable=False),
    Column("provider", Text, nullable=False),
    Column("provider_payment_id", Text),
    Column("amount", Big, nullable=False),
    Column("refunded_amount", Big, nullable=False, server_default="0"),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("quarantined_reason", Text),
    Column("created_at", Big, nullable=False),
    Column("paid_at", Big),
    Column("idempotency_key", Text, nullable=False),
    Column("request_body", Text),  # exactly what is sent, stored before the first send
    Column("sent_at", Big),
    Column("confirmation_url", Text),
    Column("cancel_reason", Text),
    Column("next_look_at", Big),  # when the provider is asked again; null once nothing more can come
    Column("looks", Integer, nullable=False, server_default="0"),
    Column("chat_id", Big),
    Column("message_id", Big),
    Column("draft_id", Text),  # the order that waits for this money
    _flag("legacy"),
    Column("stars", Big),  # the price in Telegram Stars where that is what is paid
    UniqueConstraint("provider_payment_id"),
    UniqueConstraint("idempotency_key"),
    _one_of("status", PaymentStatus),
    CheckConstraint("provider IN ('yookassa', 'stars')", name="provider_known"),
    CheckConstraint(f"amount BETWEEN 1 AND {MAX_AMOUNT}", name="amount_in_range"),
    CheckConstraint("refunded_amount BETWEEN 0 AND amount", name="refunded_in_range"),
    Index("ix_payments_user_id", "user_id"),
    Index("ix_payments_next_look_at", "next_look_at", sqlite_where=Column("next_look_at", Big).is_not(None)),
    sqlite_strict=True,
)

refunds = Table(
    "refunds",
    metadata,
    Column("id", Text, primary_key=True),
    Column("payment_id", Text, ForeignKey("payments.id"), nullable=False),
    Column("provider_refund_id", Text),
    Column("amount", Big, nullable=False),
    Column("taken", Big, nullable=False),
    Column("owed", Big, nullable=False),
    Column("created_at", Big, nullable=False),
    Column("status", Text, nullable=False, server_default="succeeded"),
    Column("requested_by", Big),  # the admin who asked for it; null when the provider reported it
    Column("idempotency_key", Text),
    Column("request_body", Text),  # exactly what is sent, stored before the first send
    Column("sent_at", Big),
    Column("next_look_at", Big),  # when the next step is due; null once nothing more can come
    Column("looks", Integer, nullable=False, server_default="0"),
    Column("cancel_reason", Text),
    Column("closed_at", Big),
    UniqueConstraint("provider_refund_id"),
    CheckConstraint("amount > 0 AND taken >= 0 AND owed >= 0 AND taken + owed = amount", name="fully_taken_back"),
    Index("ix_refunds_payment_id", "payment_id"),
    Index("uq_refunds_idempotency_key", "idempotency_key", unique=True),
    Index("ix_refunds_next_look_at", "next_look_at", sqlite_where=Column("next_look_at", Big).is_not(None)),
    sqlite_strict=True,
)

differences = Table(
    "differences",
    metadata,
    Column("id", Big, primary_key=True),
    Column("key", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("payment_id", Text),
    Column("user_id", Big),
    Column("details", Text, nullable=False, server_default="{}"),
    Column("proposal", Text, nullable=False, server_default="{}"),  # the entry that would settle it; {}: no entry
    Column("state", Text, nullable=False, server_default="open"),
    Column("created_at", Big, nullable=False),
    Column("decided_at", Big),
    Column("decided_by", Big),
    UniqueConstraint("key"),
    _one_of("state", DifferenceState),
    Index("ix_differences_state", "state", "id"),
    sqlite_strict=True,
)

debts = Table(
    "debts",
    metadata,
    Column("id", Big, primary_key=True),
    Column("user_id", Big, ForeignKey("users.id"), nullable=False),
    Column("amount", Big, nullable=False),
    Column("cause", Text, nullable=False),
    Column("settled", Big, nullable=False, server_default="0"),  # kopecks paid back so far
    Column("created_at", Big, nullable=False),
    UniqueConstraint("cause"),
    CheckConstraint("amount > 0 AND settled BETWEEN 0 AND amount", name="settled_in_range"),
    Index("ix_debts_user_id", "user_id"),
    sqlite_strict=True,
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", Big, primary_key=True),
    Column("source", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("received_at", Big, nullable=False),
    Column("due_at", Big),  # null once handled
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("error", Text),
    UniqueConstraint("source", "key"),
    Index("ix_inbox_due_at", "due_at", sqlite_where=Column("due_at", Big).is_not(None)),
    Index("ix_inbox_received_at", "received_at"),
    sqlite_strict=True,
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Big, primary_key=True),
    Column("key", Text, nullable=False),
    Column("user_id", Big, nullable=False),
    Column("kind", Text, nullable=False),
    Column("job_id", Text),
    Column("payment_id", Text),
    Column("payload", Text, nullable=False, server_default="{}"),
    Column("created_at", Big, nullable=False),
    Column("due_at", Big),  # null once sent or given up
    Column("lease_until", Big),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("sent_at", Big),
    Column("dead_reason", Text),
    UniqueConstraint("key"),
    Index("ix_outbox_due_at", "due_at", sqlite_where=Column("due_at", Big).is_not(None)),
    Index("ix_outbox_job_id", "job_id"),
    Index("ix_outbox_created_at", "created_at"),
    sqlite_strict=True,
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", Big, nullable=False),
    sqlite_strict=True,
)

flags = Table(
    "flags",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("changed_at", Big, nullable=False),
    sqlite_strict=True,
)

admin_log = Table(
    "admin_log",
    metadata,
    Column("id", Big, primary_key=True),
    Column("admin_id", Big, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("details", Text, nullable=False, server_default="{}"),
    Column("created_at", Big, nullable=False),
    sqlite_strict=True,
)


def _moves(table: str, column: str, moves: Mapping[State, frozenset[State]]) -> str:
    """A trigger that refuses every change of state outside the table of moves."""
    allowed = " OR ".join(
        f"(OLD.{column} = '{old}' AND NEW.{column} IN ({_quoted(new)}))" for old, new in moves.items() if new
    )
    return f"""
        CREATE TRIGGER {table}_moves BEFORE UPDATE OF {column} ON {table}
        WHEN NEW.{column} <> OLD.{column} AND NOT ({allowed})
        BEGIN SELECT RAISE(ABORT, '{table}: this change of {column} is not allowed'); END"""


def _append_only(table: str) -> list[str]:
    return [
        f"""CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}
        BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"""
        for verb in ("UPDATE", "DELETE")
    ]


SQLITE_TRIGGERS: list[str] = [
    # Each row in `users` has a row in `balances`, so the ledger's trigger only needs UPDATE. An upsert would check the
    # proposed row against the CHECK before it sees the conflict.
    """CREATE TRIGGER users_open_balance AFTER INSERT ON users
        BEGIN INSERT INTO balances (user_id, balance, entries, last_id) VALUES (NEW.id, 0, 0, 0); END""",
    *_append_only("ledger"),
    *_append_only("admin_log"),
    *_append_only("seals"),
    # Two processes that seal at once compute their hashes from the same head; the second one is refused.
    f"""CREATE TRIGGER seals_chain BEFORE INSERT ON seals
        WHEN NEW.prev <> COALESCE((SELECT hash FROM seals ORDER BY upto_id DESC LIMIT 1), '{NO_SEAL}')
          OR NEW.first_id <> (SELECT COALESCE(MAX(upto_id), 0) + 1 FROM seals)
          OR EXISTS (SELECT 1 FROM seals WHERE hash = NEW.hash)
        BEGIN SELECT RAISE(ABORT, 'seals: this one does not follow the newest'); END""",  # noqa: S608 - a constant
    # INSERT OR REPLACE deletes the row with the same key, and without recursive_triggers no DELETE trigger fires. So
    # each unique key is checked before the insert. NEW.id is -1 here when SQLite is to choose the id.
    """CREATE TRIGGER ledger_no_rewrite BEFORE INSERT ON ledger
        WHEN EXISTS (SELECT 1 FROM ledger WHERE key = NEW.key)
          OR (NEW.id <> -1 AND NEW.id <= (SELECT COALESCE(MAX(id), 0) FROM ledger))
          OR (NEW.kind = 'credit' AND NEW.payment_id IS NOT NULL
              AND EXISTS (SELECT 1 FROM ledger WHERE payment_id = NEW.payment_id AND kind = 'credit'))
          OR (NEW.reason IN ('reserve', 'refund', 'difference') AND NEW.job_id IS NOT NULL
              AND EXISTS (SELECT 1 FROM ledger WHERE job_id = NEW.job_id AND reason = NEW.reason))
        BEGIN SELECT RAISE(ABORT, 'ledger: this id or key exists'); END""",
    # Each refusal is a RAISE of its own: INSERT OR IGNORE would ignore a failed CHECK in here as well, and a connection
    # without foreign_keys could write for a user who has no balance row.
    """CREATE TRIGGER ledger_moves_balance AFTER INSERT ON ledger
        BEGIN
          SELECT RAISE(ABORT, 'ledger: ids only grow') WHERE NEW.id <= 0 OR NEW.id < (SELECT MAX(id) FROM ledger);
          SELECT RAISE(ABORT, 'ledger: this user has no balance row')
            WHERE NOT EXISTS (SELECT 1 FROM balances WHERE user_id = NEW.user_id);
          SELECT RAISE(ABORT, 'ck_balances_never_negative')
            WHERE (SELECT balance FROM balances WHERE user_id = NEW.user_id) + NEW.amount < 0;
          UPDATE balances SET balance = balance + NEW.amount, entries = entries + 1, last_id = NEW.id
            WHERE user_id = NEW.user_id;
        END""",
    _moves("jobs", "status", JOB_MOVES),
    _moves("reservations", "state", RESERVATION_MOVES),
    _moves("payments", "status", PAYMENT_MOVES),
    _moves("refunds", "status", REFUND_MOVES),
    _moves("differences", "state", DIFFERENCE_MOVES),
    # A hold is closed only after its job, in the same transaction, and in the state that fits the job's end.
    """CREATE TRIGGER reservations_follow_job BEFORE UPDATE OF state ON reservations
        WHEN NEW.state <> OLD.state
          AND EXISTS (
            SELECT 1 FROM jobs WHERE id = NEW.job_id AND legacy = 0
              AND CASE status WHEN 'completed' THEN 'charged' WHEN 'failed' THEN 'refunded'
                    WHEN 'cancelled' THEN 'refunded' ELSE 'reserved' END <> NEW.state
          )
        BEGIN SELECT RAISE(ABORT, 'reservations: the job of this money is in another state'); END""",
    """CREATE TRIGGER reservations_fixed BEFORE UPDATE OF job_id, user_id, amount ON reservations
        BEGIN SELECT RAISE(ABORT, 'reservations: sum and owner never change'); END""",
    """CREATE TRIGGER reservations_no_rewrite BEFORE INSERT ON reservations
        WHEN EXISTS (SELECT 1 FROM reservations WHERE job_id = NEW.job_id)
        BEGIN SELECT RAISE(ABORT, 'reservations: this job has one'); END""",
    """CREATE TRIGGER reservations_stay BEFORE DELETE ON reservations
        BEGIN SELECT RAISE(ABORT, 'reservations are kept'); END""",
    """CREATE TRIGGER payments_fixed BEFORE UPDATE OF id, user_id, amount ON payments
        BEGIN SELECT RAISE(ABORT, 'payments: sum and owner never change'); END""",
    """CREATE TRIGGER payments_no_rewrite BEFORE INSERT ON payments
        WHEN EXISTS (SELECT 1 FROM payments WHERE id = NEW.id)
          OR EXISTS (SELECT 1 FROM payments WHERE provider_payment_id = NEW.provider_payment_id)
          OR EXISTS (SELECT 1 FROM payments WHERE idempotency_key = NEW.idempotency_key)
        BEGIN SELECT RAISE(ABORT, 'payments: this id or key exists'); END""",
    """CREATE TRIGGER payments_stay BEFORE DELETE ON payments
        BEGIN SELECT RAISE(ABORT, 'payments are kept'); END""",
    f"""CREATE TRIGGER refunds_known BEFORE INSERT ON refunds
        WHEN NEW.status NOT IN ({_quoted(RefundStatus)}) OR EXISTS (SELECT 1 FROM refunds WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, 'refunds: no such status, or this id exists'); END""",  # noqa: S608 - our own words
    """CREATE TRIGGER refunds_fixed BEFORE UPDATE OF id, payment_id, amount, taken, owed ON refunds
        BEGIN SELECT RAISE(ABORT, 'refunds: sum and payment never change'); END""",
    """CREATE TRIGGER refunds_stay BEFORE DELETE ON refunds
        BEGIN SELECT RAISE(ABORT, 'refunds are kept'); END""",
    """CREATE TRIGGER differences_fixed BEFORE UPDATE OF id, key, kind, details, proposal ON differences
        BEGIN SELECT RAISE(ABORT, 'differences: what was found never changes'); END""",
    """CREATE TRIGGER differences_stay BEFORE DELETE ON differences
        BEGIN SELECT RAISE(ABORT, 'differences are kept'); END""",
    """CREATE TRIGGER jobs_fixed BEFORE UPDATE OF id, user_id, cost_estimate ON jobs
        BEGIN SELECT RAISE(ABORT, 'jobs: price and owner never change'); END""",
    """CREATE TRIGGER jobs_no_rewrite BEFORE INSERT ON jobs
        WHEN EXISTS (SELECT 1 FROM jobs WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, 'jobs: this id exists'); END""",
    """CREATE TRIGGER jobs_stay BEFORE DELETE ON jobs
        BEGIN SELECT RAISE(ABORT, 'jobs are kept'); END""",
    """CREATE TRIGGER debts_stay BEFORE DELETE ON debts
        BEGIN SELECT RAISE(ABORT, 'debts are kept'); END""",
]


def create_all(connection: Connection) -> None:
    """Create every table, index and trigger on an empty SQLite database, in the caller's transaction."""
    metadata.create_all(connection, checkfirst=False)
    for trigger in SQLITE_TRIGGERS:
        connection.exec_driver_sql(trigger)
