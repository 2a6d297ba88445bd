"""Example responses of schedule operations, for `api/examples.py`: a weekly report to the subscribers of a topic."""

from domain.json_types import Json

SAVED_AT = "2026-11-22T19:19:50.395871Z"
RUN_ID = "6a1f0b0e-2d0f-5a55-8c4e-3b0a9f0f7d21"
SCHEDULE_SUMMARY: Json = {
    "key": "weekly-report",
    "notification_type": "weekly-report",
    "cron": "0 9 * * mon",
    "timezone": "recipient",
    "paused": False,
    "next_runs": ["2026-11-23T08:00:00Z", "2026-11-30T08:00:00Z"],
    "next_runs_timezone": "Europe/Vienna",
    "created_at": SAVED_AT,
    "updated_at": SAVED_AT,
}
RUN: Json = {
    "id": RUN_ID,
    "kind": "due",
    "due_at": "2026-11-16T08:00:00Z",
    "ran_at": "2026-11-16T08:00:01Z",
    "accepted": 41,
    "skip_reason": None,
    "skipped_recipients": {"overlap": 1},
    "finished_at": "2026-11-16T08:00:01Z",
}
SCHEDULE: Json = {
    **SCHEDULE_SUMMARY,
    **dict.fromkeys(("recipient_id", "recipients", "starts_at", "ends_at", "priority", "channels", "expires_in")),
    "topic": "reports",
    "payload": {"report": "sales"},
    "overlap": "skip",
    "tags": [],
    "planning": None,
    "last_runs": [RUN],
}

SCHEDULE_EXAMPLES: dict[str, Json] = {
    **dict.fromkeys(("put_schedule", "get_schedule", "pause_schedule", "resume_schedule"), SCHEDULE),
    "list_schedules": {"items": [SCHEDULE_SUMMARY], "next_cursor": None},
    "trigger_schedule": {"run_id": RUN_ID},
    "backfill_schedule": {"times": ["2026-11-02T08:00:00Z", "2026-11-09T08:00:00Z"]},
}
