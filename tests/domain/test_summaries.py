"""Test the summary of notifications."""

import pytest

from domain.explaining.explanations import summary
from domain.explaining.histories import NotificationHistory
from domain.statuses import NotificationStatus
from tests.domain.notification_histories import SMS, D, N, leg, story
from tests.domain.reasons import parse_failures


@pytest.mark.parametrize(
    ("of", "says"),
    [
        (story(leg(status=D.DELIVERED), status=N.DELIVERED), "DELIVERED, by email."),
        (story(leg(status=D.SENT), leg(SMS, D.SENT), status=N.SENT), "SENT, by email and sms."),
        (story(leg(status=D.SENT), leg(SMS, D.OPENED), status=N.OPENED), "OPENED, by sms."),
        (
            story(leg(status=D.DELIVERED), leg(status=D.SKIPPED, generation=2), status=N.DELIVERED, generation=2),
            "DELIVERED, by email.",
        ),
        (story(), "PENDING: it is on its way, or waits."),
        (story(status=N.CANCELED, failures=parse_failures("canceled")), "CANCELED: it was canceled."),
        (story(status=N.DIGESTED), "DIGESTED: it became part of a digest."),
        (
            story(status=N.SUPPRESSED, failures=parse_failures("throttled")),
            "SUPPRESSED: the recipient does not want it, or it may not be sent"
            " (there were as many of this type as it allows).",
        ),
        (
            story(status=N.FAILED, failures=parse_failures("email: bounced; sms: no_address")),
            "FAILED: it reached the recipient by no channel (email: the provider did not deliver it;"
            " sms: the recipient has no address or device for it).",
        ),
    ],
)
def test_the_summary_is_one_sentence(of: NotificationHistory, says: str) -> None:
    assert summary(of) == says


@pytest.mark.parametrize("status", NotificationStatus)
def test_every_status_has_a_summary(status: NotificationStatus) -> None:
    on_its_way = [leg(status=D(status))] if status in (N.SENT, N.DELIVERED, N.OPENED) else []
    assert "so it is recorded" not in summary(story(*on_its_way, status=status))
