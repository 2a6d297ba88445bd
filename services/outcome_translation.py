"""Translate the outcome of a provider call to the record of its attempt, and that record to the workflow's result. No
other module does."""

from dataclasses import replace
from datetime import datetime, timedelta

from domain.evidence import AttemptState, CallResult, Evidence
from domain.messages import DeliverInput, DeliverResult, NoCallResult
from domain.names import attempt_id
from domain.records import AttemptRecord, Ledger
from domain.repeated_calls import find_repeated_call
from domain.retries import backoff, capped_retry_after, rand_of
from providers.outcomes import (
    PermanentError,
    ProviderAcceptance,
    ProviderOutcome,
    ProviderRefusal,
    TemporaryError,
    UnknownOutcome,
)

STATE_BY_RESULT: dict[CallResult, AttemptState] = {
    CallResult.ACCEPTED: AttemptState.ACCEPTED,
    CallResult.REFUSED: AttemptState.REFUSED,
    CallResult.NOT_ACCEPTED: AttemptState.NOT_ACCEPTED,
    CallResult.PERMANENT: AttemptState.NOT_ACCEPTED,
    CallResult.UNKNOWN: AttemptState.UNKNOWN,
}
ERROR_TYPE_BY_RESULT: dict[CallResult, str] = {
    CallResult.REFUSED: "refused",
    CallResult.NOT_ACCEPTED: "temporary",
    CallResult.PERMANENT: "permanent",
    CallResult.UNKNOWN: "unknown",
}


def attempt_state(outcome: ProviderOutcome) -> AttemptState:
    return STATE_BY_RESULT[outcome.result]


def attempt_with_outcome(
    attempt: AttemptRecord, outcome: ProviderOutcome, next_at: datetime | None = None
) -> AttemptRecord:
    """Return the attempt with what its row keeps of the outcome. `next_at` is the time of the next attempt."""
    return replace(
        attempt,
        next_at=next_at,
        error_type=ERROR_TYPE_BY_RESULT.get(outcome.result),
        reason=outcome.reason,
        provider_message_id=outcome.message_id,
        provider_response=outcome.response or None,
        cost=outcome.cost,
    )


def bare_outcome(
    result: CallResult | NoCallResult,
    reason: str | None,
    retry_after: timedelta | None = None,
    message_id: str | None = None,
) -> ProviderOutcome:
    """Return an outcome without the vendor's response. Raise ValueError for a result without a call."""
    seconds = None if retry_after is None else retry_after.total_seconds()
    match result:
        case CallResult.ACCEPTED:
            return ProviderAcceptance(message_id=message_id)
        case CallResult.REFUSED:
            return ProviderRefusal(reason=reason or "")
        case CallResult.NOT_ACCEPTED:
            return TemporaryError(reason or "", retry_after=seconds)
        case CallResult.UNKNOWN:
            return UnknownOutcome(reason or "", retry_after=seconds)
        case CallResult.PERMANENT:
            return PermanentError(reason or "")
    raise ValueError(f"{result} is not the outcome of a call")


def retry_delay(outcome: ProviderOutcome) -> timedelta | None:
    """Return the delay that the provider requested."""
    return None if outcome.retry_after is None else timedelta(seconds=outcome.retry_after)


def next_at(call: DeliverInput, outcome: ProviderOutcome, at: datetime, settles_within: timedelta) -> datetime | None:
    """Return the latest time at which the workflow makes the next attempt, or ends the reconciliation of this one.
    It may be earlier if another provider of the pool is available, or if the type gives up before."""
    if outcome.result is CallResult.UNKNOWN and call.waits_for_evidence:
        return at + settles_within
    if outcome.result not in (CallResult.NOT_ACCEPTED, CallResult.UNKNOWN):
        return None
    attempt = attempt_id(call.delivery_id, call.endpoint_id, call.attempt_number)
    delay = retry_delay(outcome)
    requested_delay = None if delay is None else capped_retry_after(delay)
    return at + backoff(call.attempt_number, rand_of(attempt), requested_delay)


def unrecorded_result(outcome: ProviderOutcome) -> DeliverResult:
    """Return the result of a call whose outcome the workflow records."""
    return DeliverResult(
        result=outcome.result,
        reason=outcome.reason,
        retry_after=retry_delay(outcome),
        provider_message_id=outcome.message_id,
        recorded=False,
    )


def result_from_attempt(ledger: Ledger, attempt: AttemptRecord, retry_after: timedelta | None = None) -> DeliverResult:
    """Return the result that the attempt's row shows now. A receipt may have replaced the outcome of the call."""
    call_result = _call_result(attempt)
    repeated = find_repeated_call(ledger, attempt) if call_result is CallResult.UNKNOWN else None
    return DeliverResult(
        result=call_result,
        reason=attempt.receipt_reason or "bounced" if attempt.evidence is Evidence.BOUNCED else attempt.reason,
        retry_after=retry_after,
        status=ledger.status,
        finished=ledger.finished_at is not None,
        provider_message_id=attempt.provider_message_id,
        provider=attempt.provider,
        evidence=attempt.evidence,
        sent_at=attempt.sent_at,
        unknown_since=repeated.started_at if repeated else None,
    )


def _call_result(attempt: AttemptRecord) -> CallResult:
    if attempt.evidence is Evidence.BOUNCED:
        return CallResult.REFUSED
    if attempt.was_sent:
        return CallResult.ACCEPTED
    if attempt.state is AttemptState.NOT_ACCEPTED:
        return CallResult.PERMANENT if attempt.error_type == "permanent" else CallResult.NOT_ACCEPTED
    return CallResult.REFUSED if attempt.state is AttemptState.REFUSED else CallResult.UNKNOWN
