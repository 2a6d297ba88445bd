"""Decide in the transaction that writes `submitting` whether a provider may still be called."""

from dataclasses import dataclass
from datetime import datetime

from domain.notification_types import NotificationType
from domain.preferences import RecipientPreferences, decide_channel
from domain.reasons import Reason
from domain.records import DeliveryDecision, DeliveryRecord, Ledger
from domain.statuses import DeliveryStatus
from domain.step_goals import has_arrived, has_reached


@dataclass(frozen=True, kw_only=True, slots=True)
class GuardFacts:
    """Hold the rows as read in this transaction. `suppressed` is why the address is suppressed, if it is;
    `number_refused` is why nothing is sent to a number of this kind."""

    ledger: Ledger
    now: datetime
    notification_type: NotificationType
    delivery: DeliveryRecord
    preferences: RecipientPreferences
    suppressed: str | None = None
    number_refused: str | None = None


def decision_before_call(facts: GuardFacts) -> DeliveryDecision | None:
    """Return the end of the delivery if the call may not be made; None allows the call."""
    ledger = facts.ledger
    if ledger.cancel_requested_at is not None:
        return DeliveryDecision(status=DeliveryStatus.CANCELED, reason=Reason("canceled"))
    if ledger.expires_at is not None and ledger.expires_at <= facts.now:
        return DeliveryDecision(status=DeliveryStatus.EXPIRED, reason=Reason("expired"))
    if step := _step_reached_before(facts):
        return DeliveryDecision(status=DeliveryStatus.SKIPPED, reason=Reason("goal_reached", {"step": step}))
    decision = decide_channel(facts.notification_type, facts.delivery.channel, facts.preferences)
    if not decision.allowed:
        return DeliveryDecision(status=DeliveryStatus.SKIPPED, reason=decision.refusal)
    if facts.suppressed:
        return DeliveryDecision(status=DeliveryStatus.SKIPPED, reason=Reason("suppressed", {"list": facts.suppressed}))
    if facts.number_refused:
        return DeliveryDecision(
            status=DeliveryStatus.SKIPPED, reason=Reason("number_refused", {"rule": facts.number_refused})
        )
    return None


def _step_reached_before(facts: GuardFacts) -> int | None:
    """Return an earlier step that has reached its goal late: this step is no longer needed."""
    for number, step in enumerate(facts.notification_type.route[: max(0, facts.delivery.step - 1)], start=1):
        if has_arrived(facts.ledger, number) if step.goal is None else has_reached(facts.ledger, number, step.goal):
            return number
    return None
