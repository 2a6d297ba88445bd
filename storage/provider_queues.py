"""How many notifications wait in Temporal for the rate of a provider, and which ones wait in Postgres meanwhile.

Few wait in Temporal: there nothing overtakes them but by priority, and they cannot be rerouted before their turn.
"""

from collections.abc import Sequence

from sqlalchemy import text

from domain.names import DISPATCH_CHANNEL, QUEUE_DUE
from models.queue import WAITS_FOR_PROVIDER
from storage.queue_entries import SET_DUE
from storage.statements import Executor

MAX_QUEUED = 60
# Of a provider whose queue has not moved for so many seconds only a few more are queued.
STALE_AFTER = 30.0
MAX_QUEUED_IF_STALE = 5

FREE_SLOTS = f"""
SELECT CASE WHEN min(queued_at) < now() - make_interval(secs => {STALE_AFTER}) THEN {MAX_QUEUED_IF_STALE}
       ELSE {MAX_QUEUED} END
       - count(*) FROM (SELECT queued_at FROM queue_entry WHERE queued_provider = :provider LIMIT {MAX_QUEUED}) queued
"""  # noqa: S608 - constants of our own
SELECT_FREE_SLOTS = text(FREE_SLOTS)
IS_WAITING = f"{WAITS_FOR_PROVIDER} AND awaited_provider = :provider"
ADMIT_WAITING = text(f"""
WITH RECURSIVE free_slots AS MATERIALIZED (
  SELECT GREATEST(0, ({FREE_SLOTS})) AS free
), tenants AS (
  (SELECT priority, tenant FROM queue_entry WHERE {IS_WAITING} AND (SELECT free FROM free_slots) > 0
    ORDER BY priority, tenant LIMIT 1)
   UNION ALL
  SELECT later.* FROM tenants CROSS JOIN LATERAL (
    SELECT priority, tenant FROM queue_entry
     WHERE {IS_WAITING} AND (priority, tenant) > (tenants.priority, tenants.tenant) ORDER BY priority, tenant
     LIMIT 1) later
), tenant_shares AS MATERIALIZED (
  SELECT priority, tenant, count(*) OVER (PARTITION BY priority) AS tenant_count FROM tenants
), tenant_rows AS (
  SELECT own.notification_id FROM tenant_shares CROSS JOIN LATERAL (
    SELECT notification_id, row_number() OVER () AS turn FROM (
      SELECT notification_id FROM queue_entry q
       WHERE {IS_WAITING} AND q.priority = tenant_shares.priority AND q.tenant = tenant_shares.tenant
       ORDER BY notification_id LIMIT (SELECT free FROM free_slots) / tenant_count + 1 FOR UPDATE SKIP LOCKED) mine) own
   ORDER BY tenant_shares.priority, own.turn, random() LIMIT (SELECT free FROM free_slots)
), due AS (
  UPDATE queue_entry q SET {SET_DUE} FROM tenant_rows WHERE q.notification_id = tenant_rows.notification_id RETURNING 1
)
SELECT count(*), max(pg_notify(:channel, :due)::text) FROM due
""")  # noqa: S608 - constants of our own


SELECT_AWAITED = text(f"""
SELECT name FROM unnest(CAST(:names AS text[])) AS provider(name)
 WHERE EXISTS (SELECT 1 FROM queue_entry WHERE {WAITS_FOR_PROVIDER} AND awaited_provider = name)
""")  # noqa: S608 - a constant of our own


async def has_free_place(session: Executor, provider: str) -> bool:
    """Whether another call may wait in the provider's own queue."""
    return int((await session.execute(SELECT_FREE_SLOTS, {"provider": provider})).scalar_one()) > 0


async def find_awaited_providers(session: Executor, providers: Sequence[str]) -> list[str]:
    """Return those of the providers that something waits for."""
    return list((await session.execute(SELECT_AWAITED, {"names": list(providers)})).scalars())


async def admit(session: Executor, provider: str) -> int:
    """Make as many calls due as the queue has slots, by priority and round-robin among tenants. Return their number."""
    values = {"provider": provider, "channel": DISPATCH_CHANNEL, "due": QUEUE_DUE}
    return int((await session.execute(ADMIT_WAITING, values)).one()[0])
