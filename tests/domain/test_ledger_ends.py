"""Test how a ledger ends: which status the notification gets from its deliveries, and what changes it afterwards."""

import pytest

from domain.channels import Channel
from domain.evidence import AttemptState, Evidence
from domain.ledger import finish_notification
from domain.reasons import Reason
from domain.statuses import DeliveryStatus, NotificationStatus
from domain.timeline import line_of
from tests.domain.ledgers import (
    CALL,
    EMAIL,
    SMS,
    delivery,
    later,
    ledger,
    only_delivery,
    receipt,
    with_everything,
    with_outcome,
)

D, N, S = DeliveryStatus, NotificationStatus, AttemptState


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
