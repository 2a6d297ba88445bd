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
from domain.schedules import EVERYBODY, OWN_ZONE, Schedule, schedule_of
from storage import ticks
from storage.database import to_json
from storage.rows import decoded
from storage.sealing import unseal

# Held alone while turns of its subscribers are planned.
SHARE_TOPIC = text("SELECT pg_advisory_xact_lock_shared(hashtextextended(:name, 0))")

ZONE = (
    f"""CASE WHEN t.recipient_id = '{EVERYBODY}' THEN s.spec ->> 'timezone' ELSE COALESCE(r.timezone, n.timezone) END"""
)
TURNS = """schedule_turn t JOIN schedule s ON s.id = t.schedule_id JOIN tenant n ON n.id = t.tenant
  LEFT JOIN recipient r ON r.tenant = t.tenant AND r.recipient_id = t.recipient_id"""

ADD = """
INSERT INTO schedule_turn (schedule_id, recipient_id, tenant, notification_type, timezone)
SELECT CAST(:id AS uuid), p.recipient_id, CAST(:tenant AS uuid), CAST(:type AS text), '' FROM ({people}) p
ON CONFLICT (schedule_id, recipient_id) DO UPDATE SET notification_type = EXCLUDED.notification_type
"""
NAMED = "SELECT unnest(CAST(:people AS text[])) AS recipient_id"

# Many people are in few zones, and most had their last turn at the same time.
ALIKE = f"SELECT DISTINCT {ZONE} AS zone, t.last_local FROM {TURNS} WHERE t.schedule_id = :id AND {{which}}"  # noqa: S608
PLAN = f"""
UPDATE schedule_turn SET due_at = x.due_at, timezone = x.zone
  FROM jsonb_to_recordset(CAST(:plans AS jsonb)) AS x(zone text, last_local text, due_at timestamptz),
       (SELECT t.recipient_id, {ZONE} AS zone, t.last_local FROM {TURNS} WHERE t.schedule_id = :id AND {{which}}) mine
 WHERE schedule_turn.schedule_id = :id AND schedule_turn.recipient_id = mine.recipient_id
   AND x.zone = mine.zone AND x.last_local IS NOT DISTINCT FROM mine.last_local
"""  # noqa: S608 - constants of our own
NEW = "t.timezone = ''"
# Who is due already has that turn yet.
MOVED = f"t.timezone <> {ZONE} AND (t.due_at > now() OR t.due_at IS NULL)"
OF_THESE = "t.recipient_id = ANY(:people)"

WHERE = text(f"SELECT DISTINCT {ZONE} FROM {TURNS} WHERE t.schedule_id = :id")  # noqa: S608

WITH_MOVED = f"""
SELECT DISTINCT s.id, s.notification_type, s.spec FROM {TURNS}
 WHERE t.tenant = :tenant AND {{which}} AND s.paused_at IS NULL AND s.deleted_at IS NULL
"""  # noqa: S608 - constants of our own
READ = text("SELECT id, notification_type, spec FROM schedule WHERE id = ANY(:ids)")
OF_TOPIC = text("""
SELECT id, notification_type, spec, paused_at FROM schedule
 WHERE tenant = :tenant AND deleted_at IS NULL AND spec ->> 'topic' = :topic AND spec ->> 'timezone' = :own
""")
UNSUBSCRIBE = text("""
DELETE FROM schedule_turn t USING schedule s WHERE s.id = t.schedule_id AND s.spec ->> 'topic' = :topic
   AND t.tenant = :tenant AND t.recipient_id = :recipient_id
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class DueTurn:
    """`zone` is where the person is now, `timezone` where `due_at` was computed; `now` is the database's."""

    schedule: Schedule
    recipient_id: str
    due_at: datetime
    timezone: str
    zone: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class NextTurn:
    schedule_id: UUID
    recipient_id: str
    due_at: datetime | None
    timezone: str
    last_local: str


# A turn behind the place of its schedule's plan is still that of before the change.
PLANNED = "NOT EXISTS (SELECT 1 FROM schedule_plan p WHERE p.schedule_id = t.schedule_id AND p.after < t.recipient_id)"
CLAIM = f"""
SELECT t.schedule_id, t.recipient_id, t.due_at, t.timezone, {ZONE} AS zone, now() AS now
  FROM schedule_turn t JOIN schedule s ON s.id = t.schedule_id JOIN tenant n ON n.id = t.tenant
  {{person}} JOIN recipient r ON r.tenant = t.tenant AND r.recipient_id = t.recipient_id
 WHERE t.tenant = :tenant AND t.notification_type = :type AND t.due_at <= now() AND t.recipient_id {{which}} ''
   AND (s.spec ->> 'timezone' = '{OWN_ZONE}') = (t.recipient_id <> '{EVERYBODY}')
   AND s.paused_at IS NULL AND s.deleted_at IS NULL AND {PLANNED}
 ORDER BY t.due_at, t.schedule_id, t.recipient_id LIMIT :limit
"""  # noqa: S608
CLAIM_SHARED = f"{CLAIM.format(person='LEFT', which='=')} FOR UPDATE OF t {{others}}"
CLAIM_OWN = f"{CLAIM.format(person='', which='<>')} FOR KEY SHARE OF r {{others}} FOR UPDATE OF t {{others}}"
# Whoever holds a turn may only look at it, or may yet give it back. One at a time, so that nobody waits for us who is
# waited for; the time-out of a statement ends it, and the tick is tried again.
SKIPPED, WAITED_FOR = "SKIP LOCKED", ""
ADVANCE = text("""
UPDATE schedule_turn t SET due_at = x.due_at, timezone = x.timezone, last_local = x.last_local
  FROM jsonb_to_recordset(CAST(:turns AS jsonb)) AS x(schedule_id uuid, recipient_id text, due_at timestamptz,
       timezone text, last_local text)
 WHERE t.schedule_id = x.schedule_id AND t.recipient_id = x.recipient_id
""")


async def moved(session: AsyncSession, tenant: UUID, people: Sequence[str]) -> None:
    """After whatever may have changed where these people are: the turns of those who are elsewhere now."""
    which, values = f"{MOVED} AND {OF_THESE}", {"people": list(people)}
    rows = await session.execute(text(WITH_MOVED.format(which=which)), {"tenant": tenant, **values})
    for row in rows.mappings().all():
        await compute(session, _schedule(row, tenant), which, now(), **values)


async def zones(session: AsyncSession, schedule_id: UUID) -> set[str]:
    """In which its times are reckoned by now."""
    return set((await session.execute(WHERE, {"id": schedule_id})).scalars())


async def subscribed(session: AsyncSession, tenant: UUID, topic: str, recipient_id: str) -> None:
    """Their turns of what is sent to the topic in each one's own zone."""
    values = {"tenant": tenant, "topic": topic, "own": OWN_ZONE}
    for row in (await session.execute(OF_TOPIC, values)).mappings().all():
        schedule = _schedule(row, tenant)
        mine = {"id": schedule.id, "tenant": tenant, "type": schedule.notification_type, "people": [recipient_id]}
        await session.execute(text(ADD.format(people=NAMED)), mine)
        if row["paused_at"] is None:
            await compute(session, schedule, f"{NEW} AND {OF_THESE}", now(), people=[recipient_id])
            await ticks.want(session, tenant, schedule.notification_type)


async def unsubscribed(session: AsyncSession, tenant: UUID, topic: str, recipient_id: str) -> None:
    await share_topic(session, tenant, topic)
    await session.execute(UNSUBSCRIBE, {"tenant": tenant, "topic": topic, "recipient_id": recipient_id})


async def share_topic(session: AsyncSession, tenant: UUID, topic: str) -> None:
    await session.execute(SHARE_TOPIC, {"name": topic_lock(tenant, topic)})


async def claim(session: AsyncSession, tenant: UUID, notification_type: str, limit: int, *, own: bool) -> list[DueTurn]:
    """Those that are due and nobody else has claimed: of all people together, or with `own` of each by themselves. If
    there are none, one that somebody else has held until now."""
    statement, values = CLAIM_OWN if own else CLAIM_SHARED, {"tenant": tenant, "type": notification_type}
    for others, most in ((SKIPPED, limit), (WAITED_FOR, 1)):
        found = await session.execute(text(statement.format(others=others)), {**values, "limit": most})
        if rows := found.mappings().all():
            break
    read = await _schedules(session, tenant, [row["schedule_id"] for row in rows])
    names = ("recipient_id", "due_at", "timezone", "zone", "now")
    return [DueTurn(schedule=read[row["schedule_id"]], **{name: row[name] for name in names}) for row in rows]


async def advance(session: AsyncSession, turns: Sequence[NextTurn]) -> None:
    values = [{name: getattr(turn, name) for name in turn.__slots__} for turn in turns]
    await session.execute(ADVANCE, {"turns": to_json(values)})


async def _schedules(session: AsyncSession, tenant: UUID, ids: Sequence[UUID]) -> dict[UUID, Schedule]:
    rows = (await session.execute(READ, {"ids": list(dict.fromkeys(ids))})).mappings()
    return {row["id"]: _schedule(row, tenant) for row in rows}


async def compute(session: AsyncSession, schedule: Schedule, which: str, since: datetime, **more: Any) -> None:
    """Write when each of these turns is due next after `since`."""
    values = {"id": schedule.id, **more}
    alike = (await session.execute(text(ALIKE.format(which=which)), values)).mappings().all()
    plans = [{**each, "due_at": schedule.rule.for_one(each["zone"], since, each["last_local"])} for each in alike]
    await session.execute(text(PLAN.format(which=which)), {**values, "plans": to_json(plans)})


def _schedule(row: Any, tenant: UUID) -> Schedule:
    spec = decoded(row["spec"])
    return schedule_of(row["id"], tenant, row["notification_type"], {**spec, "payload": unseal(spec["payload"])})


def topic_lock(tenant: UUID, topic: str) -> str:
    return f"topic:{tenant}:{topic}"
