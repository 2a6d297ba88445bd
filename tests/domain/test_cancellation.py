"""Test that a cancel stops unsent deliveries and reports the result per channel."""

from dataclasses import replace

import pytest

from domain.cancellation import CancelResult, cancel_notification, cancel_results
from domain.channels import Channel
from domain.evidence import AttemptState, Evidence
from domain.ledger import record_receipt
from domain.records import DeliveryRecord, Ledger
from domain.statuses import DeliveryStatus, NotificationStatus
from tests.domain.ledgers import attempt, delivery, later, ledger, only_delivery, statuses, with_outcome

D, N, A = DeliveryStatus, NotificationStatus, CancelResult
EMAIL = delivery()
CALL = attempt(EMAIL)


def cancelled(*rows: object, **more: object) -> Ledger:
    return cancel_notification(ledger(*rows, **more), later(5))  # type: ignore[arg-type]


def test_a_channel_without_a_call_is_canceled_immediately() -> None:
    after = cancelled(delivery(status=D.PENDING), delivery(Channel.SMS, D.SENDING))
    assert {d.status for d in after.deliveries.values()} == {D.CANCELED}
    assert (after.status, after.finished_at, after.failure_reason) == (
        N.CANCELED,
        later(5),
        "email: canceled; sms: canceled" if after.failure_reason != "canceled" else "canceled",
    )


def test_before_anything_was_resolved_the_whole_notification_is_canceled() -> None:
    after = cancelled()
    assert (after.status, after.failure_reason, after.cancel_requested_at) == (N.CANCELED, "canceled", later(5))


def test_a_call_in_flight_decides_by_its_outcome() -> None:
    after = cancelled(EMAIL, CALL)
    assert (only_delivery(after).status, after.finished_at, after.cancel_requested_at) == (D.SENDING, None, later(5))
    assert cancel_results(after, [Channel.EMAIL]) == {Channel.EMAIL: A.IN_DOUBT}
    assert with_outcome(after, CALL, AttemptState.ACCEPTED).status is N.SENT


def test_other_channels_are_stopped_during_a_call_in_flight() -> None:
    after = cancelled(EMAIL, CALL, delivery(Channel.SMS, D.PENDING))
    assert cancel_results(after, []) == {Channel.EMAIL: A.IN_DOUBT, Channel.SMS: A.STOPPED}
    assert after.finished_at is None


def test_a_call_that_ended_unknown_stays_in_doubt() -> None:
    after = cancel_notification(with_outcome(ledger(EMAIL, CALL), CALL, AttemptState.UNKNOWN), later(5))
    assert (only_delivery(after).status, after.status) == (D.IN_DOUBT, N.IN_DOUBT)


def test_canceled_in_doubt_and_proved_absent_is_canceled() -> None:
    doubtful = cancel_notification(with_outcome(ledger(EMAIL, CALL), CALL, AttemptState.UNKNOWN), later(5))
    after = with_outcome(doubtful, CALL, AttemptState.NOT_ACCEPTED)
    assert (only_delivery(after).status, after.status, after.failure_reason) == (
        D.CANCELED,
        N.CANCELED,
        "email: canceled",
    )
    assert cancel_results(after, []) == {Channel.EMAIL: A.STOPPED}


def test_canceled_in_doubt_and_found_is_sent() -> None:
    doubtful = cancel_notification(with_outcome(ledger(EMAIL, CALL), CALL, AttemptState.UNKNOWN), later(5))
    assert with_outcome(doubtful, CALL, AttemptState.ACCEPTED).status is N.SENT


def test_waiting_for_a_retry_is_stopped() -> None:
    after = cancel_notification(with_outcome(ledger(EMAIL, CALL), CALL, AttemptState.NOT_ACCEPTED), later(5))
    assert (only_delivery(after).status, after.status) == (D.CANCELED, N.CANCELED)


def test_a_sent_message_stays_sent() -> None:
    sent = with_outcome(ledger(EMAIL, CALL, delivery(Channel.SMS, D.PENDING)), CALL, AttemptState.ACCEPTED)
    after = cancel_notification(sent, later(5))
    assert after.status is N.SENT
    assert cancel_results(after, []) == {Channel.EMAIL: A.ALREADY_SENT, Channel.SMS: A.STOPPED}


def test_a_finished_notification_is_not_touched() -> None:
    done = ledger(replace(EMAIL, status=D.DELIVERED), status=N.DELIVERED, finished_at=later(1))
    assert cancel_notification(done, later(5)) is done
    assert cancel_results(done, [Channel.EMAIL]) == {Channel.EMAIL: A.ALREADY_SENT}


def test_a_repeated_cancel_keeps_the_first_time() -> None:
    once = cancelled(EMAIL, CALL)
    assert cancel_notification(once, later(60)).cancel_requested_at == later(5)


def test_a_receipt_after_the_cancel_shows_the_message_as_sent() -> None:
    after = cancel_notification(with_outcome(ledger(EMAIL, CALL), CALL, AttemptState.UNKNOWN), later(5))
    delivered = record_receipt(after, CALL.id, Evidence.DELIVERED, later(7), later(7))
    assert cancel_results(delivered, []) == {Channel.EMAIL: A.ALREADY_SENT}
    assert statuses(delivered) == [N.IN_DOUBT, N.DELIVERED]


def test_a_cancel_before_resolution_covers_the_channels_of_the_route() -> None:
    route = [Channel.PUSH, Channel.SMS, Channel.PUSH]
    assert cancel_results(ledger(), route) == {Channel.PUSH: A.STOPPED, Channel.SMS: A.STOPPED}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (D.PENDING, A.STOPPED),
        (D.SENDING, A.IN_DOUBT),
        (D.SENT, A.ALREADY_SENT),
        (D.DELIVERED, A.ALREADY_SENT),
        (D.OPENED, A.ALREADY_SENT),
        (D.FAILED, A.STOPPED),
        (D.SKIPPED, A.STOPPED),
        (D.CANCELED, A.STOPPED),
        (D.EXPIRED, A.STOPPED),
        (D.IN_DOUBT, A.IN_DOUBT),
    ],
)
def test_every_status_has_its_cancel_result(status: DeliveryStatus, said: CancelResult) -> None:
    assert cancel_results(ledger(delivery(status=status)), []) == {Channel.EMAIL: said}


ITEM = ledger(status=N.DIGESTED, finished_at=later(1))
ROUTE = [Channel.EMAIL, Channel.SMS]


def test_an_item_of_an_open_digest_may_arrive_by_each_channel() -> None:
    on_its_way = ledger(delivery(status=D.SENT), delivery(Channel.SMS, D.PENDING))
    assert cancel_results(ITEM, ROUTE, on_its_way) == {Channel.EMAIL: A.ALREADY_SENT, Channel.SMS: A.IN_DOUBT}
    assert cancel_results(ITEM, ROUTE, ledger()) == {Channel.EMAIL: A.IN_DOUBT, Channel.SMS: A.IN_DOUBT}


def test_an_item_of_an_ended_digest_arrived_by_its_sent_channels() -> None:
    over = ledger(delivery(status=D.DELIVERED), delivery(Channel.SMS, D.FAILED), finished_at=later(2))
    assert cancel_results(ITEM, ROUTE, over) == {Channel.EMAIL: A.ALREADY_SENT, Channel.SMS: A.STOPPED}
    assert cancel_results(ITEM, ROUTE, cancelled()) == {Channel.EMAIL: A.STOPPED, Channel.SMS: A.STOPPED}


def steps(first: DeliveryStatus, second: DeliveryStatus) -> list[DeliveryRecord]:
    return [delivery(status=first, step=1), delivery(status=second, step=2)]


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (D.FAILED, D.SENT, A.ALREADY_SENT),
        (D.SENT, D.CANCELED, A.ALREADY_SENT),
        (D.IN_DOUBT, D.CANCELED, A.IN_DOUBT),
        (D.IN_DOUBT, D.SENT, A.ALREADY_SENT),
    ],
)
def test_a_channel_on_two_steps_returns_the_combined_result(
    first: DeliveryStatus, second: DeliveryStatus, said: CancelResult
) -> None:
    assert cancel_results(ledger(*steps(first, second)), []) == {Channel.EMAIL: said}
