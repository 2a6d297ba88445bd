"""Load ledgers of notifications and save the changes that functions of `domain/ledger.py` made.

Each takes one statement. A write is fenced by the revision that was read: after a concurrent write the function is
applied again to the locked row. The first deliveries leave the revision at 0: a ledger of that revision is always read
under the lock, and the number of deliveries fences its write too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text

from domain.json_types import JsonObject
from domain.names import DISPATCH_CHANNEL, EVIDENCE_DUE, derived_id
from domain.notification_overview import delivery_facts
from domain.reasons import failures_to_json as reasons_json
from domain.reasons import first_category, reason_columns
from domain.records import AttemptRecord, Ledger
from metrics.sends import count_status_changes
from storage.database import to_json
from storage.event_outbox import EVENT_COLUMNS, FENCED_COLUMNS, INSERT_EVENT_MESSAGES, NOTIFY_IF_DUE
from storage.ledger_rows import LEDGER_AGGREGATES, LEDGER_COLUMNS, ledger_of
from storage.queue_entries import FOLLOW_NOTIFICATION
from storage.recipients import IS_ERASED
from storage.rows import FEW_ROWS
from storage.statements import Executor

LOCK_NOTIFICATION = text("SELECT 1 FROM notification WHERE id = :id AND tenant = :tenant FOR UPDATE")
LOAD_LEDGER = text(f"""
SELECT {LEDGER_COLUMNS}, {LEDGER_AGGREGATES} FROM notification n WHERE n.id = :id AND n.tenant = :tenant
""")  # noqa: S608 - constants of our own

# The statement also inserts the messages to the tenant's event endpoints. A vendor's response may quote an address:
# it is not stored if the recipient was erased since the call.
SAVE_TEMPLATE = f"""
WITH changed AS (
  SELECT * FROM jsonb_to_recordset(CAST(:notifications AS jsonb)) AS x(
         id uuid, revision int, status text, failure_reason text, finished_at timestamptz,
         cancel_requested_at timestamptz, known int, evidence_due bool, cancel_due bool, failure_category text,
         failures jsonb)
   {FEW_ROWS.format(rows="notifications")}
), {{locked}} fenced AS (
  UPDATE notification n SET status = x.status, failure_reason = x.failure_reason, failures = x.failures,
         finished_at = x.finished_at, cancel_requested_at = x.cancel_requested_at, revision = n.revision + 1
    FROM {{source}} x WHERE n.id = x.id AND n.revision = x.revision
     AND (SELECT count(*) - x.known FROM delivery d WHERE d.notification_id = n.id) = 0
  RETURNING {", ".join(f"n.{name}" for name in FENCED_COLUMNS.split(", "))}, n.generation, n.finished_at,
  x.evidence_due,
            x.cancel_due, x.failure_category
), {FOLLOW_NOTIFICATION}, recipient_row AS (
  SELECT n.id, n.finished_at, {IS_ERASED} AS erased FROM fenced n
), attempts AS (
  UPDATE attempt t SET state = x.state, evidence = x.evidence, error_type = x.error_type, reason = x.reason,
         receipt_reason = x.receipt_reason, finished_at = x.finished_at, next_at = x.next_at,
         provider_message_id = x.provider_message_id, sent_at = x.sent_at,
         provider_response = CASE WHEN recipient_row.erased THEN NULL ELSE x.provider_response END, cost = x.cost,
         delivered_at = x.delivered_at, bounced_at = x.bounced_at, opened_at = x.opened_at, clicked_at = x.clicked_at
    FROM recipient_row JOIN jsonb_to_recordset(CAST(:attempts AS jsonb)) AS x(
         notification_id uuid, id uuid, state text, evidence text, error_type text, reason text,
         receipt_reason text, finished_at timestamptz, next_at timestamptz,
         provider_message_id text, provider_response jsonb, cost numeric, sent_at timestamptz,
         delivered_at timestamptz, bounced_at timestamptz, opened_at timestamptz, clicked_at timestamptz)
      ON x.notification_id = recipient_row.id
   WHERE t.id = x.id
), deliveries AS (
  UPDATE delivery t SET status = x.status, failure_reason = x.failure_reason, failure_args = x.failure_args,
         is_skipped_by_rule = x.is_skipped_by_rule, awaited_evidence = x.awaited_evidence,
         held_at = CASE WHEN recipient_row.finished_at IS NULL THEN t.held_at END,
         provider = x.provider, provider_message_id = x.provider_message_id,
         provider_response = CASE WHEN recipient_row.erased THEN NULL ELSE x.provider_response END,
         sent_at = x.sent_at, delivered_at = x.delivered_at, opened_at = x.opened_at, clicked_at = x.clicked_at
    FROM recipient_row JOIN jsonb_to_recordset(CAST(:deliveries AS jsonb)) AS x(
         notification_id uuid, id uuid, status text, failure_reason text, failure_args jsonb, is_skipped_by_rule bool,
         awaited_evidence text, provider text, provider_message_id text, provider_response jsonb, sent_at timestamptz,
         delivered_at timestamptz, opened_at timestamptz, clicked_at timestamptz)
      ON x.notification_id = recipient_row.id
   WHERE t.id = x.id
), events AS (
  INSERT INTO event (id, tenant, notification_id, at, kind, channel, reason, detail, delivery_id, delivery_status,
                     status)
  SELECT x.id, fenced.tenant, fenced.id, x.at, x.kind, x.channel, x.reason, x.detail, x.delivery_id,
         x.delivery_status, x.status
    FROM fenced JOIN jsonb_to_recordset(CAST(:events AS jsonb)) AS x(
         notification_id uuid, ordinal int, id uuid, at timestamptz, kind text, channel text, reason text, detail jsonb,
         delivery_id uuid, delivery_status text, status text)
      ON x.notification_id = fenced.id
   ORDER BY x.notification_id, x.ordinal
  ON CONFLICT (id) DO NOTHING RETURNING {EVENT_COLUMNS}
), {INSERT_EVENT_MESSAGES}
SELECT id, (SELECT pg_notify(:dispatch, :evidence)::text FROM fenced WHERE evidence_due LIMIT 1), {NOTIFY_IF_DUE}
       FROM fenced
"""  # noqa: S608 - constants of our own
# Named once more as a parameter: Postgres else reads a small table as a whole.
ONE_CHANGED = "(SELECT * FROM changed WHERE id = CAST(:id AS uuid))"
SAVE_ONE = text(SAVE_TEMPLATE.format(locked="", source=ONE_CHANGED))
# A batch waits for no notification while it holds others, so it cannot deadlock with those that lock in another order.
SAVE_MANY = text(
    SAVE_TEMPLATE.format(
        locked="""locked AS (
  SELECT x.* FROM changed x JOIN notification n ON n.id = x.id AND n.revision = x.revision
   ORDER BY n.id FOR NO KEY UPDATE OF n SKIP LOCKED
),""",
        source="locked",
    )
)

LedgerChange = Callable[[Ledger], Ledger]


@dataclass(frozen=True, kw_only=True, slots=True)
class NotificationRef:
    notification_id: UUID
    tenant: UUID


async def load(session: Executor, ref: NotificationRef, *, lock: bool) -> Ledger | None:
    """Locking is a statement of its own: the one that reads must begin after the lock is ours."""
    values = {"id": ref.notification_id, "tenant": ref.tenant}
    if lock:
        await session.execute(LOCK_NOTIFICATION, values)
    row = (await session.execute(LOAD_LEDGER, values)).mappings().one_or_none()
    return None if row is None else ledger_of(dict(row))


async def amend(session: Executor, ref: NotificationRef, change: LedgerChange, known: Ledger | None = None) -> Ledger:
    """Apply `change` to `known` or to the current row, and after a concurrent write to the locked row.

    LookupError: no such row.
    """
    before = known or await _load_existing(session, ref, lock=False)
    if before.revision > 0:
        after = change(before)
        if after is before or await save(session, before, after):
            return after
    before = await _load_existing(session, ref, lock=True)
    after = change(before)
    if after is not before:
        await save(session, before, after)
    return after


async def _load_existing(session: Executor, ref: NotificationRef, *, lock: bool) -> Ledger:
    ledger = await load(session, ref, lock=lock)
    if ledger is None:
        raise LookupError(f"no notification {ref.notification_id}")
    return ledger


async def save(session: Executor, before: Ledger, after: Ledger) -> bool:
    """Write the difference. Return False and write nothing if another transaction changed the row or its deliveries.
    If `before` has revision 0, the caller must hold the row's lock."""
    return await save_with_statement(SAVE_ONE, session, before, after)


async def save_with_statement(
    statement: TextClause, session: Executor, before: Ledger, after: Ledger, **extra: Any
) -> bool:
    """Write the difference with a statement for one notification that is built from SAVE. `extra` are its own
    parameters."""
    one = [(before, after)]
    values = {**_difference_values(one), "id": before.notification_id, **extra}
    return bool(count_status_changes(one, (await session.execute(statement, values)).scalars()))


async def save_many(session: Executor, changes: Sequence[tuple[Ledger, Ledger]]) -> set[UUID]:
    """Write the differences of several notifications, each given once, in one statement. Return the ids of those that
    were written: not written are those whose row or deliveries have moved on, or that another transaction has locked.
    None may be of revision 0."""
    return count_status_changes(changes, (await session.execute(SAVE_MANY, _difference_values(changes))).scalars())


def _difference_values(changes: Sequence[tuple[Ledger, Ledger]]) -> JsonObject:
    rows: dict[str, list[JsonObject]] = {"notifications": [], "attempts": [], "deliveries": [], "events": []}
    for before, after in changes:
        attempts = [a for a in after.attempts.values() if before.attempts.get(a.id) != a]
        changed = {d.id for d in after.deliveries.values() if before.deliveries.get(d.id) != d}
        touched = changed | {attempt.delivery_id for attempt in attempts}
        reference = {"notification_id": after.notification_id}
        rows["notifications"].append(_notification_row(before, after))
        rows["attempts"] += [reference | _attempt_row(attempt) for attempt in attempts]
        rows["deliveries"] += [reference | _delivery_row(after, delivery_id) for delivery_id in touched]
        rows["events"] += [reference | event for event in _event_rows(after, before)]
    json = {name: to_json(values) for name, values in rows.items()}
    return {"evidence": EVIDENCE_DUE, "dispatch": DISPATCH_CHANNEL, **json}


def _notification_row(before: Ledger, after: Ledger) -> JsonObject:
    names = ("status", "failure_reason", "finished_at", "cancel_requested_at", "evidence_due")
    fields: JsonObject = {name: getattr(after, name) for name in names}
    fields["failure_category"] = first_category(after.failures)
    fields["failures"] = reasons_json(after.failures) or None
    fields["cancel_due"] = after.cancel_requested_at is not None and before.cancel_requested_at is None
    return {"id": after.notification_id, "revision": before.revision, "known": len(before.deliveries), **fields}


def _attempt_row(value: AttemptRecord) -> JsonObject:
    return {name: getattr(value, name) for name in value.__slots__}


def _delivery_row(ledger: Ledger, delivery_id: UUID) -> JsonObject:
    delivery = ledger.deliveries[delivery_id]
    status = {
        "id": delivery_id,
        "status": delivery.status,
        "is_skipped_by_rule": delivery.is_skipped_by_rule,
        "awaited_evidence": delivery.awaited_evidence,
    }
    return {**status, **reason_columns(delivery.failure), **delivery_facts(ledger, delivery_id)}


def _event_rows(after: Ledger, before: Ledger) -> list[JsonObject]:
    new = after.events[len(before.events) :]
    return [
        {"id": derived_id("event", after.notification_id, before.revision, ordinal), "ordinal": ordinal}
        | {name: getattr(event, name) for name in event.__slots__}
        for ordinal, event in enumerate(new)
    ]
