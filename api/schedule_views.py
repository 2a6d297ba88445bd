"""Build the responses of recurring sends."""

from datetime import datetime
from itertools import islice
from typing import Any

from api.schemas.schedules import PlanningView, RunView, ScheduleSummary, ScheduleView
from domain.local_times import is_known_zone
from domain.schedules import RECIPIENT_ZONE, recipients_of, rule_of
from services.schedules import ScheduleState
from storage.schedule_runs import ScheduleRunResult
from storage.schedules import PlanProgress, StoredSchedule

NEXT_RUNS = 5


def schedule_summary(row: StoredSchedule, tenant_zone: str, now: datetime) -> ScheduleSummary:
    return ScheduleSummary(**_shared_fields(row, tenant_zone, now))


def schedule_view(state: ScheduleState, now: datetime) -> ScheduleView:
    """Build the response. A spec stored before a field existed gets the value of that field's default."""
    row = state.row
    names = ("recipient_id", "recipients", "topic", "starts_at", "ends_at", "priority", "channels", "expires_in")
    spec_fields: dict[str, Any] = {name: row.spec.get(name) for name in names}
    return ScheduleView(
        **_shared_fields(row, state.tenant_timezone, now),
        **spec_fields,
        payload=row.spec["payload"],
        overlap=row.spec["overlap"],
        tags=row.spec.get("tags") or [],
        planning=None if state.planning is None else _planning_view(state.planning),
        last_runs=[run_view(run) for run in state.runs],
    )


def _shared_fields(row: StoredSchedule, tenant_zone: str, now: datetime) -> dict[str, Any]:
    zone = row.spec["timezone"]
    displayed_zone = tenant_zone if zone == RECIPIENT_ZONE else zone
    is_idle = row.paused_at is not None or recipients_of(row.spec) == () or not is_known_zone(displayed_zone)
    return {
        "key": row.key,
        "notification_type": row.notification_type,
        "cron": row.spec["cron"],
        "timezone": zone,
        "paused": row.paused_at is not None,
        "next_runs": [] if is_idle else list(islice(rule_of(row.spec).upcoming(displayed_zone, now), NEXT_RUNS)),
        "next_runs_timezone": displayed_zone,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def _planning_view(planning: PlanProgress) -> PlanningView:
    return PlanningView(started_at=planning.since, planned_recipients=planning.planned_count)


def run_view(run: ScheduleRunResult) -> RunView:
    """Build the response of a run. If a single reason skipped all recipients, it is also the `skip_reason` of the
    run."""
    reasons = [*run.skipped_recipients] if run.accepted == 0 and run.finished_at is not None else []
    return RunView(
        id=run.id,
        kind=run.kind,
        due_at=run.due_at,
        ran_at=run.ran_at,
        accepted=run.accepted,
        skip_reason=run.skip_reason or (reasons[0] if len(reasons) == 1 else None),
        skipped_recipients=dict(run.skipped_recipients),
        finished_at=run.finished_at,
    )
