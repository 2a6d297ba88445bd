"""Define recurring sends: their rule and recipients, their next occurrences, and the result of each occurrence."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from domain.json_types import Json
from models.columns import json_column, new_id, time_column


class Schedule(SQLModel, table=True):
    """Store one recurring send. `spec` is the body of the request. A deleted one is kept without its payload, because
    runs refer to it."""

    __table_args__ = (Index("schedule_key", "tenant", "key", unique=True, postgresql_where=text("deleted_at IS NULL")),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    tenant: UUID = Field(foreign_key="tenant.id")
    key: str
    notification_type: str
    spec: Json = json_column()
    paused_at: datetime | None = time_column()
    created_at: datetime = time_column(nullable=False)
    updated_at: datetime = time_column(nullable=False)
    deleted_at: datetime | None = time_column()


class ScheduleOccurrence(SQLModel, table=True):
    """Store the next occurrence of a schedule: of all its recipients together (`recipient_id` is empty), or of one
    recipient if the rule is in the time zone of each recipient. Null `due_at`: there is none, or the schedule is
    paused.

    `timezone` is the zone in which `due_at` was computed; empty: `due_at` is not computed yet. `last_local_time` is the
    local time of the last occurrence, so that a recipient who travels does not get the same day twice.
    """

    __tablename__ = "schedule_occurrence"
    __table_args__ = (
        Index(
            "schedule_occurrence_due",
            "tenant",
            "notification_type",
            "due_at",
            postgresql_where=text("due_at IS NOT NULL"),
        ),
        Index("schedule_occurrence_of_recipient", "tenant", "recipient_id"),
    )

    schedule_id: UUID = Field(foreign_key="schedule.id", primary_key=True)
    recipient_id: str = Field(primary_key=True)
    tenant: UUID
    notification_type: str
    due_at: datetime | None = time_column()
    timezone: str = ""
    last_local_time: str | None = None


class SchedulePlan(SQLModel, table=True):
    """Store the progress of the planning of a schedule after a change. Recipients are planned in their order, up to
    `after`; `planned_count` are done. Occurrences are computed from `since` on: all of them with `replans_all`,
    otherwise those of new recipients. The row is deleted at the end. `last_batch_at` is the time of the last batch."""

    __tablename__ = "schedule_plan"

    schedule_id: UUID = Field(foreign_key="schedule.id", primary_key=True)
    after: str
    planned_count: int
    since: datetime = time_column(nullable=False)
    replans_all: bool
    last_batch_at: datetime = time_column(nullable=False)


class ScheduleRun(SQLModel, table=True):
    """Store one occurrence that was due, triggered or backfilled.

    `skip_reason` is why all recipients were skipped. `skipped_recipients` counts skipped recipients by reason. Until
    `finished_at`, the recipients after `after` are still to be notified.
    """

    __tablename__ = "schedule_run"
    __table_args__ = (
        Index("schedule_run_of_schedule", "schedule_id", "due_at"),
        Index("schedule_run_open_of_tenant", "tenant", "id", postgresql_where=text("finished_at IS NULL")),
        Index("schedule_run_finished", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
    )

    id: UUID = Field(primary_key=True)
    schedule_id: UUID = Field(foreign_key="schedule.id")
    tenant: UUID
    kind: str
    due_at: datetime = time_column(nullable=False)
    ran_at: datetime = time_column(nullable=False)
    accepted: int = 0
    skipped_recipients: Json = json_column()
    skip_reason: str | None = None
    after: str | None = None
    finished_at: datetime | None = time_column()
