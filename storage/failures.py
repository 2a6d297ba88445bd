"""Group dead letters for operators: count them by type and reason, with the time of the first."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.reasons import ChannelReason, failures_from_json
from storage.dead_letters import NotificationFilter, build_conditions, filter_values

SAMPLE_SIZE = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterGroup:
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
    def cursor(self) -> "FailureGroupCursor":
        return FailureGroupCursor(
            count=self.count, notification_type=self.notification_type, status=self.status, key=self.key
        )

    @property
    def failures(self) -> tuple[ChannelReason, ...]:
        return failures_from_json(json.loads(self.key))


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureGroupCursor:
    """In the list, which is ordered by count, then type, status and key: the group before the next page."""

    count: int
    notification_type: str
    status: str
    key: str


# Failures that differ in a number only are the same failure.
REASONS_KEY = """COALESCE(
       (SELECT jsonb_agg(one #- '{args,attempts}' #- '{args,step}' ORDER BY place)
          FROM jsonb_array_elements(n.failures) WITH ORDINALITY AS each(one, place)),
       jsonb_build_array(jsonb_build_object('channel', NULL, 'code', 'unknown', 'args', jsonb_build_object())))::text"""
SELECT_GROUPS = """
SELECT * FROM (
    SELECT n.notification_type, n.status, {key} AS key, count(*) AS count, min(n.created_at) AS oldest,
           max(n.created_at) AS newest, (array_agg(n.id ORDER BY n.id DESC))[1:{samples}] AS sample_ids
      FROM notification n WHERE {conditions} GROUP BY 1, 2, 3
  ) grouped
 WHERE {after}
 ORDER BY count DESC, notification_type, status, key LIMIT :limit
"""
AFTER_CURSOR = (
    "(-count, notification_type, status, key) > (-CAST(:count AS bigint), :after_type, :after_status, :after_key)"
)


async def list_failure_groups(
    session: AsyncSession, tenant: UUID, criteria: NotificationFilter, *, after: FailureGroupCursor | None, limit: int
) -> list[DeadLetterGroup]:
    """The most frequent first."""
    statement = SELECT_GROUPS.format(
        key=REASONS_KEY,
        samples=SAMPLE_SIZE,
        conditions=build_conditions(criteria),
        after=AFTER_CURSOR if after else "true",
    )
    parameters = filter_values(tenant, criteria) | {"limit": limit} | (_cursor_values(after) if after else {})
    return [DeadLetterGroup(**row) for row in (await session.execute(text(statement), parameters)).mappings()]


def _cursor_values(cursor: FailureGroupCursor) -> dict[str, Any]:
    return {
        "count": cursor.count,
        "after_type": cursor.notification_type,
        "after_status": cursor.status,
        "after_key": cursor.key,
    }
