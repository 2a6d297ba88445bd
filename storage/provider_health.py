"""The circuits as all processes see them. Read and moved by `activities/circuits.py`, shown by the providers' route."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from domain.circuits import CircuitState, Health, Tally, advance
from domain.names import DISPATCH_CHANNEL, RELEASE_DUE
from storage.database import to_json
from storage.rows import decoded
from storage.statements import Executor

READ = text("SELECT h.*, clock_timestamp() AS now FROM provider_health h")
LOCK = text("SELECT h.*, clock_timestamp() AS now FROM provider_health h WHERE provider = :provider FOR UPDATE")
KNOW = text("""
INSERT INTO provider_health (provider, state, penalty, openings, probes, changed_at, weighed_at, recent, refusers)
VALUES (:provider, 'closed', 0, 0, 0, clock_timestamp(), clock_timestamp(), '[]', '[]')
ON CONFLICT (provider) DO NOTHING
""")
SAVE = text("""
WITH saved AS (
  UPDATE provider_health SET state = :state, reason = :reason, penalty = :penalty, openings = :openings,
         probes = :probes, changed_at = :changed_at, weighed_at = :weighed_at, probe_at = :probe_at,
         quiet_until = :quiet_until, recent = CAST(:recent AS jsonb), refusers = CAST(:refusers AS jsonb)
   WHERE provider = :provider RETURNING state
)
SELECT max(CASE WHEN CAST(:freed AS bool) THEN pg_notify(:channel, :due)::text END) FROM saved
""")
# Asked again after a day: the account may have got the right to.
LOOKUP_REFUSED_FOR = timedelta(days=1)
# Once may be about that message alone. Those of two attempts, with no look-up in between that worked, are not.
REFUSE_LOOKUP = text("""
UPDATE provider_health SET refused_attempt = COALESCE(refused_attempt, :attempt_id),
       lookup_refused_at = CASE WHEN refused_attempt <> :attempt_id THEN clock_timestamp() ELSE lookup_refused_at END
 WHERE provider = :provider
""")
ALLOW_LOOKUP = text("""
UPDATE provider_health SET refused_attempt = NULL, lookup_refused_at = NULL
 WHERE provider = :provider AND (refused_attempt IS NOT NULL OR lookup_refused_at IS NOT NULL)
""")
TAKE_PROBE = text("""
UPDATE provider_health SET probes = probes - 1
 WHERE provider = :provider AND state = 'half_open' AND probes > 0 RETURNING probes
""")


async def read_all(session: Executor) -> dict[str, Health]:
    """Those of which anything has been told yet."""
    return {row["provider"]: _health(row) for row in (await session.execute(READ)).mappings()}


async def move(session: Executor, provider: str, tally: Tally) -> tuple[Health, Health]:
    """Before and after: one process at a time, by the database's clock."""
    row = (await session.execute(LOCK, {"provider": provider})).mappings().one_or_none()
    if row is None:
        await session.execute(KNOW, {"provider": provider})
        row = (await session.execute(LOCK, {"provider": provider})).mappings().one()
    before = _health(row)
    after = advance(before, tally, row["now"])
    if after != before:
        await _save(session, after, freed=_freed(before, after))
    return before, after


def _freed(before: Health, after: Health) -> bool:
    """Whether what waited for it may go on."""
    quiet_is_over = before.quiet_until is not None and after.quiet_until is None
    return quiet_is_over or after.state not in (before.state, CircuitState.OPEN)


async def note_lookup_refused(session: Executor, provider: str, attempt_id: UUID) -> None:
    """The provider has not let our account look up this attempt. That of a second one is believed for a day."""
    await session.execute(KNOW, {"provider": provider})
    await session.execute(REFUSE_LOOKUP, {"provider": provider, "attempt_id": attempt_id})


async def note_lookup_allowed(session: Executor, provider: str) -> None:
    """Take back what refusals have said."""
    await session.execute(ALLOW_LOOKUP, {"provider": provider})


async def take_probe(session: Executor, provider: str) -> bool:
    """Whether this call may be one of the few that try a half-open circuit; undone if the caller rolls back."""
    return (await session.execute(TAKE_PROBE, {"provider": provider})).one_or_none() is not None


async def _save(session: Executor, health: Health, *, freed: bool) -> None:
    values = {name: getattr(health, name) for name in health.__slots__ if name != "lookup_refused"}
    lists = {"recent": to_json(health.recent), "refusers": to_json(health.refusers)}
    await session.execute(SAVE, {**values, **lists, "freed": freed, "channel": DISPATCH_CHANNEL, "due": RELEASE_DUE})


def _health(row: Any) -> Health:
    changed: datetime = row["changed_at"]
    refused: datetime | None = row["lookup_refused_at"]
    plain = Health(provider=row["provider"], changed_at=changed, weighed_at=row["weighed_at"])
    return replace(
        plain,
        state=CircuitState(row["state"]),
        recent=tuple(tuple(each) for each in decoded(row["recent"])),
        refusers=tuple(decoded(row["refusers"])),
        lookup_refused=refused is not None and row["now"] - refused < LOOKUP_REFUSED_FOR,
        **{name: row[name] for name in ("reason", "penalty", "openings", "probes", "probe_at", "quiet_until")},
    )
