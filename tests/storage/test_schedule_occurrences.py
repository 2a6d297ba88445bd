"""Find the schedule occurrences of one recipient by an index. Every send with a time zone does."""

import pytest
from sqlalchemy import text

from storage import schedule_occurrences, schedules
from storage.database import Database
from tests.storage.sends import new_tenant

pytestmark = pytest.mark.postgres

INDEX = "schedule_occurrence_of_recipient"
SPEC = {"topic": "news", "payload": {}, "timezone": "recipient", "overlap": "skip", "cron": "0 9 * * *"}
INSERT_OCCURRENCES = text("""
INSERT INTO schedule_occurrence (schedule_id, recipient_id, tenant, notification_type, timezone, due_at)
SELECT :id, 'person-' || number, :tenant, 'report', 'UTC', now() + interval '1 day'
  FROM generate_series(1, 5000) number
""")
SCANS = text("SELECT pg_stat_get_xact_numscans(to_regclass(:index))")


@pytest.mark.parametrize("asked", ["moved", "unsubscribed"])
async def test_they_are_found_by_an_index(database: Database, asked: str) -> None:
    tenant = await new_tenant(database)
    async with database.transaction() as session:
        schedule, _ = await schedules.put(session, tenant, "daily", "report", SPEC)
        await session.execute(INSERT_OCCURRENCES, {"id": schedule.id, "tenant": tenant})
        await session.execute(text("ANALYZE schedule_occurrence"))
        if asked == "moved":
            await schedule_occurrences.update_timezones(session, tenant, ["person-7"])
        else:
            await schedule_occurrences.remove_subscriber(session, tenant, "news", "person-7")
        assert (await session.execute(SCANS, {"index": INDEX})).scalar_one()
        await schedules.delete(session, tenant, "daily")
