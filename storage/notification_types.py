"""Notification types: every change is a new row, and the newest row of a key is the current one."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import exists, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col, select

from domain.clock import now
from domain.notification_types import NotificationType, from_spec
from models.notification_types import NotificationTypeVersion
from storage.statements import Executor, statement

SELECT_UNKNOWN_NAMES = statement("notification_types/select_unknown_names")
IS_NAME_USED = text("""
SELECT EXISTS (SELECT 1 FROM user_preference WHERE tenant = :tenant AND type_channel_preferences ? :name)
""")
LOCK_TYPE = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")

IS_USED_IN_DIGEST = statement("notification_types/is_used_in_digest")


def notification_type_of(row: NotificationTypeVersion) -> NotificationType:
    return from_spec(row.id, row.spec)


async def find_by_id(session: AsyncSession, tenant: UUID, id: UUID) -> NotificationTypeVersion | None:
    query = select(NotificationTypeVersion).where(
        NotificationTypeVersion.tenant == tenant, NotificationTypeVersion.id == id
    )
    return (await session.execute(query)).scalar_one_or_none()


async def find_newest(session: AsyncSession, tenant: UUID, key: str) -> NotificationTypeVersion | None:
    """Return the newest version, retired or not."""
    query = (
        select(NotificationTypeVersion)
        .where(NotificationTypeVersion.tenant == tenant, NotificationTypeVersion.key == key)
        .order_by(col(NotificationTypeVersion.version).desc())
        .limit(1)
    )
    return (await session.execute(query)).scalar_one_or_none()


async def find_current(session: AsyncSession, tenant: UUID, key: str) -> NotificationTypeVersion | None:
    row = await find_newest(session, tenant, key)
    return None if row is None or row.retired_at is not None else row


async def list_page(
    session: AsyncSession, tenant: UUID, after: str | None, limit: int
) -> list[NotificationTypeVersion]:
    """Return the current types whose keys follow `after`, in the order of the keys."""
    newer = aliased(NotificationTypeVersion)
    of_same_key = (col(newer.tenant) == NotificationTypeVersion.tenant, col(newer.key) == NotificationTypeVersion.key)
    query = (
        select(NotificationTypeVersion)
        .where(NotificationTypeVersion.tenant == tenant, col(NotificationTypeVersion.key) > (after or ""))
        .where(col(NotificationTypeVersion.retired_at).is_(None))
        .where(~exists().where(*of_same_key, col(newer.version) > NotificationTypeVersion.version))
        .order_by(col(NotificationTypeVersion.key))
        .limit(limit)
    )
    return list((await session.execute(query)).scalars())


async def is_used_in_digest(session: AsyncSession, tenant: UUID, template: str) -> bool:
    """Return whether a current type with a digest uses this template."""
    return bool((await session.execute(IS_USED_IN_DIGEST, {"tenant": tenant, "template": template})).scalar_one())


async def put(
    session: AsyncSession, tenant: UUID, key: str, spec: dict[str, Any]
) -> tuple[NotificationTypeVersion, bool]:
    """Return the current row with this spec, and whether it had to be written. A key has one writer at a time."""
    await session.execute(LOCK_TYPE, {"name": f"notification_type:{tenant}:{key}"})
    last = await find_newest(session, tenant, key)
    if last is not None and last.retired_at is None and last.spec == spec:
        return last, False
    row = NotificationTypeVersion(tenant=tenant, key=key, version=last.version + 1 if last else 1, spec=spec)
    session.add(row)
    await session.flush()
    return row, True


async def find_previous_spec(session: AsyncSession, row: NotificationTypeVersion) -> dict[str, Any] | None:
    """Return the spec of the version before this one, or None if there was none or it was retired."""
    query = select(NotificationTypeVersion).where(
        NotificationTypeVersion.tenant == row.tenant,
        NotificationTypeVersion.key == row.key,
        NotificationTypeVersion.version == row.version - 1,
    )
    former = (await session.execute(query)).scalar_one_or_none()
    return None if former is None or former.retired_at is not None else former.spec


async def retire(session: AsyncSession, tenant: UUID, key: str) -> NotificationTypeVersion | None:
    """Retire the current version and return it, or None if there is none. Accepted notifications keep their version."""
    await session.execute(LOCK_TYPE, {"name": f"notification_type:{tenant}:{key}"})
    row = await find_current(session, tenant, key)
    if row is None:
        return None
    row.retired_at = now()
    await session.flush()
    return row


async def find_unknown_names(session: Executor, tenant: UUID, names: Collection[str]) -> list[str]:
    """Return those that no current type has as its key or category."""
    if not names:
        return []
    rows = await session.execute(SELECT_UNKNOWN_NAMES, {"tenant": tenant, "names": list(names)})
    return list(rows.scalars())


async def is_name_used(session: Executor, tenant: UUID, name: str) -> bool:
    """Return whether a preference of any recipient names it. Reads all of them: for rare changes of types."""
    values: dict[str, Any] = {"tenant": tenant, "name": name}
    return bool((await session.execute(IS_NAME_USED, values)).scalar_one())
