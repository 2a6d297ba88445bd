"""Define the leases on work that one process does at a time."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Field, SQLModel

from models.columns import time_column


class Lease(SQLModel, table=True):
    """A lease of `holder` until `expires_at`, by the clock of the database. `acquired_at` is when this holder acquired
    it. No row: the lease is free.
    """

    name: str = Field(primary_key=True)
    holder: UUID
    expires_at: datetime = time_column(nullable=False)
    acquired_at: datetime = time_column(nullable=False)
