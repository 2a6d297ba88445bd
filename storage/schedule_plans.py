"""Plan the occurrences of a changed schedule: those of the first recipients immediately, the others in batches by
`dispatch/batches.py`.

The cursor moves in the transaction of its batch, and another process continues after it. Occurrences after the cursor
are not due yet (`schedule_occurrences.IS_PLANNED`). All are computed from the time of the change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.clock import now
from domain.json_types import JsonObject
from domain.names import DISPATCH_CHANNEL, PLANS_DUE
from domain.schedules import ALL_RECIPIENTS, ScheduleDefinition, schedule_of
from storage import recipients, schedule_occurrences, ticks
from storage.rows import decoded
from storage.schedule_occurrences import ADD_OCCURRENCES, IS_NEW, IS_SELECTED, topic_lock_name
from storage.statements import Executor

BATCH_SIZE = 500  # recipients

LOCK_SCHEDULE = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
SELECT_SHARED = f"SELECT '{ALL_RECIPIENTS}' AS recipient_id WHERE CAST(:any AS bool)"
# Not those who were erased since the schedule was read.
SELECT_NAMED = "SELECT recipient_id FROM recipient WHERE tenant = :tenant AND recipient_id = ANY(:recipient_ids)"
SELECT_SUBSCRIBERS = "SELECT recipient_id FROM topic_subscriber WHERE tenant = :tenant AND topic = :topic"
# Those who get a turn, and those who have one and may have to lose it.
NEXT_RECIPIENTS = """
(SELECT recipient_id FROM ({recipients}) p WHERE recipient_id > :after ORDER BY recipient_id LIMIT :limit)
 UNION
(SELECT recipient_id FROM schedule_occurrence WHERE schedule_id = :id AND recipient_id > :after
  ORDER BY recipient_id LIMIT :limit)
 ORDER BY recipient_id LIMIT :limit
"""
DELETE_REMOVED = """
DELETE FROM schedule_occurrence t WHERE t.schedule_id = :id AND t.recipient_id = ANY(:batch)
   AND NOT EXISTS (SELECT 1 FROM ({recipients}) p WHERE p.recipient_id = t.recipient_id)
"""
PAUSE_OCCURRENCES = text("""
UPDATE schedule_occurrence SET due_at = NULL, timezone = '' WHERE schedule_id = :id AND recipient_id = ANY(:batch)
""")
HAS_OVERDUE = text("""
SELECT EXISTS (SELECT 1 FROM schedule_occurrence
  WHERE schedule_id = :id AND recipient_id = ANY(:batch) AND due_at <= now())
""")

SELECT_PROGRESS = text("SELECT since, replans_all, planned_count FROM schedule_plan WHERE schedule_id = :id")
SELECT_NEXT_PLAN = text("""
SELECT s.id, s.tenant, s.key FROM schedule_plan p JOIN schedule s ON s.id = p.schedule_id ORDER BY p.last_batch_at
       LIMIT 1
""")
READ_PLAN = text("""
SELECT s.notification_type, s.spec, s.paused_at, s.deleted_at, p.after, p.planned_count, p.since, p.replans_all
  FROM schedule_plan p JOIN schedule s ON s.id = p.schedule_id WHERE s.id = :id
""")
SAVE_PROGRESS = text("""
WITH moved AS (
  INSERT INTO schedule_plan (schedule_id, after, planned_count, since, replans_all, last_batch_at)
  VALUES (:id, :after, :planned_count, :since, :replans_all, clock_timestamp())
  ON CONFLICT (schedule_id) DO UPDATE SET after = EXCLUDED.after, planned_count = EXCLUDED.planned_count,
  since = EXCLUDED.since,
         replans_all = EXCLUDED.replans_all, last_batch_at = EXCLUDED.last_batch_at RETURNING 1
)
SELECT pg_notify(:channel, :due) FROM moved
""")
DELETE_PLAN = text("DELETE FROM schedule_plan WHERE schedule_id = :id")


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanProgress:
    """A plan under way: since when, and how many recipients are planned."""

    since: datetime
    replans_all: bool
    planned_count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanTarget:
    """A schedule as it is from now on: whose turns remain, and whether they rest. `schedule` None: it is deleted."""

    id: UUID
    tenant: UUID
    schedule: ScheduleDefinition | None
    paused: bool = False

    @property
    def recipient_query(self) -> tuple[str, JsonObject]:
        """A query of the recipients with a turn, and its values."""
        definition = self.schedule
        if definition is None:
            return SELECT_SHARED, {"any": False}
        if not definition.is_per_recipient:
            return SELECT_SHARED, {"any": definition.recipients is None or bool(definition.recipients)}
        if definition.topic is not None:
            return SELECT_SUBSCRIBERS, {"tenant": self.tenant, "topic": definition.topic}
        return SELECT_NAMED, {"tenant": self.tenant, "recipient_ids": list(definition.recipients or ())}


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedBatch:
    """`has_overdue`: a turn was due before it was planned, and the tick that saw to the others has passed."""

    tenant: UUID
    notification_type: str
    has_overdue: bool


async def lock_schedule(session: AsyncSession, tenant: UUID, key: str) -> None:
    """Block other changes and plans of the schedule until the transaction ends."""
    await session.execute(LOCK_SCHEDULE, {"name": f"schedule:{tenant}:{key}"})


async def lock_batch(
    session: AsyncSession, target: PlanTarget, former: ScheduleDefinition | None = None, after: str = ""
) -> list[str]:
    """Lock the topics of the schedule, and the next recipients; return these. Before its row is written, because an
    erasure locks the recipient first. Block subscribing and unsubscribing until the transaction ends."""
    per_recipient = [
        definition for definition in (former, target.schedule) if definition is not None and definition.is_per_recipient
    ]
    for topic in sorted({definition.topic for definition in per_recipient if definition.topic is not None}):
        await session.execute(LOCK_SCHEDULE, {"name": topic_lock_name(target.tenant, topic)})
    query, values = target.recipient_query
    values |= {"id": target.id, "after": after, "limit": BATCH_SIZE}
    batch = list((await session.execute(text(NEXT_RECIPIENTS.format(recipients=query)), values)).scalars())
    await recipients.lock_known(session, target.tenant, batch)
    return batch


async def begin_plan(session: AsyncSession, target: PlanTarget, batch: Sequence[str], *, replan_all: bool) -> None:
    """Begin to plan the occurrences: all of them with `replan_all`, otherwise those of new recipients. `batch` are the
    first recipients, which are locked (`lock_batch`). A plan in progress restarts and still computes what it had to."""
    progress = await find_progress(session, target.id)
    if progress is None or replan_all:
        progress = PlanProgress(since=now(), replans_all=replan_all, planned_count=0)
    await _plan_batch(session, target, [ALL_RECIPIENTS, *batch], progress)
    await _save_progress(session, target, batch, progress, planned_count=len(batch))


async def find_progress(session: Executor, schedule_id: UUID) -> PlanProgress | None:
    """Return the progress of a plan, or None if all occurrences of the schedule are planned."""
    row = (await session.execute(SELECT_PROGRESS, {"id": schedule_id})).mappings().one_or_none()
    return None if row is None else PlanProgress(**row)


async def plan_next_batch(session: AsyncSession) -> PlannedBatch | None:
    """Plan the next batch of the schedule that was served longest ago. None if there is none."""
    found = (await session.execute(SELECT_NEXT_PLAN)).mappings().one_or_none()
    if found is None:
        return None
    await lock_schedule(session, found["tenant"], found["key"])
    row = (await session.execute(READ_PLAN, {"id": found["id"]})).mappings().one_or_none()
    if row is None:  # another process has finished it in between
        return PlannedBatch(tenant=found["tenant"], notification_type="", has_overdue=False)
    target = _target_of(found["id"], found["tenant"], row)
    batch = await lock_batch(session, target, after=row["after"])
    progress = PlanProgress(since=row["since"], replans_all=row["replans_all"], planned_count=row["planned_count"])
    await _plan_batch(session, target, batch, progress)
    await _save_progress(session, target, batch, progress, planned_count=row["planned_count"] + len(batch))
    await ticks.update_tick(session, target.tenant, row["notification_type"])
    has_overdue = bool((await session.execute(HAS_OVERDUE, {"id": target.id, "batch": batch})).scalar_one())
    return PlannedBatch(tenant=target.tenant, notification_type=row["notification_type"], has_overdue=has_overdue)


async def _plan_batch(session: AsyncSession, target: PlanTarget, batch: Sequence[str], progress: PlanProgress) -> None:
    query, values = target.recipient_query
    values |= {"id": target.id, "batch": list(batch)}
    await session.execute(text(DELETE_REMOVED.format(recipients=query)), values)
    if target.schedule is None:
        return
    in_batch = f"SELECT recipient_id FROM ({query}) q WHERE recipient_id = ANY(:batch)"  # noqa: S608 - our own
    added = {**values, "tenant": target.tenant, "type": target.schedule.notification_type}
    await session.execute(text(ADD_OCCURRENCES.format(recipients=in_batch)), added)
    if target.paused:
        await session.execute(PAUSE_OCCURRENCES, {"id": target.id, "batch": list(batch)})
    else:
        which = IS_SELECTED if progress.replans_all else f"{IS_NEW} AND {IS_SELECTED}"
        await schedule_occurrences.compute_due_times(
            session, target.schedule, which, progress.since, recipient_ids=list(batch)
        )


async def _save_progress(
    session: AsyncSession, target: PlanTarget, batch: Sequence[str], progress: PlanProgress, *, planned_count: int
) -> None:
    if len(batch) < BATCH_SIZE:
        await session.execute(DELETE_PLAN, {"id": target.id})
        return
    values = {
        "id": target.id,
        "after": batch[-1],
        "planned_count": planned_count,
        "since": progress.since,
        "replans_all": progress.replans_all,
    }
    await session.execute(SAVE_PROGRESS, {**values, "channel": DISPATCH_CHANNEL, "due": PLANS_DUE})


def _target_of(id: UUID, tenant: UUID, row: Any) -> PlanTarget:
    if row["deleted_at"] is not None:
        return PlanTarget(id=id, tenant=tenant, schedule=None)
    schedule = schedule_of(id, tenant, row["notification_type"], decoded(row["spec"]))
    return PlanTarget(id=id, tenant=tenant, schedule=schedule, paused=row["paused_at"] is not None)
