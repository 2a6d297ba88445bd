"""Parked failures as an operator wants them: how many of which type failed for which reason, and since when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.channels import Channel
from storage.parked import Filter, conditions, folded, values

SAMPLES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Failures:
    """Those that failed alike, each notification once. `line` is what they share; if it is about one channel alone,
    it is taken apart into `channel` and `reason`. `sample_ids` are the newest, `oldest` and `newest` when accepted."""

    notification_type: str
    status: str
    line: str
    channel: str | None
    reason: str
    count: int
    oldest: datetime
    newest: datetime
    sample_ids: Sequence[UUID]

    @property
    def place(self) -> "Place":
        return Place(count=self.count, notification_type=self.notification_type, status=self.status, line=self.line)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """In the list, which is ordered by count, then type, status and line: the group before the next page."""

    count: int
    notification_type: str
    status: str
    line: str


ONE_CHANNEL = "^({}): ([^;]+)$".format("|".join(Channel))
GROUPS = """
SELECT grouped.*, told[1] AS channel, COALESCE(told[2], line) AS reason
  FROM (
    SELECT n.notification_type, n.status, {line} AS line, count(*) AS count, min(n.created_at) AS oldest,
           max(n.created_at) AS newest, (array_agg(n.id ORDER BY n.id DESC))[1:{samples}] AS sample_ids
      FROM notification n WHERE {conditions} GROUP BY 1, 2, 3
  ) grouped LEFT JOIN LATERAL regexp_match(line, '{one_channel}') told ON true
 WHERE {after}
 ORDER BY count DESC, notification_type, status, line LIMIT :limit
"""
AFTER = "(-count, notification_type, status, line) > (-CAST(:count AS bigint), :after_type, :after_status, :after_line)"


async def page(
    session: AsyncSession, tenant: UUID, wanted: Filter, *, after: Place | None, limit: int
) -> list[Failures]:
    """The most frequent first."""
    statement = GROUPS.format(
        line=f"COALESCE({folded('n.failure_reason')}, 'unknown')",
        samples=SAMPLES,
        conditions=conditions(wanted),
        one_channel=ONE_CHANNEL,
        after=AFTER if after else "true",
    )
    given = values(tenant, wanted) | {"limit": limit} | (_after(after) if after else {})
    return [Failures(**row) for row in (await session.execute(text(statement), given)).mappings()]


def _after(place: Place) -> dict[str, Any]:
    return {
        "count": place.count,
        "after_type": place.notification_type,
        "after_status": place.status,
        "after_line": place.line,
    }
