"""Derive from the evidence of its attempts what is proved about a delivery. Used by `domain/ledger.py`."""

from dataclasses import replace
from datetime import datetime

from domain.evidence import AttemptState, Evidence, strongest_evidence
from domain.failure_reasons import dominant_code
from domain.notification_overview import ARRIVED_STATUSES
from domain.reasons import Reason, bounce_reason
from domain.records import AttemptRecord
from domain.statuses import DeliveryStatus

TIMESTAMP_FIELDS: dict[Evidence, str] = {
    Evidence.SENT: "sent_at",
    Evidence.DELIVERED: "delivered_at",
    Evidence.BOUNCED: "bounced_at",
    Evidence.OPENED: "opened_at",
    Evidence.CLICKED: "clicked_at",
}

STATUS_BY_EVIDENCE: dict[Evidence, DeliveryStatus] = {
    Evidence.IN_DOUBT: DeliveryStatus.IN_DOUBT,
    Evidence.SENT: DeliveryStatus.SENT,
    Evidence.DELIVERED: DeliveryStatus.DELIVERED,
    Evidence.BOUNCED: DeliveryStatus.FAILED,
    Evidence.OPENED: DeliveryStatus.OPENED,
    Evidence.CLICKED: DeliveryStatus.OPENED,
}

ProvenStatus = tuple[DeliveryStatus, Reason | None]  # a status, and the reason for it


def with_evidence(attempt: AttemptRecord, evidence: Evidence, at: datetime, reason: str | None = None) -> AttemptRecord:
    """Return the attempt with more evidence; a click counts as an opening at the same time. `reason` is why it
    bounced."""
    times = {
        TIMESTAMP_FIELDS[e]
        for e in {evidence, Evidence.OPENED if evidence is Evidence.CLICKED else evidence} & set(TIMESTAMP_FIELDS)
    }
    earliest = {name: min(filter(None, (getattr(attempt, name), at))) for name in times}
    updated = (
        dominant_code((attempt.receipt_reason, reason)) if evidence is Evidence.BOUNCED else attempt.receipt_reason
    )
    return replace(attempt, evidence=strongest_evidence(attempt.evidence, evidence), receipt_reason=updated, **earliest)


def proven_status(attempts: list[AttemptRecord]) -> ProvenStatus | None:
    """Return the status that the evidence alone proves: the best of the endpoints, else bounced, else None.

    A call without an outcome proves nothing: the guarantee of the type decides whether it is resent or in doubt. It
    keeps a delivery with a bounce from FAILED.
    """
    statuses = {STATUS_BY_EVIDENCE[a.evidence] for a in attempts if a.evidence in STATUS_BY_EVIDENCE}
    for status in ARRIVED_STATUSES:
        if status in statuses:
            return status, None
    if DeliveryStatus.FAILED not in statuses:
        return None
    if is_in_doubt(attempts):
        return DeliveryStatus.IN_DOUBT, Reason("outcome_unknown")
    bounced = (attempt.receipt_reason for attempt in attempts if attempt.evidence is Evidence.BOUNCED)
    return DeliveryStatus.FAILED, bounce_reason(dominant_code(bounced))


def is_in_doubt(attempts: list[AttemptRecord]) -> bool:
    """Return whether an endpoint may have the message without proof: its outcome is unknown or still open."""
    unanswered = (None, Evidence.IN_DOUBT)
    return any(
        a.evidence in unanswered and a.state in (AttemptState.SUBMITTING, AttemptState.UNKNOWN) for a in attempts
    )
