"""Define the progress of the removal of old rows, and its counts."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column
from sqlmodel import Field, SQLModel

from models.columns import time_column


class RetentionPass(SQLModel, table=True):
    """The current pass over the notifications of a tenant, begun at `pass_started_at`: content is removed up to
    `content_after`."""

    __tablename__ = "retention_pass"

    tenant: UUID = Field(foreign_key="tenant.id", primary_key=True)
    content_after: UUID
    pass_started_at: datetime = time_column(nullable=False)


class PrunedCount(SQLModel, table=True):
    """How many rows of a table have been removed, or with `<table> content` emptied, since the installation."""

    __tablename__ = "pruned_count"

    name: str = Field(primary_key=True)
    rows: int = Field(sa_column=Column(BigInteger, nullable=False))
