"""Record changes made by routes in the audit log, in the transaction of the change."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from domain.audit import AuditChange, Caller
from storage import audit

Values = Mapping[str, Any] | None


async def record_change(
    session: AsyncSession, caller: Caller, action: str, subject: str, before: Values = None, after: Values = None
) -> None:
    """Record a change of `subject`, which is `<kind>/<key or id>`. Without a difference between `before` and `after`,
    record nothing."""
    change = AuditChange(
        tenant=caller.tenant, actor=caller.actor, action=action, subject=subject, before=before, after=after
    )
    await audit.record_change(session, change)
