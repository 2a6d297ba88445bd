"""What a change of a tenant's settings lets ask again, a batch at a time."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Field, SQLModel

from models.columns import time_column


class Reconsideration(SQLModel, table=True):
    """All that waits for `reason` (`waits_for` of the queue) asks again, or is planned anew; done up to `after`, which
    is a notification or window, or up to `recipient_id`. The row is deleted when all is done. `last_batch_at` is when the
    last batch was, and `failures` how many failed since one that did not."""

    tenant: UUID = Field(foreign_key="tenant.id", primary_key=True)
    reason: str = Field(primary_key=True)
    after: UUID
    recipient_id: str = Field("", sa_column_kwargs={"server_default": ""})
    last_batch_at: datetime = time_column(nullable=False)
    failures: int = Field(0, sa_column_kwargs={"server_default": text("0")})
