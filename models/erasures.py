"""What was erased, when and how much of it: the proof that stays when the person is gone."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Field, SQLModel

from models.columns import Json, json_column, new_id, time_column


class Erasure(SQLModel, table=True):
    """Says nothing of whom: the caller keeps the id that it was answered. `counts` is rows by kind."""

    id: UUID = Field(default_factory=new_id, primary_key=True)
    tenant: UUID = Field(foreign_key="tenant.id")
    requested_at: datetime = time_column(nullable=False)
    finished_at: datetime | None = time_column()
    counts: Json = json_column()
