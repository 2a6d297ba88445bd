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
from storage.statements import Executor, decoded, statement

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
        """Return whether Temporal must have a Schedule for this type."""
        return bool(self.interval_minutes or self.schedules)


# Of one search attribute in Temporal, which holds 2 KB.
MAX_SHOWN_KEYS, MAX_SHOWN_LENGTH = 60, 1_500

# Of two concurrent changes of a type, the second one sees what the first one has committed.
LOCK_TICK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
SAVE_TICK = statement("ticks/save_tick")
# Synchronized ticks are claimed again from time to time, because a Schedule may have been deleted in Temporal. Failed
# ones are claimed after those that were never attempted.
CLAIM_UNSYNCED = statement("ticks/claim_unsynced")
# If the tick was changed or read again since, another process may have synchronized other values before or after: then
# it is synchronized once more. The Schedule of a deleted tick is removed.
MARK_SYNCED = statement("ticks/mark_synced")
DELETE_UNUSED = text("""
DELETE FROM tick WHERE tenant = :tenant AND notification_type = :type AND interval_minutes = 0 AND schedules = '{}'
   AND sync_attempted_at = :sync_attempted_at
""")
RESET_SYNC = text("""
UPDATE tick SET synced_at = NULL, sync_attempted_at = NULL WHERE tenant = :tenant AND notification_type = :type
""")
SELECT_RECURRING_RULES = statement("ticks/select_recurring_rules")
# Of the current version, and of older ones as long as something is collected under them.
SELECT_DIGEST_RULES = statement("ticks/select_digest_rules")
SELECT_SHOWN_SCHEDULES = statement("ticks/select_shown_schedules")


async def read_recurring_rules(session: AsyncSession, tenant: UUID, notification_type: str) -> list[Cron]:
    rules = await session.execute(SELECT_RECURRING_RULES, {"tenant": tenant, "type": notification_type})
    return [parse_cron(rule) for rule in rules.scalars()]


async def read_digest_rules(session: AsyncSession, tenant: UUID, notification_type: str) -> list[Cron]:
    rules = await session.execute(SELECT_DIGEST_RULES, {"tenant": tenant, "type": notification_type})
    return [parse_cron(rule) for rule in rules.scalars()]


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
    """Update the tick of a type after a change of what is due. The dispatcher then updates Temporal's Schedule."""
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
