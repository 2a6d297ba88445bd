"""Record the runs of schedules: due, triggered and backfilled ones. Open runs have recipients left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.names import DISPATCH_CHANNEL, RUNS_DUE
from domain.schedules import RunKind, ScheduleDefinition, SkipReason, run_id, schedule_of
from storage.database import to_json
from storage.rows import decoded
from storage.statements import Executor


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleRunResult:
    id: UUID
    kind: str
    due_at: datetime
    ran_at: datetime
    accepted: int
    skipped_recipients: Mapping[str, int]
    skip_reason: str | None
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class NewScheduleRun:
    """Describe a run to record. `is_finished`: no recipient is left. The counts of a recorded run are added."""

    schedule: ScheduleDefinition
    kind: RunKind
    due_at: datetime
    id: UUID
    accepted: int = 0
    skipped_recipients: Mapping[SkipReason, int] = field(default_factory=dict)
    skip_reason: SkipReason | None = None
    is_finished: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenScheduleRun:
    """Describe an unfinished run. `schedule` None: it was deleted. `after` is the last recipient of the run so far."""

    id: UUID
    schedule: ScheduleDefinition | None
    tenant: UUID
    kind: RunKind
    due_at: datetime
    after: str


MERGED_COUNTS = """(SELECT COALESCE(jsonb_object_agg(reason, people), '{}') FROM (
  SELECT reason, sum(CAST(people AS int)) AS people FROM (
    SELECT * FROM jsonb_each_text(run.skipped_recipients) UNION ALL
    SELECT * FROM jsonb_each_text(%s)) both_sides(reason, people)
   GROUP BY reason) summed)"""

# In the order of their ids, in which all who write several lock them.
RECORD_RUNS = text(f"""
WITH recorded AS (
  INSERT INTO schedule_run AS run (id, schedule_id, tenant, kind, due_at, ran_at, accepted, skipped_recipients,
         skip_reason,
         finished_at)
  SELECT id, schedule_id, tenant, kind, due_at, now(), accepted, skipped_recipients, skip_reason,
         CASE WHEN is_finished THEN now() END
    FROM jsonb_to_recordset(CAST(:runs AS jsonb)) AS x(id uuid, schedule_id uuid, tenant uuid, kind text,
         due_at timestamptz, accepted int, skipped_recipients jsonb, skip_reason text, is_finished bool) ORDER BY id
  ON CONFLICT (id) DO UPDATE SET accepted = run.accepted + EXCLUDED.accepted,
         skipped_recipients = {MERGED_COUNTS % "EXCLUDED.skipped_recipients"}
  RETURNING run.id, run.finished_at
)
SELECT id, CASE WHEN finished_at IS NULL THEN pg_notify(:channel, :due)::text END FROM recorded
""")  # noqa: S608 - constants of our own

SELECT_NEXT_TENANT = text("""
(SELECT tenant FROM schedule_run WHERE finished_at IS NULL AND tenant > :after ORDER BY tenant LIMIT 1)
 UNION ALL
(SELECT tenant FROM schedule_run WHERE finished_at IS NULL ORDER BY tenant LIMIT 1)
 LIMIT 1
""")
# Two queries, so that each reads one row of the index. The second one begins only if the first has found nothing.
SELECT_OPEN = "SELECT id FROM schedule_run WHERE finished_at IS NULL AND tenant = :tenant"
CLAIM_NEXT = text(f"""
SELECT id FROM ({SELECT_OPEN} AND id > :after ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) behind
 UNION ALL
SELECT id FROM ({SELECT_OPEN} AND id <= :after ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) first
 LIMIT 1
""")  # noqa: S608 - a constant of our own
CLAIM_OF_TYPE = text("""
SELECT run.id FROM schedule_run run JOIN schedule s ON s.id = run.schedule_id
 WHERE run.finished_at IS NULL AND run.tenant = :tenant AND s.notification_type = :type
 ORDER BY run.id LIMIT 1 FOR UPDATE OF run SKIP LOCKED
""")
READ_RUN = text("""
SELECT run.id, run.tenant, run.kind, run.due_at, COALESCE(run.after, '') AS after, s.id AS schedule_id,
       s.notification_type, s.spec, s.deleted_at
  FROM schedule_run run JOIN schedule s ON s.id = run.schedule_id
 WHERE run.id = :id
""")
SAVE_PROGRESS = text(f"""
UPDATE schedule_run run SET accepted = accepted + :accepted, after = :after,
       skipped_recipients = {MERGED_COUNTS % "CAST(:skipped_recipients AS jsonb)"} WHERE id = :id
""")  # noqa: S608
FINISH_RUN = text("""
UPDATE schedule_run SET finished_at = now(), after = NULL,
       skip_reason = COALESCE(:skip_reason, CASE WHEN accepted = 0 AND skipped_recipients = '{}'
       THEN :no_recipients END) WHERE id = :id
""")
# What is collected has been seen to: it may wait for its digest longer than until the next time.
HAS_UNFINISHED = text("""
SELECT EXISTS (SELECT 1 FROM notification WHERE schedule_id = :id AND finished_at IS NULL AND digest_key IS NULL)
    OR EXISTS (SELECT 1 FROM schedule_run WHERE schedule_id = :id AND finished_at IS NULL)
""")
SELECT_UNFINISHED = text("""
SELECT DISTINCT recipient_id FROM notification
 WHERE schedule_id = :id AND finished_at IS NULL AND digest_key IS NULL AND recipient_id = ANY(:recipient_ids)
""")
SELECT_LATEST = text("""
SELECT id, kind, due_at, ran_at, accepted, skipped_recipients, skip_reason, finished_at FROM schedule_run
 WHERE schedule_id = :id ORDER BY ran_at DESC, due_at DESC LIMIT :limit
""")


def build_due_run(schedule: ScheduleDefinition, due_at: datetime, **more: Any) -> NewScheduleRun:
    kind = RunKind.DUE
    return NewScheduleRun(schedule=schedule, kind=kind, due_at=due_at, id=run_id(schedule.id, kind, due_at), **more)


def build_backfill_run(schedule: ScheduleDefinition, due_at: datetime) -> NewScheduleRun:
    kind = RunKind.BACKFILL
    return NewScheduleRun(
        schedule=schedule, kind=kind, due_at=due_at, id=run_id(schedule.id, kind, due_at), is_finished=False
    )


async def record_runs(session: AsyncSession, runs: Sequence[NewScheduleRun]) -> None:
    """Insert runs. A run that already exists is not opened again."""
    values = {"runs": to_json([_run_values(run) for run in runs]), "channel": DISPATCH_CHANNEL, "due": RUNS_DUE}
    await session.execute(RECORD_RUNS, values)


def _run_values(run: NewScheduleRun) -> dict[str, Any]:
    named = {name: getattr(run, name) for name in run.__slots__ if name != "schedule"}
    return {**named, "schedule_id": run.schedule.id, "tenant": run.schedule.tenant}


async def find_next_tenant(session: Executor, after: UUID) -> UUID | None:
    """Return the next tenant after `after` that has an open run. After the last tenant the first one follows."""
    found: UUID | None = (await session.execute(SELECT_NEXT_TENANT, {"after": after})).scalar_one_or_none()
    return found


async def claim_next(session: AsyncSession, tenant: UUID, after: UUID) -> OpenScheduleRun | None:
    """Claim an open run of the tenant that no other process has claimed: the next one after `after`, else the first."""
    return await _claim(session, CLAIM_NEXT, {"tenant": tenant, "after": after})


async def claim_of_type(session: AsyncSession, tenant: UUID, notification_type: str) -> OpenScheduleRun | None:
    """Claim an open run of the type that no other process has claimed."""
    return await _claim(session, CLAIM_OF_TYPE, {"tenant": tenant, "type": notification_type})


async def _claim(session: AsyncSession, claim: TextClause, values: dict[str, Any]) -> OpenScheduleRun | None:
    id = (await session.execute(claim, values)).scalar_one_or_none()
    if id is None:
        return None
    row = (await session.execute(READ_RUN, {"id": id})).mappings().one()
    schedule = None
    if row["deleted_at"] is None:
        schedule = schedule_of(row["schedule_id"], row["tenant"], row["notification_type"], decoded(row["spec"]))
    facts = {name: row[name] for name in ("id", "tenant", "due_at", "after")}
    return OpenScheduleRun(**facts, kind=RunKind(row["kind"]), schedule=schedule)


async def save_progress(
    session: AsyncSession,
    id: UUID,
    after: str,
    accepted: int = 0,
    skipped_recipients: Mapping[SkipReason, int] | None = None,
) -> None:
    values = {
        "id": id,
        "after": after,
        "accepted": accepted,
        "skipped_recipients": to_json(dict(skipped_recipients or {})),
    }
    await session.execute(SAVE_PROGRESS, values)


async def finish_run(session: AsyncSession, id: UUID, skip_reason: SkipReason | None = None) -> None:
    await session.execute(FINISH_RUN, {"id": id, "skip_reason": skip_reason, "no_recipients": SkipReason.NO_RECIPIENTS})


async def has_unfinished(session: AsyncSession, schedule_id: UUID) -> bool:
    """Return whether a notification of an earlier occurrence is unfinished."""
    return bool((await session.execute(HAS_UNFINISHED, {"id": schedule_id})).scalar_one())


async def find_unfinished_recipients(
    session: AsyncSession, schedule_id: UUID, recipient_ids: Sequence[str]
) -> set[str]:
    """Those of them to whom something of it is still on its way."""
    rows = await session.execute(SELECT_UNFINISHED, {"id": schedule_id, "recipient_ids": list(recipient_ids)})
    return set(rows.scalars())


async def list_latest(session: AsyncSession, schedule_id: UUID, limit: int) -> list[ScheduleRunResult]:
    """Newest first."""
    rows = (await session.execute(SELECT_LATEST, {"id": schedule_id, "limit": limit})).mappings()
    return [ScheduleRunResult(**{**row, "skipped_recipients": decoded(row["skipped_recipients"])}) for row in rows]
