"""Define the queue of open notifications: the columns that dispatching reads."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, CheckConstraint, Column, Index, Integer, SmallInteger, text
from sqlmodel import Field, SQLModel

from models.columns import time_column


class QueueState(StrEnum):
    """Name the states of an entry. CANCELED: a cancel ended the notification, and its workflow has not been
    signaled."""

    DUE = "due"
    CLAIMED = "claimed"
    STARTED = "started"
    WAITING = "waiting"
    COLLECTING = "collecting"
    CANCELED = "canceled"


# Half of each page stays free for new versions of its rows. Every row is updated and then deleted within seconds, so
# autovacuum runs after a small share of changes, without pauses: dead entries slow down every claim. The table is never
STORAGE_PARAMETERS = {
    "fillfactor": 50,
    "autovacuum_vacuum_scale_factor": 0.02,
    "autovacuum_vacuum_threshold": 200,
    "autovacuum_vacuum_cost_delay": 0,
    "autovacuum_analyze_scale_factor": 0.05,
    "autovacuum_analyze_threshold": 500,
    "vacuum_truncate": "false",
}

# An entry that waits for a limit shows the end of its window, and becomes due only if the next window has a free slot.
WAITS_FOR_LIMIT = "COALESCE(waits_for, '') IN ('throttled', 'frequency_capped')"
IS_TIMED = f"state = 'claimed' OR (state = 'waiting' AND waits_until IS NOT NULL AND NOT {WAITS_FOR_LIMIT})"
HAS_WORKFLOW = "started_at IS NOT NULL AND state NOT IN ('collecting', 'canceled')"
IS_TO_START = "started_at IS NULL AND state IN ('due', 'claimed', 'waiting')"
IS_TO_CANCEL = "cancel_due AND (started_at IS NOT NULL OR state = 'canceled')"
WAITS_FOR_PROVIDER = "state = 'waiting' AND awaited_provider IS NOT NULL"
IS_URGENT_DUE = "state = 'due' AND priority <= 2"
MAY_BE_ORPHANED = f"state = 'started' OR (state = 'waiting' AND (waits_until IS NULL OR {WAITS_FOR_LIMIT}))"


def _flag() -> Any:
    return Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false")))


class QueueEntry(SQLModel, table=True):
    """Store one open notification from its acceptance until `finished_at`. Items of a digest window have no entry.

    DUE: a worker process may claim it, to start its workflow or, with `started_at`, to resume it. CLAIMED: the process
    `claimed_by` is about to do so. STARTED: its workflow runs. WAITING: until `waits_until`, or without it until
    another statement makes it due; for `waits_for`, or without that before its workflow is started. COLLECTING: it may
    join a digest window. CANCELED: see QueueState.

    `next_at` depends on the state. DUE: since when it is due. CLAIMED: when the claim expires. WAITING with
    `waits_until`: that time. STARTED, and WAITING without it: when to check that its workflow exists. COLLECTING: when
    it may join. CANCELED: when its workflow may be signaled, at once or when the current claim expires.

    `claimed_by` stays until the provider call starts or a wait begins: until then the entry occupies a slot of that
    process. `priority` is the priority of dispatch, `lane` a hash of the notification type: types of a tenant are
    served round-robin. `recipient_id` is set with `waits_for`, and `awaited_provider` if the entry waits for the rate
    of that provider. Its call is in the queue of the provider `queued_provider` since `queued_at`. `evidence_due`:
    there is evidence for its workflow that has not been signaled. `evidence_count` distinguishes evidence that was
    signaled from later evidence. `cancel_due`: the same for a cancel.
    """

    __tablename__ = "queue_entry"
    __table_args__ = (
        CheckConstraint(f"state IN ({', '.join(repr(str(state)) for state in QueueState)})", name="state_known"),
        Index(
            "queue_entry_due",
            "priority",
            "tenant",
            "lane",
            "next_at",
            "notification_id",
            postgresql_where=text("state = 'due'"),
        ),
        Index(
            "queue_entry_queued_provider",
            "queued_provider",
            "queued_at",
            postgresql_where=text("queued_provider IS NOT NULL"),
        ),
        Index(
            "queue_entry_urgent",
            "tenant",
            "priority",
            "next_at",
            "notification_id",
            postgresql_where=text(IS_URGENT_DUE),
        ),
        Index(
            "queue_entry_awaited_provider",
            "awaited_provider",
            "priority",
            "tenant",
            "notification_id",
            postgresql_where=text(WAITS_FOR_PROVIDER),
        ),
        Index("queue_entry_slots", "claimed_by", "next_at", postgresql_where=text("claimed_by IS NOT NULL")),
        Index("queue_entry_timed", "priority", "next_at", postgresql_where=text(IS_TIMED)),
        Index("queue_entry_may_be_orphaned", "next_at", postgresql_where=text(MAY_BE_ORPHANED)),
        Index("queue_entry_collecting", "next_at", "notification_id", postgresql_where=text("state = 'collecting'")),
        Index(
            "queue_entry_collecting_of_tenant",
            "tenant",
            "next_at",
            "notification_id",
            postgresql_where=text("state = 'collecting'"),
        ),
        Index("queue_entry_cancels", "tenant", "notification_id", postgresql_where=text(IS_TO_CANCEL)),
        Index("queue_entry_evidence", "tenant", "notification_id", postgresql_where=text("evidence_due")),
        Index(
            "queue_entry_waiting_of_recipient", "tenant", "recipient_id", postgresql_where=text("waits_for IS NOT NULL")
        ),
        Index(
            "queue_entry_waiting_for",
            "tenant",
            "waits_for",
            "notification_id",
            postgresql_where=text("waits_for IS NOT NULL"),
        ),
        {"postgresql_with": STORAGE_PARAMETERS},
    )

    # No foreign key: its check took a third of the time of an acceptance in a batch. Both rows are always inserted by
    # the same statement.
    notification_id: UUID = Field(primary_key=True)
    generation: int
    tenant: UUID
    priority: int = Field(sa_column=Column(SmallInteger, nullable=False))
    lane: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    state: str
    next_at: datetime = time_column(nullable=False)
    claimed_by: UUID | None = None
    started_at: datetime | None = time_column()
    evidence_due: bool = _flag()
    evidence_count: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    cancel_due: bool = _flag()
    waits_for: str | None = None
    awaited_provider: str | None = None
    waits_until: datetime | None = time_column()
    recipient_id: str | None = None
    queued_provider: str | None = None
    queued_at: datetime | None = time_column()


class ClaimCursor(SQLModel, table=True):
    """Store the tenant that was served last at a priority. The next tenant in the order of ids is served next."""

    __tablename__ = "claim_cursor"

    priority: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    tenant: UUID
