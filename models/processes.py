"""Define the live worker and API processes, and the leases on work that one of them does at a time."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from models.columns import time_column


class Process(SQLModel, table=True):
    """Store one live worker or API process. The process renews the row every few seconds and deletes it when it ends.

    `id` is new at each start. `providers` are those that the settings of the process name. `steady_since` is the start
    of renewals without a gap: during an outage of Postgres no row is renewed. `isolation` names the isolation
    layers of its rendering processes; null before the first of them has started.
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
    """Store the lease of `holder` until `expires_at`, by the clock of the database. `acquired_at` is when this holder
    acquired it. Without a row the lease is free."""

    name: str = Field(primary_key=True)
    holder: UUID
    expires_at: datetime = time_column(nullable=False)
    acquired_at: datetime = time_column(nullable=False)
