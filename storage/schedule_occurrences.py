"""When each recipient of a schedule is due: planned after a change of the schedule (`schedule_plans.py`), written with
changes of its recipients and their time zones, claimed by the tick.

A person's row is locked before their turns, as everywhere: an erasure never waits for who waits for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.clock import now
from domain.schedules import ALL_RECIPIENTS, RECIPIENT_ZONE, ScheduleDefinition, schedule_of
from storage import ticks
from storage.database import to_json
from storage.rows import decoded

# Held exclusively while occurrences of its subscribers are planned.
LOCK_TOPIC_SHARED = text("SELECT pg_advisory_xact_lock_shared(hashtextextended(:name, 0))")

TIMEZONE = f"""CASE WHEN t.recipient_id = '{ALL_RECIPIENTS}' THEN s.spec ->> 'timezone'
       ELSE COALESCE(r.timezone, n.timezone) END"""
OCCURRENCE_TABLES = """schedule_occurrence t JOIN schedule s ON s.id = t.schedule_id JOIN tenant n ON n.id = t.tenant
  LEFT JOIN recipient r ON r.tenant = t.tenant AND r.recipient_id = t.recipient_id"""

ADD_OCCURRENCES = """
INSERT INTO schedule_occurrence (schedule_id, recipient_id, tenant, notification_type, timezone)
SELECT CAST(:id AS uuid), p.recipient_id, CAST(:tenant AS uuid), CAST(:type AS text), '' FROM ({recipients}) p
ON CONFLICT (schedule_id, recipient_id) DO UPDATE SET notification_type = EXCLUDED.notification_type
"""
NAMED_RECIPIENTS = "SELECT unnest(CAST(:recipient_ids AS text[])) AS recipient_id"

# Many people are in few zones, and most had their last turn at the same time.
SELECT_DISTINCT_TIMEZONES = f"""
SELECT DISTINCT {TIMEZONE} AS zone, t.last_local_time FROM {OCCURRENCE_TABLES}
 WHERE t.schedule_id = :id AND {{which}}
"""  # noqa: S608
SAVE_DUE_TIMES = f"""
UPDATE schedule_occurrence SET due_at = x.due_at, timezone = x.zone
  FROM jsonb_to_recordset(CAST(:plans AS jsonb)) AS x(zone text, last_local_time text, due_at timestamptz),
       (SELECT t.recipient_id, {TIMEZONE} AS zone, t.last_local_time FROM {OCCURRENCE_TABLES}
       WHERE t.schedule_id = :id AND {{which}}) mine
 WHERE schedule_occurrence.schedule_id = :id AND schedule_occurrence.recipient_id = mine.recipient_id
   AND x.zone = mine.zone AND x.last_local_time IS NOT DISTINCT FROM mine.last_local_time
"""  # noqa: S608 - constants of our own
IS_NEW = "t.timezone = ''"
# Who is due already has that turn yet.
HAS_OTHER_TIMEZONE = f"t.timezone <> {TIMEZONE} AND (t.due_at > now() OR t.due_at IS NULL)"
IS_SELECTED = "t.recipient_id = ANY(:recipient_ids)"

SELECT_TIMEZONES = text(f"SELECT DISTINCT {TIMEZONE} FROM {OCCURRENCE_TABLES} WHERE t.schedule_id = :id")  # noqa: S608

SELECT_AFFECTED_SCHEDULES = f"""
SELECT DISTINCT s.id, s.notification_type, s.spec FROM {OCCURRENCE_TABLES}
 WHERE t.tenant = :tenant AND {{which}} AND s.paused_at IS NULL AND s.deleted_at IS NULL
"""  # noqa: S608 - constants of our own
SELECT_SCHEDULES = text("SELECT id, notification_type, spec FROM schedule WHERE id = ANY(:ids)")
SELECT_OF_TOPIC = text("""
SELECT id, notification_type, spec, paused_at FROM schedule
 WHERE tenant = :tenant AND deleted_at IS NULL AND spec ->> 'topic' = :topic AND spec ->> 'timezone' = :own
""")
DELETE_OF_SUBSCRIBER = text("""
DELETE FROM schedule_occurrence t USING schedule s WHERE s.id = t.schedule_id AND s.spec ->> 'topic' = :topic
   AND t.tenant = :tenant AND t.recipient_id = :recipient_id
""")


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


# A turn behind the place of its schedule's plan is still that of before the change.
IS_PLANNED = (
    "NOT EXISTS (SELECT 1 FROM schedule_plan p WHERE p.schedule_id = t.schedule_id AND p.after < t.recipient_id)"
)
CLAIM_OCCURRENCES = f"""
SELECT t.schedule_id, t.recipient_id, t.due_at, t.timezone, {TIMEZONE} AS recipient_timezone, now() AS now
  FROM schedule_occurrence t JOIN schedule s ON s.id = t.schedule_id JOIN tenant n ON n.id = t.tenant
  {{person}} JOIN recipient r ON r.tenant = t.tenant AND r.recipient_id = t.recipient_id
 WHERE t.tenant = :tenant AND t.notification_type = :type AND t.due_at <= now() AND t.recipient_id {{which}} ''
   AND (s.spec ->> 'timezone' = '{RECIPIENT_ZONE}') = (t.recipient_id <> '{ALL_RECIPIENTS}')
   AND s.paused_at IS NULL AND s.deleted_at IS NULL AND {IS_PLANNED}
 ORDER BY t.due_at, t.schedule_id, t.recipient_id LIMIT :limit
"""  # noqa: S608
CLAIM_SHARED = f"{CLAIM_OCCURRENCES.format(person='LEFT', which='=')} FOR UPDATE OF t {{others}}"
CLAIM_PER_RECIPIENT = (
    f"{CLAIM_OCCURRENCES.format(person='', which='<>')} FOR KEY SHARE OF r {{others}} FOR UPDATE OF t {{others}}"
)
# A transaction that locks an occurrence may only read it or may roll back, so a tick waits for it. It waits for one at
# a time, which cannot deadlock. The statement timeout ends the wait, and the tick is retried.
SKIP_LOCKED, WAIT_FOR_LOCK = "SKIP LOCKED", ""
ADVANCE_OCCURRENCES = text("""
UPDATE schedule_occurrence t SET due_at = x.due_at, timezone = x.timezone, last_local_time = x.last_local_time
  FROM jsonb_to_recordset(CAST(:turns AS jsonb)) AS x(schedule_id uuid, recipient_id text, due_at timestamptz,
       timezone text, last_local_time text)
 WHERE t.schedule_id = x.schedule_id AND t.recipient_id = x.recipient_id
""")


async def update_timezones(session: AsyncSession, tenant: UUID, recipient_ids: Sequence[str]) -> None:
    """Update the occurrences of recipients whose time zone may have changed."""
    which, values = f"{HAS_OTHER_TIMEZONE} AND {IS_SELECTED}", {"recipient_ids": list(recipient_ids)}
    rows = await session.execute(text(SELECT_AFFECTED_SCHEDULES.format(which=which)), {"tenant": tenant, **values})
    for row in rows.mappings().all():
        await compute_due_times(session, _schedule_of(row, tenant), which, now(), **values)


async def list_timezones(session: AsyncSession, schedule_id: UUID) -> set[str]:
    """Return the time zones of the schedule's occurrences."""
    return set((await session.execute(SELECT_TIMEZONES, {"id": schedule_id})).scalars())


async def add_subscriber(session: AsyncSession, tenant: UUID, topic: str, recipient_id: str) -> None:
    """Insert the subscriber's occurrences of schedules that use the time zone of each recipient."""
    values = {"tenant": tenant, "topic": topic, "own": RECIPIENT_ZONE}
    for row in (await session.execute(SELECT_OF_TOPIC, values)).mappings().all():
        schedule = _schedule_of(row, tenant)
        occurrence_values = {
            "id": schedule.id,
            "tenant": tenant,
            "type": schedule.notification_type,
            "recipient_ids": [recipient_id],
        }
        await session.execute(text(ADD_OCCURRENCES.format(recipients=NAMED_RECIPIENTS)), occurrence_values)
        if row["paused_at"] is None:
            await compute_due_times(
                session, schedule, f"{IS_NEW} AND {IS_SELECTED}", now(), recipient_ids=[recipient_id]
            )
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
    statement, values = CLAIM_PER_RECIPIENT if own else CLAIM_SHARED, {"tenant": tenant, "type": notification_type}
    for others, most in ((SKIP_LOCKED, limit), (WAIT_FOR_LOCK, 1)):
        found = await session.execute(text(statement.format(others=others)), {**values, "limit": most})
        if rows := found.mappings().all():
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


async def compute_due_times(
    session: AsyncSession, schedule: ScheduleDefinition, which: str, since: datetime, **more: Any
) -> None:
    """Write when each of these turns is due next after `since`."""
    values = {"id": schedule.id, **more}
    timezone_groups = (
        (await session.execute(text(SELECT_DISTINCT_TIMEZONES.format(which=which)), values)).mappings().all()
    )
    plans = [
        {**each, "due_at": schedule.rule.next_for_recipient(each["zone"], since, each["last_local_time"])}
        for each in timezone_groups
    ]
    await session.execute(text(SAVE_DUE_TIMES.format(which=which)), {**values, "plans": to_json(plans)})


def _schedule_of(row: Any, tenant: UUID) -> ScheduleDefinition:
    return schedule_of(row["id"], tenant, row["notification_type"], decoded(row["spec"]))


def topic_lock_name(tenant: UUID, topic: str) -> str:
    return f"topic:{tenant}:{topic}"
