"""Define the record of erasures: what was erased, when and how many rows. It names no recipient."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from domain.json_types import Json
from models.columns import json_column, new_id, time_column


class Erasure(SQLModel, table=True):
    """Store one erasure. A finished one does not name the recipient; the caller has its id from the response. `counts`
    is the number of rows by kind.

    An erasure in batches has `recipient_id` until it is finished. Notifications up to `after` are blanked and have the
    id `replacement_id`. From `erased_at` on the recipient is deleted and `recipient_id` equals `replacement_id`; a
    second pass blanks calls that were recorded during the first. `last_batch_at` is the time of the last batch,
    `failures` the number of failed batches since the last success.
    """

    __table_args__ = (
        Index(
            "erasure_of_recipient",
            "tenant",
            "recipient_id",
            unique=True,
            postgresql_where=text("finished_at IS NULL AND erased_at IS NULL"),
        ),
        Index("erasure_open", "last_batch_at", "id", postgresql_where=text("finished_at IS NULL")),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    tenant: UUID = Field(foreign_key="tenant.id")
    requested_at: datetime = time_column(nullable=False)
    finished_at: datetime | None = time_column()
    counts: Json = json_column()
    recipient_id: str | None = None
    replacement_id: str | None = None
    after: UUID | None = None
    erased_at: datetime | None = time_column()
    last_batch_at: datetime | None = time_column()
    failures: int = Field(0, sa_column_kwargs={"server_default": text("0")})
