"""The ledger and everything around it; a version 1.3 database is carried over."""

from __future__ import annotations

from alembic import op

from database import legacy, schema

revision = "0001"
down_revision = None


def upgrade() -> None:
    connection = op.get_bind()
    old = legacy.step_aside(connection)
    schema.create_all(connection)
    if old is not None:
        legacy.carry_over(connection, old)
