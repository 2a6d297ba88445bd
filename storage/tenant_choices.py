"""What a tenant has chosen for all of its people. Called by the settings' route."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from storage.database import to_json
from storage.rows import Json, decoded


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """`person_cap` is `{limit, per}`; `phone_regions` None allows all."""

    default_language: str
    timezone: str
    person_cap: Json | None
    content_days: int
    record_days: int
    phone_regions: list[str] | None


READ = text("""
SELECT default_language, timezone, person_cap, content_days, record_days, phone_regions FROM tenant WHERE id = :tenant
""")
LOCK = text(f"{READ.text} FOR NO KEY UPDATE")
SAVE = text("""
UPDATE tenant SET default_language = :default_language, timezone = :timezone, person_cap = CAST(:person_cap AS jsonb),
       content_days = :content_days, record_days = :record_days, phone_regions = CAST(:phone_regions AS text[])
 WHERE id = :tenant
""")


async def read(session: AsyncSession, tenant: UUID, *, lock: bool = False) -> Choices:
    row: Any = (await session.execute(LOCK if lock else READ, {"tenant": tenant})).mappings().one()
    return Choices(**{**row, "person_cap": decoded(row["person_cap"])})


async def save(session: AsyncSession, tenant: UUID, choices: Choices) -> None:
    values = {name: getattr(choices, name) for name in choices.__slots__}
    cap = None if choices.person_cap is None else to_json(choices.person_cap)
    await session.execute(SAVE, {**values, "person_cap": cap, "tenant": tenant})
