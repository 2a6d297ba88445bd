"""Test what may be sent again, why the rest may not, and how evidence of earlier generations affects a new one."""

from typing import Any

import pytest

from domain.cancellation import CancelResult, cancel_notification, cancel_results
from domain.channels import Channel
from domain.evidence import AttemptState, Evidence
from domain.ledger import close_delivery, finish_notification, record_receipt
from domain.reasons import Reason
from domain.records import DeliveryDecision, Ledger
from domain.redrives import RedriveCandidate, already_sent_decision, redrive_refusal, start_delays, unreachable_reason
from domain.routing import SkippedChannel
from domain.statuses import DeliveryStatus, NotificationStatus
from domain.step_goals import has_arrived, has_reached
from tests.domain.ledgers import attempt, delivery, later, ledger, redriven, with_outcome

D, N, S = DeliveryStatus, NotificationStatus, AttemptState
NOW = later(10)
OLD, NEW = delivery(), delivery(generation=2)
CALL = attempt(OLD)


def candidate(status: NotificationStatus = N.FAILED, **more: Any) -> RedriveCandidate:
    return RedriveCandidate(**{"status": status, "finished": True, "expires_at": None, "erased": False, **more})


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (N.FAILED, None),
        (N.IN_DOUBT, "in_doubt"),
        (N.PENDING, "not_finished"),
        (N.SENT, "already_sent"),
        (N.DELIVERED, "already_sent"),
        (N.OPENED, "already_sent"),
        (N.SUPPRESSED, "suppressed"),
        (N.CANCELED, "canceled"),
        (N.EXPIRED, "expired"),
        (N.DIGESTED, "digested"),
    ],
)
def test_only_failed_deliveries_are_redriven_and_others_have_a_reason(status: NotificationStatus, reason: str) -> None:
    assert redrive_refusal(candidate(status), NOW, force=False) == reason


@pytest.mark.parametrize(
    ("reasons", "code"),
    [
        ([Reason("opted_out")], "opted_out"),
        ([Reason("suppressed", {"list": "bounced"}), Reason("suppressed", {"list": "opted_out"})], "suppressed"),
        ([Reason("opted_out"), Reason("no_address")], "no_channel"),
    ],
)
def test_channels_that_are_all_skipped_have_one_code(reasons: list[Reason], code: str) -> None:
    skips = [
        SkippedChannel(step=1, channel=Channel.SMS, reason=reason, is_skipped_by_rule=True, rule=None)
        for reason in reasons
    ]
    assert unreachable_reason(skips) == code


def test_every_status_has_its_redrive_result_and_force_changes_only_in_doubt() -> None:
    for status in NotificationStatus:
        plain, forced = (redrive_refusal(candidate(status), NOW, force=force) for force in (False, True))
        assert forced == (None if status is N.IN_DOUBT else plain)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"expires_at": later(9)}, "expired"),
        ({"expires_at": later(10)}, "expired"),
        ({"expires_at": later(10.001)}, None),
        ({"erased": True}, "recipient_erased"),
        ({"emptied": True}, "content_removed"),
        ({"erased": True, "expires_at": later(9)}, "recipient_erased"),
        ({"finished": False}, "not_finished"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_expired_sends_and_erased_recipients_are_not_redriven(
    more: dict[str, Any], reason: str | None, force: bool
) -> None:
    assert redrive_refusal(candidate(**more), NOW, force=force) == reason


@pytest.mark.parametrize(("rate", "spread"), [(0, [0, 0, 0]), (20, [0, 0.05, 0.1]), (0.5, [0, 2, 4])])
def test_redrives_start_at_the_rate(rate: float, spread: list[float]) -> None:
    assert start_delays(3, rate) == spread


def redriven_ledger(*rows: object, state: AttemptState = S.NOT_ACCEPTED) -> Ledger:
    """Return a ledger that failed once (or is in doubt), and was redriven."""
    first = finish_notification(with_outcome(ledger(OLD, CALL), CALL, state), later(5))
    return redriven(first, *rows)  # type: ignore[arg-type]


def with_receipt(before: Ledger, evidence: Evidence, at: float = 20) -> Ledger:
    return record_receipt(before, CALL.id, evidence, later(at), later(at))


def test_late_evidence_of_an_earlier_generation_moves_the_notification() -> None:
    after = with_receipt(redriven_ledger(NEW), Evidence.DELIVERED)
    assert (after.status, after.finished_at) == (N.DELIVERED, None)
    assert [(e.kind, e.delivery_id, e.status) for e in after.events] == [("delivered", OLD.id, N.DELIVERED)]
    assert {d.generation: d.status for d in after.deliveries.values()} == {1: D.DELIVERED, 2: D.SENDING}


def test_a_recipient_with_a_late_receipt_is_skipped_unless_it_bounced() -> None:
    before = redriven_ledger(NEW)
    assert before.find_earlier_unbounced(NEW.id, "email") is None
    have = with_receipt(before, Evidence.DELIVERED).find_earlier_unbounced(NEW.id, "email")
    assert (have and have.id) == OLD.id
    assert with_receipt(before, Evidence.BOUNCED).find_earlier_unbounced(NEW.id, "email") is None


def test_another_device_another_step_and_another_channel_do_not_have_it() -> None:
    others = [delivery(step=2, generation=2), delivery(Channel.SMS, generation=2)]
    after = with_receipt(redriven_ledger(NEW, *others), Evidence.DELIVERED)
    assert after.find_earlier_unbounced(NEW.id, "tablet") is None
    assert [after.find_earlier_unbounced(one.id, "email") for one in others] == [None, None]


def test_a_second_accepted_call_counts_after_a_bounced_first() -> None:
    second = attempt(OLD, number=2)
    start = redriven(finish_notification(with_outcome(ledger(OLD, CALL, second), CALL, S.UNKNOWN), later(5)), NEW)
    after = record_receipt(with_receipt(start, Evidence.BOUNCED), second.id, Evidence.DELIVERED, later(21), later(21))
    have = after.find_earlier_unbounced(NEW.id, "email")
    assert (have and have.id) == OLD.id


def already_sent_ledger(evidence: Evidence) -> Ledger:
    """Return a ledger whose earlier generation has sent the message, so that the new one sent nothing and ended."""
    after = with_receipt(redriven_ledger(NEW), evidence)
    return finish_notification(close_delivery(after, NEW.id, already_sent_decision(1), later(30)), later(30))


def test_deliveries_of_an_earlier_generation_are_skipped_and_count() -> None:
    after = already_sent_ledger(Evidence.DELIVERED)
    assert (after.status, after.failure_reason) == (N.DELIVERED, None)
    assert after.deliveries[NEW.id].status is D.SKIPPED
    assert after.deliveries[NEW.id].failure == Reason("already_sent", {"generation": 1})


def test_if_that_comes_back_in_the_end_the_reason_is_its_bounce() -> None:
    after = with_receipt(already_sent_ledger(Evidence.DELIVERED), Evidence.BOUNCED, 40)
    assert (after.status, after.failure_reason) == (N.FAILED, "email: bounced")


@pytest.mark.parametrize(
    ("state", "status", "reason"),
    [(S.NOT_ACCEPTED, N.FAILED, "email: new"), (S.UNKNOWN, N.IN_DOUBT, "email: not_sent; email: new")],
)
def test_the_new_reason_includes_old_doubts_and_no_old_failures(
    state: AttemptState, status: NotificationStatus, reason: str
) -> None:
    decision = DeliveryDecision(status=D.FAILED, reason=Reason("new"))
    after = finish_notification(close_delivery(redriven_ledger(NEW, state=state), NEW.id, decision, later(8)), later(9))
    assert (after.status, after.failure_reason) == (status, reason)


@pytest.mark.parametrize(("state", "status"), [(S.NOT_ACCEPTED, N.CANCELED), (S.UNKNOWN, N.IN_DOUBT)])
def test_a_redriven_notification_can_be_canceled_without_old_failures(
    state: AttemptState, status: NotificationStatus
) -> None:
    after = cancel_notification(redriven_ledger(delivery(status=D.PENDING, generation=2), state=state), later(12))
    assert (after.status, after.finished_at) == (status, later(12))
    said = CancelResult.STOPPED if state is S.NOT_ACCEPTED else CancelResult.IN_DOUBT
    assert cancel_results(after, [Channel.EMAIL]) == {Channel.EMAIL: said}


def test_a_cancel_before_the_new_resolution_covers_every_channel() -> None:
    after = cancel_notification(redriven_ledger(), later(12))
    assert after.status is N.CANCELED
    assert set(cancel_results(after, [Channel.EMAIL, Channel.SMS]).values()) == {CancelResult.STOPPED}


def test_a_redrive_without_opted_in_channels_is_suppressed() -> None:
    skipped = delivery(
        status=D.SKIPPED, generation=2, is_skipped_by_rule=True, failure=Reason("opted_out", {"rule": "x"})
    )
    after = finish_notification(redriven_ledger(skipped), later(9))
    assert (after.status, after.failure_reason) == (N.SUPPRESSED, "email: opted_out (x)")
    assert with_receipt(after, Evidence.OPENED).status is N.OPENED


def test_a_notification_can_fail_and_be_redriven_repeatedly() -> None:
    third = delivery(generation=3)
    second = finish_notification(with_outcome(redriven_ledger(NEW, attempt(NEW)), attempt(NEW), S.REFUSED, 8), later(9))
    assert second.status is N.FAILED
    after = with_receipt(redriven(second, third), Evidence.DELIVERED)
    have = after.find_earlier_unbounced(third.id, "email")
    assert (have and have.id, after.status) == (OLD.id, N.DELIVERED)


def test_steps_of_a_new_generation_know_the_evidence_of_the_old_one() -> None:
    before = redriven_ledger(NEW)
    assert (has_arrived(before, 1), has_reached(before, 1, Evidence.DELIVERED)) == (False, False)
    after = with_receipt(before, Evidence.DELIVERED)
    assert (has_arrived(after, 1), has_reached(after, 1, Evidence.DELIVERED)) == (True, True)
    assert not has_reached(after, 1, Evidence.OPENED)
