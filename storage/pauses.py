"""Reads the pauses of a tenant, and how many messages each holds back. Called by the routes."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.holds import ActivePause, HoldKind
from models.notifications import IS_HELD

MAX_COUNTED = 100_000

SELECT_PAUSES = """
SELECT id, kind, name, reason, created_at AS since, created_by AS by FROM hold
 WHERE (tenant = :tenant OR tenant IS NULL) AND kind <> 'tenant'
"""
# By the channel, type and providers in `hold_key`. What has ended may keep its mark until the next release.
SELECT_PAGE = text(f"""
WITH paused AS (
  {SELECT_PAUSES} AND (CAST(:before AS uuid) IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit
), waiting AS (
  SELECT hold_key, count(*) AS count FROM (
    SELECT hold_key FROM delivery
     WHERE {IS_HELD} AND tenant = :tenant AND status IN ('PENDING', 'SENDING') LIMIT {MAX_COUNTED}) counted
   GROUP BY hold_key
)
SELECT paused.*, (
  SELECT COALESCE(sum(count), 0)::int FROM waiting
   WHERE CASE kind WHEN 'channel' THEN name = split_part(hold_key, ' ', 1)
                   WHEN 'type' THEN name = split_part(hold_key, ' ', 2)
                   ELSE name = ANY(string_to_array(split_part(hold_key, ' ', 3), ',')) END) AS waiting
  FROM paused ORDER BY id DESC
""")  # noqa: S608 - constants of our own
SELECT_FOR_TYPE = text(f"{SELECT_PAUSES} AND (kind <> 'type' OR name = :notification_type) ORDER BY id")


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedPause:
    id: UUID
    pause: ActivePause
    waiting: int


async def list_page(session: AsyncSession, tenant: UUID, *, before: UUID | None, limit: int) -> Sequence[ListedPause]:
    """Newest first; `before` is the last id of the page before."""
    rows = await session.execute(SELECT_PAGE, {"tenant": tenant, "before": before, "limit": limit})
    return [ListedPause(id=row["id"], pause=_pause_of(row), waiting=row["waiting"]) for row in rows.mappings()]


async def list_for_type(session: AsyncSession, tenant: UUID, notification_type: str) -> tuple[ActivePause, ...]:
    """Those that may hold back a notification of this type."""
    rows = await session.execute(SELECT_FOR_TYPE, {"tenant": tenant, "notification_type": notification_type})
    return tuple(_pause_of(row) for row in rows.mappings())


def _pause_of(row: RowMapping) -> ActivePause:
    values = {name: row[name] for name in ("name", "since", "by", "reason")}
    return ActivePause(kind=HoldKind(row["kind"]), **values)
