"""Test the warning about a goal that no provider of its step can report."""

from typing import Any
from uuid import uuid4

import pytest

from domain.channels import Channel
from domain.evidence import Evidence
from domain.goals import goal_warnings
from domain.notification_types import from_spec

REPORTS: dict[Channel, list[Evidence]] = {channel: [Evidence.SENT] for channel in Channel} | {
    Channel.SMS: [Evidence.SENT, Evidence.DELIVERED],
    Channel.IN_APP: [Evidence.OPENED],
    Channel.WEB_PUSH: [],
}


def warnings(until: str | None, *channels: str, **more: Any) -> list[str]:
    step = {"channels": channels} | ({"until": until, "within": "1h"} if until else {})
    route = [step, {"channels": ["email"]}]
    return list(goal_warnings(from_spec(uuid4(), {"key": "news", "route": route, "templates": {}, **more}), REPORTS))


@pytest.mark.parametrize(
    ("until", "channels", "more"),
    [
        (None, ["push"], {}),
        ("delivered", ["sms"], {}),
        ("delivered", ["in_app"], {}),
        ("opened", ["push", "in_app"], {}),
        ("opened", ["email"], {"tracking": {"opens": True}}),
        ("opened", ["email"], {"tracking": {"clicks": True}}),
        ("clicked", ["email"], {"tracking": {"vendor": True}}),
    ],
)
def test_a_goal_that_one_channel_reports_has_no_warning(
    until: str | None, channels: list[str], more: dict[str, Any]
) -> None:
    assert warnings(until, *channels, **more) == []


@pytest.mark.parametrize(
    ("until", "channels", "more"),
    [
        ("delivered", ["push"], {}),
        ("opened", ["sms", "push"], {}),
        ("clicked", ["in_app"], {}),
        ("clicked", ["email"], {"tracking": {"opens": True}}),
        ("opened", ["push"], {"tracking": {"opens": True}}),
        ("delivered", ["web_push"], {}),
    ],
)
def test_a_goal_that_no_channel_reports_is_warned_of(until: str, channels: list[str], more: dict[str, Any]) -> None:
    [warning] = warnings(until, *channels, **more)
    assert warning.startswith(f"/route/0: no provider of {' or '.join(channels)} reports {until}; only what ")
