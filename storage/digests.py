"""Digest windows: list those whose workflows are to be signaled or that are to be closed, and pages for the API."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from models.digests import Digest
from storage.statements import Executor, statement


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingWindow:
    """A window whose workflow does not know of it yet."""

    id: UUID
    tenant: UUID
    tenant_key: str
    notification_type: str
    digest_key: str
    closes_at: datetime


SELECT_PENDING = statement("digests/select_pending")
MARK_SIGNALED = text("UPDATE digest SET signaled_at = now() WHERE id = ANY(:ids)")
SELECT_FULL = statement("digests/select_full")
# So many seconds late. What closes by the calendar may wait for its tick for longer.
SELECT_OVERDUE = statement("digests/select_overdue")


async def list_pending_windows(session: Executor, limit: int) -> list[PendingWindow]:
    return [PendingWindow(**row) for row in (await session.execute(SELECT_PENDING, {"limit": limit})).mappings()]


async def mark_signaled(session: Executor, signaled: list[PendingWindow]) -> None:
    await session.execute(MARK_SIGNALED, {"ids": [digest.id for digest in signaled]})


async def list_full_windows(session: Executor, limit: int) -> list[UUID]:
    """Return full windows to close one by one, round-robin among tenants."""
    return list((await session.execute(SELECT_FULL, {"limit": limit})).scalars())


async def list_overdue_windows(session: Executor, windowed: float, scheduled: float, limit: int) -> list[UUID]:
    """Return windows that are so many seconds late, round-robin among tenants.

    Their workflow or tick is missing, for example after the loss of Temporal's store."""
    found: list[UUID] = []
    for on_schedule, late in ((False, windowed), (True, scheduled)):
        values = {"on_schedule": on_schedule, "late": late, "limit": limit}
        found += (await session.execute(SELECT_OVERDUE, values)).scalars()
    return found


async def list_page(
    session: AsyncSession,
    tenant: UUID,
    *,
    is_open: bool,
    recipient_id: str | None,
    notification_type: str | None,
    before: UUID | None,
    limit: int,
) -> Sequence[Digest]:
    """Return open or closed windows, newest first."""
    given = {"recipient_id": recipient_id, "notification_type": notification_type}
    page = select(Digest).filter_by(
        tenant=tenant, **{name: value for name, value in given.items() if value is not None}
    )
    page = page.where(col(Digest.closed_at).is_(None) if is_open else col(Digest.closed_at).is_not(None))
    if before is not None:
        page = page.where(col(Digest.id) < before)
    return (await session.execute(page.order_by(col(Digest.id).desc()).limit(limit))).scalars().all()


async def find(session: AsyncSession, tenant: UUID, id: UUID) -> Digest | None:
    """Return the window as it is now, also if the session has read it before."""
    found = select(Digest).where(Digest.tenant == tenant, Digest.id == id).execution_options(populate_existing=True)
    return (await session.execute(found)).scalar_one_or_none()
