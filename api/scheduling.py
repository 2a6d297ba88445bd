"""Recurring sends: checked when they are saved, and as they are shown. Called by their routes."""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from api.callers import Caller
from api.problems import Fault, at
from api.schemas.schedules import PlanningView, RunView, ScheduleBody, ScheduleSummary, ScheduleView
from api.send_checks import NO_SUCH_TYPE, send_faults
from bootstrap import Parts
from domain.local_times import is_known
from domain.schedules import OWN_ZONE, people_of, rule_of
from storage.schedule_plans import Planning
from storage.schedule_runs import Run
from storage.schedules import Schedule

NEXT_RUNS = 5
UNKNOWN_RECIPIENT = "there is no such recipient; PUT it first"


async def faults(parts: Parts, caller: Caller, body: ScheduleBody) -> list[Fault]:
    """What each of its sends would be refused for."""
    kind = await parts.catalog.current_type(caller.tenant, body.notification_type)
    if kind is None:
        return [NO_SUCH_TYPE]
    [found] = await send_faults(parts, caller, [(kind, body)])
    return found


def unknown_people(body: ScheduleBody, known: set[str]) -> list[Fault]:
    if body.recipient_id is not None:
        return [] if body.recipient_id in known else [at("/recipient_id", UNKNOWN_RECIPIENT)]
    unknown = (index for index, person in enumerate(body.recipients or []) if person not in known)
    return [at(f"/recipients/{index}", UNKNOWN_RECIPIENT) for index in unknown]


def summary(row: Schedule, tenant_zone: str, now: datetime) -> ScheduleSummary:
    return ScheduleSummary(**_facts(row, tenant_zone, now))


def view(
    row: Schedule, tenant_zone: str, now: datetime, runs: Sequence[Run], planning: Planning | None
) -> ScheduleView:
    """A spec that was written before a field was there has what it stands for if it is not given."""
    names = ("recipient_id", "recipients", "topic", "starts_at", "ends_at", "priority", "channels", "expires_in")
    given: dict[str, Any] = {name: row.spec.get(name) for name in names}
    return ScheduleView(
        **_facts(row, tenant_zone, now),
        **given,
        payload=row.spec["payload"],
        overlap=row.spec["overlap"],
        tags=row.spec.get("tags") or [],
        planning=None if planning is None else _planning_view(planning),
        last_runs=[run_view(run) for run in runs],
    )


def _facts(row: Schedule, tenant_zone: str, now: datetime) -> dict[str, Any]:
    zone = row.spec["timezone"]
    reckoned = tenant_zone if zone == OWN_ZONE else zone
    rests = row.paused_at is not None or people_of(row.spec) == () or not is_known(reckoned)
    return {
        "key": row.key,
        "notification_type": row.notification_type,
        "cron": row.spec["cron"],
        "timezone": zone,
        "paused": row.paused_at is not None,
        "next_runs": [] if rests else list(islice(rule_of(row.spec).upcoming(reckoned, now), NEXT_RUNS)),
        "next_runs_timezone": reckoned,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def _planning_view(planning: Planning) -> PlanningView:
    return PlanningView(started_at=planning.since, planned_recipients=planning.planned)


def run_view(run: Run) -> RunView:
    """What was left out for everybody by one reason was skipped for that."""
    reasons = [*run.left_out] if run.accepted == 0 and run.finished_at is not None else []
    return RunView(
        id=run.id,
        kind=run.kind,
        due_at=run.due_at,
        ran_at=run.ran_at,
        accepted=run.accepted,
        skipped=run.skipped or (reasons[0] if len(reasons) == 1 else None),
        left_out=dict(run.left_out),
        finished_at=run.finished_at,
    )
