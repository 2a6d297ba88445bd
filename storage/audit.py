"""The audit log. `record` is the only writer; it is called in the transaction of the change that it records."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from domain.audit import AuditChange, changed_members
from metrics.engine import ReachedLimit, count_limit_reached
from models.audit import AuditEntry
from storage.retention import record_pruned

MAX_ENTRIES_PER_TENANT = 100_000

# Ids are in the order of time.
DELETE_EXCESS = text("""
WITH deleted AS (
  DELETE FROM audit_entry WHERE id IN (
    SELECT id FROM audit_entry WHERE tenant = :tenant ORDER BY id DESC OFFSET :max_entries LIMIT :limit) RETURNING 1
)
SELECT count(*) FROM deleted
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditSearch:
    """None in `tenant` searches all tenants; any other None does not filter."""

    tenant: UUID | None
    action: str | None = None
    subject: str | None = None
    actor_id: UUID | None = None
    at_from: datetime | None = None
    at_before: datetime | None = None


async def record_change(session: AsyncSession, change: AuditChange) -> bool:
    """Return False without an entry if `before` and `after` are equal."""
    before, after = changed_members(change.before, change.after)
    if before == {} and after == {}:
        return False
    actor = change.actor
    session.add(
        AuditEntry(
            tenant=change.tenant,
            actor_kind=actor.kind_for(change.tenant),
            actor_id=actor.key_id,
            actor_name=actor.name,
            action=change.action,
            subject=change.subject,
            before=before,
            after=after,
        )
    )
    await session.flush()
    return True


async def search(
    session: AsyncSession, criteria: AuditSearch, *, before: UUID | None = None, limit: int
) -> Sequence[AuditEntry]:
    """Return entries, newest first."""
    statement = select(AuditEntry).order_by(col(AuditEntry.id).desc()).limit(limit)
    equal = {
        "tenant": criteria.tenant,
        "action": criteria.action,
        "subject": criteria.subject,
        "actor_id": criteria.actor_id,
    }
    for name, value in equal.items():
        if value is not None:
            statement = statement.where(getattr(AuditEntry, name) == value)
    if criteria.at_from is not None:
        statement = statement.where(col(AuditEntry.at) >= criteria.at_from)
    if criteria.at_before is not None:
        statement = statement.where(col(AuditEntry.at) < criteria.at_before)
    if before is not None:
        statement = statement.where(col(AuditEntry.id) < before)
    return (await session.execute(statement)).scalars().all()


async def delete_excess(
    session: AsyncSession, tenant: UUID, limit: int, max_entries: int = MAX_ENTRIES_PER_TENANT
) -> int:
    """Delete up to `limit` entries of a tenant that has more than `max_entries`. Return how many."""
    values = {"tenant": tenant, "max_entries": max_entries, "limit": limit}
    deleted = int((await session.execute(DELETE_EXCESS, values)).scalar_one())
    await record_pruned(session, "audit_entry", deleted)
    count_limit_reached(ReachedLimit.AUDIT_ENTRIES, deleted)
    return deleted
