"""Test provider outcomes as workflow values and ledger states."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from domain.channels import Channel
from domain.evidence import AttemptState, CallResult, Evidence
from domain.ledger import record_receipt
from domain.messages import DeliverInput, NoCallResult
from domain.statuses import NotificationStatus
from providers.outcomes import (
    PermanentError,
    ProviderAcceptance,
    ProviderError,
    ProviderOutcome,
    ProviderRefusal,
    TemporaryError,
    UnknownOutcome,
)
from services.outcome_translation import (
    attempt_state,
    attempt_with_outcome,
    bare_outcome,
    next_at,
    result_from_attempt,
    unrecorded_result,
)
from tests.domain.ledgers import START, attempt, delivery, later, ledger, with_outcome

EMAIL = delivery()
CALL = attempt(EMAIL)
R, S = CallResult, AttemptState


@pytest.mark.parametrize(
    ("said", "result", "state", "error_type"),
    [
        (ProviderAcceptance(message_id="m"), R.ACCEPTED, S.ACCEPTED, None),
        (ProviderRefusal(reason="invalid_address"), R.REFUSED, S.REFUSED, "refused"),
        (TemporaryError("unavailable"), R.NOT_ACCEPTED, S.NOT_ACCEPTED, "temporary"),
        (PermanentError("credentials_refused"), R.PERMANENT, S.NOT_ACCEPTED, "permanent"),
        (UnknownOutcome("timeout"), R.UNKNOWN, S.UNKNOWN, "unknown"),
    ],
)
def test_every_result_has_its_attempt_outcome(
    said: ProviderOutcome,
    result: CallResult,
    state: AttemptState,
    error_type: str | None,
) -> None:
    row = attempt_with_outcome(CALL, said)
    assert (said.result, attempt_state(said), row.error_type) == (result, state, error_type)


def test_fields_for_the_row_are_not_sent_to_the_workflow() -> None:
    outcome = ProviderAcceptance(message_id="m", response={"to": "ada@example.com"}, cost="0.01")
    assert "ada@example.com" not in repr(unrecorded_result(outcome))
    row = attempt_with_outcome(CALL, outcome)
    assert (row.provider_message_id, row.provider_response, row.cost) == ("m", {"to": "ada@example.com"}, "0.01")


@pytest.mark.parametrize(("seconds", "delay"), [(None, None), (0, timedelta()), (1.5, timedelta(seconds=1.5))])
def test_a_delay_is_passed_on_only_if_the_provider_named_one(seconds: float | None, delay: timedelta | None) -> None:
    assert unrecorded_result(TemporaryError("throttled", retry_after=seconds)).retry_after == delay


@pytest.mark.parametrize(
    "said",
    [
        ProviderAcceptance(message_id="m"),
        ProviderRefusal(reason="blocked"),
        TemporaryError("throttled", retry_after=1.5),
        PermanentError("quota_exceeded"),
        UnknownOutcome("timeout", retry_after=2),
    ],
)
def test_the_workflow_returns_an_unrecorded_outcome_unchanged(said: ProviderOutcome) -> None:
    sent = unrecorded_result(said)
    returned = bare_outcome(sent.result, sent.reason, sent.retry_after, sent.provider_message_id)
    assert type(returned) is type(said)
    assert unrecorded_result(returned) == sent


def test_a_result_without_a_call_is_no_outcome() -> None:
    with pytest.raises(ValueError, match="held is not the outcome of a call"):
        bare_outcome(NoCallResult.HELD, "paused")


NUMBER_3 = DeliverInput(
    notification_id=UUID(int=1),
    tenant=UUID(int=2),
    generation=1,
    delivery_id=UUID(int=3),
    channel=Channel.EMAIL,
    endpoint_id="email",
    provider="sandbox",
    attempt_number=3,
    finishes_notification=True,
)
SETTLES = timedelta(minutes=2)


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        (TemporaryError("unavailable"), 4, 5),
        (TemporaryError("throttled", retry_after=30), 30, 30),
        (TemporaryError("throttled", retry_after=3_600), 300, 300),
        (UnknownOutcome("timeout"), 4, 5),
    ],
)
def test_a_row_has_the_time_of_the_next_attempt(said: ProviderError, least: float, most: float) -> None:
    due = next_at(NUMBER_3, said, START, SETTLES)
    assert due is not None
    assert later(least) <= due <= later(most)
    assert next_at(NUMBER_3, said, START, SETTLES) == due, "the workflow could not know"
    assert attempt_with_outcome(CALL, said, due).next_at == due


def test_a_reconciled_row_has_the_end_of_its_lookups() -> None:
    asked = replace(NUMBER_3, waits_for_evidence=True)
    assert next_at(asked, UnknownOutcome("timeout"), START, SETTLES) == START + SETTLES
    assert next_at(asked, TemporaryError("unavailable"), START, SETTLES) != START + SETTLES


@pytest.mark.parametrize(
    "said", [ProviderAcceptance(message_id="m"), ProviderRefusal(reason="blocked"), PermanentError("quota_exceeded")]
)
def test_without_another_attempt_of_this_provider_no_time_is_due(
    said: ProviderOutcome,
) -> None:
    assert next_at(NUMBER_3, said, START, SETTLES) is None
    assert attempt_with_outcome(replace(CALL, next_at=later(1)), said).next_at is None


@pytest.mark.parametrize(
    ("evidence", "result", "reason"),
    [
        (Evidence.DELIVERED, R.ACCEPTED, None),
        (Evidence.OPENED, R.ACCEPTED, None),
        (Evidence.BOUNCED, R.REFUSED, "bounced"),
    ],
)
@pytest.mark.parametrize("state", [S.UNKNOWN, S.ACCEPTED])
def test_a_receipt_overrides_the_outcome_of_the_call(
    evidence: Evidence, result: CallResult, reason: str | None, state: AttemptState
) -> None:
    before = with_outcome(ledger(EMAIL, CALL), CALL, state)
    after = record_receipt(before, CALL.id, evidence, later(2), later(2))
    answer = result_from_attempt(after, after.attempts[CALL.id])
    assert (answer.result, answer.reason) == (result, reason)


@pytest.mark.parametrize(
    ("state", "result"),
    [
        (S.SUBMITTING, R.UNKNOWN),
        (S.UNKNOWN, R.UNKNOWN),
        (S.ACCEPTED, R.ACCEPTED),
        (S.REFUSED, R.REFUSED),
        (S.NOT_ACCEPTED, R.NOT_ACCEPTED),
    ],
)
def test_an_existing_row_returns_the_outcome_of_its_call(state: AttemptState, result: CallResult) -> None:
    before = ledger(EMAIL, CALL)
    after = before if state is S.SUBMITTING else with_outcome(before, CALL, state)
    answer = result_from_attempt(after, after.attempts[CALL.id])
    assert (answer.result, answer.finished) == (result, False)
    assert answer.status is (NotificationStatus.SENT if state is S.ACCEPTED else NotificationStatus.PENDING)
