"""Define the live worker and API processes, and the leases on work that one of them does at a time."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from models.columns import time_column


class Process(SQLModel, table=True):
    """A row per worker and API process, renewed every few seconds and deleted when the process ends.

    `id` is new at each start. `providers` are those that the settings of the process name. `steady_since` is when its
    renewals began to come without a gap: while Postgres is away, no row is renewed. `isolation` is what its rendering
    processes have given up; null before one has started.
    """

    __tablename__ = "process"
    __table_args__ = (CheckConstraint("kind IN ('worker', 'api')", name="kind_known"),)

    id: UUID = Field(primary_key=True)
    kind: str
    host: str
    pid: int
    providers: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    isolation: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text), nullable=True))
    started_at: datetime = time_column(nullable=False)
    seen_at: datetime = time_column(nullable=False)
    steady_since: datetime = time_column(nullable=False)


class Lease(SQLModel, table=True):
    """A lease of `holder` until `expires_at`, by the clock of the database. `acquired_at` is when this holder acquired
    it. No row: the lease is free.
    """

    name: str = Field(primary_key=True)
    holder: UUID
    expires_at: datetime = time_column(nullable=False)
    acquired_at: datetime = time_column(nullable=False)
