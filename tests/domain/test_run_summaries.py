"""Test the description of a run in Temporal's Web UI."""

import pytest

from domain.run_summaries import MAX_SUMMARY_LENGTH, route_text, run_summary


@pytest.mark.parametrize(
    ("route", "only", "text"),
    [
        ([["email"]], None, "email"),
        ([["push", "email"], ["sms"]], None, "push + email then sms"),
        ([["push", "email"], ["sms"]], ["sms", "email"], "email then sms"),
        ([["push"], ["sms"]], ["sms"], "sms"),
        ([["push"]], ["sms"], ""),
    ],
)
def test_a_route_is_its_steps_with_the_requested_channels(
    route: list[list[str]], only: list[str] | None, text: str
) -> None:
    assert route_text(route, only) == text


def test_a_summary_is_type_priority_and_channels_as_long_as_temporal_takes() -> None:
    assert run_summary("news", 2, "email then sms") == "news, priority 2, email then sms"
    assert run_summary("news", 2, "") == "news, priority 2"
    assert len(run_summary("n" * 128, 3, "email then " * 50)) == MAX_SUMMARY_LENGTH
