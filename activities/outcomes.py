"""Provider outcomes as the workflow's values and the ledger's states: the one translation between the two worlds."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from domain.evidence import AttemptState, Evidence
from domain.messages import DeliverInput, DeliverResult, Result
from domain.names import attempt_id
from domain.records import Attempt, Ledger
from domain.retries import backoff, dice_of, obeyed
from providers.outcomes import Accepted, ProviderError, Refused, Temporary, Unknown

Json = dict[str, Any]

STATE_OF: dict[Result, AttemptState] = {
    Result.ACCEPTED: AttemptState.ACCEPTED,
    Result.REFUSED: AttemptState.REFUSED,
    Result.NOT_ACCEPTED: AttemptState.NOT_ACCEPTED,
    Result.PERMANENT: AttemptState.NOT_ACCEPTED,
    Result.UNKNOWN: AttemptState.UNKNOWN,
}
ERROR_TYPE_OF: dict[Result, str] = {
    Result.REFUSED: "refused",
    Result.NOT_ACCEPTED: "temporary",
    Result.PERMANENT: "permanent",
    Result.UNKNOWN: "unknown",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What one call told us. `response` and `cost` are for the row; they do not travel through Temporal. `gone` is the
    vendor's definite word that a device's token is dead."""

    result: DeliverResult
    response: Json = field(default_factory=dict)
    cost: str | None = None
    gone: bool = False

    @property
    def state(self) -> AttemptState:
        return STATE_OF[self.result.result]

    @property
    def refusal(self) -> str | None:
        return self.result.reason if self.result.result is Result.REFUSED else None

    @property
    def bare(self) -> "Told":
        """What the call came to, and nothing else that the vendor sent."""
        words = DeliverResult(result=self.result.result, reason=self.result.reason, retry_after=self.result.retry_after)
        return Told(result=words)

    def onto(self, attempt: Attempt, next_at: datetime | None = None) -> Attempt:
        return replace(
            attempt,
            next_at=next_at,
            error_type=ERROR_TYPE_OF.get(self.result.result),
            reason=self.result.reason,
            provider_message_id=self.result.provider_message_id,
            provider_response=self.response or None,
            cost=self.cost,
        )


def next_at(call: DeliverInput, result: DeliverResult, at: datetime, settles_within: timedelta) -> datetime | None:
    """When the workflow makes the next attempt at the latest, or ends the search for what became of this one. It is
    earlier if another provider of the pool is free, or the type gives up before."""
    if result.result is Result.UNKNOWN and call.reconciles:
        return at + settles_within
    if result.result not in (Result.NOT_ACCEPTED, Result.UNKNOWN):
        return None
    attempt = attempt_id(call.delivery_id, call.endpoint_id, call.attempt_number)
    asked = None if result.retry_after is None else obeyed(result.retry_after)
    return at + backoff(call.attempt_number, dice_of(attempt), asked)


def told(outcome: Accepted | Refused | ProviderError) -> Told:
    if isinstance(outcome, Accepted):
        result = DeliverResult(result=Result.ACCEPTED, provider_message_id=outcome.message_id)
        return Told(result=result, response=outcome.response, cost=outcome.cost)
    gone = isinstance(outcome, Refused) and outcome.gone
    return Told(result=_refusal(outcome), response=outcome.response, gone=gone)


def _refusal(outcome: Refused | ProviderError) -> DeliverResult:
    if isinstance(outcome, Refused):
        return DeliverResult(result=Result.REFUSED, reason=outcome.reason)
    if isinstance(outcome, Temporary | Unknown):
        word = Result.NOT_ACCEPTED if isinstance(outcome, Temporary) else Result.UNKNOWN
        delay = None if outcome.retry_after is None else timedelta(seconds=outcome.retry_after)
        return DeliverResult(result=word, reason=outcome.reason, retry_after=delay)
    return DeliverResult(result=Result.PERMANENT, reason=outcome.reason)


def result_of(ledger: Ledger, attempt: Attempt, retry_after: timedelta | None = None) -> DeliverResult:
    """What this attempt's row says by now: a receipt may know better than the call's own answer."""
    word = _word(attempt)
    return DeliverResult(
        result=word,
        reason=attempt.receipt_reason or "bounced" if attempt.evidence is Evidence.BOUNCED else attempt.reason,
        retry_after=retry_after,
        status=ledger.status,
        finished=ledger.finished_at is not None,
        provider_message_id=attempt.provider_message_id,
        provider=attempt.provider,
        evidence=attempt.evidence,
        sent_at=attempt.sent_at,
    )


def _word(attempt: Attempt) -> Result:
    if attempt.evidence is Evidence.BOUNCED:
        return Result.REFUSED
    if attempt.reached:
        return Result.ACCEPTED
    if attempt.state is AttemptState.NOT_ACCEPTED:
        return Result.PERMANENT if attempt.error_type == "permanent" else Result.NOT_ACCEPTED
    return Result.REFUSED if attempt.state is AttemptState.REFUSED else Result.UNKNOWN
