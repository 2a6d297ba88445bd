"""Compute every status of a notification from evidence, by pure functions over its ledger.

Used by `deliver`, `settle`, cancel, the sweep and the receipt applier. `storage/ledgers.py` loads a ledger and
writes what changed. Nothing else sets a status.
"""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from domain.evidence import EVIDENCE_OF_STATE, AttemptState, Evidence
from domain.failure_reasons import category_of_code
from domain.json_types import Json
from domain.notification_overview import channel_failures, overall_status
from domain.proven_statuses import TIMESTAMP_FIELDS, ProvenStatus, is_in_doubt, proven_status, with_evidence
from domain.reasons import ChannelReason, Reason
from domain.records import AttemptRecord, DeliveryDecision, DeliveryRecord, Ledger, TimelineEvent
from domain.statuses import (
    DELIVERY_TRANSITIONS,
    NOTIFICATION_TRANSITIONS,
    SENT_STATUSES,
    DeliveryStatus,
    NotificationStatus,
)
from domain.timeline import failure_fields, reason_fields, with_details

OPEN_STATUSES = (DeliveryStatus.PENDING, DeliveryStatus.SENDING)


def record_outcome(ledger: Ledger, attempt: AttemptRecord, state: AttemptState, at: datetime) -> Ledger:
    """Record the outcome of a call. Fenced: only an attempt without an outcome, or with an unknown one, accepts it."""
    known = ledger.attempts[attempt.id]
    if known.state not in (AttemptState.SUBMITTING, AttemptState.UNKNOWN) or known.state is state:
        return ledger
    # A call that is proved absent, or found, is no longer in doubt. The evidence of its receipts stays.
    reported = None if known.evidence is Evidence.IN_DOUBT else known.evidence
    updated = replace(attempt, state=state, evidence=reported, finished_at=at)
    updated = replace(updated, **{name: getattr(known, name) for name in set(TIMESTAMP_FIELDS.values())})
    after = _with_attempt(ledger, with_evidence(updated, EVIDENCE_OF_STATE[state], at), at, detail=_detail(updated))
    has_no_event = len(after.events) == len(ledger.events) and state is not AttemptState.ACCEPTED
    return (
        _with_event(after, updated.delivery_id, f"attempt_{updated.state}", at, _detail(updated), updated.reason)
        if has_no_event
        else after
    )


def record_receipt(
    ledger: Ledger,
    attempt_id: UUID,
    evidence: Evidence,
    occurred_at: datetime,
    at: datetime,
    reason: str | None = None,
    reported_by: str | None = None,
) -> Ledger:
    """Record later evidence from a provider. Idempotent; weaker evidence changes nothing. `reported_by` is the
    provider, unless the application, the inbox or our own tracking reported it."""
    attempt = with_evidence(ledger.attempts[attempt_id], evidence, occurred_at, reason)
    if attempt == ledger.attempts[attempt_id]:
        return ledger
    source = "provider" if reported_by in (None, attempt.provider) else "reported_by"
    detail = {source: reported_by or attempt.provider, "receipt": str(evidence)}
    after = _with_attempt(ledger, attempt, at, detail)
    if len(after.events) == len(ledger.events):
        after = _with_event(after, attempt.delivery_id, str(evidence), at, detail, reason)
    return _with_evidence_due(after, attempt.delivery_id)


def record_delay(
    ledger: Ledger, attempt_id: UUID, occurred_at: datetime, at: datetime, reason: str | None = None
) -> Ledger:
    """Record in the timeline that the provider tries again to hand over the message. It changes no status."""
    attempt = ledger.attempts[attempt_id]
    detail = {"provider": attempt.provider, "occurred_at": occurred_at.isoformat()}
    return _with_event(ledger, attempt.delivery_id, "delayed", at, detail, reason)


def await_evidence(ledger: Ledger, delivery_id: UUID, goal: Evidence) -> Ledger:
    """Mark the delivery so that this much evidence wakes the workflow, unless the goal is decided already."""
    delivery = ledger.deliveries[delivery_id]
    if delivery.awaited_evidence is goal or _is_goal_decided(ledger, delivery_id, goal):
        return ledger
    return replace(ledger, deliveries={**ledger.deliveries, delivery_id: replace(delivery, awaited_evidence=goal)})


def _is_goal_decided(ledger: Ledger, delivery_id: UUID, goal: Evidence) -> bool:
    """Return whether an endpoint has reached the goal, or none can reach it because all bounced."""
    if any(attempt.proves(goal) for attempt in ledger.attempts_of(delivery_id)):
        return True
    return ledger.deliveries[delivery_id].status is DeliveryStatus.FAILED


def close_delivery(ledger: Ledger, delivery_id: UUID, decision: DeliveryDecision, at: datetime) -> Ledger:
    """Close a delivery by a decision of Tocsin. A call with an unknown outcome turns "failed" into "in doubt".

    Applies to open deliveries only: a receipt may have arrived since the workflow decided.
    """
    if ledger.deliveries[delivery_id].status not in OPEN_STATUSES:
        return ledger
    status = DeliveryStatus.IN_DOUBT if is_in_doubt(ledger.attempts_of(delivery_id)) else decision.status
    return _move_delivery(ledger, delivery_id, status, decision.reason, at, None)


def finish_notification(
    ledger: Ledger,
    at: datetime,
    decided_status: NotificationStatus = NotificationStatus.FAILED,
    reason: Reason | None = None,
) -> Ledger:
    """Finish the notification: no step waits. `decided_status` applies if the deliveries alone do not decide it."""
    if ledger.finished_at is not None:
        return ledger
    for delivery in list(ledger.deliveries.values()):
        if delivery.status in OPEN_STATUSES:
            left = DeliveryDecision(
                status=STATUS_OF_UNSENT.get(decided_status, DeliveryStatus.FAILED), reason=reason or Reason("not_sent")
            )
            ledger = close_delivery(ledger, delivery.id, left, at)
    return _move_notification(replace(ledger, finished_at=at), at, decided_status, reason)


STATUS_OF_UNSENT: dict[NotificationStatus, DeliveryStatus] = {
    NotificationStatus.CANCELED: DeliveryStatus.CANCELED,
    NotificationStatus.EXPIRED: DeliveryStatus.EXPIRED,
}


def _detail(attempt: AttemptRecord) -> Json:
    words = {"provider": attempt.provider, "attempt": attempt.number, "error_type": attempt.error_type}
    return {name: value for name, value in words.items() if value is not None}


def _with_attempt(ledger: Ledger, attempt: AttemptRecord, at: datetime, detail: Json) -> Ledger:
    ledger = replace(ledger, attempts={**ledger.attempts, attempt.id: attempt})
    proof = proven_status(ledger.attempts_of(attempt.delivery_id)) or _canceled_status(ledger, attempt.delivery_id)
    return _move_delivery(ledger, attempt.delivery_id, *proof, at, detail) if proof else ledger


def _with_evidence_due(ledger: Ledger, delivery_id: UUID) -> Ledger:
    """Mark due evidence once per wait: evidence after the goal wakes no workflow."""
    delivery = ledger.deliveries[delivery_id]
    if delivery.awaited_evidence is None or not _is_goal_decided(ledger, delivery_id, delivery.awaited_evidence):
        return ledger
    deliveries = {**ledger.deliveries, delivery_id: replace(delivery, awaited_evidence=None)}
    return replace(ledger, deliveries=deliveries, evidence_due=ledger.finished_at is None)


def _with_event(
    ledger: Ledger, delivery_id: UUID, kind: str, at: datetime, detail: Json, reason: str | None = None
) -> Ledger:
    """Add an event that changes no status. `reason` is the provider's."""
    channel = ledger.deliveries[delivery_id].channel
    note = TimelineEvent(
        at=at, kind=kind, channel=channel, reason=reason, detail=with_details(detail, category=category_of_code(reason))
    )
    return replace(ledger, events=(*ledger.events, note))


def _canceled_status(ledger: Ledger, delivery_id: UUID) -> ProvenStatus | None:
    """Return CANCELED for a delivery that was canceled while in doubt, once no endpoint can have the message."""
    in_doubt = ledger.deliveries[delivery_id].status is DeliveryStatus.IN_DOUBT
    if ledger.cancel_requested_at is None or not in_doubt or is_in_doubt(ledger.attempts_of(delivery_id)):
        return None
    return DeliveryStatus.CANCELED, Reason("canceled")


def _move_delivery(
    ledger: Ledger, delivery_id: UUID, status: DeliveryStatus, reason: Reason | None, at: datetime, detail: Json | None
) -> Ledger:
    delivery = ledger.deliveries[delivery_id]
    if status not in DELIVERY_TRANSITIONS[delivery.status]:
        return (
            _with_failure_reason(ledger, delivery, reason)
            if status is delivery.status is DeliveryStatus.FAILED
            else ledger
        )
    # Only a rule skips a delivery after rendering, such as an opt-out between the render and the call.
    moved = replace(delivery, status=status, failure=reason, is_skipped_by_rule=status is DeliveryStatus.SKIPPED)
    ledger = replace(ledger, deliveries={**ledger.deliveries, delivery_id: moved})
    event = TimelineEvent(
        at=at,
        kind=status.lower(),
        channel=delivery.channel,
        **reason_fields(reason, detail),
        delivery_id=delivery_id,
        delivery_status=status,
    )
    return _move_notification(replace(ledger, events=(*ledger.events, event)), at)


def _with_failure_reason(ledger: Ledger, delivery: DeliveryRecord, reason: Reason | None) -> Ledger:
    """Update the reason of a failed delivery. A later receipt may be more precise, and the rows must not depend on
    the order of receipts."""
    deliveries = {**ledger.deliveries, delivery.id: replace(delivery, failure=reason)}
    ledger = replace(ledger, deliveries=deliveries)
    failed = ledger.status is NotificationStatus.FAILED
    return replace(ledger, failures=channel_failures(ledger)) if failed else ledger


def _move_notification(
    ledger: Ledger, at: datetime, decided_status: NotificationStatus | None = None, reason: Reason | None = None
) -> Ledger:
    """Follow the deliveries. The event of the delivery that caused the change carries the new status too."""
    status, why = overall_status(ledger, decided_status)
    if status is None or status not in NOTIFICATION_TRANSITIONS[ledger.status]:
        return ledger
    if status in SENT_STATUSES:
        why = ()
    elif reason is not None:
        why = (ChannelReason(None, reason),)
    *before, last = ledger.events or (None,)
    is_caused_by_last = (
        last is not None and last.delivery_status is not None and last.delivery_status.value == status.value
    )
    event = (
        replace(last, status=status)
        if is_caused_by_last and last
        else TimelineEvent(at=at, kind=status.lower(), **failure_fields(why), status=status)
    )
    events = (*before, event) if is_caused_by_last else (*ledger.events, event)
    return replace(ledger, status=status, failures=why, events=tuple(e for e in events if e))
