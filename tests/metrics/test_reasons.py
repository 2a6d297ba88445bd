"""Test the categories of failure reasons, of which there is a known number."""

import pytest

from domain.reasons import ChannelReason, Reason, reason_with_cause
from metrics.reasons import CATEGORIES, OTHER, category_of


@pytest.mark.parametrize(
    ("reasons", "found"),
    [
        ([Reason("no_address"), Reason("bounced")], "bounced"),
        ([reason_with_cause("refused", "refused_recipient")], "refused"),
        ([Reason("retries_exhausted", {"attempts": 3, "cause": "throttled"})], "retries_exhausted"),
        ([reason_with_cause("provider_failed", "credentials_refused")], "provider_failed"),
        ([Reason("workflow_ended", {"how": "terminated"})], "workflow"),
        ([reason_with_cause("template_error", "'name' is undefined"), Reason("no_address")], "no_address"),
        ([Reason("sms_too_long", {"segments": 12, "limit": 10})], "sms_too_long"),
        ([Reason("something new")], OTHER),
        ([], OTHER),
    ],
)
def test_a_failure_has_a_category(reasons: list[Reason], found: str) -> None:
    assert category_of([ChannelReason("email", reason) for reason in reasons]) == found
    assert found in CATEGORIES | {OTHER}
