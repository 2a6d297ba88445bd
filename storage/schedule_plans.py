"""Plans the turns of a schedule after a change: those of the first recipients at once, the others in batches by
`dispatch/schedule_plans.py`.

The place moves in the transaction of its batch: another process continues behind it. Turns behind the place are not due
yet (`schedule_turns.PLANNED`). All are computed from the time of the change, however long planning takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.clock import now
from domain.names import DISPATCH_CHANNEL, PLANS_DUE
from domain.schedules import EVERYBODY, Schedule, schedule_of
from storage import recipients, schedule_turns, ticks
from storage.rows import Json, decoded
from storage.schedule_turns import ADD, NEW, OF_THESE, topic_lock
from storage.sealing import unseal
from storage.statements import Executor

BATCH_SIZE = 500  # recipients

LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
TOGETHER = f"SELECT '{EVERYBODY}' AS recipient_id WHERE CAST(:any AS bool)"
# Not those who were erased since the schedule was read.
NAMED = "SELECT recipient_id FROM recipient WHERE tenant = :tenant AND recipient_id = ANY(:named)"
SUBSCRIBED = "SELECT recipient_id FROM topic_subscriber WHERE tenant = :tenant AND topic = :topic"
# Those who get a turn, and those who have one and may have to lose it.
NEXT_RECIPIENTS = """
(SELECT recipient_id FROM ({people}) p WHERE recipient_id > :after ORDER BY recipient_id LIMIT :limit)
 UNION
(SELECT recipient_id FROM schedule_turn WHERE schedule_id = :id AND recipient_id > :after
  ORDER BY recipient_id LIMIT :limit)
 ORDER BY recipient_id LIMIT :limit
"""
KEEP_ONLY = """
DELETE FROM schedule_turn t WHERE t.schedule_id = :id AND t.recipient_id = ANY(:batch)
   AND NOT EXISTS (SELECT 1 FROM ({people}) p WHERE p.recipient_id = t.recipient_id)
"""
REST = text("""
UPDATE schedule_turn SET due_at = NULL, timezone = '' WHERE schedule_id = :id AND recipient_id = ANY(:batch)
""")
HAS_OVERDUE = text("""
SELECT EXISTS (SELECT 1 FROM schedule_turn
  WHERE schedule_id = :id AND recipient_id = ANY(:batch) AND due_at <= now())
""")

FIND = text("SELECT since, again, planned FROM schedule_plan WHERE schedule_id = :id")
NEXT = text("""
SELECT s.id, s.tenant, s.key FROM schedule_plan p JOIN schedule s ON s.id = p.schedule_id ORDER BY p.served_at LIMIT 1
""")
READ = text("""
SELECT s.notification_type, s.spec, s.paused_at, s.deleted_at, p.after, p.planned, p.since, p.again
  FROM schedule_plan p JOIN schedule s ON s.id = p.schedule_id WHERE s.id = :id
""")
MOVE = text("""
WITH moved AS (
  INSERT INTO schedule_plan (schedule_id, after, planned, since, again, served_at)
  VALUES (:id, :after, :planned, :since, :again, clock_timestamp())
  ON CONFLICT (schedule_id) DO UPDATE SET after = EXCLUDED.after, planned = EXCLUDED.planned, since = EXCLUDED.since,
         again = EXCLUDED.again, served_at = EXCLUDED.served_at RETURNING 1
)
SELECT pg_notify(:channel, :due) FROM moved
""")
FINISH = text("DELETE FROM schedule_plan WHERE schedule_id = :id")


@dataclass(frozen=True, kw_only=True, slots=True)
class Planning:
    """A plan under way: since when, and how many recipients are planned."""

    since: datetime
    again: bool
    planned: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A schedule as it is from now on: whose turns remain, and whether they rest. `schedule` None: it is deleted."""

    id: UUID
    tenant: UUID
    schedule: Schedule | None
    paused: bool = False

    @property
    def audience(self) -> tuple[str, Json]:
        """A query of the recipients with a turn, and its values."""
        one = self.schedule
        if one is None:
            return TOGETHER, {"any": False}
        if not one.each_by_themselves:
            return TOGETHER, {"any": one.people is None or bool(one.people)}
        if one.topic is not None:
            return SUBSCRIBED, {"tenant": self.tenant, "topic": one.topic}
        return NAMED, {"tenant": self.tenant, "named": list(one.people or ())}


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedBatch:
    """`has_overdue`: a turn was due before it was planned, and the tick that saw to the others has passed."""

    tenant: UUID
    notification_type: str
    has_overdue: bool


async def lock_schedule(session: AsyncSession, tenant: UUID, key: str) -> None:
    """Block other changes and plans of the schedule until the transaction ends."""
    await session.execute(LOCK, {"name": f"schedule:{tenant}:{key}"})


async def hold(session: AsyncSession, target: Target, former: Schedule | None = None, after: str = "") -> list[str]:
    """Lock the topics of the schedule, and the next recipients; return these. Before its row is written, because an
    erasure locks the recipient first. Block subscribing and unsubscribing until the transaction ends."""
    of_subscribers = [one for one in (former, target.schedule) if one is not None and one.each_by_themselves]
    for topic in sorted({one.topic for one in of_subscribers if one.topic is not None}):
        await session.execute(LOCK, {"name": topic_lock(target.tenant, topic)})
    people, values = target.audience
    values |= {"id": target.id, "after": after, "limit": BATCH_SIZE}
    batch = list((await session.execute(text(NEXT_RECIPIENTS.format(people=people)), values)).scalars())
    await recipients.known(session, target.tenant, batch)
    return batch


async def begin(session: AsyncSession, target: Target, batch: Sequence[str], *, again: bool) -> None:
    """Plan the turns anew, with `again` all of them, otherwise those of new recipients. `batch` are the first ones,
    which are held (`hold`). A plan under way begins anew, and still computes what it was to compute."""
    planning = await find(session, target.id)
    if planning is None or again:
        planning = Planning(since=now(), again=again, planned=0)
    await _plan(session, target, [EVERYBODY, *batch], planning)
    await _move(session, target, batch, planning, planned=len(batch))


async def find(session: Executor, schedule_id: UUID) -> Planning | None:
    """None: all turns of the schedule are planned."""
    row = (await session.execute(FIND, {"id": schedule_id})).mappings().one_or_none()
    return None if row is None else Planning(**row)


async def continue_batch(session: AsyncSession) -> PlannedBatch | None:
    """Plan the next batch of the schedule that was served longest ago. None if there is none."""
    found = (await session.execute(NEXT)).mappings().one_or_none()
    if found is None:
        return None
    await lock_schedule(session, found["tenant"], found["key"])
    row = (await session.execute(READ, {"id": found["id"]})).mappings().one_or_none()
    if row is None:  # another process has finished it in between
        return PlannedBatch(tenant=found["tenant"], notification_type="", has_overdue=False)
    target = _target(found["id"], found["tenant"], row)
    batch = await hold(session, target, after=row["after"])
    planning = Planning(since=row["since"], again=row["again"], planned=row["planned"])
    await _plan(session, target, batch, planning)
    await _move(session, target, batch, planning, planned=row["planned"] + len(batch))
    await ticks.want(session, target.tenant, row["notification_type"])
    has_overdue = bool((await session.execute(HAS_OVERDUE, {"id": target.id, "batch": batch})).scalar_one())
    return PlannedBatch(tenant=target.tenant, notification_type=row["notification_type"], has_overdue=has_overdue)


async def _plan(session: AsyncSession, target: Target, batch: Sequence[str], planning: Planning) -> None:
    people, values = target.audience
    values |= {"id": target.id, "batch": list(batch)}
    await session.execute(text(KEEP_ONLY.format(people=people)), values)
    if target.schedule is None:
        return
    in_batch = f"SELECT recipient_id FROM ({people}) q WHERE recipient_id = ANY(:batch)"  # noqa: S608 - our own
    added = {**values, "tenant": target.tenant, "type": target.schedule.notification_type}
    await session.execute(text(ADD.format(people=in_batch)), added)
    if target.paused:
        await session.execute(REST, {"id": target.id, "batch": list(batch)})
    else:
        which = OF_THESE if planning.again else f"{NEW} AND {OF_THESE}"
        await schedule_turns.compute(session, target.schedule, which, planning.since, people=list(batch))


async def _move(
    session: AsyncSession, target: Target, batch: Sequence[str], planning: Planning, *, planned: int
) -> None:
    if len(batch) < BATCH_SIZE:
        await session.execute(FINISH, {"id": target.id})
        return
    values = {"id": target.id, "after": batch[-1], "planned": planned, "since": planning.since, "again": planning.again}
    await session.execute(MOVE, {**values, "channel": DISPATCH_CHANNEL, "due": PLANS_DUE})


def _target(id: UUID, tenant: UUID, row: Any) -> Target:
    if row["deleted_at"] is not None:
        return Target(id=id, tenant=tenant, schedule=None)
    spec = decoded(row["spec"])
    clear = {**spec, "payload": unseal(spec["payload"])}
    schedule = schedule_of(id, tenant, row["notification_type"], clear)
    return Target(id=id, tenant=tenant, schedule=schedule, paused=row["paused_at"] is not None)
