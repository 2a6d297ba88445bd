"""Reads the pauses of a tenant, and how many messages each holds back. Called by the routes."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.holds import HoldKind, Pause
from models.notifications import HELD_AND_WAITING

COUNTED = 100_000

PAUSES = """
SELECT id, kind, name, reason, created_at AS since, created_by AS by FROM hold
 WHERE (tenant = :tenant OR tenant IS NULL) AND kind <> 'tenant'
"""
# By the channel, type and providers in `held_for`. What has ended may keep its mark until the next release.
PAGE = text(f"""
WITH paused AS (
  {PAUSES} AND (CAST(:before AS uuid) IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit
), waiting AS (
  SELECT held_for, count(*) AS count FROM (
    SELECT held_for FROM delivery
     WHERE {HELD_AND_WAITING} AND tenant = :tenant AND status IN ('PENDING', 'SENDING') LIMIT {COUNTED}) counted
   GROUP BY held_for
)
SELECT paused.*, (
  SELECT COALESCE(sum(count), 0)::int FROM waiting
   WHERE CASE kind WHEN 'channel' THEN name = split_part(held_for, ' ', 1)
                   WHEN 'type' THEN name = split_part(held_for, ' ', 2)
                   ELSE name = ANY(string_to_array(split_part(held_for, ' ', 3), ',')) END) AS waiting
  FROM paused ORDER BY id DESC
""")  # noqa: S608 - constants of our own
OF_TYPE = text(f"{PAUSES} AND (kind <> 'type' OR name = :notification_type) ORDER BY id")


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedPause:
    id: UUID
    pause: Pause
    waiting: int


async def page(session: AsyncSession, tenant: UUID, *, before: UUID | None, limit: int) -> Sequence[ListedPause]:
    """Newest first; `before` is the last id of the page before."""
    rows = await session.execute(PAGE, {"tenant": tenant, "before": before, "limit": limit})
    return [ListedPause(id=row["id"], pause=_pause(row), waiting=row["waiting"]) for row in rows.mappings()]


async def for_type(session: AsyncSession, tenant: UUID, notification_type: str) -> tuple[Pause, ...]:
    """Those that may hold back a notification of this type."""
    rows = await session.execute(OF_TYPE, {"tenant": tenant, "notification_type": notification_type})
    return tuple(_pause(row) for row in rows.mappings())


def _pause(row: RowMapping) -> Pause:
    values = {name: row[name] for name in ("name", "since", "by", "reason")}
    return Pause(kind=HoldKind(row["kind"]), **values)
