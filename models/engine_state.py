"""Define the one row of the installation: its Temporal store, its hold after a restore and its keys."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, Integer, SmallInteger, text
from sqlmodel import Field, SQLModel

from domain.json_types import Json
from models.columns import json_column, time_column


def _count() -> Column[int]:
    return Column(Integer, nullable=False, server_default=text("0"))


class EngineState(SQLModel, table=True):
    """Store the state of the installation in one row. Times are of the clock of the database.

    The first columns are a `KnownNamespace` (`domain/temporal_stores.py`): which Temporal store has the workflows.
    After the adoption of another store, all open notifications that were started before `recovery_since` are started
    again, in batches: `recovery_done` of `recovery_total` so far. The next batch begins after `recovery_after`, a
    notification of `recovery_priority`. `recovered_at` is null until all of them are due again.

    The first process that started with `TOCSIN_HOLD_ON_START=hold_name`, as after a restore, started at `restored_at`.
    Notifications with an id below `restored_before` are older. The hold is in force until `released_hold` equals its
    name. `key_fingerprints` are those of the lookup key and, by id, of the encryption keys that rows may be encrypted
    with. `workflows_ended_at` is the `restored_at` for which the workflows of notifications without a row were
    terminated.
    """

    __tablename__ = "engine_state"

    id: int = Field(default=1, primary_key=True)
    namespace_id: str | None = None
    seen_at: datetime | None = time_column()
    other_id: str | None = None
    other_since: datetime | None = time_column()
    other_seen_at: datetime | None = time_column()
    confirmed_id: str | None = None
    recovery_since: datetime | None = time_column()
    recovery_total: int = Field(default=0, sa_column=_count())
    recovery_done: int = Field(default=0, sa_column=_count())
    recovery_priority: int = Field(default=1, sa_column=Column(SmallInteger, nullable=False, server_default=text("1")))
    recovery_after: UUID | None = None
    recovered_at: datetime | None = time_column()
    hold_name: str | None = None
    released_hold: str | None = None
    restored_at: datetime | None = time_column()
    restored_before: UUID | None = None
    workflows_ended_at: datetime | None = time_column()
    key_fingerprints: Json | None = json_column(nullable=True)
