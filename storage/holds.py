"""What is paused, and what waits for it: holds, the deliveries that the guard held back, and those that may go on.

`hold` rows are written by the pause routes; deliveries are marked by `deliver` and made due by `dispatch/`.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.holds import Held, HoldKind
from domain.messages import DeliverInput
from domain.names import DISPATCH_CHANNEL, QUEUE_DUE, RELEASE_DUE, derived_id
from models.columns import new_id
from storage.queue_entries import DUE, WAITS
from storage.statements import Executor

LEASE_SECONDS = 12


PAUSE = text("""
INSERT INTO hold (id, tenant, kind, name, reason, created_at) VALUES (:id, :tenant, :kind, :name, :reason, now())
ON CONFLICT (kind, name, tenant) DO NOTHING RETURNING id
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
MARK = text(f"""
WITH whole AS (
  SELECT id, priority FROM notification WHERE id = :notification_id AND tenant = :tenant FOR KEY SHARE
), held AS (
  UPDATE delivery d SET held_at = clock_timestamp(), held_priority = whole.priority, release_at = NULL,
         held_providers = ARRAY(SELECT DISTINCT name FROM unnest(d.held_providers || CAST(:pool AS text[])) AS name)
    FROM whole WHERE d.id = :delivery_id AND d.notification_id = whole.id
  RETURNING d.notification_id, d.tenant, d.generation
), waiting AS (
  UPDATE queue_entry q SET {WAITS.format(until="CAST(NULL AS timestamptz)")} FROM held
   WHERE q.notification_id = held.notification_id AND q.generation = held.generation
     AND q.state IN ('claimed', 'started')
)
INSERT INTO event (id, tenant, notification_id, at, kind, channel, reason, detail, delivery_id)
SELECT :event_id, tenant, notification_id, now(), 'held', :channel, :reason,
       jsonb_build_object('provider', CAST(:provider AS text)), :delivery_id FROM held
ON CONFLICT (id) DO NOTHING
""")  # noqa: S608 - a constant of our own
NOTE_REROUTE = text("""
INSERT INTO event (id, tenant, notification_id, at, kind, channel, reason, detail, delivery_id)
VALUES (:event_id, :tenant, :notification_id, now(), 'rerouted', :channel, :reason,
        jsonb_build_object('provider', CAST(:provider AS text)), :delivery_id)
ON CONFLICT (id) DO NOTHING
""")

# The most urgent first, and tenants in turn. Whatever holds them, one provider that may be asked is enough; of a
# half-open circuit the guard says which few may try. Their entries become due: a worker process claims them like any
# other. `held_at` goes with the next attempt. If it does not come to one, they are released again after a while.
RELEASE = text(f"""
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
                 h.kind = 'tenant' OR (h.kind = 'channel' AND h.name = d.channel)
                 OR (h.kind = 'type' AND h.name = n.notification_type)))
             AND EXISTS (
               SELECT 1 FROM unnest(d.held_providers) AS p(name) LEFT JOIN provider_health f ON f.provider = p.name
                WHERE (f.state IS NULL OR f.state = 'closed' OR f.probes > 0)
                  AND (f.quiet_until IS NULL OR f.quiet_until <= now()) AND NOT EXISTS (
                  SELECT 1 FROM hold h WHERE (h.tenant IS NULL OR h.tenant = d.tenant)
                     AND h.kind = 'provider' AND h.name = p.name))))
         ORDER BY d.held_priority, d.held_at LIMIT :limit) first_few) own
   ORDER BY own.held_priority, own.turn, t.id LIMIT :limit
), released AS (
  UPDATE delivery d SET release_at = now() + make_interval(secs => {LEASE_SECONDS}),
         held_at = CASE WHEN free.finished_at IS NULL THEN d.held_at END
    FROM (SELECT d.id, n.finished_at FROM delivery d JOIN offered USING (id)
            JOIN notification n ON n.id = d.notification_id FOR UPDATE OF d SKIP LOCKED) free
   WHERE d.id = free.id
  RETURNING d.notification_id, d.generation
), entry AS (
  SELECT q.notification_id FROM queue_entry q
   WHERE (q.notification_id, q.generation) IN (SELECT notification_id, generation FROM released)
     AND q.state IN ('started', 'waiting') FOR UPDATE SKIP LOCKED
), due AS (
  UPDATE queue_entry q SET {DUE} FROM entry WHERE q.notification_id = entry.notification_id RETURNING 1
)
SELECT (SELECT count(*) FROM released), (SELECT max(pg_notify(:channel, :due)::text) FROM due)
""")  # noqa: S608 - constants of our own


async def pause(session: AsyncSession, tenant: UUID | None, kind: HoldKind, name: str, reason: str | None) -> bool:
    """Return False if it is paused already, which changes nothing."""
    values = {"id": new_id(), "tenant": tenant, "kind": kind, "name": name, "reason": reason}
    return (await session.execute(PAUSE, values)).one_or_none() is not None


async def resume(session: AsyncSession, tenant: UUID | None, kind: HoldKind, name: str) -> bool:
    """False if it was not paused."""
    values = {"tenant": tenant, "kind": kind, "name": name, "channel": DISPATCH_CHANNEL, "due": RELEASE_DUE}
    return bool((await session.execute(RESUME, values)).one()[0])


async def paused_names(session: AsyncSession, tenant: UUID, kind: HoldKind) -> set[str]:
    return set((await session.execute(NAMES, {"tenant": tenant, "kind": kind})).scalars())


async def mark_held(session: Executor, call: DeliverInput, held: Held) -> None:
    """Paused by hand, it waits for that provider; unless it only came there because others are down."""
    waits_for = (call.provider,) if not call.pool or (held.by_hand and call.others) else call.pool
    await session.execute(MARK, {**_told(call, held), "pool": list(waits_for)})


async def note_reroute(session: Executor, call: DeliverInput, held: Held) -> None:
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


async def release(session: Executor, limit: int) -> int:
    """Make due what nothing holds any more, at most `limit` deliveries. Return how many."""
    values = {"limit": limit, "channel": DISPATCH_CHANNEL, "due": QUEUE_DUE}
    return int((await session.execute(RELEASE, values)).one()[0])
