"""Read and write the circuits of providers and the rates that operators set, for all processes.

Called by `services/circuits.py`, the dispatcher and the providers' route.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from domain.circuits import CallTally, CircuitHealth, CircuitState, advance_health
from domain.names import DISPATCH_CHANNEL, RATES_DUE, RELEASE_DUE
from domain.rates import ProviderRateLimits
from models.provider_health import ProviderLimit
from storage.database import to_json
from storage.statements import Executor, decoded, notify, statement

SELECT_HEALTH = text("SELECT h.*, clock_timestamp() AS now FROM provider_health h")
LOCK_HEALTH = text("SELECT h.*, clock_timestamp() AS now FROM provider_health h WHERE provider = :provider FOR UPDATE")
INSERT_HEALTH = text("""
INSERT INTO provider_health (provider, state, penalty, open_count, probes, changed_at, penalty_updated_at, recent,
       credential_failures)
VALUES (:provider, 'closed', 0, 0, 0, clock_timestamp(), clock_timestamp(), '[]', '[]')
ON CONFLICT (provider) DO NOTHING
""")
SAVE_HEALTH = statement("provider_health/save")
# Asked again after a day: the account may have got the right to.
LOOKUP_REFUSAL_TTL = timedelta(days=1)
# Once may be about that message alone. Those of two attempts, with no look-up in between that worked, are not.
RECORD_LOOKUP_REFUSED = text("""
UPDATE provider_health SET lookup_refused_attempt_id = COALESCE(lookup_refused_attempt_id, :attempt_id),
       lookup_refused_at = CASE WHEN lookup_refused_attempt_id <> :attempt_id THEN clock_timestamp()
       ELSE lookup_refused_at END
 WHERE provider = :provider
""")
RECORD_LOOKUP_ALLOWED = text("""
UPDATE provider_health SET lookup_refused_attempt_id = NULL, lookup_refused_at = NULL
 WHERE provider = :provider AND (lookup_refused_attempt_id IS NOT NULL OR lookup_refused_at IS NOT NULL)
""")
ACQUIRE_PROBE = text("""
UPDATE provider_health SET probes = probes - 1
 WHERE provider = :provider AND state = 'half_open' AND probes > 0 RETURNING probes
""")


async def read_health(session: Executor) -> dict[str, CircuitHealth]:
    """Return the health of all providers that have reported calls."""
    return {row["provider"]: _health_of(row) for row in (await session.execute(SELECT_HEALTH)).mappings()}


async def apply_tally(session: Executor, provider: str, tally: CallTally) -> tuple[CircuitHealth, CircuitHealth]:
    """Add a tally to the health, one process at a time, by the database's clock. Return the health before and after."""
    row = (await session.execute(LOCK_HEALTH, {"provider": provider})).mappings().one_or_none()
    if row is None:
        await session.execute(INSERT_HEALTH, {"provider": provider})
        row = (await session.execute(LOCK_HEALTH, {"provider": provider})).mappings().one()
    before = _health_of(row)
    after = advance_health(before, tally, row["now"])
    if after != before:
        await _save(session, after, allows_calls=_allows_calls_again(before, after))
    return before, after


def _allows_calls_again(before: CircuitHealth, after: CircuitHealth) -> bool:
    """Return whether messages that waited for the provider may resume."""
    throttling_has_ended = before.throttled_until is not None and after.throttled_until is None
    return throttling_has_ended or after.state not in (before.state, CircuitState.OPEN)


async def record_lookup_refused(session: Executor, provider: str, attempt_id: UUID) -> None:
    """Record that the provider refused our account the lookup of this attempt. After a refusal for a second attempt,
    lookups count as refused for a day."""
    await session.execute(INSERT_HEALTH, {"provider": provider})
    await session.execute(RECORD_LOOKUP_REFUSED, {"provider": provider, "attempt_id": attempt_id})


async def record_lookup_allowed(session: Executor, provider: str) -> None:
    """Take back what refusals have said."""
    await session.execute(RECORD_LOOKUP_ALLOWED, {"provider": provider})


async def acquire_probe(session: Executor, provider: str) -> bool:
    """Return whether this call may be one of the few that probe a half-open circuit. A rollback of the caller undoes
    it."""
    return (await session.execute(ACQUIRE_PROBE, {"provider": provider})).one_or_none() is not None


async def _save(session: Executor, health: CircuitHealth, *, allows_calls: bool) -> None:
    values = {name: getattr(health, name) for name in health.__slots__ if name != "lookup_refused"}
    lists = {"recent": to_json(health.recent), "credential_failures": to_json(health.credential_failures)}
    await session.execute(SAVE_HEALTH, {**values, **lists})
    if allows_calls:
        await notify(session, DISPATCH_CHANNEL, (RELEASE_DUE,))


def _health_of(row: Any) -> CircuitHealth:
    changed_time: datetime = row["changed_at"]
    refused_time: datetime | None = row["lookup_refused_at"]
    plain = CircuitHealth(
        provider=row["provider"], changed_at=changed_time, penalty_updated_at=row["penalty_updated_at"]
    )
    return replace(
        plain,
        state=CircuitState(row["state"]),
        recent=tuple(tuple(each) for each in decoded(row["recent"])),
        credential_failures=tuple(decoded(row["credential_failures"])),
        lookup_refused=refused_time is not None and row["now"] - refused_time < LOOKUP_REFUSAL_TTL,
        **{name: row[name] for name in ("reason", "penalty", "open_count", "probes", "probe_at", "throttled_until")},
    )


SELECT_LIMITS = text("SELECT provider, rate, tenant_rate FROM provider_limit")


async def read_limits(session: Executor) -> dict[str, ProviderRateLimits]:
    """Return the limits of the providers that have any."""
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
    """Apply `changes` to `rate` and `tenant_rate`. A missing key keeps its value, None restores the setting.

    The limits are in force when the dispatcher has been notified of the commit."""
    saved = insert(ProviderLimit).values(provider=provider, updated_at=func.now(), **changes)
    saved = saved.on_conflict_do_update(index_elements=("provider",), set_={"updated_at": func.now(), **changes})
    limits = (await session.execute(saved.returning(col(ProviderLimit.rate), col(ProviderLimit.tenant_rate)))).one()
    await notify(session, DISPATCH_CHANNEL, (RATES_DUE,))
    return ProviderRateLimits(rate=limits.rate, tenant_rate=limits.tenant_rate)
