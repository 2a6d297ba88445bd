"""Skip time in Postgres: its clock, the work to do now, and the work that is due later."""

from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
from sqlalchemy import text

from domain.names import DISPATCH_CHANNEL, EVENTS_CHANNEL, SANDBOX_CHANNEL
from storage.database import Database
from storage.statements import notify

# Every statement of this database finds these before the functions of the same names in pg_catalog.
CREATE_CLOCK = """
CREATE SCHEMA skipped;
CREATE TABLE skipped.clock (ahead interval NOT NULL);
INSERT INTO skipped.clock VALUES ('0');
CREATE FUNCTION skipped.now() RETURNS timestamptz LANGUAGE sql STABLE
  AS 'SELECT pg_catalog.now() + ahead FROM skipped.clock';
CREATE FUNCTION skipped.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
  AS 'SELECT pg_catalog.clock_timestamp() + ahead FROM skipped.clock';
DO $$ BEGIN
  EXECUTE format('ALTER DATABASE %I SET search_path = skipped, pg_catalog, public', current_database());
END $$;
"""
SET_AHEAD = text("UPDATE skipped.clock SET ahead = :ahead")

# A receipt that is claimed for posting is due again in 5 s, so an earlier one may already be in flight.
REPORT_MARGIN = timedelta(seconds=6)
# The queue ends these waits; their workflows' own timers are later. Waits for a slot of a limit end with its window.
BUSY = text("""
SELECT 'a notification is not started or resumed' FROM queue_entry
 WHERE tenant = :tenant AND state IN ('due', 'claimed')
UNION SELECT 'a wait is over' FROM queue_entry WHERE tenant = :tenant AND state = 'waiting'
   AND COALESCE(waits_for, '') NOT IN ('throttled', 'frequency_capped') AND waits_until <= now()
UNION SELECT 'a notification is not collected' FROM queue_entry
 WHERE tenant = :tenant AND state = 'collecting' AND next_at <= now()
UNION SELECT 'a digest is not closed' FROM digest
 WHERE tenant = :tenant AND closed_at IS NULL
   AND (signaled_at IS NULL OR is_full OR (closes_on_schedule AND closes_at <= now()))
UNION SELECT 'a throttle is not resumed' FROM throttle_window
 WHERE tenant = :tenant AND has_waiters AND ends_at <= now()
UNION SELECT 'a cancel is not signaled' FROM queue_entry
 WHERE tenant = :tenant AND cancel_due AND state <> 'collecting'
UNION SELECT 'a receipt is not signaled' FROM queue_entry WHERE tenant = :tenant AND evidence_due
UNION SELECT 'a resume is not signaled' FROM delivery d
 WHERE tenant = :tenant AND held_at IS NOT NULL
   AND NOT EXISTS (SELECT 1 FROM hold h WHERE h.tenant = d.tenant OR h.tenant IS NULL)
UNION SELECT 'the sandbox has something to report' FROM sandbox_receipt r JOIN sandbox_message m ON m.id = r.message_id
 WHERE m.tenant = :tenant AND r.posted_at IS NULL AND r.due_at <= now() + :soon
UNION SELECT 'a schedule is due' FROM schedule_occurrence t JOIN schedule s ON s.id = t.schedule_id
 WHERE t.tenant = :tenant AND t.due_at <= now() AND s.paused_at IS NULL AND s.deleted_at IS NULL
UNION SELECT 'a schedule is not planned' FROM schedule_plan p JOIN schedule s ON s.id = p.schedule_id
 WHERE s.tenant = :tenant
UNION SELECT 'a run of a schedule is not finished' FROM schedule_run WHERE tenant = :tenant AND finished_at IS NULL
UNION SELECT 'a tick is not synced' FROM tick WHERE tenant = :tenant AND synced_at IS NULL
UNION SELECT 'a receipt is not applied' FROM receipt r JOIN attempt a ON a.id = r.attempt_id
 WHERE a.tenant = :tenant AND r.applied_at IS NULL
""")
NEXT = text("""
SELECT least(
  (SELECT min(r.due_at) FROM sandbox_receipt r JOIN sandbox_message m ON m.id = r.message_id
    WHERE m.tenant = :tenant AND r.posted_at IS NULL),
  (SELECT min(closes_at) FROM digest WHERE tenant = :tenant AND closed_at IS NULL AND closes_on_schedule),
  (SELECT min(next_at) FROM queue_entry WHERE tenant = :tenant AND state = 'collecting'),
  (SELECT min(waits_until) FROM queue_entry WHERE tenant = :tenant AND state = 'waiting'
      AND COALESCE(waits_for, '') NOT IN ('throttled', 'frequency_capped')),
  (SELECT min(ends_at) FROM throttle_window WHERE tenant = :tenant AND has_waiters),
  (SELECT min(t.due_at) FROM schedule_occurrence t JOIN schedule s ON s.id = t.schedule_id
    WHERE t.tenant = :tenant AND s.paused_at IS NULL AND s.deleted_at IS NULL))
""")
TO_TICK = text("""
SELECT t.notification_type FROM schedule_occurrence t JOIN schedule s ON s.id = t.schedule_id
 WHERE t.tenant = :tenant AND s.paused_at IS NULL AND s.deleted_at IS NULL AND t.due_at <= now()
UNION SELECT notification_type FROM digest
 WHERE tenant = :tenant AND closed_at IS NULL AND closes_on_schedule AND closes_at <= now()
""")
INSERT_REPORT = text("""
INSERT INTO sandbox_receipt (id, message_id, attempt_id, kind, at, due_at)
SELECT gen_random_uuid(), id, attempt_id, :kind, clock_timestamp(), clock_timestamp() FROM sandbox_message
 WHERE tenant = :tenant AND notification_id = :notification_id
   AND channel = COALESCE(CAST(:channel AS text), channel) RETURNING id
""")


async def add_clock(url: str) -> None:
    """Add the clock to a migrated database without connections."""
    connection = await asyncpg.connect(url.replace("postgresql+asyncpg", "postgresql", 1))
    try:
        await connection.execute(CREATE_CLOCK)
    finally:
        await connection.close()


class TenantRows:
    """Read the rows of one tenant. All tenants share the clock."""

    def __init__(self, database: Database, tenant: UUID) -> None:
        self._database = database
        self.tenant = tenant

    async def set_ahead(self, ahead: timedelta) -> None:
        async with self._database.transaction() as session:
            await session.execute(SET_AHEAD, {"ahead": ahead})

    async def notify_listeners(self) -> None:
        """Wake all loops whose work may be due now."""
        async with self._database.transaction() as session:
            for channel in (DISPATCH_CHANNEL, SANDBOX_CHANNEL, EVENTS_CHANNEL):
                await notify(session, channel)

    async def find_busy_reasons(self) -> list[str]:
        """Return descriptions of work that happens within moments without the passing of time."""
        async with self._database.transaction() as session:
            return sorted((await session.execute(BUSY, {"tenant": self.tenant, "soon": REPORT_MARGIN})).scalars())

    async def find_next_due(self) -> datetime | None:
        """Return the next time of a sandbox receipt, a wait, a limit or a schedule."""
        async with self._database.transaction() as session:
            due: datetime | None = (await session.execute(NEXT, {"tenant": self.tenant})).scalar_one()
        return due

    async def list_types_to_tick(self) -> list[str]:
        """Return the types with occurrences that are due."""
        async with self._database.transaction() as session:
            return list((await session.execute(TO_TICK, {"tenant": self.tenant})).scalars())

    async def report(self, notification_id: UUID, kind: str, channel: str | None) -> int:
        """Report a kind of receipt for the messages of a notification, and return their number."""
        values = {"tenant": self.tenant, "notification_id": notification_id, "kind": kind, "channel": channel}
        async with self._database.transaction() as session:
            reported = (await session.execute(INSERT_REPORT, values)).all()
            await notify(session, SANDBOX_CHANNEL)
        return len(reported)
