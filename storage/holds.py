"""Write and list pauses, mark the deliveries that the guard held back, and release those that nothing holds any more.

`hold` rows are written by the pause routes, deliveries are marked by `deliver` and released by
`dispatch/workflow_signals.py`. Deliveries with the same `hold_key` (channel, notification type, providers) are held by
the same pauses and circuits. So a batch examines each cause once, however many deliveries wait for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, delete, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from domain.holds import ActivePause, DeliveryHold, HoldKind
from domain.messages import DeliverInput
from domain.names import DISPATCH_CHANNEL, QUEUE_DUE, RELEASE_DUE, derived_id
from models.columns import new_id
from models.holds import Hold
from storage.database import to_json
from storage.statements import Executor, notify, statement

INSERT_HOLD = text("""
INSERT INTO hold (id, tenant, kind, name, reason, created_at, created_by)
VALUES (:id, :tenant, :kind, :name, :reason, now(), :by)
ON CONFLICT (kind, name, tenant) DO NOTHING RETURNING id
""")
SELECT_NAMES = text("SELECT name FROM hold WHERE kind = :kind AND (tenant IS NULL OR tenant = :tenant)")

MARK_HELD = statement("holds/mark_held")
INSERT_REROUTE_EVENT = text("""
INSERT INTO event (id, tenant, notification_id, at, kind, channel, reason, detail, delivery_id)
VALUES (:event_id, :tenant, :notification_id, now(), 'rerouted', :channel, :reason,
        CAST(:detail AS jsonb), :delivery_id)
ON CONFLICT (id) DO NOTHING
""")


async def pause(
    session: AsyncSession, tenant: UUID | None, kind: HoldKind, name: str, reason: str | None, by: str | None = None
) -> bool:
    """Return False if it is paused already, which changes nothing."""
    values = {"id": new_id(), "tenant": tenant, "kind": kind, "name": name, "reason": reason, "by": by}
    return (await session.execute(INSERT_HOLD, values)).one_or_none() is not None


async def resume(session: AsyncSession, tenant: UUID | None, kind: HoldKind, name: str) -> bool:
    """Return False if it was not paused."""
    is_same_tenant = col(Hold.tenant).is_not_distinct_from(tenant)
    lifted = await session.execute(
        delete(Hold).where(col(Hold.kind) == kind, col(Hold.name) == name, is_same_tenant).returning(col(Hold.id))
    )
    if lifted.scalar_one_or_none() is None:
        return False
    await notify(session, DISPATCH_CHANNEL, (RELEASE_DUE,))
    return True


async def list_paused_names(session: AsyncSession, tenant: UUID, kind: HoldKind) -> set[str]:
    return set((await session.execute(SELECT_NAMES, {"tenant": tenant, "kind": kind})).scalars())


async def mark_held(session: Executor, call: DeliverInput, hold: DeliveryHold) -> None:
    """Mark the delivery as held. A manual pause holds it for that provider only, unless it was rerouted there."""
    awaited_providers = (call.provider,) if not call.pool or (hold.is_manual and call.has_alternatives) else call.pool
    await session.execute(MARK_HELD, {**_event_values(call, hold), "pool": list(awaited_providers)})


async def record_reroute(session: Executor, call: DeliverInput, hold: DeliveryHold) -> None:
    await session.execute(INSERT_REROUTE_EVENT, _event_values(call, hold))


def _event_values(call: DeliverInput, hold: DeliveryHold) -> dict[str, Any]:
    return {
        "event_id": derived_id("held", call.delivery_id, call.endpoint_id, call.attempt_number, hold.cause),
        "tenant": call.tenant,
        "notification_id": call.notification_id,
        "delivery_id": call.delivery_id,
        "channel": call.channel,
        "reason": hold.reason.code,
        "detail": to_json({"provider": call.provider, **hold.reason.args}),
    }


# By the channel, type and providers in `hold_key`. What has ended may keep its mark until the next release.
SELECT_PAGE = statement("holds/select_page")
SELECT_FOR_TYPE = statement("holds/select_for_type")


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedPause:
    id: UUID
    pause: ActivePause
    waiting: int


async def list_page(session: AsyncSession, tenant: UUID, *, before: UUID | None, limit: int) -> Sequence[ListedPause]:
    """Return a page of pauses, newest first. `before` is the last id of the page before."""
    rows = await session.execute(SELECT_PAGE, {"tenant": tenant, "before": before, "limit": limit})
    return [ListedPause(id=row["id"], pause=_pause_of(row), waiting=row["waiting"]) for row in rows.mappings()]


async def list_for_type(session: AsyncSession, tenant: UUID, notification_type: str) -> tuple[ActivePause, ...]:
    """Return the pauses that may hold back a notification of this type."""
    rows = await session.execute(SELECT_FOR_TYPE, {"tenant": tenant, "notification_type": notification_type})
    return tuple(_pause_of(row) for row in rows.mappings())


def _pause_of(row: RowMapping) -> ActivePause:
    values = {name: row[name] for name in ("name", "since", "by", "reason")}
    return ActivePause(kind=HoldKind(row["kind"]), **values)


# Deliveries that a batch examines per priority; of each cause and tenant at least one.
MAX_EXAMINED = 1_000

# Deliveries that were released and whose next attempt has not begun in time.
RESET_RELEASED = statement("holds/reset_released")

# By priority and round-robin among tenants. One available provider is enough, whatever holds the delivery; the guard
# limits the probes of a half-open circuit. The entries become due, and a worker process claims them. The next attempt
# clears `held_at`. Without an attempt they wait again after `release_expires_at`.
RELEASE_HELD = statement("holds/release_held")


async def release_held(session: Executor, limit: int) -> int:
    """Make up to `limit` deliveries due that are no longer held. Return how many."""
    await session.execute(RESET_RELEASED, {"limit": max(limit, MAX_EXAMINED)})
    values = {"limit": limit, "channel": DISPATCH_CHANNEL, "due": QUEUE_DUE, "max_examined": MAX_EXAMINED}
    return int((await session.execute(RELEASE_HELD, values)).one()[0])
