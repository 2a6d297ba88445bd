"""Test the ledger of one notification: every status follows from evidence, in any order of arrival."""

from dataclasses import replace
from datetime import datetime
from itertools import pairwise

import pytest

from domain.channels import Channel
from domain.evidence import AttemptState, Evidence
from domain.ledger import close_delivery, finish_notification, record_outcome, record_receipt
from domain.notification_overview import delivery_facts
from domain.reasons import Reason
from domain.records import DeliveryDecision, Ledger
from domain.statuses import DELIVERY_TRANSITIONS, NOTIFICATION_TRANSITIONS, DeliveryStatus, NotificationStatus
from domain.timeline import line_of
from tests.domain.ledgers import attempt, delivery, later, ledger, only_delivery, statuses, with_outcome

EMAIL = delivery()
SMS = delivery(Channel.SMS, step=2)
CALL = attempt(EMAIL)
SMS_CALL = attempt(SMS, endpoint="sms")
FAILED = DeliveryDecision(status=DeliveryStatus.FAILED, reason=Reason("retries_exhausted"))
D, N, S = DeliveryStatus, NotificationStatus, AttemptState


def receipt(before: Ledger, evidence: Evidence, at: float = 2, call: object = None) -> Ledger:
    return record_receipt(before, getattr(call, "id", CALL.id), evidence, later(at), later(at))


def with_everything(**more: object) -> Ledger:
    return ledger(EMAIL, CALL, **more)


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


def test_finishing_closes_open_deliveries_and_keeps_sent_ones() -> None:
    sent = with_outcome(ledger(EMAIL, CALL, SMS), CALL, S.ACCEPTED)
    after = finish_notification(sent, later(5))
    assert {d.channel: d.status for d in after.deliveries.values()} == {Channel.EMAIL: D.SENT, Channel.SMS: D.FAILED}
    assert (after.status, after.finished_at) == (N.SENT, later(5))


def test_finishing_over_a_call_under_way_is_in_doubt() -> None:
    after = finish_notification(with_everything(), later(5))
    assert (only_delivery(after).status, after.status) == (D.IN_DOUBT, N.IN_DOUBT)


def test_a_finished_ledger_is_not_finished_again() -> None:
    done = finish_notification(with_everything(), later(5))
    assert finish_notification(done, later(9), N.CANCELED) is done


@pytest.mark.parametrize(
    ("decided_status", "closed"),
    [(N.FAILED, D.FAILED), (N.CANCELED, D.CANCELED), (N.EXPIRED, D.EXPIRED)],
)
def test_open_deliveries_end_with_the_status_of_the_notification(
    decided_status: NotificationStatus, closed: DeliveryStatus
) -> None:
    after = finish_notification(ledger(delivery(status=D.PENDING)), later(5), decided_status, Reason("why"))
    assert (only_delivery(after).status, after.status) == (closed, decided_status)


SKIPPED_BY_RULE = {"status": D.SKIPPED, "is_skipped_by_rule": True, "failure": Reason("opted_out", {"rule": "x"})}
SKIPPED_MISSING = {"status": D.SKIPPED, "is_skipped_by_rule": False, "failure": Reason("no_address")}


@pytest.mark.parametrize(
    ("email", "sms", "ends"),
    [
        (SKIPPED_BY_RULE, SKIPPED_BY_RULE, N.SUPPRESSED),
        (SKIPPED_BY_RULE, SKIPPED_MISSING, N.FAILED),
        (SKIPPED_MISSING, SKIPPED_MISSING, N.FAILED),
        (SKIPPED_BY_RULE, {"status": D.FAILED, "failure": Reason("refused")}, N.FAILED),
        (SKIPPED_BY_RULE, {"status": D.EXPIRED}, N.EXPIRED),
        (SKIPPED_BY_RULE, {"status": D.CANCELED}, N.CANCELED),
        (SKIPPED_BY_RULE, {"status": D.IN_DOUBT}, N.IN_DOUBT),
        ({"status": D.FAILED}, {"status": D.IN_DOUBT}, N.IN_DOUBT),
        ({"status": D.SENT}, {"status": D.IN_DOUBT}, N.SENT),
        ({"status": D.OPENED}, {"status": D.DELIVERED}, N.OPENED),
        ({"status": D.DELIVERED}, {"status": D.FAILED}, N.DELIVERED),
    ],
)
def test_a_notification_is_as_good_as_its_best_delivery(
    email: dict[str, object], sms: dict[str, object], ends: NotificationStatus
) -> None:
    rows = (delivery(**email), delivery(Channel.SMS, **email | sms))  # type: ignore[arg-type]
    assert finish_notification(ledger(*rows), later(5)).status is ends


def test_without_any_delivery_the_decided_status_stands() -> None:
    assert finish_notification(ledger(), later(5), N.EXPIRED, Reason("expired")).status is N.EXPIRED
    assert finish_notification(ledger(), later(5)).status is N.FAILED


@pytest.mark.parametrize("decided_status", [N.EXPIRED, N.CANCELED])
def test_a_bounced_delivery_is_neither_expired_nor_canceled(decided_status: NotificationStatus) -> None:
    """`EXPIRED` means that nothing was sent."""
    bounced = receipt(with_outcome(ledger(EMAIL, CALL, SMS), CALL, S.ACCEPTED), Evidence.BOUNCED)
    after = finish_notification(bounced, later(5), decided_status, Reason("why"))
    assert after.status is N.FAILED


@pytest.mark.parametrize("decided_status", [N.EXPIRED, N.CANCELED])
def test_a_late_bounce_of_all_sent_deliveries_fails_the_notification(
    decided_status: NotificationStatus,
) -> None:
    done = finish_notification(
        with_outcome(ledger(EMAIL, CALL, SMS), CALL, S.ACCEPTED), later(5), decided_status, Reason("why")
    )
    assert done.status is N.SENT
    assert receipt(done, Evidence.BOUNCED, 9).status is N.FAILED


def test_a_receipt_after_the_end_still_counts_and_the_end_stays() -> None:
    expired = finish_notification(with_everything(), later(5), N.EXPIRED, Reason("expired"))
    after = receipt(expired, Evidence.DELIVERED, 60)
    assert (after.status, after.failure_reason, after.finished_at) == (N.DELIVERED, None, later(5))


def test_a_bounce_before_the_end_does_not_fail_a_notification_with_fallback() -> None:
    bounced = receipt(with_outcome(with_everything(), CALL, S.ACCEPTED), Evidence.BOUNCED)
    assert (only_delivery(bounced).status, bounced.status, bounced.finished_at) == (D.FAILED, N.SENT, None)
    assert finish_notification(bounced, later(5)).status is N.FAILED


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


def test_an_end_that_no_delivery_caused_has_an_event_of_its_own() -> None:
    after = finish_notification(
        ledger(delivery(status=D.SKIPPED, is_skipped_by_rule=True, failure=Reason("opted_out", {"rule": "x"}))),
        later(5),
    )
    assert [(event.kind, line_of(event.reason, event.detail), event.status) for event in after.events] == [
        ("suppressed", "email: opted_out (x)", N.SUPPRESSED)
    ]


def test_the_reason_names_every_failed_channel_in_route_order() -> None:
    email = delivery(status=D.FAILED, failure=Reason("bounced"), step=2)
    sms = delivery(Channel.SMS, status=D.SKIPPED, failure=Reason("no_address"), step=1)
    assert finish_notification(ledger(email, sms), later(5)).failure_reason == "sms: no_address; email: bounced"


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
