"""Failure reasons as categories, of which there is a known number."""

import pytest

from metrics.reasons import CATEGORIES, OTHER, category


@pytest.mark.parametrize(
    ("reason", "found"),
    [
        ("email: no_address; sms: bounced", "bounced"),
        ("refused: 550 no such user", "refused"),
        ("email: refused: ada@example.com is unknown", "refused"),
        ("refused_recipient", "refused"),
        ("push: gave_up after 3 attempts: throttled", "gave_up"),
        ("provider_failed: credentials_refused", "provider_failed"),
        ("workflow_terminated", "workflow"),
        ("template_error: 'name' is undefined; sms: no_address", "no_address"),
        ("something new", OTHER),
        ("", OTHER),
        (None, OTHER),
    ],
)
def test_a_reason_has_a_category(reason: str | None, found: str) -> None:
    assert category(reason) == found
    assert found in CATEGORIES | {OTHER}
