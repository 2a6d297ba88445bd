"""Test a step with a goal beyond "sent": which workflow wakes, when the goal is reached, and how the step ends."""

from dataclasses import replace

import pytest

from domain.channels import Channel
from domain.evidence import AttemptState, Evidence
from domain.goal_messages import GoalState
from domain.ledger import await_evidence, record_receipt
from domain.records import Ledger
from domain.statuses import DeliveryStatus
from domain.step_goals import escalate_step, goal_state, has_reached, start_waiting
from tests.domain.ledgers import attempt, delivery, later, ledger, with_outcome

E, D, S = Evidence, DeliveryStatus, AttemptState
EMAIL = delivery(status=D.SENDING)
SMS = delivery(Channel.SMS, status=D.SENDING)
CALL = attempt(EMAIL)
TEXT = attempt(SMS, endpoint="sms")


def sent(goal: Evidence = E.OPENED) -> Ledger:
    return await_evidence(with_outcome(ledger(EMAIL, CALL), CALL, S.ACCEPTED), EMAIL.id, goal)


def with_receipt(before: Ledger, evidence: Evidence) -> Ledger:
    return record_receipt(before, CALL.id, evidence, later(2), later(3))


@pytest.mark.parametrize(
    ("goal", "evidence", "wakes"),
    [
        (E.DELIVERED, E.DELIVERED, True),
        (E.DELIVERED, E.OPENED, True),
        (E.OPENED, E.DELIVERED, False),
        (E.OPENED, E.CLICKED, True),
        (E.CLICKED, E.OPENED, False),
        (E.OPENED, E.BOUNCED, True),
        (E.DELIVERED, E.BOUNCED, True),
    ],
)
def test_a_waiting_step_is_woken_by_the_goal_or_by_its_failure(goal: Evidence, evidence: Evidence, wakes: bool) -> None:
    after = with_receipt(sent(goal), evidence)
    assert (after.evidence_due, after.deliveries[EMAIL.id].awaited_evidence) == (wakes, None if wakes else goal)


def test_a_woken_step_is_not_woken_again() -> None:
    once = replace(with_receipt(sent(E.DELIVERED), E.DELIVERED), evidence_due=False)
    assert not with_receipt(once, E.OPENED).evidence_due


def test_a_step_that_does_not_wait_is_not_woken() -> None:
    assert not with_receipt(with_outcome(ledger(EMAIL, CALL), CALL, S.ACCEPTED), E.DELIVERED).evidence_due


def test_an_ended_notification_wakes_no_step() -> None:
    assert not with_receipt(replace(sent(E.DELIVERED), finished_at=later(1)), E.DELIVERED).evidence_due


def test_a_goal_that_is_reached_already_is_not_awaited() -> None:
    early = with_receipt(with_outcome(ledger(EMAIL, CALL), CALL, S.ACCEPTED), E.OPENED)
    assert await_evidence(early, EMAIL.id, E.DELIVERED) is early


def test_a_call_with_a_lost_response_is_awaited() -> None:
    unknown = await_evidence(with_outcome(ledger(EMAIL, CALL), CALL, S.UNKNOWN), EMAIL.id, E.SENT)
    assert with_receipt(unknown, E.DELIVERED).evidence_due


def test_one_channel_is_enough() -> None:
    both = with_outcome(ledger(EMAIL, SMS, CALL, TEXT), CALL, S.ACCEPTED)
    assert goal_state(both, 1, E.DELIVERED) is GoalState.WAITING
    assert goal_state(with_receipt(both, E.DELIVERED), 1, E.DELIVERED) is GoalState.REACHED
    assert has_reached(with_receipt(both, E.DELIVERED), 1, E.DELIVERED)
    assert not has_reached(with_receipt(both, E.DELIVERED), 2, E.DELIVERED)


def test_a_step_that_bounced_on_every_channel_is_missed() -> None:
    assert goal_state(with_receipt(sent(), E.BOUNCED), 1, E.OPENED) is GoalState.MISSED


@pytest.mark.parametrize("status", [D.FAILED, D.SKIPPED, D.CANCELED, D.EXPIRED])
def test_a_closed_delivery_cannot_reach_the_goal(status: DeliveryStatus) -> None:
    assert goal_state(ledger(delivery(status=status)), 1, E.OPENED) is GoalState.MISSED


def test_a_delivery_in_doubt_may_reach_the_goal() -> None:
    doubtful = ledger(delivery(status=D.IN_DOUBT))
    assert goal_state(doubtful, 1, E.OPENED) is GoalState.WAITING
    assert [each.awaited_evidence for each in start_waiting(doubtful, 1, E.OPENED).deliveries.values()] == [E.OPENED]


def test_an_escalation_is_recorded_once_and_awaits_nothing() -> None:
    over = escalate_step(sent(), 1, E.OPENED, later(60))
    [event] = over.events[1:]
    assert (event.kind, event.reason) == ("escalated", "goal_missed")
    assert event.detail == {"step": 1, "channels": ["email"], "goal": "opened"}
    assert over.deliveries[EMAIL.id].awaited_evidence is None
    assert escalate_step(over, 1, E.OPENED, later(61)) is over
