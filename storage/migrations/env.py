"""Alembic's entry: runs on a connection that `storage/migrate.py` opened and hands over."""

from alembic import context
from sqlmodel import SQLModel

import models  # noqa: F401  fills SQLModel.metadata

# A transaction for each migration: an index is built outside of one, so that the table is not locked.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
