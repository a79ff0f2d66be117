"""Refunds that we start, differences between the provider's books and ours, Stars, where receipts go.

Frozen, like every revision. Tables of money change by added columns only: a rebuild would drop their triggers.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("users", sa.Column("email", sa.Text(), nullable=True))
    op.add_column("payments", sa.Column("stars", Big, nullable=True))
    # Every refund of before was written down when the provider had returned the money.
    op.add_column("refunds", sa.Column("status", sa.Text(), server_default="succeeded", nullable=False))
    op.add_column("refunds", sa.Column("requested_by", Big, nullable=True))
    op.add_column("refunds", sa.Column("idempotency_key", sa.Text(), nullable=True))
    op.add_column("refunds", sa.Column("request_body", sa.Text(), nullable=True))
    op.add_column("refunds", sa.Column("sent_at", Big, nullable=True))
    op.add_column("refunds", sa.Column("next_look_at", Big, nullable=True))
    op.add_column("refunds", sa.Column("looks", sa.Integer(), server_default="0", nullable=False))
    op.add_column("refunds", sa.Column("cancel_reason", sa.Text(), nullable=True))
    op.add_column("refunds", sa.Column("closed_at", Big, nullable=True))
    op.create_index("uq_refunds_idempotency_key", "refunds", ["idempotency_key"], unique=True)
    op.create_index(
        "ix_refunds_next_look_at",
        "refunds",
        ["next_look_at"],
        unique=False,
        sqlite_where=sa.text("next_look_at IS NOT NULL"),
    )
    op.create_table(
        "differences",
        sa.Column("id", Big, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=True),
        sa.Column("user_id", Big, nullable=True),
        sa.Column("details", sa.Text(), server_default="{}", nullable=False),
        sa.Column("proposal", sa.Text(), server_default="{}", nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("created_at", Big, nullable=False),
        sa.Column("decided_at", Big, nullable=True),
        sa.Column("decided_by", Big, nullable=True),
        sa.CheckConstraint("state IN ('applied', 'dismissed', 'open')", name=op.f("ck_differences_state_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_differences")),
        sa.UniqueConstraint("key", name=op.f("uq_differences_key")),
        sqlite_strict=True,
    )
    op.create_index("ix_differences_state", "differences", ["state", "id"], unique=False)
    for trigger in TRIGGERS:
        op.get_bind().exec_driver_sql(trigger)


TRIGGERS = (
    """CREATE TRIGGER refunds_moves BEFORE UPDATE OF status ON refunds
WHEN NEW.status <> OLD.status AND NOT ((OLD.status = 'taken' AND NEW.status IN ('canceled', 'sent', 'succeeded'))
  OR (OLD.status = 'sent' AND NEW.status IN ('canceled', 'succeeded')))
BEGIN SELECT RAISE(ABORT, 'refunds: this change of status is not allowed'); END""",
    """CREATE TRIGGER differences_moves BEFORE UPDATE OF state ON differences
WHEN NEW.state <> OLD.state AND NOT ((OLD.state = 'open' AND NEW.state IN ('applied', 'dismissed')))
BEGIN SELECT RAISE(ABORT, 'differences: this change of state is not allowed'); END""",
    """CREATE TRIGGER refunds_known BEFORE INSERT ON refunds
WHEN NEW.status NOT IN ('canceled', 'sent', 'succeeded', 'taken') OR EXISTS (SELECT 1 FROM refunds WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'refunds: no such status, or this id exists'); END""",
    """CREATE TRIGGER refunds_fixed BEFORE UPDATE OF id, payment_id, amount, taken, owed ON refunds
BEGIN SELECT RAISE(ABORT, 'refunds: sum and payment never change'); END""",
    """CREATE TRIGGER refunds_stay BEFORE DELETE ON refunds
BEGIN SELECT RAISE(ABORT, 'refunds are kept'); END""",
    """CREATE TRIGGER differences_fixed BEFORE UPDATE OF id, key, kind, details, proposal ON differences
BEGIN SELECT RAISE(ABORT, 'differences: what was found never changes'); END""",
    """CREATE TRIGGER differences_stay BEFORE DELETE ON differences
BEGIN SELECT RAISE(ABORT, 'differences are kept'); END""",
)
