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
from storage.statements import Executor, statement


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

# Round-robin among tenants, fewer posts in flight first; healthy endpoints before failing ones.
CLAIM_POSTS = statement("event_posting/claim_posts")


MARK_DELIVERED = statement("event_posting/mark_delivered")

# Fenced by the lease: another process may have taken the message over, or a caller may have replayed it.
MARK_FAILED = statement("event_posting/mark_failed")


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
