"""Test the ledger of one notification: every status follows from evidence, in any order of arrival."""

from datetime import datetime
from itertools import pairwise

import pytest

from domain.evidence import AttemptState, Evidence
from domain.ledger import close_delivery, record_receipt
from domain.notification_overview import delivery_facts
from domain.reasons import Reason
from domain.records import DeliveryDecision
from domain.statuses import DELIVERY_TRANSITIONS, NOTIFICATION_TRANSITIONS, DeliveryStatus, NotificationStatus
from tests.domain.ledgers import (
    CALL,
    EMAIL,
    attempt,
    delivery,
    later,
    ledger,
    only_delivery,
    receipt,
    statuses,
    with_everything,
    with_outcome,
)

FAILED = DeliveryDecision(status=DeliveryStatus.FAILED, reason=Reason("retries_exhausted"))
D, N, S = DeliveryStatus, NotificationStatus, AttemptState


def test_evidence_is_ranked_from_an_internal_failure_to_a_click() -> None:
    assert [str(e) for e in sorted(Evidence, key=lambda e: e.rank)] == [
        "not_sent",
        "in_doubt",
        "sent",
        "delivered",
        "bounced",
        "opened",
        "clicked",
    ]


@pytest.mark.parametrize(("weaker", "stronger"), list(pairwise(list(Evidence)[3:])))
def test_the_stronger_evidence_wins_in_both_orders(weaker: Evidence, stronger: Evidence) -> None:
    start = with_outcome(with_everything(), CALL, S.ACCEPTED)
    forward = receipt(receipt(start, weaker, 2), stronger, 3)
    backward = receipt(receipt(start, stronger, 3), weaker, 2)
    assert forward.attempts == backward.attempts
    assert forward.attempts[CALL.id].evidence is stronger
    assert only_delivery(forward) == only_delivery(backward)


@pytest.mark.parametrize(
    ("evidence", "status"),
    [
        (Evidence.DELIVERED, D.DELIVERED),
        (Evidence.BOUNCED, D.FAILED),
        (Evidence.OPENED, D.OPENED),
        (Evidence.CLICKED, D.OPENED),
    ],
)
def test_a_receipt_before_the_recorded_outcome_stands(evidence: Evidence, status: DeliveryStatus) -> None:
    early = receipt(with_everything(), evidence)
    after = with_outcome(early, CALL, S.ACCEPTED, at=3)
    assert only_delivery(early).status is only_delivery(after).status is status
    assert after.attempts[CALL.id].state is S.ACCEPTED
    assert after.attempts[CALL.id].sent_at == later(3)


def test_a_receipt_proves_a_call_recorded_as_unknown() -> None:
    unknown = with_outcome(with_everything(), CALL, S.UNKNOWN)
    assert only_delivery(unknown).status is D.SENDING
    after = receipt(unknown, Evidence.DELIVERED)
    assert (only_delivery(after).status, after.attempts[CALL.id].state) == (D.DELIVERED, S.UNKNOWN)


def test_the_earliest_time_wins_in_any_order() -> None:
    start = with_outcome(with_everything(), CALL, S.ACCEPTED)
    for order in ([2, 5], [5, 2]):
        after = start
        for at in order:
            after = receipt(after, Evidence.OPENED, at)
        assert after.attempts[CALL.id].opened_at == later(2)


def test_a_click_is_an_opening_at_the_same_time() -> None:
    after = receipt(with_outcome(with_everything(), CALL, S.ACCEPTED), Evidence.CLICKED, 4)
    facts = delivery_facts(after, EMAIL.id)
    assert (facts["opened_at"], facts["clicked_at"], facts["delivered_at"]) == (later(4), later(4), None)


def test_a_call_with_an_outcome_takes_no_second_outcome() -> None:
    refused = with_outcome(with_everything(), CALL, S.REFUSED)
    assert with_outcome(refused, CALL, S.ACCEPTED) is refused
    accepted = with_outcome(with_everything(), CALL, S.ACCEPTED)
    assert with_outcome(accepted, CALL, S.UNKNOWN) is accepted


def test_an_unknown_call_that_the_provider_has_is_sent() -> None:
    after = with_outcome(with_outcome(with_everything(), CALL, S.UNKNOWN), CALL, S.ACCEPTED, at=9)
    assert (only_delivery(after).status, after.attempts[CALL.id].sent_at) == (D.SENT, later(9))


def test_an_unknown_call_that_is_proved_absent_is_no_longer_in_doubt() -> None:
    absent = with_outcome(with_outcome(with_everything(), CALL, S.UNKNOWN), CALL, S.NOT_ACCEPTED)
    assert absent.attempts[CALL.id].evidence is Evidence.NOT_SENT
    assert only_delivery(close_delivery(absent, EMAIL.id, FAILED, later(5))).status is D.FAILED


def test_a_receipt_outlives_the_proof_of_absence() -> None:
    opened = receipt(with_outcome(with_everything(), CALL, S.UNKNOWN), Evidence.OPENED)
    assert only_delivery(with_outcome(opened, CALL, S.NOT_ACCEPTED)).status is D.OPENED


@pytest.mark.parametrize("state", [S.UNKNOWN, S.SUBMITTING])
def test_a_failed_decision_over_an_unknown_call_is_in_doubt(state: AttemptState) -> None:
    before = with_everything() if state is S.SUBMITTING else with_outcome(with_everything(), CALL, state)
    after = close_delivery(before, EMAIL.id, FAILED, later(5))
    assert (only_delivery(after).status, only_delivery(after).failure) == (D.IN_DOUBT, Reason("retries_exhausted"))


@pytest.mark.parametrize("state", [S.REFUSED, S.NOT_ACCEPTED])
def test_a_failed_decision_over_a_call_that_surely_failed_stands(state: AttemptState) -> None:
    after = close_delivery(with_outcome(with_everything(), CALL, state), EMAIL.id, FAILED, later(5))
    assert only_delivery(after).status is D.FAILED


@pytest.mark.parametrize("decided_status", [D.CANCELED, D.EXPIRED, D.FAILED, D.IN_DOUBT, D.SKIPPED])
@pytest.mark.parametrize("known", [Evidence.SENT, Evidence.DELIVERED, Evidence.BOUNCED, Evidence.OPENED])
def test_a_decision_after_a_receipt_changes_nothing(known: Evidence, decided_status: DeliveryStatus) -> None:
    reported = receipt(with_outcome(with_everything(), CALL, S.UNKNOWN), known)
    assert (
        close_delivery(
            reported, EMAIL.id, DeliveryDecision(status=decided_status, reason=Reason("outcome_unknown")), later(5)
        )
        is reported
    )


def test_a_call_that_failed_leaves_a_note_and_moves_nothing() -> None:
    after = with_outcome(with_everything(), CALL, S.NOT_ACCEPTED)
    assert [(event.kind, event.status, event.delivery_status) for event in after.events] == [
        ("attempt_not_accepted", None, None)
    ]


def test_a_repeated_receipt_changes_nothing_at_all() -> None:
    once = receipt(with_outcome(with_everything(), CALL, S.UNKNOWN), Evidence.DELIVERED)
    assert receipt(once, Evidence.DELIVERED) is once


def test_a_receipt_that_moves_nothing_is_in_the_timeline_all_the_same() -> None:
    opened = receipt(with_outcome(with_everything(), CALL, S.UNKNOWN), Evidence.OPENED, 3)
    after = receipt(opened, Evidence.DELIVERED, 2)
    [event] = after.events[len(opened.events) :]
    assert (event.kind, event.status, event.delivery_status) == ("delivered", None, None)
    assert after.attempts[CALL.id].delivered_at == later(2)


def test_the_event_of_the_delivery_carries_the_status_that_it_caused() -> None:
    after = receipt(with_outcome(with_everything(), CALL, S.ACCEPTED), Evidence.DELIVERED)
    assert [(event.kind, event.delivery_status, event.status) for event in after.events] == [
        ("sent", D.SENT, N.SENT),
        ("delivered", D.DELIVERED, N.DELIVERED),
    ]
    assert statuses(after) == [N.SENT, N.DELIVERED]


@pytest.mark.parametrize("status", [D.OPENED, D.SKIPPED])
def test_some_ends_of_a_delivery_are_final(status: DeliveryStatus) -> None:
    assert DELIVERY_TRANSITIONS[status] == set()


def test_a_move_that_is_not_in_the_table_is_not_made() -> None:
    """The recipient opted out between two attempts: that stays, but the vendor's report about the first one is kept."""
    skipped = delivery(status=D.SKIPPED, is_skipped_by_rule=True, failure=Reason("opted_out", {"rule": "x"}))
    before = ledger(skipped, attempt(skipped, state=S.NOT_ACCEPTED), status=N.SUPPRESSED, finished_at=later(1))
    after = receipt(before, Evidence.DELIVERED)
    assert (only_delivery(after), after.status) == (only_delivery(before), N.SUPPRESSED)
    assert [(event.kind, event.status) for event in after.events] == [("delivered", None)]
    assert after.attempts[CALL.id].delivered_at == later(2)


def test_every_status_has_its_row_in_the_tables() -> None:
    assert set(DELIVERY_TRANSITIONS) == set(DeliveryStatus)
    assert set(NOTIFICATION_TRANSITIONS) == set(NotificationStatus)


def test_nothing_goes_back_to_pending_but_a_redrive() -> None:
    assert {s for s, moves in NOTIFICATION_TRANSITIONS.items() if N.PENDING in moves} == {N.FAILED, N.IN_DOUBT}
    assert not [s for s, moves in DELIVERY_TRANSITIONS.items() if D.PENDING in moves]


def test_a_time_is_kept_as_it_was_reported() -> None:
    reported_at: datetime = later(-30)
    before = with_outcome(with_everything(), CALL, S.ACCEPTED)
    after = record_receipt(before, CALL.id, Evidence.DELIVERED, reported_at, later(9))
    assert delivery_facts(after, EMAIL.id)["delivered_at"] == reported_at
    assert after.events[-1].at == later(9)
