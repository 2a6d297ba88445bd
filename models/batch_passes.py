"""Define the progress of work on many rows in batches: waking notifications after a changed setting, and removing
old rows."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, text
from sqlmodel import Field, SQLModel

from models.columns import time_column


class Reconsideration(SQLModel, table=True):
    """Store the progress of one pass over the entries that wait for `reason` (`waits_for` of the queue). Each of them
    checks its gate again or is planned again.

    The pass is done up to `after`, a notification or window, or up to `recipient_id`. The row is deleted at the end.
    `last_batch_at` is the time of the last batch, `failures` the number of failed batches since the last success.
    """

    tenant: UUID = Field(foreign_key="tenant.id", primary_key=True)
    reason: str = Field(primary_key=True)
    after: UUID
    recipient_id: str = Field("", sa_column_kwargs={"server_default": ""})
    last_batch_at: datetime = time_column(nullable=False)
    failures: int = Field(0, sa_column_kwargs={"server_default": text("0")})


class RetentionPass(SQLModel, table=True):
    """Store the progress of the current pass over the notifications of a tenant: it began at `pass_started_at` and has
    removed content up to `content_after`."""

    __tablename__ = "retention_pass"

    tenant: UUID = Field(foreign_key="tenant.id", primary_key=True)
    content_after: UUID
    pass_started_at: datetime = time_column(nullable=False)


class PrunedCount(SQLModel, table=True):
    """Count the rows of a table that were removed, or with the name `<table> content` emptied, since the
    installation."""

    __tablename__ = "pruned_count"

    name: str = Field(primary_key=True)
    rows: int = Field(sa_column=Column(BigInteger, nullable=False))
