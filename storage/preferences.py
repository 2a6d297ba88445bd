"""Read and change the preferences of a recipient, and find the types and categories that preferences name.

The row is updated in place and never replaced: the guard of a delivery locks it, so an opt-out that was committed
before a message goes out is always seen.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.json_types import JsonObject
from storage.database import to_json
from storage.rows import decoded
from storage.statements import Executor


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredPreferences:
    """`channels` is by channel, `types` by type or category and then channel, as the person said it."""

    channels: JsonObject
    types: JsonObject
    quiet_hours: JsonObject | None
    updated_at: datetime

    def differs_from(self, other: "StoredPreferences") -> bool:
        """Return whether anything except the time of the last write differs."""
        return replace(self, updated_at=other.updated_at) != other


COLUMNS = "global_channel_opt_in, type_channel_preferences, quiet_hours, updated_at"

FIND = text(f"SELECT {COLUMNS} FROM user_preference WHERE tenant = :tenant AND user_id = :recipient_id")  # noqa: S608
LOCK = text(f"{FIND.text} FOR UPDATE")
SAVE = text(f"""
UPDATE user_preference SET global_channel_opt_in = CAST(:channels AS jsonb),
       type_channel_preferences = CAST(:types AS jsonb), quiet_hours = CAST(:quiet_hours AS jsonb), updated_at = now()
 WHERE tenant = :tenant AND user_id = :recipient_id
RETURNING {COLUMNS}
""")  # noqa: S608 - constants of our own


async def find(
    session: AsyncSession, tenant: UUID, recipient_id: str, *, lock: bool = False
) -> StoredPreferences | None:
    """None for an unknown person. Lock to change what was read."""
    values = {"tenant": tenant, "recipient_id": recipient_id}
    row = (await session.execute(LOCK if lock else FIND, values)).mappings().one_or_none()
    return None if row is None else _preferences_of(row)


async def save(
    session: AsyncSession,
    tenant: UUID,
    recipient_id: str,
    channels: JsonObject,
    types: JsonObject,
    quiet_hours: JsonObject | None,
) -> StoredPreferences | None:
    """Exactly these choices from now on; None for an unknown person."""
    values = {
        "tenant": tenant,
        "recipient_id": recipient_id,
        "channels": to_json(channels),
        "types": to_json(types),
        "quiet_hours": None if quiet_hours is None else to_json(quiet_hours),
    }
    row = (await session.execute(SAVE, values)).mappings().one_or_none()
    return None if row is None else _preferences_of(row)


def _preferences_of(row: Any) -> StoredPreferences:
    return StoredPreferences(
        channels=decoded(row["global_channel_opt_in"]),
        types=decoded(row["type_channel_preferences"]),
        quiet_hours=decoded(row["quiet_hours"]),
        updated_at=row["updated_at"],
    )


SELECT_UNKNOWN = text("""
WITH newest AS (
  SELECT DISTINCT ON (key) key, spec->>'category' AS category, retired_at FROM notification_type
   WHERE tenant = :tenant ORDER BY key, version DESC
), known AS (
  SELECT key AS name FROM newest WHERE retired_at IS NULL
   UNION
  SELECT category FROM newest WHERE retired_at IS NULL AND category IS NOT NULL
)
SELECT name FROM unnest(CAST(:names AS text[])) AS given(name) EXCEPT SELECT name FROM known ORDER BY name
""")
IS_NAME_USED = text("""
SELECT EXISTS (SELECT 1 FROM user_preference WHERE tenant = :tenant AND type_channel_preferences ? :name)
""")


async def find_unknown_names(session: Executor, tenant: UUID, names: Collection[str]) -> list[str]:
    """Return those that no current type has as its key or category."""
    if not names:
        return []
    rows = await session.execute(SELECT_UNKNOWN, {"tenant": tenant, "names": list(names)})
    return list(rows.scalars())


async def is_name_used(session: Executor, tenant: UUID, name: str) -> bool:
    """Return whether a preference of any recipient names it. Reads all of them: for rare changes of types."""
    values: dict[str, Any] = {"tenant": tenant, "name": name}
    return bool((await session.execute(IS_NAME_USED, values)).scalar_one())
