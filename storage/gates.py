"""What a notification waits for before it may go out, as its row shows it, and who is to ask again."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.gates import TIME_GATE_REASONS, GateReason
from domain.messages import Gate
from domain.names import COLLECT_DUE, DISPATCH_CHANNEL, QUEUE_DUE, derived_id
from storage import reconsiderations
from storage.ledgers import NotificationRef
from storage.queue_entries import CLEAR_WAIT, END_GATE_WAIT, SET_DUE, SET_WAITING
from storage.statements import Executor

# The event that is written too locks the notification: it comes first here, as everywhere.
UNTIL_PARAMETER = "CAST(:until AS timestamptz)"
WAIT_AT_GATE = text(f"""
WITH open AS (
  SELECT id, tenant, generation, recipient_id FROM notification
   WHERE id = :id AND tenant = :tenant AND generation = :generation AND finished_at IS NULL FOR UPDATE
), waiting AS (
  UPDATE queue_entry q SET waits_for = :reason, awaited_provider = :provider, recipient_id = open.recipient_id,
         {SET_WAITING.format(until=UNTIL_PARAMETER)}
    FROM open WHERE q.notification_id = open.id AND q.generation = open.generation
  RETURNING open.id, open.tenant
)
INSERT INTO event (id, tenant, notification_id, at, kind, reason, detail)
SELECT :event_id, tenant, id, clock_timestamp(), 'waiting', :reason,
       jsonb_build_object('until', CAST(:until_text AS text))
         || jsonb_strip_nulls(jsonb_build_object('provider', CAST(:provider AS text))) FROM waiting
ON CONFLICT (id) DO NOTHING
""")  # noqa: S608 - constants of our own
PASS_GATES = text(f"""
WITH own AS (
  SELECT id, generation FROM notification WHERE id = :id AND tenant = :tenant AND digest_key IS NULL FOR UPDATE
), passed AS (
  UPDATE queue_entry q SET {END_GATE_WAIT} FROM own
   WHERE q.notification_id = own.id AND q.generation = own.generation AND q.waits_for IS NOT NULL
)
SELECT id FROM own
""")  # noqa: S608 - a constant of our own
RECONSIDER_RECIPIENT = text(f"""
WITH waiting AS (
  SELECT notification_id FROM queue_entry
   WHERE tenant = :tenant AND waits_for = ANY(:reasons) AND state = 'waiting' AND recipient_id = :recipient_id
   ORDER BY notification_id FOR UPDATE
), due AS (
  UPDATE queue_entry q SET {SET_DUE}
    FROM waiting WHERE q.notification_id = waiting.notification_id RETURNING q.notification_id
)
SELECT count(*), max(pg_notify(:channel, :due)::text) FROM due
""")  # noqa: S608 - a constant of our own
# It is collected from now on, and has no workflow of its own.
MOVE_TO_DIGEST = text(f"""
WITH moved AS (
  UPDATE notification SET digest_key = :group, revision = revision + 1
   WHERE id = :id AND tenant = :tenant AND generation = :generation AND finished_at IS NULL RETURNING id, generation
), collected AS (
  UPDATE queue_entry q SET state = 'collecting', next_at = now(), started_at = NULL, claimed_by = NULL, {CLEAR_WAIT}
    FROM moved WHERE q.notification_id = moved.id AND q.generation = moved.generation
)
SELECT count(*), max(pg_notify(:channel, :due)::text) FROM moved
""")  # noqa: S608 - a constant of our own


async def wait_at_gate(session: Executor, key: NotificationRef, generation: int, gate: Gate) -> None:
    """Write the event of a wait. Idempotent per gate and end of the wait."""
    until = None if gate.until is None else gate.until.isoformat(timespec="seconds").replace("+00:00", "Z")
    values = {
        "id": key.notification_id,
        "tenant": key.tenant,
        "generation": generation,
        "reason": gate.reason,
        "provider": gate.provider,
        "until": gate.until,
        "until_text": until,
        "event_id": derived_id("waiting", key.notification_id, generation, gate.reason, gate.provider, until),
    }
    await session.execute(WAIT_AT_GATE, values)


async def pass_gates(session: AsyncSession, key: NotificationRef) -> bool:
    """Record that the gates are passed. Return False if a concurrent duplicate has handed it to a digest."""
    passing = await session.execute(PASS_GATES, {"id": key.notification_id, "tenant": key.tenant})
    return passing.one_or_none() is not None


async def reconsider(
    session: AsyncSession, tenant: UUID, recipient_id: str | None, reasons: Sequence[GateReason] = TIME_GATE_REASONS
) -> None:
    """Their zone, quiet hours or cap are others now: whatever waits for them is to ask again. None: of all people,
    batch by batch after the transaction."""
    if recipient_id is None:
        await reconsiderations.request_reconsideration(session, tenant, [str(reason) for reason in reasons])
        return
    values = {"tenant": tenant, "recipient_id": recipient_id, "reasons": [str(reason) for reason in reasons]}
    await session.execute(RECONSIDER_RECIPIENT, {**values, "channel": DISPATCH_CHANNEL, "due": QUEUE_DUE})


async def move_to_digest(session: AsyncSession, key: NotificationRef, generation: int, group: str) -> None:
    values = {"id": key.notification_id, "tenant": key.tenant, "generation": generation, "group": group}
    await session.execute(MOVE_TO_DIGEST, {**values, "channel": DISPATCH_CHANNEL, "due": COLLECT_DUE})
