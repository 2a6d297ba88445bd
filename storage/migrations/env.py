"""Alembic's entry: runs on a connection that `storage/migrate.py` opened and hands over."""

from alembic import context
from sqlmodel import SQLModel

import models  # noqa: F401  fills SQLModel.metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=SQLModel.metadata)
with context.begin_transaction():
    context.run_migrations()
