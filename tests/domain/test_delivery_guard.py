"""Test the last check before a provider call."""

from dataclasses import replace
from typing import Any

import pytest

from domain.channels import Channel
from domain.delivery_guard import GuardFacts, decision_before_call
from domain.evidence import AttemptState, Evidence
from domain.ledger import record_receipt
from domain.preferences import RecipientPreferences
from domain.reasons import Reason, reason_line
from domain.records import DeliveryDecision
from domain.statuses import DeliveryStatus
from tests.domain.ledgers import attempt, delivery, later, ledger, with_outcome
from tests.domain.sample_types import sample_type

D = DeliveryStatus
NO = RecipientPreferences(channels={"email": False})
NO_PREFERENCES = RecipientPreferences()


def stopped(preferences: RecipientPreferences = NO_PREFERENCES, *, required: bool = False, **row: Any) -> Any:
    mine = delivery()
    facts = GuardFacts(
        ledger=ledger(mine, **row),
        now=later(10),
        notification_type=sample_type(required=required),
        delivery=mine,
        preferences=preferences,
    )
    return decision_before_call(facts)


def test_a_call_without_objections_is_made() -> None:
    assert stopped() is None


@pytest.mark.parametrize(
    ("row", "preferences", "status", "reason"),
    [
        ({"cancel_requested_at": later(9)}, NO_PREFERENCES, D.CANCELED, "canceled"),
        ({"expires_at": later(9)}, NO_PREFERENCES, D.EXPIRED, "expired"),
        ({"expires_at": later(10)}, NO_PREFERENCES, D.EXPIRED, "expired"),
        ({}, NO, D.SKIPPED, "opted_out (global_channel_opt_in.email)"),
        ({"cancel_requested_at": later(9), "expires_at": later(9)}, NO, D.CANCELED, "canceled"),
        ({"expires_at": later(9)}, NO, D.EXPIRED, "expired"),
    ],
)
def test_a_stopped_call_has_its_reason(
    row: dict[str, Any], preferences: RecipientPreferences, status: DeliveryStatus, reason: str
) -> None:
    decision = stopped(preferences, **row)
    assert (decision.status, reason_line(decision.reason)) == (status, reason)


def test_a_call_just_before_the_expiry_is_made() -> None:
    assert stopped(expires_at=later(10.001)) is None


def test_a_required_type_overrides_an_opt_out_but_not_a_cancel() -> None:
    assert stopped(NO, required=True) is None
    assert stopped(NO, required=True, cancel_requested_at=later(9)).status is D.CANCELED


def test_a_suppressed_address_is_not_written_to_even_by_a_required_type() -> None:
    mine = delivery()
    facts = GuardFacts(
        ledger=ledger(mine),
        now=later(10),
        notification_type=sample_type(required=True),
        delivery=mine,
        preferences=NO_PREFERENCES,
        suppressed="bounced",
    )
    assert decision_before_call(facts) == DeliveryDecision(
        status=D.SKIPPED, reason=Reason("suppressed", {"list": "bounced"})
    )
    refused = replace(facts, suppressed=None, number_refused="premium_rate")
    assert decision_before_call(refused) == DeliveryDecision(
        status=D.SKIPPED, reason=Reason("number_refused", {"rule": "premium_rate"})
    )


def test_a_step_is_skipped_once_an_earlier_one_reached_its_goal() -> None:
    """The goal is reached late, when this step was about to be sent."""
    first, second = delivery(), delivery(Channel.SMS, status=D.SENDING, step=2)
    call = attempt(first)
    sent = with_outcome(ledger(first, second, call), call, AttemptState.ACCEPTED)
    route = [{"channels": ["email"], "until": "opened", "within": "10m"}, {"channels": ["sms"]}]
    facts = GuardFacts(
        ledger=sent,
        now=later(10),
        notification_type=sample_type(["email"], ["sms"], route=route),
        delivery=second,
        preferences=NO_PREFERENCES,
    )
    assert decision_before_call(facts) is None
    opened = record_receipt(sent, call.id, Evidence.OPENED, later(2), later(3))
    assert decision_before_call(replace(facts, ledger=opened)) == DeliveryDecision(
        status=D.SKIPPED, reason=Reason("goal_reached", {"step": 1})
    )


@pytest.mark.parametrize("generation", [1, 2])
@pytest.mark.parametrize(
    ("evidence", "reason"), [(Evidence.DELIVERED, "goal_reached (step 1)"), (Evidence.BOUNCED, None)]
)
def test_a_late_arrival_of_a_step_stops_later_steps(evidence: Evidence, reason: str | None, generation: int) -> None:
    """This includes a step of the generation before a redrive."""
    first, mine = delivery(), delivery(Channel.SMS, step=2, generation=generation)
    call = attempt(first)
    failed = with_outcome(ledger(first, mine, call, generation=generation), call, AttemptState.NOT_ACCEPTED)
    after = record_receipt(failed, call.id, evidence, later(5), later(5))
    facts = GuardFacts(
        ledger=after,
        now=later(10),
        notification_type=sample_type(["email"], ["sms"]),
        delivery=mine,
        preferences=NO_PREFERENCES,
    )
    decision = decision_before_call(facts)
    assert (decision and reason_line(decision.reason)) == reason
