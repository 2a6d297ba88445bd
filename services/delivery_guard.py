"""Decide from the claim why the guard of `deliver` makes no call."""

from domain.channels import DeviceKind
from domain.delivery_guard import GuardFacts, decision_before_call
from domain.evidence import AttemptState
from domain.gates import Gate, time_gate
from domain.ledger import OPEN_STATUSES
from domain.messages import DeliverInput, DeliverResult, NoCallResult
from domain.reasons import Reason, missing_address_reason
from domain.records import DeliveryDecision
from domain.redrives import already_sent_decision
from domain.statuses import DeliveryStatus
from providers.base import Provider
from services.outcome_translation import result_from_attempt
from services.outgoing_messages import address_of, number_refused
from storage.attempts import NOT_DECRYPTED, AttemptClaim

UNREADABLE_ADDRESS = DeliveryDecision(status=DeliveryStatus.FAILED, reason=Reason(NOT_DECRYPTED))


def stopped_result(decision: DeliveryDecision) -> DeliverResult:
    """Return the final status of the delivery as the result of a call that was not made."""
    reason = decision.reason
    return DeliverResult(
        result=NoCallResult.STOPPED, stopped_status=decision.status, reason=reason.code, args=reason.args
    )


def time_gate_of(claim: AttemptClaim) -> Gate | None:
    """Return the time gate of the call. A later step or attempt may fall into the quiet hours."""
    if not claim.is_new:
        return None
    return time_gate(claim.notification_type, claim.priority, claim.quiet_hours, claim.timezone, claim.now)


def result_without_call(call: DeliverInput, claim: AttemptClaim) -> DeliverResult | None:
    """Return the known result, or why no call may be made. Return None to allow the call."""
    if not claim.is_new:
        has_answer = claim.attempt.state is not AttemptState.SUBMITTING
        return result_from_attempt(claim.ledger, claim.attempt) if has_answer else None
    return _result_of_ledger(call, claim) or _result_of_rules(call, claim)


def result_if_kind_changed(provider: Provider | None, claim: AttemptClaim) -> DeliverResult | None:
    """Stop a call to a device that has registered with another kind since the plan: its token is another vendor's, and
    this vendor would report it as dead."""
    device = claim.address.device
    if provider is None or device is None or not claim.is_new or DeviceKind(device["kind"]) in provider.device_kinds:
        return None
    return stopped_result(DeliveryDecision(status=DeliveryStatus.FAILED, reason=missing_address_reason(None)))


def _result_of_ledger(call: DeliverInput, claim: AttemptClaim) -> DeliverResult | None:
    """Return the result if an earlier call has sent the message, or the delivery or the notification has ended."""
    ledger = claim.ledger
    if sent_attempt := ledger.find_sent_attempt(call.delivery_id, call.endpoint_id):
        return result_from_attempt(ledger, sent_attempt)
    if earlier := ledger.find_earlier_unbounced(call.delivery_id, call.endpoint_id):
        return stopped_result(already_sent_decision(earlier.generation))
    delivery = ledger.deliveries[call.delivery_id]
    # Closed by an earlier decision, for example after a lost workflow. One of several devices may have the message.
    if delivery.status not in OPEN_STATUSES and not any(a.was_sent for a in ledger.attempts_of(call.delivery_id)):
        return stopped_result(DeliveryDecision(status=delivery.status, reason=delivery.failure or Reason("")))
    if ledger.finished_at is not None:
        return DeliverResult(result=NoCallResult.STOPPED, status=ledger.status, finished=True)
    return None


def _result_of_rules(call: DeliverInput, claim: AttemptClaim) -> DeliverResult | None:
    """Return the result if the address or the rules of the recipient and the type do not allow the call."""
    if not claim.address.is_decrypted:
        return stopped_result(UNREADABLE_ADDRESS)
    if address_of(call, claim) is None:
        reason = missing_address_reason(claim.notification_type.room_of(call.channel))
        return stopped_result(DeliveryDecision(status=DeliveryStatus.FAILED, reason=reason))
    decision = decision_before_call(
        GuardFacts(
            ledger=claim.ledger,
            now=claim.now,
            notification_type=claim.notification_type,
            delivery=claim.ledger.deliveries[call.delivery_id],
            preferences=claim.preferences,
            suppressed=claim.suppressed,
            number_refused=number_refused(call, claim),
        )
    )
    return None if decision is None else stopped_result(decision)
