"""What a provider says, in the workflow's words and in the ledger's."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from activities.outcomes import next_at, result_of, told
from domain.channels import Channel
from domain.evidence import AttemptState, Evidence
from domain.ledger import record_receipt
from domain.messages import DeliverInput, Result
from domain.statuses import NotificationStatus
from providers.outcomes import Accepted, Permanent, ProviderError, Refused, Temporary, Unknown
from tests.domain.ledgers import START, answered, attempt, delivery, later, ledger

EMAIL = delivery()
CALL = attempt(EMAIL)
R, S = Result, AttemptState


@pytest.mark.parametrize(
    ("said", "result", "state", "error_type"),
    [
        (Accepted(message_id="m"), R.ACCEPTED, S.ACCEPTED, None),
        (Refused(reason="invalid_address"), R.REFUSED, S.REFUSED, "refused"),
        (Temporary("unavailable"), R.NOT_ACCEPTED, S.NOT_ACCEPTED, "temporary"),
        (Permanent("credentials_refused"), R.PERMANENT, S.NOT_ACCEPTED, "permanent"),
        (Unknown("timeout"), R.UNKNOWN, S.UNKNOWN, "unknown"),
    ],
)
def test_every_answer_has_its_words(
    said: Accepted | Refused | ProviderError, result: Result, state: AttemptState, error_type: str | None
) -> None:
    outcome = told(said)
    assert (outcome.result.result, outcome.state, outcome.onto(CALL).error_type) == (result, state, error_type)


def test_what_is_for_the_row_does_not_travel() -> None:
    outcome = told(Accepted(message_id="m", response={"to": "ada@example.com"}, cost="0.01"))
    assert "ada@example.com" not in repr(outcome.result)
    row = outcome.onto(CALL)
    assert (row.provider_message_id, row.provider_response, row.cost) == ("m", {"to": "ada@example.com"}, "0.01")


@pytest.mark.parametrize(("seconds", "delay"), [(None, None), (0, timedelta()), (1.5, timedelta(seconds=1.5))])
def test_a_delay_is_passed_on_only_if_the_provider_named_one(seconds: float | None, delay: timedelta | None) -> None:
    assert told(Temporary("throttled", retry_after=seconds)).result.retry_after == delay


NUMBER_3 = DeliverInput(
    notification_id=UUID(int=1),
    tenant=UUID(int=2),
    generation=1,
    delivery_id=UUID(int=3),
    channel=Channel.EMAIL,
    endpoint_id="email",
    provider="sandbox",
    attempt_number=3,
    ends=True,
)
SETTLES = timedelta(minutes=2)


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        (Temporary("unavailable"), 4, 5),
        (Temporary("throttled", retry_after=30), 30, 30),
        (Temporary("throttled", retry_after=3_600), 300, 300),
        (Unknown("timeout"), 4, 5),
    ],
)
def test_a_row_says_when_the_next_attempt_is_due(said: ProviderError, least: float, most: float) -> None:
    due = next_at(NUMBER_3, told(said).result, START, SETTLES)
    assert due is not None
    assert later(least) <= due <= later(most)
    assert next_at(NUMBER_3, told(said).result, START, SETTLES) == due, "the workflow could not know"
    assert told(said).onto(CALL, due).next_at == due


def test_under_reconcile_it_says_when_the_search_for_the_outcome_ends() -> None:
    asked = replace(NUMBER_3, reconciles=True)
    assert next_at(asked, told(Unknown("timeout")).result, START, SETTLES) == START + SETTLES
    assert next_at(asked, told(Temporary("unavailable")).result, START, SETTLES) != START + SETTLES


@pytest.mark.parametrize("said", [Accepted(message_id="m"), Refused(reason="blocked"), Permanent("quota_exceeded")])
def test_without_another_attempt_of_this_provider_no_time_is_due(said: Accepted | Refused | ProviderError) -> None:
    assert next_at(NUMBER_3, told(said).result, START, SETTLES) is None
    assert told(said).onto(replace(CALL, next_at=later(1))).next_at is None


@pytest.mark.parametrize(
    ("evidence", "result", "reason"),
    [
        (Evidence.DELIVERED, R.ACCEPTED, None),
        (Evidence.OPENED, R.ACCEPTED, None),
        (Evidence.BOUNCED, R.REFUSED, "bounced"),
    ],
)
@pytest.mark.parametrize("state", [S.UNKNOWN, S.ACCEPTED])
def test_a_receipt_knows_better_than_the_call(
    evidence: Evidence, result: Result, reason: str | None, state: AttemptState
) -> None:
    before = answered(ledger(EMAIL, CALL), CALL, state)
    after = record_receipt(before, CALL.id, evidence, later(2), later(2))
    answer = result_of(after, after.attempts[CALL.id])
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
def test_a_row_found_answers_what_its_call_did(state: AttemptState, result: Result) -> None:
    before = ledger(EMAIL, CALL)
    after = before if state is S.SUBMITTING else answered(before, CALL, state)
    answer = result_of(after, after.attempts[CALL.id])
    assert (answer.result, answer.finished) == (result, False)
    assert answer.status is (NotificationStatus.SENT if state is S.ACCEPTED else NotificationStatus.PENDING)
