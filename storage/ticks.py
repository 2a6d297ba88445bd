"""Store the tick of each type of a tenant: how often a Temporal Schedule checks for digests and recurring sends."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.cron import Cron, parse_cron
from domain.names import DISPATCH_CHANNEL, TICKS_DUE
from domain.schedules import tick_interval_minutes
from storage.database import to_json
from storage.rows import decoded
from storage.statements import Executor

RuleSource = Callable[[AsyncSession, UUID, str], Awaitable[list[Cron]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class DesiredTick:
    """Describe the tick that Temporal should have. `interval_minutes` 0: no tick. `schedules`: keys of recurring sends,
    and whether each is paused. `sync_attempted_at` is the time of this read, and distinguishes it from later ones.
    After a reset of Temporal's store all ticks are synchronized again."""

    tenant: UUID
    notification_type: str
    interval_minutes: int
    sync_attempted_at: datetime | None = None
    tenant_key: str = ""
    schedules: Mapping[str, bool] = field(default_factory=dict)

    @property
    def is_needed(self) -> bool:
        """Whether Temporal is to have a Schedule for it."""
        return bool(self.interval_minutes or self.schedules)


# Of one search attribute in Temporal, which holds 2 KB.
MAX_SHOWN_KEYS, MAX_SHOWN_LENGTH = 60, 1_500

# Two who change something of a type at once: the second one sees what the first one has committed.
LOCK_TICK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")

SAVE_TICK = text("""
WITH wanted AS (
  INSERT INTO tick AS t (tenant, notification_type, interval_minutes, schedules)
  SELECT CAST(:tenant AS uuid), CAST(:type AS text), CAST(:interval_minutes AS int), CAST(:schedules AS jsonb)
   WHERE :interval_minutes > 0 OR :schedules <> '{}'
      OR EXISTS (SELECT 1 FROM tick WHERE tenant = :tenant AND notification_type = CAST(:type AS text))
  ON CONFLICT (tenant, notification_type) DO UPDATE SET interval_minutes = EXCLUDED.interval_minutes,
  schedules = EXCLUDED.schedules,
         synced_at = NULL, sync_attempted_at = NULL
   WHERE (t.interval_minutes, t.schedules) <> (EXCLUDED.interval_minutes, EXCLUDED.schedules) RETURNING 1
)
SELECT pg_notify(:channel, :due) FROM wanted
""")

# Synchronized ticks are claimed again from time to time, because a Schedule may have been deleted in Temporal. Failed
# ones are claimed after those that were never attempted.
CLAIM_UNSYNCED = text("""
UPDATE tick SET sync_attempted_at = clock_timestamp() FROM (
  SELECT * FROM (
    SELECT tenant, notification_type FROM tick WHERE synced_at IS NULL
     ORDER BY sync_attempted_at NULLS FIRST LIMIT :limit FOR UPDATE SKIP LOCKED) unsynced
   UNION ALL
  SELECT * FROM (
    SELECT tenant, notification_type FROM tick WHERE synced_at < now() - make_interval(secs => :resync_after)
     ORDER BY synced_at LIMIT :limit FOR UPDATE SKIP LOCKED) old
   LIMIT :limit) due
 WHERE tick.tenant = due.tenant AND tick.notification_type = due.notification_type
RETURNING tick.tenant, tick.notification_type, tick.interval_minutes, tick.sync_attempted_at, tick.schedules,
          (SELECT key FROM tenant WHERE tenant.id = tick.tenant) AS tenant_key
""")
# If the tick was changed or read again since, another process may have synchronized other values before or after: then
# it is synchronized once more. The Schedule of a deleted tick is removed.
IS_UNCHANGED = """t.interval_minutes = CAST(:interval_minutes AS int) AND t.schedules = CAST(:schedules AS jsonb)
   AND t.sync_attempted_at = :sync_attempted_at"""
MARK_SYNCED = text(f"""
INSERT INTO tick AS t (tenant, notification_type, interval_minutes)
VALUES (CAST(:tenant AS uuid), CAST(:type AS text), 0)
ON CONFLICT (tenant, notification_type) DO UPDATE SET
       synced_at = CASE WHEN {IS_UNCHANGED} THEN now() END, sync_attempted_at = CASE WHEN {IS_UNCHANGED}
       THEN t.sync_attempted_at END
""")  # noqa: S608 - a constant of our own
DELETE_UNUSED = text("""
DELETE FROM tick WHERE tenant = :tenant AND notification_type = :type AND interval_minutes = 0 AND schedules = '{}'
   AND sync_attempted_at = :sync_attempted_at
""")
RESET_SYNC = text("""
UPDATE tick SET synced_at = NULL, sync_attempted_at = NULL WHERE tenant = :tenant AND notification_type = :type
""")

SELECT_RECURRING_RULES = text("""
SELECT DISTINCT s.spec ->> 'cron' FROM schedule s
 WHERE s.tenant = :tenant AND s.notification_type = :type AND s.deleted_at IS NULL AND s.paused_at IS NULL
   AND EXISTS (SELECT 1 FROM schedule_occurrence t WHERE t.schedule_id = s.id AND t.due_at IS NOT NULL)
""")


async def read_recurring_rules(session: AsyncSession, tenant: UUID, notification_type: str) -> list[Cron]:
    rules = await session.execute(SELECT_RECURRING_RULES, {"tenant": tenant, "type": notification_type})
    return [parse_cron(rule) for rule in rules.scalars()]


# Of the current version, and of older ones as long as something is collected under them.
SELECT_DIGEST_RULES = text("""
SELECT DISTINCT t.spec -> 'digest' ->> 'schedule' FROM notification_type t
 WHERE t.tenant = :tenant AND t.key = :type AND t.spec -> 'digest' ->> 'schedule' IS NOT NULL
   AND (EXISTS (SELECT 1 FROM digest d WHERE d.type_id = t.id AND d.tenant = t.tenant AND d.closed_at IS NULL
                 AND d.closes_on_schedule)
        OR (t.retired_at IS NULL AND NOT EXISTS (
          SELECT 1 FROM notification_type newer WHERE newer.tenant = t.tenant AND newer.key = t.key
             AND newer.version > t.version)))
""")


async def read_digest_rules(session: AsyncSession, tenant: UUID, notification_type: str) -> list[Cron]:
    rules = await session.execute(SELECT_DIGEST_RULES, {"tenant": tenant, "type": notification_type})
    return [parse_cron(rule) for rule in rules.scalars()]


SELECT_SHOWN_SCHEDULES = text("""
SELECT key, paused_at IS NOT NULL AS paused FROM schedule
 WHERE tenant = :tenant AND notification_type = :type AND deleted_at IS NULL ORDER BY key LIMIT :limit
""")


async def read_shown_schedules(session: AsyncSession, tenant: UUID, notification_type: str) -> dict[str, bool]:
    """Return the first keys by name, as many as a search attribute of Temporal holds, and whether each is paused."""
    values = {"tenant": tenant, "type": notification_type, "limit": MAX_SHOWN_KEYS}
    shown_rows = (await session.execute(SELECT_SHOWN_SCHEDULES, values)).mappings().all()
    lengths = accumulate(len(row["key"]) for row in shown_rows)
    return {
        row["key"]: row["paused"] for row, length in zip(shown_rows, lengths, strict=True) if length <= MAX_SHOWN_LENGTH
    }


# Each tells the rules by which something of a type is due.
RULE_SOURCES: tuple[RuleSource, ...] = (read_recurring_rules, read_digest_rules)


async def update_tick(session: AsyncSession, tenant: UUID, notification_type: str) -> None:
    """After every change of what is due: the dispatcher makes Temporal's Schedule follow."""
    await session.execute(LOCK_TICK, {"name": f"tick:{tenant}:{notification_type}"})
    rules = [rule for source in RULE_SOURCES for rule in await source(session, tenant, notification_type)]
    shown = to_json(await read_shown_schedules(session, tenant, notification_type))
    values = {
        "tenant": tenant,
        "type": notification_type,
        "interval_minutes": tick_interval_minutes(rules),
        "schedules": shown,
    }
    await session.execute(SAVE_TICK, {**values, "channel": DISPATCH_CHANNEL, "due": TICKS_DUE})


async def claim_unsynced(session: Executor, limit: int, resync_after: float) -> list[DesiredTick]:
    """Return the ticks to synchronize now. Temporal is checked again `resync_after` seconds after the last
    synchronization."""
    rows = (await session.execute(CLAIM_UNSYNCED, {"limit": limit, "resync_after": resync_after})).mappings()
    return [DesiredTick(**{**row, "schedules": decoded(row["schedules"])}) for row in rows]


async def mark_synced(session: AsyncSession, tick: DesiredTick) -> None:
    """Mark the tick as synchronized, unless it was changed or read again since."""
    values = {"tenant": tick.tenant, "type": tick.notification_type, "sync_attempted_at": tick.sync_attempted_at}
    if tick.is_needed:
        shown = to_json(dict(tick.schedules))
        await session.execute(MARK_SYNCED, {**values, "interval_minutes": tick.interval_minutes, "schedules": shown})
    else:
        await session.execute(DELETE_UNUSED, values)
        await session.execute(RESET_SYNC, values)
