"""How far old rows have been removed, and how many."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column
from sqlmodel import Field, SQLModel

from models.columns import time_column


class Pruning(SQLModel, table=True):
    """Of one tenant: up to which notification the content has been removed, in a pass that began at `pass_started_at`."""

    tenant: UUID = Field(foreign_key="tenant.id", primary_key=True)
    content_after: UUID
    pass_started_at: datetime = time_column(nullable=False)


class PrunedCount(SQLModel, table=True):
    """How many rows of a table have been removed, or with `<table> content` emptied, since the installation."""

    __tablename__ = "pruned_count"

    name: str = Field(primary_key=True)
    rows: int = Field(sa_column=Column(BigInteger, nullable=False))
