"""Open a tenant with schedules, whose ticks the test runs."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from domain.clock import now
from domain.schedules import RunKind
from models.columns import new_id
from services.recurring_sends import RecurringSends
from services.tick_work import build_tick_work
from storage import notification_types, recipients, schedule_occurrences, schedule_runs, schedules
from storage.database import Database
from storage.schedule_runs import NewScheduleRun
from storage.schedules import StoredSchedule
from tests.storage.sends import DatabaseTenant, open_database_tenant

TYPE = "order.shipped"


@dataclass(frozen=True, kw_only=True)
class ScheduleTenant(DatabaseTenant):
    """Add schedules, and what a tick does for their type."""

    recurring: RecurringSends

    async def move_recipient(self, recipient_id: str, timezone: str | None) -> None:
        await self.put_recipient(recipient_id, timezone=timezone)
        async with self.database.transaction() as session:
            await schedule_occurrences.update_timezones(session, self.tenant, [recipient_id])

    async def add_recipients(self, number: int) -> list[str]:
        people = [f"person-{number:03}" for number in range(number)]
        await self.query(
            "INSERT INTO recipient (tenant, recipient_id, contact, attributes, created_at, updated_at) "
            "SELECT :t, unnest(CAST(:people AS text[])), '{}', '{}', now(), now()",
            t=self.tenant,
            people=people,
        )
        return people

    async def move_to_zone(self, schedule: StoredSchedule, zone: str) -> None:
        """Write the zone as another machine would that knows it."""
        for statement in (
            "UPDATE recipient SET timezone = :zone WHERE tenant = :t AND :own",
            "UPDATE schedule SET spec = jsonb_set(spec, '{timezone}', to_jsonb(CAST(:zone AS text)))"
            " WHERE id = :id AND NOT :own",
            "UPDATE schedule_occurrence SET timezone = :zone WHERE schedule_id = :id",
        ):
            own = schedule.spec["timezone"] == "recipient"
            values = {"zone": zone, "t": self.tenant, "id": schedule.id, "own": own}
            used = {name: value for name, value in values.items() if f":{name}" in statement}
            await self.query(statement, **used)

    async def schedule(self, cron: str = "0 12 * * *", key: str = "daily", **more: Any) -> StoredSchedule:
        spec = {"payload": {"figure": 7}, "cron": cron, "timezone": "UTC", "overlap": "allow", **more}
        async with self.database.transaction() as session:
            return (await schedules.put(session, self.tenant, key, TYPE, spec))[0]

    async def overdue(self, schedule: StoredSchedule, since: timedelta = timedelta(minutes=1)) -> None:
        """Make the occurrences overdue, as after an outage."""
        rule = schedule.value(self.tenant).rule
        due_at = rule.next("UTC", now() - since - timedelta(days=1))
        await self.query(
            "UPDATE schedule_occurrence SET due_at = :due_at WHERE schedule_id = :id", due_at=due_at, id=schedule.id
        )

    async def subscribe(self, recipient_id: str, *keys: str) -> None:
        async with self.database.transaction() as session:
            for topic in keys:
                assert await recipients.subscribe(session, self.tenant, topic, recipient_id)

    async def unsubscribe(self, recipient_id: str, topic: str) -> None:
        async with self.database.transaction() as session:
            assert await recipients.unsubscribe(session, self.tenant, topic, recipient_id)

    async def trigger(self, schedule: StoredSchedule) -> None:
        await self.trigger_only(schedule)
        await self.tick()

    async def trigger_only(self, schedule: StoredSchedule) -> None:
        run = NewScheduleRun(
            schedule=schedule.value(self.tenant),
            kind=RunKind.TRIGGER,
            due_at=now(),
            id=new_id(),
            is_finished=False,
        )
        async with self.database.transaction() as session:
            await schedule_runs.record_runs(session, [run])

    async def tick(self) -> int:
        """Return how many steps found due work."""
        steps = 0
        for work in build_tick_work(self.database, self.recurring).values():
            while await work(self.tenant, TYPE):
                steps += 1
        return steps

    async def list_sent_to(self) -> list[str]:
        rows = await self.query("SELECT recipient_id FROM notification WHERE tenant = :t", t=self.tenant)
        return sorted(row["recipient_id"] for row in rows)

    async def runs(self, schedule: StoredSchedule) -> list[schedule_runs.ScheduleRunResult]:
        async with self.database.transaction() as session:
            return await schedule_runs.list_latest(session, schedule.id, 100)

    async def due_at(self, schedule: StoredSchedule) -> dict[str, datetime]:
        rows = await self.query("SELECT * FROM schedule_occurrence WHERE schedule_id = :id", id=schedule.id)
        return {row["recipient_id"]: row["due_at"] for row in rows}


async def open_schedule_tenant(database: Database) -> ScheduleTenant:
    database_tenant = await open_database_tenant(database)
    spec = {"key": TYPE, "route": [{"channels": ["email"]}], "templates": {"email": "words"}}
    async with database.transaction() as session:
        await notification_types.put(session, database_tenant.tenant, TYPE, spec)
    return ScheduleTenant(**vars(database_tenant), recurring=RecurringSends(database, b"secret"))
