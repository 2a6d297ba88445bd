"""Which event messages are due, and what became of a try. A claim is a lease: no lock outlives a call."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.json_types import JsonObject
from storage.database import to_json
from storage.encryption import DecryptionError, Encryption, encryption_of
from storage.event_endpoints import secret_owner_of
from storage.statements import Executor

LEASE_SECONDS = 30  # longer than a call may take; what a message waits whose poster was killed
MAX_ATTEMPTS_KEPT = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class DuePost:
    """One try. `secrets` sign it; `lease` is what `next_attempt_at` was set to by the claim. `unreadable` is why
    the secrets of its endpoint cannot be decrypted."""

    id: UUID
    tenant: UUID
    endpoint_id: UUID
    failing: bool
    url: str = field(repr=False)
    body: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    attempt_count: int
    lease: datetime
    unreadable: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ConcurrencyLimits:
    """How many may be under way at once: at all, to one tenant's endpoints, to one endpoint, and to endpoints to which
    nothing gets through, which have one place each, so that they cannot take the places of the others."""

    max_total: int = 64
    of_tenant: int = 16
    max_per_endpoint: int = 8
    failing: int = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class PostResult:
    """What one POST came to. `error` is None exactly if it was taken; `is_gone`: the receiver wants no more, ever."""

    at: datetime
    status: int | None
    ms: int
    error: str | None
    retry_after: timedelta | None = None
    is_gone: bool = False


# Also of endpoints that are disabled: their messages are given up within a minute, and a claim skips them until then.
SELECT_NEXT_DUE = text(
    "SELECT extract(epoch FROM min(next_attempt_at) - now()) FROM event_message WHERE next_attempt_at IS NOT NULL"
)
# As many due messages tell their endpoints. If more are due, all endpoints are looked at.
DUE_SAMPLE_SIZE = 500

# Round-robin among tenants, fewer posts in flight first; healthy endpoints before failing ones.
CLAIM_POSTS = text(f"""
WITH in_flight AS (
  SELECT * FROM jsonb_to_recordset(CAST(:in_flight AS jsonb)) AS x(endpoint_id uuid, tenant uuid, failing bool)
), first_due AS MATERIALIZED (
  SELECT endpoint_id FROM event_message WHERE next_attempt_at <= now() ORDER BY next_attempt_at LIMIT {DUE_SAMPLE_SIZE}
), target AS (
  SELECT id, tenant, failing_since FROM event_endpoint WHERE enabled AND id IN (SELECT endpoint_id FROM first_due)
   UNION
  SELECT id, tenant, failing_since FROM event_endpoint
   WHERE enabled AND (SELECT count(*) FROM first_due) = {DUE_SAMPLE_SIZE}
), due AS (
  SELECT m.id, m.next_attempt_at, p.tenant, p.failing_since IS NOT NULL AS failing
    FROM target p CROSS JOIN LATERAL (
      SELECT id, next_attempt_at FROM event_message WHERE endpoint_id = p.id AND next_attempt_at <= now()
       ORDER BY next_attempt_at
       LIMIT greatest(0, CASE WHEN p.failing_since IS NULL THEN CAST(:of_endpoint AS int) ELSE 1 END
                         - (SELECT count(*) FROM in_flight WHERE in_flight.endpoint_id = p.id))
         FOR UPDATE SKIP LOCKED) m
), ranked AS (
  SELECT id, failing,
         row_number() OVER (PARTITION BY tenant ORDER BY failing, next_attempt_at)
           + (SELECT count(*) FROM in_flight WHERE in_flight.tenant = due.tenant) AS turn,
         row_number() OVER (PARTITION BY failing ORDER BY next_attempt_at)
           + (SELECT count(*) FROM in_flight WHERE in_flight.failing) AS place
    FROM due
), chosen AS (
  SELECT id FROM ranked WHERE turn <= :of_tenant AND (NOT failing OR place <= :failing)
   ORDER BY failing, turn LIMIT :free_slots
)
UPDATE event_message m SET attempt_count = attempt_count + 1,
       next_attempt_at = now() + make_interval(secs => {LEASE_SECONDS})
  FROM chosen, event_endpoint p WHERE m.id = chosen.id AND p.id = m.endpoint_id
RETURNING m.id, m.tenant, m.endpoint_id, p.failing_since IS NOT NULL AS failing, p.url, m.body, p.secret,
          CASE WHEN p.previous_until > now() THEN p.previous_secret END AS previous, m.attempt_count,
          m.next_attempt_at AS lease
""")  # noqa: S608 - constants of our own

APPEND_ATTEMPT = (
    f"jsonb_path_query_array(attempts || CAST(:attempt AS jsonb), '$[last-{MAX_ATTEMPTS_KEPT - 1} to last]')"
)

MARK_DELIVERED = text(f"""
WITH recovered_endpoint AS (
  UPDATE event_endpoint SET failing_since = NULL, failed_at = NULL
   WHERE id = :endpoint_id AND failing_since IS NOT NULL AND enabled
)
UPDATE event_message SET delivered_at = COALESCE(delivered_at, now()), given_up_at = NULL, next_attempt_at = NULL,
       last_status = :status, last_error = NULL, attempts = {APPEND_ATTEMPT}
 WHERE id = :id
""")  # noqa: S608

# Fenced by the lease: another process may have taken the message over, or a caller may have replayed it.
MARK_FAILED = text(f"""
UPDATE event_message SET next_attempt_at = now() + make_interval(secs => CAST(:pause AS float8)),
       given_up_at = CASE WHEN CAST(:pause AS float8) IS NULL AND delivered_at IS NULL THEN now() END,
       last_status = :status, last_error = :error, attempts = {APPEND_ATTEMPT}
 WHERE id = :id AND next_attempt_at = :lease
""")  # noqa: S608


async def seconds_to_next(session: Executor) -> float | None:
    """Negative if it is due; None if nothing waits. Leased ones count, by the end of their lease."""
    value = (await session.execute(SELECT_NEXT_DUE)).scalar_one_or_none()
    return None if value is None else float(value)


async def claim_posts(session: Executor, limits: ConcurrencyLimits, in_flight: Collection[DuePost]) -> list[DuePost]:
    """Claim as many posts as this process may start in addition to those `in_flight`."""
    values = {
        "in_flight": to_json(
            [{name: getattr(flight, name) for name in ("endpoint_id", "tenant", "failing")} for flight in in_flight]
        ),
        "of_endpoint": limits.max_per_endpoint,
        "of_tenant": limits.of_tenant,
        "failing": limits.failing,
        "free_slots": limits.max_total - len(in_flight),
    }
    encryption = encryption_of(session)
    return [_build_post(encryption, dict(row)) for row in (await session.execute(CLAIM_POSTS, values)).mappings()]


def _build_post(encryption: Encryption, row: JsonObject) -> DuePost:
    """Without a URL and secrets if they cannot be decrypted: the other posts of the claim are not affected."""
    owner = secret_owner_of(row["tenant"], row["endpoint_id"])
    stored, keys = row.pop("url"), (row.pop("secret"), row.pop("previous"))
    try:
        url = encryption.decrypt(stored, owner, "url")
        secrets = tuple(encryption.decrypt(key, owner, "secret") for key in keys if key is not None)
    except DecryptionError as error:
        return DuePost(**row, url="", secrets=(), unreadable=str(error))
    return DuePost(**row, url=url, secrets=secrets)


async def record_delivered(session: Executor, post: DuePost, result: PostResult) -> None:
    await session.execute(MARK_DELIVERED, {"endpoint_id": post.endpoint_id, **_result_values(post, result)})


async def record_failed(session: AsyncSession, post: DuePost, result: PostResult, pause: timedelta | None) -> None:
    """It is tried again after `pause`, or given up."""
    seconds = None if pause is None else pause.total_seconds()
    values = {"pause": seconds, "error": result.error, "lease": post.lease, **_result_values(post, result)}
    await session.execute(MARK_FAILED, values)


def _result_values(post: DuePost, result: PostResult) -> JsonObject:
    attempt_json = to_json([{"at": result.at, "status": result.status, "ms": result.ms, "error": result.error}])
    return {"id": post.id, "status": result.status, "attempt": attempt_json}
