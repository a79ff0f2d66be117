"""Alembic's entry point: run the revisions on the connection and in the transaction that `database.migrate` opened."""

from __future__ import annotations

from alembic import context

from database.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
