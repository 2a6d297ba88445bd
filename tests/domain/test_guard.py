"""The last word before a provider is called."""

from dataclasses import replace
from typing import Any

import pytest

from domain.channels import Channel
from domain.evidence import AttemptState, Evidence
from domain.guard import Facts, stop
from domain.ledger import record_receipt
from domain.preferences import Preferences
from domain.reasons import Reason, line
from domain.records import Verdict
from domain.statuses import DeliveryStatus
from tests.domain.kinds import kind
from tests.domain.ledgers import answered, attempt, delivery, later, ledger

D = DeliveryStatus
NO = Preferences(channels={"email": False})
NOBODY_SAID_ANYTHING = Preferences()


def stopped(preferences: Preferences = NOBODY_SAID_ANYTHING, *, required: bool = False, **row: Any) -> Any:
    mine = delivery()
    facts = Facts(
        ledger=ledger(mine, **row), now=later(10), kind=kind(required=required), delivery=mine, preferences=preferences
    )
    return stop(facts)


def test_with_nothing_against_it_the_call_is_made() -> None:
    assert stopped() is None


@pytest.mark.parametrize(
    ("row", "preferences", "status", "reason"),
    [
        ({"cancel_requested_at": later(9)}, NOBODY_SAID_ANYTHING, D.CANCELED, "canceled"),
        ({"expires_at": later(9)}, NOBODY_SAID_ANYTHING, D.EXPIRED, "expired"),
        ({"expires_at": later(10)}, NOBODY_SAID_ANYTHING, D.EXPIRED, "expired"),
        ({}, NO, D.SKIPPED, "opted_out (global_channel_opt_in.email)"),
        ({"cancel_requested_at": later(9), "expires_at": later(9)}, NO, D.CANCELED, "canceled"),
        ({"expires_at": later(9)}, NO, D.EXPIRED, "expired"),
    ],
)
def test_it_is_stopped_with_its_reason(
    row: dict[str, Any], preferences: Preferences, status: DeliveryStatus, reason: str
) -> None:
    verdict = stopped(preferences, **row)
    assert (verdict.status, line(verdict.reason)) == (status, reason)


def test_a_moment_before_it_expires_it_still_goes_out() -> None:
    assert stopped(expires_at=later(10.001)) is None


def test_a_required_type_goes_out_against_an_opt_out_but_not_against_a_cancel() -> None:
    assert stopped(NO, required=True) is None
    assert stopped(NO, required=True, cancel_requested_at=later(9)).status is D.CANCELED


def test_a_suppressed_address_is_not_written_to_even_by_a_required_type() -> None:
    mine = delivery()
    facts = Facts(
        ledger=ledger(mine),
        now=later(10),
        kind=kind(required=True),
        delivery=mine,
        preferences=NOBODY_SAID_ANYTHING,
        suppressed="bounced",
    )
    assert stop(facts) == Verdict(status=D.SKIPPED, reason=Reason("suppressed", {"list": "bounced"}))
    refused = replace(facts, suppressed=None, number_refused="premium_rate")
    assert stop(refused) == Verdict(status=D.SKIPPED, reason=Reason("number_refused", {"rule": "premium_rate"}))


def test_a_step_is_not_needed_once_an_earlier_one_has_reached_its_goal() -> None:
    """Late, while this one was about to go out."""
    first, second = delivery(), delivery(Channel.SMS, status=D.SENDING, step=2)
    call = attempt(first)
    sent = answered(ledger(first, second, call), call, AttemptState.ACCEPTED)
    route = [{"channels": ["email"], "until": "opened", "within": "10m"}, {"channels": ["sms"]}]
    facts = Facts(
        ledger=sent,
        now=later(10),
        kind=kind(["email"], ["sms"], route=route),
        delivery=second,
        preferences=NOBODY_SAID_ANYTHING,
    )
    assert stop(facts) is None
    opened = record_receipt(sent, call.id, Evidence.OPENED, later(2), later(3))
    assert stop(replace(facts, ledger=opened)) == Verdict(status=D.SKIPPED, reason=Reason("goal_reached", {"step": 1}))


@pytest.mark.parametrize("generation", [1, 2])
@pytest.mark.parametrize(
    ("evidence", "reason"), [(Evidence.DELIVERED, "goal_reached (step 1)"), (Evidence.BOUNCED, None)]
)
def test_a_step_that_turns_out_to_have_arrived_stops_the_ones_after_it(
    evidence: Evidence, reason: str | None, generation: int
) -> None:
    """Also one of the generation before a redrive."""
    first, mine = delivery(), delivery(Channel.SMS, step=2, generation=generation)
    call = attempt(first)
    failed = answered(ledger(first, mine, call, generation=generation), call, AttemptState.NOT_ACCEPTED)
    after = record_receipt(failed, call.id, evidence, later(5), later(5))
    facts = Facts(
        ledger=after, now=later(10), kind=kind(["email"], ["sms"]), delivery=mine, preferences=NOBODY_SAID_ANYTHING
    )
    verdict = stop(facts)
    assert (verdict and line(verdict.reason)) == reason
