"""What was erased, when and how much of it: the proof that stays when the person is gone."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from domain.json_types import JsonObject
from models.columns import json_column, new_id, time_column


class Erasure(SQLModel, table=True):
    """Says nothing of whom once it has finished: the caller keeps the id that it was answered. `counts` is rows by
    kind.

    One in batches has `recipient_id` until then: it has blanked the notifications up to `after`, which have the id
    `replacement_id` now. The recipient is gone from `erased_at` on, and `recipient_id` is `replacement_id`; a second pass follows for
    calls that were recorded meanwhile. `last_batch_at` is when its last batch was, and `failures` how many failed since
    one that did not."""

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
    counts: JsonObject = json_column()
    recipient_id: str | None = None
    replacement_id: str | None = None
    after: UUID | None = None
    erased_at: datetime | None = time_column()
    last_batch_at: datetime | None = time_column()
    failures: int = Field(0, sa_column_kwargs={"server_default": text("0")})
