"""Parked failures as an operator wants them: how many of which type failed for which reason, and since when."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.reasons import ChannelReason, from_json
from storage.parked import Filter, conditions, values

SAMPLES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Failures:
    """Those that failed alike, each notification once. `key` is what they share: their reasons without numbers, as
    JSON. `sample_ids` are the newest, `oldest` and `newest` when accepted."""

    notification_type: str
    status: str
    key: str
    count: int
    oldest: datetime
    newest: datetime
    sample_ids: Sequence[UUID]

    @property
    def place(self) -> "Place":
        return Place(count=self.count, notification_type=self.notification_type, status=self.status, key=self.key)

    @property
    def failures(self) -> tuple[ChannelReason, ...]:
        return from_json(json.loads(self.key))


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """In the list, which is ordered by count, then type, status and key: the group before the next page."""

    count: int
    notification_type: str
    status: str
    key: str


# Failures that differ in a number are the same failure. Rows of an earlier version have the text alone.
KEY = """COALESCE(
       (SELECT jsonb_agg(one #- '{args,attempts}' #- '{args,step}' ORDER BY place)
          FROM jsonb_array_elements(n.failures) WITH ORDINALITY AS each(one, place)),
       jsonb_build_array(jsonb_build_object(
         'channel', NULL, 'code', COALESCE(n.failure_reason, 'unknown'), 'args', jsonb_build_object())))::text"""
GROUPS = """
SELECT * FROM (
    SELECT n.notification_type, n.status, {key} AS key, count(*) AS count, min(n.created_at) AS oldest,
           max(n.created_at) AS newest, (array_agg(n.id ORDER BY n.id DESC))[1:{samples}] AS sample_ids
      FROM notification n WHERE {conditions} GROUP BY 1, 2, 3
  ) grouped
 WHERE {after}
 ORDER BY count DESC, notification_type, status, key LIMIT :limit
"""
AFTER = "(-count, notification_type, status, key) > (-CAST(:count AS bigint), :after_type, :after_status, :after_key)"


async def page(
    session: AsyncSession, tenant: UUID, wanted: Filter, *, after: Place | None, limit: int
) -> list[Failures]:
    """The most frequent first."""
    statement = GROUPS.format(
        key=KEY,
        samples=SAMPLES,
        conditions=conditions(wanted),
        after=AFTER if after else "true",
    )
    given = values(tenant, wanted) | {"limit": limit} | (_after(after) if after else {})
    return [Failures(**row) for row in (await session.execute(text(statement), given)).mappings()]


def _after(place: Place) -> dict[str, Any]:
    return {
        "count": place.count,
        "after_type": place.notification_type,
        "after_status": place.status,
        "after_key": place.key,
    }
