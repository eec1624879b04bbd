"""Entry point of alembic: apply migrations on the connection that it was handed."""

from __future__ import annotations

from alembic import context

from casaprov.archive.tables.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite changes a table by copying it
    transactional_ddl=False,  # the caller's transaction holds all steps
)
context.run_migrations()
