"""Seals over the ledger: a chain of hashes that shows what was changed behind the triggers.

Frozen, like every revision. An older ledger is sealed from its first entry on by the sweeper, in batches: hashing
years of entries in here would keep the file locked.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "seals",
        sa.Column("upto_id", Big, autoincrement=False, nullable=False),
        sa.Column("first_id", Big, nullable=False),
        sa.Column("n", Big, nullable=False),
        sa.Column("total", Big, nullable=False),
        sa.Column("entries_hash", sa.Text(), nullable=False),
        sa.Column("prev", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("created_at", Big, nullable=False),
        sa.Column("marks", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("n > 0 AND first_id > 0 AND upto_id >= first_id", name=op.f("ck_seals_covers_entries")),
        sa.CheckConstraint(
            "length(hash) = 64 AND length(prev) = 64 AND length(entries_hash) = 64",
            name=op.f("ck_seals_hashes_are_whole"),
        ),
        sa.PrimaryKeyConstraint("upto_id", name=op.f("pk_seals")),
        sa.UniqueConstraint("hash", name=op.f("uq_seals_hash")),
        sa.UniqueConstraint("prev", name=op.f("uq_seals_prev")),
        sqlite_strict=True,
    )
    # The audit of many millions of entries reads the money of each job; this index holds all of it.
    op.drop_index("ix_ledger_job_id", "ledger")
    op.create_index(
        "ix_ledger_job_money",
        "ledger",
        ["job_id", "reason", "amount", "user_id"],
        unique=False,
        sqlite_where=sa.text("job_id IS NOT NULL"),
    )
    for trigger in TRIGGERS:
        op.get_bind().exec_driver_sql(trigger)


TRIGGERS = (
    """CREATE TRIGGER seals_no_update BEFORE UPDATE ON seals
BEGIN SELECT RAISE(ABORT, 'seals is append-only'); END""",
    """CREATE TRIGGER seals_no_delete BEFORE DELETE ON seals
BEGIN SELECT RAISE(ABORT, 'seals is append-only'); END""",
    """CREATE TRIGGER seals_chain BEFORE INSERT ON seals
WHEN NEW.prev <> COALESCE((SELECT hash FROM seals ORDER BY upto_id DESC LIMIT 1),
    '0000000000000000000000000000000000000000000000000000000000000000')
  OR NEW.first_id <> (SELECT COALESCE(MAX(upto_id), 0) + 1 FROM seals)
  OR EXISTS (SELECT 1 FROM seals WHERE hash = NEW.hash)
BEGIN SELECT RAISE(ABORT, 'seals: this one does not follow the newest'); END""",
)
