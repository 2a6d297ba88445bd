"""Test a delivery with several calls: the statuses of its endpoints, in any order, decide its own."""

from dataclasses import replace

from domain.evidence import AttemptState, Evidence
from domain.ledger import finish_notification, record_outcome
from domain.notification_overview import delivery_facts
from domain.statuses import DeliveryStatus, NotificationStatus
from tests.domain.ledgers import EMAIL, attempt, later, ledger, only_delivery, receipt, with_outcome

D, N, S = DeliveryStatus, NotificationStatus, AttemptState


def test_one_arrival_among_several_endpoints_makes_the_delivery_arrive() -> None:
    phone, tablet = attempt(EMAIL, endpoint="phone"), attempt(EMAIL, endpoint="tablet")
    start = with_outcome(with_outcome(ledger(EMAIL, phone, tablet), phone, S.ACCEPTED), tablet, S.ACCEPTED)
    after = receipt(receipt(start, Evidence.BOUNCED, 2, phone), Evidence.DELIVERED, 3, tablet)
    assert only_delivery(after).status is D.DELIVERED


def test_a_bounced_endpoint_ranks_below_a_sent_one() -> None:
    phone, tablet = attempt(EMAIL, endpoint="phone"), attempt(EMAIL, endpoint="tablet")
    start = with_outcome(with_outcome(ledger(EMAIL, phone, tablet), phone, S.ACCEPTED), tablet, S.ACCEPTED)
    orders = [[Evidence.DELIVERED, Evidence.BOUNCED], [Evidence.BOUNCED, Evidence.DELIVERED]]
    for order in orders:
        after = start
        for evidence in order:
            after = receipt(after, evidence, 2, phone)
        assert (only_delivery(after).status, after.status) == (D.SENT, N.SENT)


def test_a_bounce_with_an_unknown_call_is_in_doubt() -> None:
    phone, tablet = attempt(EMAIL, endpoint="phone"), attempt(EMAIL, endpoint="tablet")
    start = with_outcome(ledger(EMAIL, phone, tablet), phone, S.ACCEPTED)
    forward = with_outcome(receipt(start, Evidence.BOUNCED, 2, phone), tablet, S.UNKNOWN)
    backward = receipt(with_outcome(start, tablet, S.UNKNOWN), Evidence.BOUNCED, 2, phone)
    assert (
        only_delivery(finish_notification(forward, later(5))).status
        is only_delivery(finish_notification(backward, later(5))).status
        is D.IN_DOUBT
    )


def test_an_endpoint_that_is_called_after_another_has_bounced_still_counts() -> None:
    phone, tablet = attempt(EMAIL, endpoint="phone"), attempt(EMAIL, endpoint="tablet")
    bounced = receipt(with_outcome(ledger(EMAIL, phone), phone, S.ACCEPTED), Evidence.BOUNCED, 2, phone)
    assert only_delivery(bounced).status is D.FAILED
    called = replace(bounced, attempts={**bounced.attempts, tablet.id: tablet})
    ends = {
        state: only_delivery(with_outcome(called, tablet, state)).status for state in (S.ACCEPTED, S.UNKNOWN, S.REFUSED)
    }
    assert ends == {S.ACCEPTED: D.SENT, S.UNKNOWN: D.IN_DOUBT, S.REFUSED: D.FAILED}


def test_a_delivery_shows_the_provider_and_response_of_its_best_attempt() -> None:
    first, second = attempt(EMAIL), attempt(EMAIL, number=2)
    start = with_outcome(ledger(EMAIL, first, second), first, S.UNKNOWN)
    named = record_outcome(start, replace(second, provider_message_id="message-2"), S.ACCEPTED, later(2))
    assert delivery_facts(named, EMAIL.id)["provider_message_id"] == "message-2"
    opened = receipt(named, Evidence.OPENED, 3, first)
    assert delivery_facts(opened, EMAIL.id)["provider_message_id"] is None
