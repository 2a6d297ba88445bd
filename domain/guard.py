"""The last word before a provider is called, asked in the transaction that writes `submitting`: may it still go out?"""

from dataclasses import dataclass
from datetime import datetime

from domain.notification_types import NotificationType
from domain.preferences import RecipientPreferences, decide_channel
from domain.reasons import Reason
from domain.records import DeliveryRecord, Ledger, Verdict
from domain.statuses import DeliveryStatus
from domain.steps import has_arrived, has_reached


@dataclass(frozen=True, kw_only=True, slots=True)
class GuardFacts:
    """As the rows stand in this transaction. `suppressed` is why nobody may write to this address, if so;
    `number_refused` why nothing is sent to a number of this kind."""

    ledger: Ledger
    now: datetime
    notification_type: NotificationType
    delivery: DeliveryRecord
    preferences: RecipientPreferences
    suppressed: str | None = None
    number_refused: str | None = None


def verdict_before_call(facts: GuardFacts) -> Verdict | None:
    """Why not, as the delivery's end; None lets it go."""
    ledger = facts.ledger
    if ledger.cancel_requested_at is not None:
        return Verdict(status=DeliveryStatus.CANCELED, reason=Reason("canceled"))
    if ledger.expires_at is not None and ledger.expires_at <= facts.now:
        return Verdict(status=DeliveryStatus.EXPIRED, reason=Reason("expired"))
    if step := _step_reached_before(facts):
        return Verdict(status=DeliveryStatus.SKIPPED, reason=Reason("goal_reached", {"step": step}))
    decision = decide_channel(facts.notification_type, facts.delivery.channel, facts.preferences)
    if not decision.allowed:
        return Verdict(status=DeliveryStatus.SKIPPED, reason=decision.refusal)
    if facts.suppressed:
        return Verdict(status=DeliveryStatus.SKIPPED, reason=Reason("suppressed", {"list": facts.suppressed}))
    if facts.number_refused:
        return Verdict(status=DeliveryStatus.SKIPPED, reason=Reason("number_refused", {"rule": facts.number_refused}))
    return None


def _step_reached_before(facts: GuardFacts) -> int | None:
    """The earlier step that has come late to what it is for: this one is no longer needed."""
    for number, step in enumerate(facts.notification_type.route[: max(0, facts.delivery.step - 1)], start=1):
        if has_arrived(facts.ledger, number) if step.goal is None else has_reached(facts.ledger, number, step.goal):
            return number
    return None
