"""The types and categories that preferences name: which names exist, and whether any preference has one."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import text

from storage.statements import Executor

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
