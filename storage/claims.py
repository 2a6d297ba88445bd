"""Claims of due notifications by worker processes. A claim is a lease: no lock outlives the statement.

The function `claim_due` of the database (migration 0001) counts the slots of the process and serves tenants
round-robin.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from domain.names import DISPATCH_CHANNEL, QUEUE_DUE
from domain.notification_types import URGENT_PRIORITY
from domain.run_summaries import route_text
from models.queue import IS_TIMED, IS_URGENT_DUE
from storage.queue_entries import SET_DUE, SET_STARTED, SET_WAITING, WAIT_IS_OVER
from storage.rows import decoded
from storage.statements import Executor

# Of one process, which uses one core: more make urgent notifications wait longer for it.
DEFAULT_SLOTS = 6
# Longer than a start can block; how long a row waits whose process was killed between the claim and the start.
LEASE_SECONDS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Slots:
    """How many notifications a process handles at a time; `reserved` of them are kept for priorities 1 and 2."""

    total: int
    reserved: int


def resolve_slots(total: int) -> Slots:
    """Those of one process; 0 is the default."""
    total = total or DEFAULT_SLOTS
    return Slots(total=total, reserved=max(1, total // 4))


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedNotification:
    """`has_workflow`: its workflow exists and is to be resumed. `waits_for_send_at`: `send_at` is in the future, by the
    clock of the database: a worker whose clock is ahead would send early. `predates_restore`: it is older than a
    restore of the database, and Temporal may have its workflow in a later state. `tenant_key`, `route` and
    `schedule_key` (of the recurring send) are for operators to read, and empty if `has_workflow`."""

    id: UUID
    tenant: UUID
    generation: int
    priority: int
    notification_type: str
    send_at: datetime | None
    expires_at: datetime | None
    has_workflow: bool
    waits_for_send_at: bool = False
    predates_restore: bool = False
    tenant_key: str = ""
    route: str = ""
    schedule_key: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StartedClaim:
    """What became of a claim: the workflow was started or resumed. It has its slot until `waits_until` is set."""

    id: UUID
    generation: int
    waits_until: datetime | None = None


EARLIEST_DUE = "now() - CAST(:look_back AS interval)"
# The claim does not wait until it is on disk. One that Postgres loses in a crash is due again, as if it had expired,
# and its workflow is found started. A write that follows from a claim takes the claim to the disk with it.
CLAIM_DUE = text(f"""
SELECT claimed.*, set_config('synchronous_commit', 'off', true), COALESCE(send_at > now(), false) AS waits_for_send_at,
       COALESCE(id < (SELECT restored_before FROM engine_state WHERE engine_state.id = 1), false) AS predates_restore,
       (SELECT jsonb_build_array(owner.key, jsonb_path_query_array(t.spec, '$.route[*].channels'), n.channels,
               (SELECT key FROM schedule WHERE schedule.id = n.schedule_id))
          FROM notification n JOIN tenant owner ON owner.id = n.tenant JOIN notification_type t ON t.id = n.type_id
         WHERE n.id = claimed.id AND NOT claimed.has_workflow) AS labels
  FROM claim_due(:process, :slots, :reserved, :batch_size, {EARLIEST_DUE}, :lease) claimed
""")  # noqa: S608 - a constant of our own

# Fenced by the claim itself and by the generation. A canceled one may be signaled from now on.
MARK_STARTED = text("""
WITH begun AS (
  SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:generations AS int[]), CAST(:waits AS timestamptz[]))
             AS x(id, generation, waits_until)
), entry AS (
  SELECT q.notification_id, begun.waits_until FROM queue_entry q
    JOIN begun ON q.notification_id = begun.id AND q.generation = begun.generation
   WHERE (q.state IN ('claimed', 'canceled') AND q.claimed_by = :process)
      OR (q.state = 'due' AND q.started_at IS NULL)
   ORDER BY q.notification_id FOR UPDATE OF q
)
UPDATE queue_entry q SET started_at = COALESCE(q.started_at, now()),
       state = CASE WHEN q.state = 'canceled' THEN q.state WHEN entry.waits_until IS NULL THEN 'started'
                    ELSE 'waiting' END,
       waits_until = entry.waits_until,
       next_at = CASE WHEN q.state = 'canceled' THEN now()
                      ELSE COALESCE(entry.waits_until, now() + interval '1 minute') END,
       claimed_by = CASE WHEN q.state <> 'canceled' AND entry.waits_until IS NULL THEN q.claimed_by END
  FROM entry WHERE q.notification_id = entry.notification_id
""")
RETURN_CLAIMS = text("""
WITH entry AS (
  SELECT q.notification_id FROM queue_entry q
    JOIN unnest(CAST(:ids AS uuid[]), CAST(:generations AS int[])) AS x(id, generation)
      ON q.notification_id = x.id AND q.generation = x.generation
   WHERE q.state = 'claimed' AND q.claimed_by = :process ORDER BY q.notification_id FOR UPDATE OF q
)
UPDATE queue_entry q SET state = 'waiting', claimed_by = NULL, waits_until = now() + make_interval(secs => :seconds),
       next_at = now() + make_interval(secs => :seconds)
  FROM entry WHERE q.notification_id = entry.notification_id
""")

MATCHES_ENTRY = "q.notification_id = :id AND q.generation = :generation"
RELEASE_SLOT = text(f"UPDATE queue_entry q SET {SET_STARTED} WHERE {MATCHES_ENTRY} AND {WAIT_IS_OVER}")  # noqa: S608 - our own
SET_WAIT = text(f"""
UPDATE queue_entry q SET {SET_WAITING.format(until="CAST(:until AS timestamptz)")}
 WHERE {MATCHES_ENTRY} AND q.state NOT IN ('collecting', 'canceled')
""")  # noqa: S608 - constants of our own
# A wait that `waits_for` names is another channel's.
CLEAR_WAIT = text(f"""
UPDATE queue_entry q SET {SET_STARTED}
 WHERE {MATCHES_ENTRY} AND q.state = 'waiting' AND q.waits_for IS NULL AND q.waits_until IS NOT NULL
""")  # noqa: S608 - constants of our own

# Claims that have expired and waits that are over, the most urgent first.
MAKE_WAITING_DUE = text(f"""
WITH over AS (
  SELECT own.notification_id FROM generate_series(1, 5) level CROSS JOIN LATERAL (
    SELECT notification_id FROM queue_entry
     WHERE priority = level AND ({IS_TIMED}) AND next_at BETWEEN {EARLIEST_DUE} AND now()
     ORDER BY next_at LIMIT :limit FOR UPDATE SKIP LOCKED) own
   LIMIT :limit
)
UPDATE queue_entry q SET {SET_DUE} FROM over WHERE q.notification_id = over.notification_id
RETURNING pg_notify(:channel, :due)::text
""")  # noqa: S608 - a constant of our own

# What a tenant has due at priorities 1 and 2 beyond its burst, oldest first. Notifications are locked before entries.
DEMOTE_BURSTS = text(f"""
WITH RECURSIVE tenants AS (
  (SELECT tenant FROM queue_entry WHERE {IS_URGENT_DUE} ORDER BY tenant LIMIT 1)
   UNION ALL
  SELECT later.tenant FROM tenants CROSS JOIN LATERAL (
    SELECT tenant FROM queue_entry WHERE {IS_URGENT_DUE} AND tenant > tenants.tenant ORDER BY tenant LIMIT 1) later
), excess AS (
  SELECT own.notification_id FROM tenants CROSS JOIN LATERAL (
    SELECT notification_id FROM queue_entry WHERE {IS_URGENT_DUE} AND tenant = tenants.tenant
     ORDER BY priority, next_at, notification_id OFFSET :burst LIMIT :limit) own
   LIMIT :limit
), locked_notification AS (
  SELECT n.id, n.tenant FROM notification n JOIN excess ON n.id = excess.notification_id
   ORDER BY n.id FOR KEY SHARE OF n SKIP LOCKED
), entry AS (
  SELECT q.notification_id FROM queue_entry q JOIN locked_notification ON locked_notification.id = q.notification_id
   WHERE q.state = 'due' AND q.priority <= {URGENT_PRIORITY} FOR UPDATE OF q SKIP LOCKED
), demoted AS (
  UPDATE queue_entry q SET priority = {URGENT_PRIORITY} + 1 FROM entry WHERE q.notification_id = entry.notification_id
  RETURNING q.notification_id
), timeline AS (
  INSERT INTO event (id, tenant, notification_id, at, kind, reason)
  SELECT gen_random_uuid(), locked_notification.tenant, locked_notification.id, clock_timestamp(), 'demoted',
         'urgent_burst'
    FROM demoted JOIN locked_notification ON locked_notification.id = demoted.notification_id
)
SELECT count(*) FROM demoted
""")  # noqa: S608 - a constant of our own


async def claim_due(
    session: Executor, process: UUID, slots: Slots, *, batch_size: int, look_back: timedelta
) -> tuple[list[ClaimedNotification], bool]:
    """Claim at most `batch_size` rows due for at most `look_back`, by priority and round-robin among tenants.

    Also return whether the process has no free slot, at least for priorities 3 to 5: then more may be due.
    """
    values = {
        "process": process,
        "slots": slots.total,
        "reserved": slots.reserved,
        "batch_size": batch_size,
        "look_back": look_back,
    }
    *rows, last = (await session.execute(CLAIM_DUE, {**values, "lease": LEASE_SECONDS})).mappings()
    return [_claimed_notification(row) for row in rows], bool(last["is_full"])


def _claimed_notification(row: Mapping[str, Any]) -> ClaimedNotification:
    labels = ("tenant_key", "route", "schedule_key")
    tenant_key, route, channel_filter, schedule_key = decoded(row["labels"]) or ("", [], None, None)
    values = {name: row[name] for name in ClaimedNotification.__slots__ if name not in labels}
    return ClaimedNotification(
        **values, tenant_key=tenant_key, route=route_text(route, channel_filter), schedule_key=schedule_key
    )


async def mark_started(session: Executor, process: UUID, started_claims: Sequence[StartedClaim]) -> None:
    """Mark the workflows that were started or resumed. Most entries have been updated by their workflows before."""
    waits = [claim.waits_until for claim in started_claims]
    await session.execute(MARK_STARTED, {"process": process, "waits": waits, **_id_generation_values(started_claims)})


async def return_claims(
    session: Executor, process: UUID, claimed: Sequence[ClaimedNotification], seconds: float
) -> None:
    """Give claims back that Temporal did not take; they are due again after `seconds`."""
    await session.execute(RETURN_CLAIMS, {"process": process, "seconds": seconds, **_id_generation_values(claimed)})


async def release_slot(session: Executor, id: UUID, generation: int) -> None:
    """Its call waits in a queue of Temporal, and takes no slot meanwhile."""
    await session.execute(RELEASE_SLOT, {"id": id, "generation": generation})


async def set_wait(session: Executor, id: UUID, generation: int, until: datetime) -> None:
    """Resume its workflow then, in its turn."""
    await session.execute(SET_WAIT, {"id": id, "generation": generation, "until": until})


async def clear_wait(session: Executor, id: UUID, generation: int) -> None:
    """Its workflow waits no longer."""
    await session.execute(CLEAR_WAIT, {"id": id, "generation": generation})


async def demote_bursts(session: Executor, *, burst: int, limit: int) -> int:
    """Serve at priority 3 what a tenant has due at 1 and 2 beyond `burst`. Return how many were demoted."""
    return int((await session.execute(DEMOTE_BURSTS, {"burst": burst, "limit": limit})).scalar_one())


async def make_waiting_due(session: Executor, *, look_back: timedelta, limit: int) -> int:
    """Make due what has waited for its time, and what a process has claimed and not begun. Return how many."""
    values = {"look_back": look_back, "limit": limit, "channel": DISPATCH_CHANNEL, "due": QUEUE_DUE}
    return len(list(await session.execute(MAKE_WAITING_DUE, values)))


def _id_generation_values(claims: Sequence[StartedClaim] | Sequence[ClaimedNotification]) -> dict[str, object]:
    """Ids with the generations that fence the write."""
    return {"ids": [claim.id for claim in claims], "generations": [claim.generation for claim in claims]}
