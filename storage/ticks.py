"""What ticks for a type of a tenant: how often somebody has to look whether something is due by the calendar."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.cron import Cron, parse_cron
from domain.names import DISPATCH_CHANNEL, TICKS_DUE
from domain.schedules import minutes_for
from storage.database import to_json
from storage.rows import decoded
from storage.statements import Executor

Source = Callable[[AsyncSession, UUID, str], Awaitable[list[Cron]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """`minutes` 0: nothing is due any more. `schedules`: keys of recurring sends, and whether each is paused.
    `tried_at` is when it was read, and tells this reading from a later one.
    When Temporal's store is another one, all are to be told again (`storage/stores.py`)."""

    tenant: UUID
    notification_type: str
    minutes: int
    tried_at: datetime | None = None
    tenant_key: str = ""
    schedules: Mapping[str, bool] = field(default_factory=dict)

    @property
    def stays(self) -> bool:
        """Whether Temporal is to have a Schedule for it."""
        return bool(self.minutes or self.schedules)


# Of one search attribute in Temporal, which holds 2 KB.
MOST_SHOWN, SHOWN_LENGTH = 60, 1_500

# Two who change something of a type at once: the second one sees what the first one has committed.
LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")

WANT = text("""
WITH wanted AS (
  INSERT INTO tick AS t (tenant, notification_type, minutes, schedules)
  SELECT CAST(:tenant AS uuid), CAST(:type AS text), CAST(:minutes AS int), CAST(:schedules AS jsonb)
   WHERE :minutes > 0 OR :schedules <> '{}'
      OR EXISTS (SELECT 1 FROM tick WHERE tenant = :tenant AND notification_type = CAST(:type AS text))
  ON CONFLICT (tenant, notification_type) DO UPDATE SET minutes = EXCLUDED.minutes, schedules = EXCLUDED.schedules,
         ensured_at = NULL, tried_at = NULL
   WHERE (t.minutes, t.schedules) <> (EXCLUDED.minutes, EXCLUDED.schedules) RETURNING 1
)
SELECT pg_notify(:channel, :due) FROM wanted
""")

# Also now and then those that Temporal was told of: somebody may have deleted a Schedule there. Whatever it did not
# take comes after all that it was not told of since.
TO_ENSURE = text("""
UPDATE tick SET tried_at = clock_timestamp() FROM (
  SELECT * FROM (
    SELECT tenant, notification_type FROM tick WHERE ensured_at IS NULL
     ORDER BY tried_at NULLS FIRST LIMIT :limit FOR UPDATE SKIP LOCKED) untold
   UNION ALL
  SELECT * FROM (
    SELECT tenant, notification_type FROM tick WHERE ensured_at < now() - make_interval(secs => :again)
     ORDER BY ensured_at LIMIT :limit FOR UPDATE SKIP LOCKED) old
   LIMIT :limit) due
 WHERE tick.tenant = due.tenant AND tick.notification_type = due.notification_type
RETURNING tick.tenant, tick.notification_type, tick.minutes, tick.tried_at, tick.schedules,
          (SELECT key FROM tenant WHERE tenant.id = tick.tenant) AS tenant_key
""")
# If it was changed or read again since then, another process may have told Temporal something else before or after:
# then what is wanted is told once more. Of one that is gone by now the Schedule is to be removed.
SAME = "t.minutes = CAST(:minutes AS int) AND t.schedules = CAST(:schedules AS jsonb) AND t.tried_at = :tried_at"
ENSURED = text(f"""
INSERT INTO tick AS t (tenant, notification_type, minutes)
VALUES (CAST(:tenant AS uuid), CAST(:type AS text), 0)
ON CONFLICT (tenant, notification_type) DO UPDATE SET
       ensured_at = CASE WHEN {SAME} THEN now() END, tried_at = CASE WHEN {SAME} THEN t.tried_at END
""")  # noqa: S608 - a constant of our own
GONE = text("""
DELETE FROM tick WHERE tenant = :tenant AND notification_type = :type AND minutes = 0 AND schedules = '{}'
   AND tried_at = :tried_at
""")
NOT_GONE = text("""
UPDATE tick SET ensured_at = NULL, tried_at = NULL WHERE tenant = :tenant AND notification_type = :type
""")

RECURRING = text("""
SELECT DISTINCT s.spec ->> 'cron' FROM schedule s
 WHERE s.tenant = :tenant AND s.notification_type = :type AND s.deleted_at IS NULL AND s.paused_at IS NULL
   AND EXISTS (SELECT 1 FROM schedule_turn t WHERE t.schedule_id = s.id AND t.due_at IS NOT NULL)
""")


async def recurring(session: AsyncSession, tenant: UUID, notification_type: str) -> list[Cron]:
    rules = await session.execute(RECURRING, {"tenant": tenant, "type": notification_type})
    return [parse_cron(rule) for rule in rules.scalars()]


# Of the current version, and of older ones as long as something is collected under them.
DIGESTS = text("""
SELECT DISTINCT t.spec -> 'digest' ->> 'schedule' FROM notification_type t
 WHERE t.tenant = :tenant AND t.key = :type AND t.spec -> 'digest' ->> 'schedule' IS NOT NULL
   AND (EXISTS (SELECT 1 FROM digest d WHERE d.type_id = t.id AND d.tenant = t.tenant AND d.closed_at IS NULL
                 AND d.calendar)
        OR (t.retired_at IS NULL AND NOT EXISTS (
          SELECT 1 FROM notification_type newer WHERE newer.tenant = t.tenant AND newer.key = t.key
             AND newer.version > t.version)))
""")


async def calendar_digests(session: AsyncSession, tenant: UUID, notification_type: str) -> list[Cron]:
    rules = await session.execute(DIGESTS, {"tenant": tenant, "type": notification_type})
    return [parse_cron(rule) for rule in rules.scalars()]


SCHEDULES = text("""
SELECT key, paused_at IS NOT NULL AS paused FROM schedule
 WHERE tenant = :tenant AND notification_type = :type AND deleted_at IS NULL ORDER BY key LIMIT :limit
""")


async def schedules_shown(session: AsyncSession, tenant: UUID, notification_type: str) -> dict[str, bool]:
    """The first keys by name, as many as a search attribute of Temporal holds, and whether each is paused."""
    values = {"tenant": tenant, "type": notification_type, "limit": MOST_SHOWN}
    found = (await session.execute(SCHEDULES, values)).mappings().all()
    lengths = accumulate(len(row["key"]) for row in found)
    return {row["key"]: row["paused"] for row, length in zip(found, lengths, strict=True) if length <= SHOWN_LENGTH}


# Each tells the rules by which something of a type is due.
SOURCES: tuple[Source, ...] = (recurring, calendar_digests)


async def want(session: AsyncSession, tenant: UUID, notification_type: str) -> None:
    """After every change of what is due: the dispatcher makes Temporal's Schedule follow."""
    await session.execute(LOCK, {"name": f"tick:{tenant}:{notification_type}"})
    rules = [rule for source in SOURCES for rule in await source(session, tenant, notification_type)]
    shown = to_json(await schedules_shown(session, tenant, notification_type))
    values = {"tenant": tenant, "type": notification_type, "minutes": minutes_for(rules), "schedules": shown}
    await session.execute(WANT, {**values, "channel": DISPATCH_CHANNEL, "due": TICKS_DUE})


async def to_ensure(session: Executor, limit: int, again: float) -> list[Tick]:
    """To be tried now. `again`: in seconds, after how long Temporal is looked at once more."""
    rows = (await session.execute(TO_ENSURE, {"limit": limit, "again": again})).mappings()
    return [Tick(**{**row, "schedules": decoded(row["schedules"])}) for row in rows]


async def ensured(session: AsyncSession, tick: Tick) -> None:
    """As it was read: what was changed meanwhile, or told otherwise, is still to be told."""
    values = {"tenant": tick.tenant, "type": tick.notification_type, "tried_at": tick.tried_at}
    if tick.stays:
        shown = to_json(dict(tick.schedules))
        await session.execute(ENSURED, {**values, "minutes": tick.minutes, "schedules": shown})
    else:
        await session.execute(GONE, values)
        await session.execute(NOT_GONE, values)
