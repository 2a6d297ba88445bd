"""Write and claim the next occurrence of each recipient of a schedule.

Occurrences are planned after a change of the schedule (`schedules.py`), written with changes of its recipients and
their time zones, and claimed by the tick. A recipient is locked before its occurrences, in the common lock order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.clock import now
from domain.json_types import Json
from domain.schedules import RECIPIENT_ZONE, ScheduleDefinition, schedule_of
from storage import ticks
from storage.database import to_json
from storage.statements import decoded, statement

# Held exclusively while occurrences of its subscribers are planned.
LOCK_TOPIC_SHARED = text("SELECT pg_advisory_xact_lock_shared(hashtextextended(:name, 0))")

DELETE_REMOVED = statement("schedule_occurrences/delete_removed")
ADD_OCCURRENCES = statement("schedule_occurrences/add_occurrences")
PAUSE_OCCURRENCES = text("""
UPDATE schedule_occurrence SET due_at = NULL, timezone = '' WHERE schedule_id = :id AND recipient_id = ANY(:batch)
""")
ADD_OCCURRENCE = statement("schedule_occurrences/add_occurrence")
SELECT_DISTINCT_TIMEZONES = statement("schedule_occurrences/select_distinct_timezones")
SAVE_DUE_TIMES = statement("schedule_occurrences/save_due_times")
SELECT_TIMEZONES = statement("schedule_occurrences/select_timezones")
# Without those that are due already.
SELECT_AFFECTED_SCHEDULES = statement("schedule_occurrences/select_affected_schedules")
SELECT_SCHEDULES = text("SELECT id, notification_type, spec FROM schedule WHERE id = ANY(:ids)")
SELECT_OF_TOPIC = statement("schedule_occurrences/select_of_topic")
DELETE_OF_SUBSCRIBER = statement("schedule_occurrences/delete_of_subscriber")
# A transaction that locks an occurrence may only read it or may roll back, so a tick waits for it. It waits for one at
# a time, which cannot deadlock. The statement timeout ends the wait, and the tick is retried.
CLAIM_SHARED = statement("schedule_occurrences/claim_shared")
AWAIT_SHARED = statement("schedule_occurrences/await_shared")
CLAIM_PER_RECIPIENT = statement("schedule_occurrences/claim_per_recipient")
AWAIT_PER_RECIPIENT = statement("schedule_occurrences/await_per_recipient")
ADVANCE_OCCURRENCES = statement("schedule_occurrences/advance_occurrences")


class OccurrenceScope(StrEnum):
    """Which occurrences of given recipients to compute: all, those without a due time yet, or those that are not due
    and whose recipients have another time zone now."""

    ALL = "all"
    NEW = "new"
    MOVED = "moved"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanTarget:
    """Describe a schedule after a change. `schedule` None: it is deleted."""

    id: UUID
    tenant: UUID
    schedule: ScheduleDefinition | None
    paused: bool = False

    @property
    def recipient_values(self) -> Json:
        """Return the values by which the statements choose recipients with an occurrence: one for all together
        (`is_shared`), those of the ids, or the subscribers of the topic."""
        values: Json = {
            "id": self.id,
            "tenant": self.tenant,
            "is_shared": False,
            "recipient_ids": [],
            "topic": None,
        }
        definition = self.schedule
        if definition is None:
            return values
        if not definition.is_per_recipient:
            return values | {"is_shared": definition.recipients is None or bool(definition.recipients)}
        if definition.topic is not None:
            return values | {"topic": definition.topic}
        return values | {"recipient_ids": list(definition.recipients or ())}


@dataclass(frozen=True, kw_only=True, slots=True)
class DueOccurrence:
    """`recipient_timezone` is the current zone of the recipient, `timezone` the zone in which `due_at` was computed.
    `now` is by the clock of the database."""

    schedule: ScheduleDefinition
    recipient_id: str
    due_at: datetime
    timezone: str
    recipient_timezone: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class NextOccurrence:
    schedule_id: UUID
    recipient_id: str
    due_at: datetime | None
    timezone: str
    last_local_time: str


async def plan(
    session: AsyncSession, target: PlanTarget, batch: Sequence[str], since: datetime, scope: OccurrenceScope
) -> None:
    """Add, delete and compute the occurrences of these recipients."""
    values = target.recipient_values | {"batch": list(batch)}
    await session.execute(DELETE_REMOVED, values)
    if target.schedule is None:
        return
    await session.execute(ADD_OCCURRENCES, values | {"type": target.schedule.notification_type})
    if target.paused:
        await session.execute(PAUSE_OCCURRENCES, {"id": target.id, "batch": list(batch)})
    else:
        await _compute_due_times(session, target.schedule, scope, since, batch)


async def update_timezones(session: AsyncSession, tenant: UUID, recipient_ids: Sequence[str]) -> None:
    """Update the occurrences of recipients whose time zone may have changed."""
    values = {"tenant": tenant, "recipient_ids": list(recipient_ids)}
    rows = await session.execute(SELECT_AFFECTED_SCHEDULES, values)
    for row in rows.mappings().all():
        await _compute_due_times(session, _schedule_of(row, tenant), OccurrenceScope.MOVED, now(), recipient_ids)


async def list_timezones(session: AsyncSession, schedule_id: UUID) -> set[str]:
    """Return the time zones of the schedule's occurrences."""
    return set((await session.execute(SELECT_TIMEZONES, {"id": schedule_id})).scalars())


async def add_subscriber(session: AsyncSession, tenant: UUID, topic: str, recipient_id: str) -> None:
    """Insert the subscriber's occurrences of schedules that use the time zone of each recipient."""
    values = {"tenant": tenant, "topic": topic, "own": RECIPIENT_ZONE}
    for row in (await session.execute(SELECT_OF_TOPIC, values)).mappings().all():
        schedule = _schedule_of(row, tenant)
        occurrence = {
            "id": schedule.id,
            "tenant": tenant,
            "type": schedule.notification_type,
            "recipient_id": recipient_id,
        }
        await session.execute(ADD_OCCURRENCE, occurrence)
        if row["paused_at"] is None:
            await _compute_due_times(session, schedule, OccurrenceScope.NEW, now(), [recipient_id])
            await ticks.update_tick(session, tenant, schedule.notification_type)


async def remove_subscriber(session: AsyncSession, tenant: UUID, topic: str, recipient_id: str) -> None:
    await lock_topic_shared(session, tenant, topic)
    await session.execute(DELETE_OF_SUBSCRIBER, {"tenant": tenant, "topic": topic, "recipient_id": recipient_id})


async def lock_topic_shared(session: AsyncSession, tenant: UUID, topic: str) -> None:
    await session.execute(LOCK_TOPIC_SHARED, {"name": topic_lock_name(tenant, topic)})


async def claim_occurrences(
    session: AsyncSession, tenant: UUID, notification_type: str, limit: int, *, own: bool
) -> list[DueOccurrence]:
    """Claim due occurrences without a lock: shared ones, or with `own` those per recipient.

    If there are none, wait for one that another transaction has locked."""
    claim, wait = (CLAIM_PER_RECIPIENT, AWAIT_PER_RECIPIENT) if own else (CLAIM_SHARED, AWAIT_SHARED)
    values = {"tenant": tenant, "type": notification_type}
    for query, most in ((claim, limit), (wait, 1)):
        if rows := (await session.execute(query, {**values, "limit": most})).mappings().all():
            break
    read = await _load_schedules(session, tenant, [row["schedule_id"] for row in rows])
    names = ("recipient_id", "due_at", "timezone", "recipient_timezone", "now")
    return [DueOccurrence(schedule=read[row["schedule_id"]], **{name: row[name] for name in names}) for row in rows]


async def advance(session: AsyncSession, occurrences: Sequence[NextOccurrence]) -> None:
    values = [{name: getattr(occurrence, name) for name in occurrence.__slots__} for occurrence in occurrences]
    await session.execute(ADVANCE_OCCURRENCES, {"turns": to_json(values)})


async def _load_schedules(session: AsyncSession, tenant: UUID, ids: Sequence[UUID]) -> dict[UUID, ScheduleDefinition]:
    rows = (await session.execute(SELECT_SCHEDULES, {"ids": list(dict.fromkeys(ids))})).mappings()
    return {row["id"]: _schedule_of(row, tenant) for row in rows}


async def _compute_due_times(
    session: AsyncSession,
    schedule: ScheduleDefinition,
    scope: OccurrenceScope,
    since: datetime,
    recipient_ids: Sequence[str],
) -> None:
    """Write when each of these occurrences is due next after `since`."""
    values = {"id": schedule.id, "scope": scope, "recipient_ids": list(recipient_ids)}
    timezone_groups = (await session.execute(SELECT_DISTINCT_TIMEZONES, values)).mappings().all()
    plans = [
        {**each, "due_at": schedule.rule.next_for_recipient(each["zone"], since, each["last_local_time"])}
        for each in timezone_groups
    ]
    await session.execute(SAVE_DUE_TIMES, {**values, "plans": to_json(plans)})


def _schedule_of(row: Any, tenant: UUID) -> ScheduleDefinition:
    return schedule_of(row["id"], tenant, row["notification_type"], decoded(row["spec"]))


def topic_lock_name(tenant: UUID, topic: str) -> str:
    return f"topic:{tenant}:{topic}"
