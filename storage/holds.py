"""What is paused, and what waits for it: holds, the deliveries that the guard held back, and those that may go on.

`hold` rows are written by the pause routes; deliveries are marked by `deliver` and released by `dispatch/`.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.holds import Held, HoldKind
from domain.messages import DeliverInput
from domain.names import DISPATCH_CHANNEL, RELEASE_DUE, derived_id
from models.columns import new_id

LEASE_SECONDS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """A delivery that nothing holds any more; `held_at` tells it from one that is held again by now."""

    delivery_id: UUID
    held_at: Any
    notification_id: UUID
    generation: int


PAUSE = text("""
INSERT INTO hold (id, tenant, kind, name, reason, created_at) VALUES (:id, :tenant, :kind, :name, :reason, now())
ON CONFLICT (kind, name, tenant) DO NOTHING
""")
RESUME = text("""
WITH lifted AS (
  DELETE FROM hold WHERE kind = :kind AND name = :name AND tenant IS NOT DISTINCT FROM CAST(:tenant AS uuid)
  RETURNING id
)
SELECT count(*), max(pg_notify(:channel, :due)::text) FROM lifted
""")
NAMES = text("SELECT name FROM hold WHERE kind = :kind AND (tenant IS NULL OR tenant = :tenant)")

# Told once per pause and attempt, however often it is looked at.
# Several devices of one delivery share its mark. The notification is locked first, as everybody does.
MARK = text("""
WITH whole AS (
  SELECT id, priority FROM notification WHERE id = :notification_id AND tenant = :tenant FOR KEY SHARE
), held AS (
  UPDATE delivery d SET held_at = clock_timestamp(), held_priority = whole.priority, release_at = NULL,
         held_providers = ARRAY(SELECT DISTINCT name FROM unnest(d.held_providers || CAST(:pool AS text[])) AS name)
    FROM whole WHERE d.id = :delivery_id AND d.notification_id = whole.id RETURNING d.notification_id, d.tenant
)
INSERT INTO event (id, tenant, notification_id, at, kind, channel, reason, detail, delivery_id)
SELECT :event_id, tenant, notification_id, now(), 'held', :channel, :reason,
       jsonb_build_object('provider', CAST(:provider AS text)), :delivery_id FROM held
ON CONFLICT (id) DO NOTHING
""")
NOTE_REROUTE = text("""
INSERT INTO event (id, tenant, notification_id, at, kind, channel, reason, detail, delivery_id)
VALUES (:event_id, :tenant, :notification_id, now(), 'rerouted', :channel, :reason,
        jsonb_build_object('provider', CAST(:provider AS text)), :delivery_id)
ON CONFLICT (id) DO NOTHING
""")

# The most urgent first, and tenants in turn. Whatever holds them, one provider that may be asked is enough; of a
# half-open circuit the guard says which few may try.
CLAIM = text(f"""
WITH offered AS (
  SELECT own.id, own.turn FROM tenant t CROSS JOIN LATERAL (
    SELECT first_few.id, first_few.held_priority,
           row_number() OVER (PARTITION BY held_priority ORDER BY held_at) AS turn
      FROM (
        SELECT d.id, d.held_priority, d.held_at FROM delivery d JOIN notification n ON n.id = d.notification_id
         WHERE d.tenant = t.id AND d.held_at IS NOT NULL AND (d.release_at IS NULL OR d.release_at <= now())
           AND (n.finished_at IS NOT NULL OR (
             NOT EXISTS (
               SELECT 1 FROM hold h WHERE (h.tenant IS NULL OR h.tenant = d.tenant) AND (
                 (h.kind = 'channel' AND h.name = d.channel) OR (h.kind = 'type' AND h.name = n.notification_type)))
             AND EXISTS (
               SELECT 1 FROM unnest(d.held_providers) AS p(name) LEFT JOIN provider_health f ON f.provider = p.name
                WHERE (f.state IS NULL OR f.state = 'closed' OR f.probes > 0)
                  AND (f.quiet_until IS NULL OR f.quiet_until <= now()) AND NOT EXISTS (
                  SELECT 1 FROM hold h WHERE (h.tenant IS NULL OR h.tenant = d.tenant)
                     AND h.kind = 'provider' AND h.name = p.name))))
         ORDER BY d.held_priority, d.held_at LIMIT :limit) first_few) own
   ORDER BY own.held_priority, own.turn, t.id LIMIT :limit
)
UPDATE delivery d SET release_at = now() + make_interval(secs => {LEASE_SECONDS})
  FROM (SELECT d.id, n.generation, offered.turn FROM delivery d JOIN offered USING (id)
          JOIN notification n ON n.id = d.notification_id FOR UPDATE OF d SKIP LOCKED) free
 WHERE d.id = free.id
RETURNING d.id AS delivery_id, d.held_at, d.notification_id, free.generation, d.held_priority, free.turn
""")  # noqa: S608 - a constant of our own
FORGET = text("""
UPDATE delivery d SET held_at = NULL, held_priority = NULL, held_providers = NULL, release_at = NULL
  FROM unnest(CAST(:ids AS uuid[]), CAST(:times AS timestamptz[])) AS x(id, held_at)
 WHERE d.id = x.id AND d.held_at = x.held_at
""")


async def pause(session: AsyncSession, tenant: UUID | None, kind: HoldKind, name: str, reason: str | None) -> None:
    """Again changes nothing."""
    values = {"id": new_id(), "tenant": tenant, "kind": kind, "name": name, "reason": reason}
    await session.execute(PAUSE, values)


async def resume(session: AsyncSession, tenant: UUID | None, kind: HoldKind, name: str) -> bool:
    """False if it was not paused."""
    values = {"tenant": tenant, "kind": kind, "name": name, "channel": DISPATCH_CHANNEL, "due": RELEASE_DUE}
    return bool((await session.execute(RESUME, values)).one()[0])


async def paused_names(session: AsyncSession, tenant: UUID, kind: HoldKind) -> set[str]:
    return set((await session.execute(NAMES, {"tenant": tenant, "kind": kind})).scalars())


async def mark_held(session: AsyncSession, call: DeliverInput, held: Held) -> None:
    """Paused by hand, it waits for that provider; unless it only came there because others are down."""
    waits_for = (call.provider,) if not call.pool or (held.by_hand and call.others) else call.pool
    await session.execute(MARK, {**_told(call, held), "pool": list(waits_for)})


async def note_reroute(session: AsyncSession, call: DeliverInput, held: Held) -> None:
    await session.execute(NOTE_REROUTE, _told(call, held))


def _told(call: DeliverInput, held: Held) -> dict[str, Any]:
    return {
        "event_id": derived_id("held", call.delivery_id, call.endpoint_id, call.attempt_number, held.cause),
        "tenant": call.tenant,
        "notification_id": call.notification_id,
        "delivery_id": call.delivery_id,
        "channel": call.channel,
        "provider": call.provider,
        "reason": held.reason,
    }


async def claim_released(session: AsyncSession, limit: int) -> list[Release]:
    """Of notifications that are over too: nobody has to be told, they are only to be forgotten."""
    rows = list((await session.execute(CLAIM, {"limit": limit})).mappings())
    rows.sort(key=lambda row: (row["held_priority"], row["turn"]))
    return [Release(**{name: row[name] for name in Release.__slots__}) for row in rows]


async def forget(session: AsyncSession, released: list[Release]) -> None:
    ids = [release.delivery_id for release in released]
    await session.execute(FORGET, {"ids": ids, "times": [release.held_at for release in released]})
