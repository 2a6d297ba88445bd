"""A step that waits for more than "sent": who is woken, when it is reached, and what its end says."""

from dataclasses import replace

import pytest

from domain.channels import Channel
from domain.evidence import AttemptState, Evidence
from domain.goal_messages import Standing
from domain.ledger import await_evidence, record_receipt
from domain.records import Ledger
from domain.statuses import DeliveryStatus
from domain.steps import escalate, open_wait, reached, standing
from tests.domain.ledgers import answered, attempt, delivery, later, ledger

E, D, S = Evidence, DeliveryStatus, AttemptState
EMAIL = delivery(status=D.SENDING)
SMS = delivery(Channel.SMS, status=D.SENDING)
CALL = attempt(EMAIL)
TEXT = attempt(SMS, endpoint="sms")


def sent(goal: Evidence = E.OPENED) -> Ledger:
    return await_evidence(answered(ledger(EMAIL, CALL), CALL, S.ACCEPTED), EMAIL.id, goal)


def told(before: Ledger, evidence: Evidence) -> Ledger:
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
def test_who_waits_is_woken_by_the_goal_or_by_what_makes_it_hopeless(
    goal: Evidence, evidence: Evidence, wakes: bool
) -> None:
    after = told(sent(goal), evidence)
    assert (after.evidence_due, after.deliveries[EMAIL.id].awaits) == (wakes, None if wakes else goal)


def test_once_woken_nobody_is_woken_again() -> None:
    once = replace(told(sent(E.DELIVERED), E.DELIVERED), evidence_due=False)
    assert not told(once, E.OPENED).evidence_due


def test_where_nobody_waits_nobody_is_woken() -> None:
    assert not told(answered(ledger(EMAIL, CALL), CALL, S.ACCEPTED), E.DELIVERED).evidence_due


def test_after_the_end_nobody_is_woken() -> None:
    assert not told(replace(sent(E.DELIVERED), finished_at=later(1)), E.DELIVERED).evidence_due


def test_a_goal_that_is_reached_already_is_not_awaited() -> None:
    early = told(answered(ledger(EMAIL, CALL), CALL, S.ACCEPTED), E.OPENED)
    assert await_evidence(early, EMAIL.id, E.DELIVERED) is early


def test_a_call_whose_answer_was_lost_is_awaited_too() -> None:
    unknown = await_evidence(answered(ledger(EMAIL, CALL), CALL, S.UNKNOWN), EMAIL.id, E.SENT)
    assert told(unknown, E.DELIVERED).evidence_due


def test_one_channel_is_enough() -> None:
    both = answered(ledger(EMAIL, SMS, CALL, TEXT), CALL, S.ACCEPTED)
    assert standing(both, 1, E.DELIVERED) is Standing.WAITING
    assert standing(told(both, E.DELIVERED), 1, E.DELIVERED) is Standing.REACHED
    assert reached(told(both, E.DELIVERED), 1, E.DELIVERED)
    assert not reached(told(both, E.DELIVERED), 2, E.DELIVERED)


def test_a_step_that_bounced_on_every_channel_is_missed() -> None:
    assert standing(told(sent(), E.BOUNCED), 1, E.OPENED) is Standing.MISSED


@pytest.mark.parametrize("status", [D.FAILED, D.SKIPPED, D.CANCELED, D.EXPIRED])
def test_what_was_closed_without_arriving_gives_no_hope(status: DeliveryStatus) -> None:
    assert standing(ledger(delivery(status=status)), 1, E.OPENED) is Standing.MISSED


def test_what_is_in_doubt_may_still_be_reached() -> None:
    doubtful = ledger(delivery(status=D.IN_DOUBT))
    assert standing(doubtful, 1, E.OPENED) is Standing.WAITING
    assert [each.awaits for each in open_wait(doubtful, 1, E.OPENED).deliveries.values()] == [E.OPENED]


def test_an_escalation_is_told_once_and_awaits_nothing() -> None:
    over = escalate(sent(), 1, E.OPENED, later(60))
    [event] = over.events[1:]
    assert (event.kind, event.reason) == ("escalated", "goal_missed")
    assert event.detail == {"step": 1, "channels": ["email"], "goal": "opened"}
    assert over.deliveries[EMAIL.id].awaits is None
    assert escalate(over, 1, E.OPENED, later(61)) is over
