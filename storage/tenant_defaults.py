"""What a tenant has chosen for all of its people. Called by the settings' route."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.json_types import JsonObject
from storage.database import to_json
from storage.rows import decoded


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantDefaults:
    """`frequency_cap` is `{limit, per}`; `phone_regions` None allows all."""

    default_language: str
    timezone: str
    frequency_cap: JsonObject | None
    content_days: int
    record_days: int
    phone_regions: list[str] | None


SELECT_DEFAULTS = text("""
SELECT default_language, timezone, frequency_cap, content_days, record_days, phone_regions FROM tenant
       WHERE id = :tenant
""")
LOCK_DEFAULTS = text(f"{SELECT_DEFAULTS.text} FOR NO KEY UPDATE")
SAVE_DEFAULTS = text("""
UPDATE tenant SET default_language = :default_language, timezone = :timezone,
       frequency_cap = CAST(:frequency_cap AS jsonb),
       content_days = :content_days, record_days = :record_days, phone_regions = CAST(:phone_regions AS text[])
 WHERE id = :tenant
""")


async def read_defaults(session: AsyncSession, tenant: UUID, *, lock: bool = False) -> TenantDefaults:
    row: Any = (await session.execute(LOCK_DEFAULTS if lock else SELECT_DEFAULTS, {"tenant": tenant})).mappings().one()
    return TenantDefaults(**{**row, "frequency_cap": decoded(row["frequency_cap"])})


async def save_defaults(session: AsyncSession, tenant: UUID, defaults: TenantDefaults) -> None:
    values = {name: getattr(defaults, name) for name in defaults.__slots__}
    cap = None if defaults.frequency_cap is None else to_json(defaults.frequency_cap)
    await session.execute(SAVE_DEFAULTS, {**values, "frequency_cap": cap, "tenant": tenant})
