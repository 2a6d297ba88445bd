"""Load ledgers of notifications and save the changes that functions of `domain/ledger.py` made.

Each takes one statement; the statements of the guard and of receipt batches read the same view with other columns. A
write is fenced by the revision that was read: after a concurrent write the function is applied again to the locked row.
The first deliveries leave the revision at 0: a ledger of that revision is always read under the lock, and the number of
deliveries fences its write too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text

from domain.channels import Channel
from domain.evidence import AttemptState, Evidence
from domain.json_types import Json
from domain.names import DISPATCH_CHANNEL, EVIDENCE_DUE, derived_id
from domain.notification_overview import delivery_facts
from domain.reasons import failures_from_json, first_category, reason_columns
from domain.reasons import failures_to_json as reasons_json
from domain.records import AttemptRecord, DeliveryRecord, Ledger
from domain.statuses import DeliveryStatus, NotificationStatus
from domain.timeline import reason_of
from metrics.sends import count_status_changes
from storage.database import to_json
from storage.statements import Executor, decoded, parse_time, statement

LOCK_NOTIFICATION = text("SELECT 1 FROM notification WHERE id = :id AND tenant = :tenant FOR UPDATE")
LOAD_LEDGER = statement("ledgers/load")
# It also inserts the messages to the tenant's event endpoints. It does not wait for the lock of a notification, so it
# cannot deadlock with statements that lock in another order.
SAVE = statement("ledgers/save")

LedgerChange = Callable[[Ledger], Ledger]


@dataclass(frozen=True, kw_only=True, slots=True)
class NotificationRef:
    notification_id: UUID
    tenant: UUID


async def load(session: Executor, ref: NotificationRef, *, lock: bool) -> Ledger | None:
    """Load a ledger. The lock is a separate statement, because the statement that reads must begin after it is held."""
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


async def save(
    session: Executor, before: Ledger, after: Ledger, *, provider: str | None = None, message_id: str | None = None
) -> bool:
    """Write the difference. Return False and write nothing if another transaction changed the row or its deliveries, or
    has locked the row, or if receipts of the provider's message are waiting.

    If `before` has revision 0, the caller must hold the row's lock."""
    return bool(await _save_all(session, [(before, after)], provider, message_id))


async def save_many(session: Executor, changes: Sequence[tuple[Ledger, Ledger]]) -> set[UUID]:
    """Write the differences of several notifications, each given once, in one statement. Return the ids of those that
    were written: not written are those whose row or deliveries have moved on, or that another transaction has locked.
    None may be of revision 0."""
    return await _save_all(session, changes, None, None)


async def _save_all(
    session: Executor, changes: Sequence[tuple[Ledger, Ledger]], provider: str | None, message_id: str | None
) -> set[UUID]:
    ids = [before.notification_id for before, _ in changes]
    values = {**_difference_values(changes), "ids": ids, "provider": provider, "message_id": message_id}
    return count_status_changes(changes, (await session.execute(SAVE, values)).scalars())


def _difference_values(changes: Sequence[tuple[Ledger, Ledger]]) -> Json:
    rows: dict[str, list[Json]] = {"notifications": [], "attempts": [], "deliveries": [], "events": []}
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


def _notification_row(before: Ledger, after: Ledger) -> Json:
    names = ("status", "failure_reason", "finished_at", "cancel_requested_at", "evidence_due")
    fields: Json = {name: getattr(after, name) for name in names}
    fields["failure_category"] = first_category(after.failures)
    fields["failures"] = reasons_json(after.failures) or None
    fields["cancel_due"] = after.cancel_requested_at is not None and before.cancel_requested_at is None
    return {"id": after.notification_id, "revision": before.revision, "known": len(before.deliveries), **fields}


def _attempt_row(value: AttemptRecord) -> Json:
    return {name: getattr(value, name) for name in value.__slots__}


def _delivery_row(ledger: Ledger, delivery_id: UUID) -> Json:
    delivery = ledger.deliveries[delivery_id]
    status = {
        "id": delivery_id,
        "status": delivery.status,
        "is_skipped_by_rule": delivery.is_skipped_by_rule,
        "awaited_evidence": delivery.awaited_evidence,
    }
    return {**status, **reason_columns(delivery.failure), **delivery_facts(ledger, delivery_id)}


def _event_rows(after: Ledger, before: Ledger) -> list[Json]:
    new = after.events[len(before.events) :]
    return [
        {"id": derived_id("event", after.notification_id, before.revision, ordinal), "ordinal": ordinal}
        | {name: getattr(event, name) for name in event.__slots__}
        for ordinal, event in enumerate(new)
    ]


def ledger_of(row: dict[str, Any]) -> Ledger:
    """Return the ledger from a row with the columns of the view `notification_ledger`."""
    deliveries = [_delivery_of(value) for value in decoded(row["deliveries"]) or []]
    attempts = [_attempt_of(value) for value in decoded(row["attempts"]) or []]
    return Ledger(
        notification_id=row["id"],
        tenant=row["tenant"],
        generation=row["generation"],
        revision=row["revision"],
        status=NotificationStatus(row["status"]),
        failures=failures_from_json(decoded(row["failures"])),
        expires_at=row["expires_at"],
        finished_at=row["finished_at"],
        cancel_requested_at=row["cancel_requested_at"],
        deliveries={delivery.id: delivery for delivery in deliveries},
        attempts={attempt.id: attempt for attempt in attempts},
    )


def _delivery_of(value: Json) -> DeliveryRecord:
    return DeliveryRecord(
        id=UUID(value["id"]),
        channel=Channel(value["channel"]),
        step=value["step"],
        generation=value["generation"],
        status=DeliveryStatus(value["status"]),
        failure=reason_of(value["failure_reason"], value["failure_args"]),
        is_skipped_by_rule=value["is_skipped_by_rule"],
        awaited_evidence=Evidence(value["awaited_evidence"]) if value["awaited_evidence"] else None,
    )


TIME_FIELDS = (
    *("started_at", "finished_at", "next_at", "sent_at", "delivered_at", "bounced_at", "opened_at", "clicked_at"),
)
PLAIN_FIELDS = (
    *("endpoint_id", "number", "provider", "error_type", "reason", "receipt_reason"),
    *("provider_message_id", "provider_response"),
)


def _attempt_of(value: Json) -> AttemptRecord:
    plain: Json = {name: value[name] for name in PLAIN_FIELDS} | {name: parse_time(value[name]) for name in TIME_FIELDS}
    return AttemptRecord(
        id=UUID(value["id"]),
        delivery_id=UUID(value["delivery_id"]),
        state=AttemptState(value["state"]),
        evidence=Evidence(value["evidence"]) if value["evidence"] else None,
        cost=None if value["cost"] is None else str(value["cost"]),
        **plain,
    )
