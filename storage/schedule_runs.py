"""Record the runs of schedules: due, triggered and backfilled ones. Open runs have recipients left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause
from sqlalchemy.ext.asyncio import AsyncSession

from domain.names import DISPATCH_CHANNEL, RUNS_DUE
from domain.schedules import RunKind, ScheduleDefinition, SkipReason, run_id, schedule_of
from storage.database import to_json
from storage.statements import Executor, decoded, statement


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


# In the order of their ids, as in every transaction that locks several runs.
RECORD_RUNS = statement("schedule_runs/record_runs")
SELECT_NEXT_TENANT = statement("schedule_runs/select_next_tenant")
# Two queries, so that each reads one row of the index. The second one begins only if the first has found nothing.
CLAIM_NEXT = statement("schedule_runs/claim_next")
CLAIM_OF_TYPE = statement("schedule_runs/claim_of_type")
READ_RUN = statement("schedule_runs/read_run")
SAVE_PROGRESS = statement("schedule_runs/save_progress")
FINISH_RUN = statement("schedule_runs/finish_run")
# Without collected notifications, which may wait for their digest until after the next occurrence.
HAS_UNFINISHED = statement("schedule_runs/has_unfinished")
SELECT_UNFINISHED = statement("schedule_runs/select_unfinished")
SELECT_LATEST = statement("schedule_runs/select_latest")


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
    """Return those of the recipients who have an unfinished notification of the schedule."""
    rows = await session.execute(SELECT_UNFINISHED, {"id": schedule_id, "recipient_ids": list(recipient_ids)})
    return set(rows.scalars())


async def list_latest(session: AsyncSession, schedule_id: UUID, limit: int) -> list[ScheduleRunResult]:
    """Newest first."""
    rows = (await session.execute(SELECT_LATEST, {"id": schedule_id, "limit": limit})).mappings()
    return [ScheduleRunResult(**{**row, "skipped_recipients": decoded(row["skipped_recipients"])}) for row in rows]
