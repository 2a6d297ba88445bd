"""Rates that operators have set at run time: read by the dispatcher that leads; shown and changed by the API."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.names import DISPATCH_CHANNEL, RATES_DUE
from domain.rates import ProviderRateLimits
from storage.rows import decoded
from storage.statements import Executor

# For statements that read something else, as one of their columns.
LIMITS_COLUMN = "(SELECT jsonb_agg(jsonb_build_array(l.provider, l.rate, l.tenant_rate)) FROM provider_limit l)"
SELECT_LIMITS = text("SELECT provider, rate, tenant_rate FROM provider_limit")
SAVE_LIMITS = text("""
WITH changed AS (
  INSERT INTO provider_limit AS l (provider, rate, tenant_rate, updated_at)
  VALUES (:provider, CAST(:rate AS float), CAST(:tenant_rate AS float), now())
  ON CONFLICT (provider) DO UPDATE SET updated_at = excluded.updated_at,
         rate = CASE WHEN 'rate' = ANY(CAST(:changed_names AS text[])) THEN excluded.rate ELSE l.rate END,
         tenant_rate = CASE WHEN 'tenant_rate' = ANY(CAST(:changed_names AS text[])) THEN excluded.tenant_rate
                            ELSE l.tenant_rate END
  RETURNING rate, tenant_rate
)
SELECT rate, tenant_rate, pg_notify(:channel, :due) FROM changed
""")


async def read_limits(session: Executor) -> dict[str, ProviderRateLimits]:
    """Those of which anything has been set."""
    rows = (await session.execute(SELECT_LIMITS)).mappings()
    return {row["provider"]: ProviderRateLimits(rate=row["rate"], tenant_rate=row["tenant_rate"]) for row in rows}


def limits_of(value: Any) -> dict[str, ProviderRateLimits]:
    """Decode the limits that a statement has read with `LIMITS`."""
    return {
        name: ProviderRateLimits(rate=rate, tenant_rate=per_tenant) for name, rate, per_tenant in decoded(value) or []
    }


async def update_limits(
    session: AsyncSession, provider: str, changes: Mapping[str, float | None]
) -> ProviderRateLimits:
    """`changes` to `rate` and `tenant_rate`; what is not in it stays, None goes back to the settings. In force as soon
    as the dispatcher has heard of the commit."""
    given = {"rate": changes.get("rate"), "tenant_rate": changes.get("tenant_rate"), "changed_names": list(changes)}
    values = {"provider": provider, **given, "channel": DISPATCH_CHANNEL, "due": RATES_DUE}
    row = (await session.execute(SAVE_LIMITS, values)).mappings().one()
    return ProviderRateLimits(rate=row["rate"], tenant_rate=row["tenant_rate"])
