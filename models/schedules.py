"""Recurring sends: what is sent to whom by which rule, when each is due next, and what became of each time."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from domain.json_types import JsonObject
from models.columns import json_column, new_id, time_column


class Schedule(SQLModel, table=True):
    """`spec` is what the caller gave. A deleted one is kept without its payload, for the runs that point to it."""

    __table_args__ = (Index("schedule_key", "tenant", "key", unique=True, postgresql_where=text("deleted_at IS NULL")),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    tenant: UUID = Field(foreign_key="tenant.id")
    key: str
    notification_type: str
    spec: JsonObject = json_column()
    paused_at: datetime | None = time_column()
    created_at: datetime = time_column(nullable=False)
    updated_at: datetime = time_column(nullable=False)
    deleted_at: datetime | None = time_column()


class ScheduleOccurrence(SQLModel, table=True):
    """When a schedule is due next: for all of its people together (`recipient_id` is empty), or for one of them where
    the rule is in each one's own zone. Null `due_at`: never again, or paused.

    `timezone` is the zone in which `due_at` was computed; empty: it is still to be. `last_local_time` is what clocks there
    showed at the time that was run last, so that nobody who travels has the same day twice."""

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
    """After a change the turns of the schedule are planned anew, in the order of recipients: those up to `after` are,
    `planned_count` of them. Turns are computed from `since` on: with `replans_all` all of them, otherwise those of new recipients.
    The row is deleted when all are planned. `last_batch_at` is when the last batch was."""

    __tablename__ = "schedule_plan"

    schedule_id: UUID = Field(foreign_key="schedule.id", primary_key=True)
    after: str
    planned_count: int
    since: datetime = time_column(nullable=False)
    replans_all: bool
    last_batch_at: datetime = time_column(nullable=False)


class ScheduleRun(SQLModel, table=True):
    """One time that it was due, triggered or filled in afterwards.

    `skip_reason` says why it was left out as a whole, `skipped_recipients` counts people who were, by reason. Until `finished_at`
    there are people to go, those after `after`."""

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
    skipped_recipients: JsonObject = json_column()
    skip_reason: str | None = None
    after: str | None = None
    finished_at: datetime | None = time_column()
