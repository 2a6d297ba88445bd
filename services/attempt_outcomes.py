"""Translate provider outcomes into workflow values and ledger states. No other module does."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from domain.evidence import AttemptState, Evidence
from domain.json_types import Json
from domain.messages import CallResult, DeliverInput, DeliverResult
from domain.names import attempt_id
from domain.records import AttemptRecord, Ledger
from domain.retries import backoff, capped_retry_after, rand_of
from providers.outcomes import ProviderAcceptance, ProviderError, ProviderRefusal, TemporaryError, UnknownOutcome

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


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptOutcome:
    """Hold the outcome of one call. `response` and `cost` are for the row and do not travel through Temporal.
    `is_gone`: the vendor reported that the device token is permanently invalid."""

    result: DeliverResult
    response: Json = field(default_factory=dict)
    cost: str | None = None
    is_gone: bool = False

    @property
    def state(self) -> AttemptState:
        return STATE_BY_RESULT[self.result.result]

    @property
    def refusal(self) -> str | None:
        return self.result.reason if self.result.result is CallResult.REFUSED else None

    @property
    def without_response(self) -> "AttemptOutcome":
        """Return the outcome without other data from the vendor."""
        essentials = DeliverResult(
            result=self.result.result, reason=self.result.reason, retry_after=self.result.retry_after
        )
        return AttemptOutcome(result=essentials)

    def applied_to(self, attempt: AttemptRecord, next_at: datetime | None = None) -> AttemptRecord:
        return replace(
            attempt,
            next_at=next_at,
            error_type=ERROR_TYPE_BY_RESULT.get(self.result.result),
            reason=self.result.reason,
            provider_message_id=self.result.provider_message_id,
            provider_response=self.response or None,
            cost=self.cost,
        )


def next_at(call: DeliverInput, result: DeliverResult, at: datetime, settles_within: timedelta) -> datetime | None:
    """Return the latest time at which the workflow makes the next attempt, or ends the reconciliation of this one.
    It may be earlier if another provider of the pool is available, or if the type gives up before."""
    if result.result is CallResult.UNKNOWN and call.waits_for_evidence:
        return at + settles_within
    if result.result not in (CallResult.NOT_ACCEPTED, CallResult.UNKNOWN):
        return None
    attempt = attempt_id(call.delivery_id, call.endpoint_id, call.attempt_number)
    requested_delay = None if result.retry_after is None else capped_retry_after(result.retry_after)
    return at + backoff(call.attempt_number, rand_of(attempt), requested_delay)


def attempt_outcome(outcome: ProviderAcceptance | ProviderRefusal | ProviderError) -> AttemptOutcome:
    if isinstance(outcome, ProviderAcceptance):
        result = DeliverResult(result=CallResult.ACCEPTED, provider_message_id=outcome.message_id)
        return AttemptOutcome(result=result, response=outcome.response, cost=outcome.cost)
    is_gone = isinstance(outcome, ProviderRefusal) and outcome.is_gone
    return AttemptOutcome(result=_result_without_acceptance(outcome), response=outcome.response, is_gone=is_gone)


def _result_without_acceptance(outcome: ProviderRefusal | ProviderError) -> DeliverResult:
    if isinstance(outcome, ProviderRefusal):
        return DeliverResult(result=CallResult.REFUSED, reason=outcome.reason)
    if isinstance(outcome, TemporaryError | UnknownOutcome):
        call_result = CallResult.NOT_ACCEPTED if isinstance(outcome, TemporaryError) else CallResult.UNKNOWN
        delay = None if outcome.retry_after is None else timedelta(seconds=outcome.retry_after)
        return DeliverResult(result=call_result, reason=outcome.reason, retry_after=delay)
    return DeliverResult(result=CallResult.PERMANENT, reason=outcome.reason)


def result_from_attempt(ledger: Ledger, attempt: AttemptRecord, retry_after: timedelta | None = None) -> DeliverResult:
    """Return the result that the attempt's row shows now. A receipt may have replaced the outcome of the call."""
    call_result = _call_result(attempt)
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
    )


def _call_result(attempt: AttemptRecord) -> CallResult:
    if attempt.evidence is Evidence.BOUNCED:
        return CallResult.REFUSED
    if attempt.reached:
        return CallResult.ACCEPTED
    if attempt.state is AttemptState.NOT_ACCEPTED:
        return CallResult.PERMANENT if attempt.error_type == "permanent" else CallResult.NOT_ACCEPTED
    return CallResult.REFUSED if attempt.state is AttemptState.REFUSED else CallResult.UNKNOWN
