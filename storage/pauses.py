"""Reads the pauses of a tenant, and how many messages each holds back. Called by the routes."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from domain.holds import ActivePause, HoldKind
from storage.statements import statement

# By the channel, type and providers in `hold_key`. What has ended may keep its mark until the next release.
SELECT_PAGE = statement("holds/select_page")
SELECT_FOR_TYPE = statement("holds/select_for_type")


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
