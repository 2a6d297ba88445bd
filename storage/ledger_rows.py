"""Read ledgers out of rows: the columns of a statement, and the ledger that they make.

Used by `storage/ledgers.py`, and by statements that also read other columns.
"""

from typing import Any
from uuid import UUID

from domain.channels import Channel
from domain.evidence import AttemptState, Evidence
from domain.json_types import JsonObject
from domain.reasons import failures_from_json
from domain.records import AttemptRecord, DeliveryRecord, Ledger
from domain.statuses import DeliveryStatus, NotificationStatus
from domain.timeline import reason_of
from storage.rows import decoded, parse_time

# Used by the guard's statement too; `n` is the notification. Of all generations: late evidence of an old one counts.
LEDGER_AGGREGATES = """
  (SELECT jsonb_agg(jsonb_build_object('id', d.id, 'channel', d.channel, 'step', d.step, 'generation', d.generation,
          'status', d.status, 'failure_reason', d.failure_reason, 'failure_args', d.failure_args,
          'is_skipped_by_rule', d.is_skipped_by_rule,
          'awaited_evidence', d.awaited_evidence))
     FROM delivery d WHERE d.notification_id = n.id) AS deliveries,
  (SELECT jsonb_agg(to_jsonb(a)) FROM attempt a WHERE a.notification_id = n.id) AS attempts
"""
LEDGER_COLUMNS = """n.id, n.tenant, n.generation, n.revision, n.status, n.failure_reason, n.failures, n.expires_at,
  n.finished_at, n.cancel_requested_at"""


def ledger_of(row: dict[str, Any]) -> Ledger:
    """Return the ledger from a row with COLUMNS and AGGREGATES."""
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


def _delivery_of(value: JsonObject) -> DeliveryRecord:
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


TIME_FIELDS = ("finished_at", "next_at", "sent_at", "delivered_at", "bounced_at", "opened_at", "clicked_at")
PLAIN_FIELDS = (
    *("endpoint_id", "number", "provider", "error_type", "reason", "receipt_reason"),
    *("provider_message_id", "provider_response"),
)


def _attempt_of(value: JsonObject) -> AttemptRecord:
    plain: JsonObject = {name: value[name] for name in PLAIN_FIELDS} | {
        name: parse_time(value[name]) for name in TIME_FIELDS
    }
    return AttemptRecord(
        id=UUID(value["id"]),
        delivery_id=UUID(value["delivery_id"]),
        state=AttemptState(value["state"]),
        evidence=Evidence(value["evidence"]) if value["evidence"] else None,
        cost=None if value["cost"] is None else str(value["cost"]),
        **plain,
    )
