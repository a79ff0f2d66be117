"""The ledger and everything around it; a version 1.3 database is carried over.

Frozen: what this revision makes never changes again, whatever becomes of `database.schema`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.legacy import carry_over as legacy

revision = "0001"
down_revision = None

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    connection = op.get_bind()
    old = legacy.step_aside(connection)
    create_tables()
    for trigger in TRIGGERS:
        connection.exec_driver_sql(trigger)
    if old is not None:
        legacy.carry_over(connection, old)


def create_tables() -> None:
    op.create_table(
        "admin_log",
        sa.Column("id", Big, nullable=False),
        sa.Column("admin_id", Big, nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_at", Big, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_admin_log")),
        sqlite_strict=True,
    )
    op.create_table(
        "conversations",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("data", sa.Text(), server_default="{}", nullable=False),
        sa.Column("updated_at", Big, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_conversations")),
        sqlite_strict=True,
    )
    op.create_index("ix_conversations_updated_at", "conversations", ["updated_at"], unique=False)
    op.create_table(
        "flags",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("changed_at", Big, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_flags")),
        sqlite_strict=True,
    )
    op.create_table(
        "inbox",
        sa.Column("id", Big, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("received_at", Big, nullable=False),
        sa.Column("due_at", Big, nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
        sa.UniqueConstraint("source", "key", name=op.f("uq_inbox_source_key")),
        sqlite_strict=True,
    )
    op.create_index("ix_inbox_due_at", "inbox", ["due_at"], unique=False, sqlite_where=sa.text("due_at IS NOT NULL"))
    op.create_index("ix_inbox_received_at", "inbox", ["received_at"], unique=False)
    op.create_table(
        "job_events",
        sa.Column("id", Big, nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("at", Big, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_events")),
        sqlite_strict=True,
    )
    op.create_index("ix_job_events_job_id", "job_events", ["job_id"], unique=False)
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until", Big, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
        sqlite_strict=True,
    )
    op.create_table(
        "outbox",
        sa.Column("id", Big, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("user_id", Big, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=True),
        sa.Column("payment_id", sa.Text(), nullable=True),
        sa.Column("payload", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_at", Big, nullable=False),
        sa.Column("due_at", Big, nullable=True),
        sa.Column("lease_until", Big, nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sent_at", Big, nullable=True),
        sa.Column("dead_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("key", name=op.f("uq_outbox_key")),
        sqlite_strict=True,
    )
    op.create_index("ix_outbox_created_at", "outbox", ["created_at"], unique=False)
    op.create_index("ix_outbox_due_at", "outbox", ["due_at"], unique=False, sqlite_where=sa.text("due_at IS NOT NULL"))
    op.create_index("ix_outbox_job_id", "outbox", ["job_id"], unique=False)
    op.create_table(
        "users",
        sa.Column("id", Big, autoincrement=False, nullable=False),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("language_chosen", sa.Integer(), server_default="0", nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("username", sa.Text(), nullable=True),
        sa.Column("is_banned", sa.Integer(), server_default="0", nullable=False),
        sa.Column("is_unreachable", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", Big, nullable=False),
        sa.CheckConstraint("is_banned IN (0, 1)", name=op.f("ck_users_banned_is_flag")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sqlite_strict=True,
    )
    op.create_index("ix_users_username", "users", ["username"], unique=False)
    op.create_table(
        "assets",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", Big, nullable=False),
        sa.Column("job_id", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("store_key", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("mime", sa.Text(), nullable=False),
        sa.Column("size", Big, nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("file_id", sa.Text(), nullable=True),
        sa.Column("preview_file_id", sa.Text(), nullable=True),
        sa.Column("created_at", Big, nullable=False),
        sa.Column("expires_at", Big, nullable=False),
        sa.Column("deleted_at", Big, nullable=True),
        sa.CheckConstraint("role IN ('input', 'result')", name=op.f("ck_assets_role_known")),
        sa.CheckConstraint("size > 0 AND width > 0 AND height > 0", name=op.f("ck_assets_not_empty")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_assets_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assets")),
        sqlite_strict=True,
    )
    op.create_index(
        "ix_assets_expires_at", "assets", ["expires_at"], unique=False, sqlite_where=sa.text("deleted_at IS NULL")
    )
    op.create_index(
        "uq_assets_result_once_per_job",
        "assets",
        ["job_id"],
        unique=True,
        sqlite_where=sa.text("role = 'result'"),
        postgresql_where=sa.text("role = 'result'"),
    )
    op.create_index("uq_assets_store_key", "assets", ["store_key"], unique=True)
    op.create_table(
        "balances",
        sa.Column("user_id", Big, autoincrement=False, nullable=False),
        sa.Column("balance", Big, nullable=False),
        sa.Column("entries", Big, nullable=False),
        sa.Column("last_id", Big, nullable=False),
        sa.CheckConstraint("balance >= 0", name=op.f("ck_balances_never_negative")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_balances_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_balances")),
        sqlite_strict=True,
    )
    op.create_table(
        "debts",
        sa.Column("id", Big, nullable=False),
        sa.Column("user_id", Big, nullable=False),
        sa.Column("amount", Big, nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("settled", Big, server_default="0", nullable=False),
        sa.Column("created_at", Big, nullable=False),
        sa.CheckConstraint("amount > 0 AND settled BETWEEN 0 AND amount", name=op.f("ck_debts_settled_in_range")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_debts_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_debts")),
        sa.UniqueConstraint("cause", name=op.f("uq_debts_cause")),
        sqlite_strict=True,
    )
    op.create_index("ix_debts_user_id", "debts", ["user_id"], unique=False)
    op.create_table(
        "drafts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", Big, nullable=False),
        sa.Column("chat_id", Big, nullable=False),
        sa.Column("message_id", Big, nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("prompt", sa.Text(), server_default="", nullable=False),
        sa.Column("params", sa.Text(), server_default="{}", nullable=False),
        sa.Column("inputs", sa.Text(), server_default="[]", nullable=False),
        sa.Column("parent_job_id", sa.Text(), nullable=True),
        sa.Column("revision", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", Big, nullable=False),
        sa.Column("updated_at", Big, nullable=False),
        sa.CheckConstraint("type IN ('animate', 'edit', 'image', 'video')", name=op.f("ck_drafts_type_known")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_drafts_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drafts")),
        sqlite_strict=True,
    )
    op.create_index("ix_drafts_updated_at", "drafts", ["updated_at"], unique=False)
    op.create_index("ix_drafts_user_id", "drafts", ["user_id", "updated_at"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", Big, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("prompt", sa.Text(), server_default="", nullable=False),
        sa.Column("params", sa.Text(), server_default="{}", nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("progress", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cost_estimate", Big, nullable=False),
        sa.Column("cost_actual", Big, nullable=True),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", Big, nullable=False),
        sa.Column("started_at", Big, nullable=True),
        sa.Column("completed_at", Big, nullable=True),
        sa.Column("delivered_at", Big, nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("step", sa.Text(), nullable=True),
        sa.Column("dispatches", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", Big, nullable=True),
        sa.Column("lease_until", Big, nullable=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("external_key", sa.Text(), nullable=True),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("external_url", sa.Text(), nullable=True),
        sa.Column("chat_id", Big, nullable=True),
        sa.Column("status_message_id", Big, nullable=True),
        sa.Column("parent_job_id", sa.Text(), nullable=True),
        sa.Column("legacy", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint(
            "(status IN ('pending', 'processing')) = (step IS NOT NULL AND due_at IS NOT NULL)",
            name=op.f("ck_jobs_open_jobs_have_owner"),
        ),
        sa.CheckConstraint(
            "legacy = 1 OR (status = 'completed') = (cost_actual IS NOT NULL)", name=op.f("ck_jobs_completed_has_cost")
        ),
        sa.CheckConstraint(
            "status IN ('cancelled', 'completed', 'failed', 'pending', 'processing')", name=op.f("ck_jobs_status_known")
        ),
        sa.CheckConstraint(
            "step IS NULL OR step IN ('finish', 'image', 'submit', 'watch')", name=op.f("ck_jobs_step_known")
        ),
        sa.CheckConstraint("type IN ('animate', 'edit', 'image', 'video')", name=op.f("ck_jobs_type_known")),
        sa.CheckConstraint(
            "cost_estimate >= 0 AND (cost_actual IS NULL OR cost_actual >= 0)", name=op.f("ck_jobs_costs_not_negative")
        ),
        sa.CheckConstraint("progress BETWEEN 0 AND 100", name=op.f("ck_jobs_progress_in_percent")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_jobs_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sqlite_strict=True,
    )
    op.create_index(
        "ix_jobs_due",
        "jobs",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("status IN ('pending', 'processing')"),
        postgresql_where=sa.text("status IN ('pending', 'processing')"),
    )
    op.create_index("ix_jobs_external_id", "jobs", ["external_id"], unique=False)
    op.create_index(
        "ix_jobs_open_by_user",
        "jobs",
        ["user_id"],
        unique=False,
        sqlite_where=sa.text("status IN ('pending', 'processing')"),
        postgresql_where=sa.text("status IN ('pending', 'processing')"),
    )
    op.create_index("ix_jobs_user_id_created_at", "jobs", ["user_id", "created_at"], unique=False)
    op.create_index("uq_jobs_external_key", "jobs", ["external_key"], unique=True)
    op.create_table(
        "payments",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", Big, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("provider_payment_id", sa.Text(), nullable=True),
        sa.Column("amount", Big, nullable=False),
        sa.Column("refunded_amount", Big, server_default="0", nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("quarantined_reason", sa.Text(), nullable=True),
        sa.Column("created_at", Big, nullable=False),
        sa.Column("paid_at", Big, nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("request_body", sa.Text(), nullable=True),
        sa.Column("sent_at", Big, nullable=True),
        sa.Column("confirmation_url", sa.Text(), nullable=True),
        sa.Column("cancel_reason", sa.Text(), nullable=True),
        sa.Column("next_look_at", Big, nullable=True),
        sa.Column("looks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("chat_id", Big, nullable=True),
        sa.Column("message_id", Big, nullable=True),
        sa.Column("draft_id", sa.Text(), nullable=True),
        sa.Column("legacy", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint("provider IN ('yookassa', 'stars')", name=op.f("ck_payments_provider_known")),
        sa.CheckConstraint(
            "status IN ('canceled', 'paid', 'pending', 'refunded')", name=op.f("ck_payments_status_known")
        ),
        sa.CheckConstraint("amount BETWEEN 1 AND 100000000000", name=op.f("ck_payments_amount_in_range")),
        sa.CheckConstraint("refunded_amount BETWEEN 0 AND amount", name=op.f("ck_payments_refunded_in_range")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_payments_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_payments_idempotency_key")),
        sa.UniqueConstraint("provider_payment_id", name=op.f("uq_payments_provider_payment_id")),
        sqlite_strict=True,
    )
    op.create_index(
        "ix_payments_next_look_at",
        "payments",
        ["next_look_at"],
        unique=False,
        sqlite_where=sa.text("next_look_at IS NOT NULL"),
    )
    op.create_index("ix_payments_user_id", "payments", ["user_id"], unique=False)
    op.create_table(
        "reservations",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("user_id", Big, nullable=False),
        sa.Column("amount", Big, nullable=False),
        sa.Column("charged", Big, server_default="0", nullable=False),
        sa.Column("state", sa.Text(), server_default="reserved", nullable=False),
        sa.Column("hold_until", Big, nullable=False),
        sa.Column("created_at", Big, nullable=False),
        sa.Column("closed_at", Big, nullable=True),
        sa.CheckConstraint(
            "CASE state WHEN 'charged' THEN charged BETWEEN 1 AND amount ELSE charged = 0 END",
            name=op.f("ck_reservations_charged_fits_state"),
        ),
        sa.CheckConstraint("state IN ('charged', 'refunded', 'reserved')", name=op.f("ck_reservations_state_known")),
        sa.CheckConstraint("amount BETWEEN 1 AND 100000000000", name=op.f("ck_reservations_amount_in_range")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_reservations_user_id")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_reservations")),
        sqlite_strict=True,
    )
    op.create_index(
        "ix_reservations_open",
        "reservations",
        ["hold_until"],
        unique=False,
        sqlite_where=sa.text("state = 'reserved'"),
        postgresql_where=sa.text("state = 'reserved'"),
    )
    op.create_index("ix_reservations_user_id", "reservations", ["user_id"], unique=False)
    op.create_table(
        "ledger",
        sa.Column("id", Big, nullable=False),
        sa.Column("user_id", Big, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount", Big, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=True),
        sa.Column("payment_id", sa.Text(), nullable=True),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("created_at", Big, nullable=False),
        sa.CheckConstraint("(kind = 'debit') = (amount < 0)", name=op.f("ck_ledger_sign_follows_kind")),
        sa.CheckConstraint("kind IN ('credit', 'debit', 'refund')", name=op.f("ck_ledger_kind_known")),
        sa.CheckConstraint(
            "amount <> 0 AND amount BETWEEN -100000000000 AND 100000000000", name=op.f("ck_ledger_amount_in_range")
        ),
        sa.CheckConstraint("created_at > 1000000000000", name=op.f("ck_ledger_created_in_ms")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_ledger_payment_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_ledger_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger")),
        sa.UniqueConstraint("key", name=op.f("uq_ledger_key")),
        sqlite_strict=True,
    )
    op.create_index(
        "ix_ledger_job_id",
        "ledger",
        ["job_id"],
        unique=False,
        sqlite_where=sa.text("job_id IS NOT NULL"),
        postgresql_where=sa.text("job_id IS NOT NULL"),
    )
    op.create_index("ix_ledger_user_id_amount", "ledger", ["user_id", "amount"], unique=False)
    op.create_index("ix_ledger_user_id_id", "ledger", ["user_id", "id"], unique=False)
    op.create_index(
        "uq_ledger_credit_once_per_payment",
        "ledger",
        ["payment_id"],
        unique=True,
        sqlite_where=sa.text("kind = 'credit'"),
        postgresql_where=sa.text("kind = 'credit'"),
    )
    op.create_index(
        "uq_ledger_once_per_job",
        "ledger",
        ["job_id", "reason"],
        unique=True,
        sqlite_where=sa.text("reason IN ('reserve', 'refund', 'difference')"),
        postgresql_where=sa.text("reason IN ('reserve', 'refund', 'difference')"),
    )
    op.create_table(
        "provider_calls",
        sa.Column("id", Big, nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("cost_micro_usd", Big, server_default="0", nullable=False),
        sa.Column("started_at", Big, nullable=False),
        sa.Column("ended_at", Big, nullable=True),
        sa.CheckConstraint(
            "outcome IS NULL OR outcome IN ('ok', 'refused', 'unknown')", name=op.f("ck_provider_calls_outcome_known")
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_provider_calls_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_calls")),
        sqlite_strict=True,
    )
    op.create_index("ix_provider_calls_job_id", "provider_calls", ["job_id"], unique=False)
    op.create_table(
        "refunds",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("provider_refund_id", sa.Text(), nullable=True),
        sa.Column("amount", Big, nullable=False),
        sa.Column("taken", Big, nullable=False),
        sa.Column("owed", Big, nullable=False),
        sa.Column("created_at", Big, nullable=False),
        sa.CheckConstraint(
            "amount > 0 AND taken >= 0 AND owed >= 0 AND taken + owed = amount",
            name=op.f("ck_refunds_fully_taken_back"),
        ),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_refunds_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refunds")),
        sa.UniqueConstraint("provider_refund_id", name=op.f("uq_refunds_provider_refund_id")),
        sqlite_strict=True,
    )
    op.create_index("ix_refunds_payment_id", "refunds", ["payment_id"], unique=False)
    # ### end Alembic commands ###


TRIGGERS = (
    """CREATE TRIGGER users_open_balance AFTER INSERT ON users
BEGIN INSERT INTO balances (user_id, balance, entries, last_id) VALUES (NEW.id, 0, 0, 0); END""",
    """CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger
BEGIN SELECT RAISE(ABORT, 'ledger is append-only'); END""",
    """CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'ledger is append-only'); END""",
    """CREATE TRIGGER admin_log_no_update BEFORE UPDATE ON admin_log
BEGIN SELECT RAISE(ABORT, 'admin_log is append-only'); END""",
    """CREATE TRIGGER admin_log_no_delete BEFORE DELETE ON admin_log
BEGIN SELECT RAISE(ABORT, 'admin_log is append-only'); END""",
    """CREATE TRIGGER ledger_no_rewrite BEFORE INSERT ON ledger
WHEN EXISTS (SELECT 1 FROM ledger WHERE key = NEW.key)
  OR (NEW.id <> -1 AND NEW.id <= (SELECT COALESCE(MAX(id), 0) FROM ledger))
  OR (NEW.kind = 'credit' AND NEW.payment_id IS NOT NULL
      AND EXISTS (SELECT 1 FROM ledger WHERE payment_id = NEW.payment_id AND kind = 'credit'))
  OR (NEW.reason IN ('reserve', 'refund', 'difference') AND NEW.job_id IS NOT NULL
      AND EXISTS (SELECT 1 FROM ledger WHERE job_id = NEW.job_id AND reason = NEW.reason))
BEGIN SELECT RAISE(ABORT, 'ledger: this id or key exists'); END""",
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
    """CREATE TRIGGER jobs_moves BEFORE UPDATE OF status ON jobs
WHEN NEW.status <> OLD.status AND NOT ((OLD.status = 'pending' AND NEW.status IN ('cancelled', 'failed', 'processing'))
  OR (OLD.status = 'processing' AND NEW.status IN ('cancelled', 'completed', 'failed')))
BEGIN SELECT RAISE(ABORT, 'jobs: this change of status is not allowed'); END""",
    """CREATE TRIGGER reservations_moves BEFORE UPDATE OF state ON reservations
WHEN NEW.state <> OLD.state AND NOT ((OLD.state = 'reserved' AND NEW.state IN ('charged', 'refunded')))
BEGIN SELECT RAISE(ABORT, 'reservations: this change of state is not allowed'); END""",
    """CREATE TRIGGER payments_moves BEFORE UPDATE OF status ON payments
WHEN NEW.status <> OLD.status AND NOT ((OLD.status = 'pending' AND NEW.status IN ('canceled', 'paid'))
  OR (OLD.status = 'canceled' AND NEW.status IN ('paid'))
  OR (OLD.status = 'paid' AND NEW.status IN ('refunded')))
BEGIN SELECT RAISE(ABORT, 'payments: this change of status is not allowed'); END""",
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
    """CREATE TRIGGER jobs_fixed BEFORE UPDATE OF id, user_id, cost_estimate ON jobs
BEGIN SELECT RAISE(ABORT, 'jobs: price and owner never change'); END""",
    """CREATE TRIGGER jobs_no_rewrite BEFORE INSERT ON jobs
WHEN EXISTS (SELECT 1 FROM jobs WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'jobs: this id exists'); END""",
    """CREATE TRIGGER jobs_stay BEFORE DELETE ON jobs
BEGIN SELECT RAISE(ABORT, 'jobs are kept'); END""",
    """CREATE TRIGGER debts_stay BEFORE DELETE ON debts
BEGIN SELECT RAISE(ABORT, 'debts are kept'); END""",
)
