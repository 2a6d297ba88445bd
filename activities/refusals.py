"""Why the guard of `deliver` makes no call, from what the claim has read."""

from activities.outcomes import result_of
from activities.outgoing import address_of, number_refused
from domain.evidence import AttemptState
from domain.gates import by_the_hour
from domain.guard import Facts, stop
from domain.ledger import OPEN
from domain.messages import DeliverInput, DeliverResult, Gate, Result
from domain.reasons import Reason
from domain.records import Verdict
from domain.redrives import left_to
from domain.statuses import DeliveryStatus
from storage.attempts import Claim
from storage.call_addresses import NOT_DECRYPTED

NO_ADDRESS = Verdict(status=DeliveryStatus.FAILED, reason=Reason("no_address"))
UNREADABLE_ADDRESS = Verdict(status=DeliveryStatus.FAILED, reason=Reason(NOT_DECRYPTED))


def stopped(verdict: Verdict) -> DeliverResult:
    """Return the delivery's end as the result of the call that was not made."""
    reason = verdict.reason
    return DeliverResult(result=Result.STOPPED, stopped_as=verdict.status, reason=reason.code, args=reason.args)


def gate_of(claim: Claim) -> Gate | None:
    """A later step, or another attempt, may have come into the quiet hours."""
    if not claim.fresh:
        return None
    return by_the_hour(claim.kind, claim.priority, claim.quiet_hours, claim.timezone, claim.now)


def result_without_call(call: DeliverInput, claim: Claim) -> DeliverResult | None:
    """Return what is known already, or why no call is to be made; None lets it be made."""
    if not claim.fresh:
        answered = claim.attempt.state is not AttemptState.SUBMITTING
        return result_of(claim.ledger, claim.attempt) if answered else None
    if reached := claim.ledger.reached(call.delivery_id, call.endpoint_id):
        return result_of(claim.ledger, reached)
    if earlier := claim.ledger.reached_before(call.delivery_id, call.endpoint_id):
        return stopped(left_to(earlier.generation))
    delivery = claim.ledger.deliveries[call.delivery_id]
    # Closed by a verdict of ours, as by a workflow that was lost since; one of several devices may have it already.
    if delivery.status not in OPEN and not any(a.reached for a in claim.ledger.attempts_of(call.delivery_id)):
        return stopped(Verdict(status=delivery.status, reason=delivery.failure or Reason("")))
    if claim.ledger.finished_at is not None:
        return DeliverResult(result=Result.STOPPED, status=claim.ledger.status, finished=True)
    if not claim.address.is_decrypted:
        return stopped(UNREADABLE_ADDRESS)
    if address_of(call, claim) is None:
        return stopped(NO_ADDRESS)
    verdict = stop(
        Facts(
            ledger=claim.ledger,
            now=claim.now,
            kind=claim.kind,
            delivery=delivery,
            preferences=claim.preferences,
            suppressed=claim.suppressed,
            number_refused=number_refused(call, claim),
        )
    )
    return None if verdict is None else stopped(verdict)
