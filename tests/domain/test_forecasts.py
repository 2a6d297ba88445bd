"""Test the predicted times of the steps of a send."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from domain.channels import Channel
from domain.evidence import Evidence
from domain.forecasts import ChannelForecast, ForecastDecision, StepForecast, StepStart, forecast_outcome, with_times
from domain.gates import Gate
from domain.reasons import Reason, reason_with_cause
from domain.statuses import NotificationStatus
from tests.domain.ledgers import later

HOUR = timedelta(hours=1)
EMAIL = ChannelForecast(channel=Channel.EMAIL, decision=ForecastDecision.SEND, providers=("sandbox",))
SMS = replace(EMAIL, channel=Channel.SMS)
EXCLUDED = ChannelForecast(
    channel=Channel.SMS,
    decision=ForecastDecision.SKIP,
    reason=Reason("opted_out", {"rule": "x"}),
    is_skipped_by_rule=True,
)


def open_step(number: int, *channels: ChannelForecast) -> StepForecast:
    return StepForecast(number=number, channels=channels or (EMAIL,), goal=Evidence.OPENED, within=HOUR)


def last(number: int, *channels: ChannelForecast) -> StepForecast:
    return StepForecast(number=number, channels=channels or (SMS,))


def quiet_gate(at: datetime) -> Gate | None:
    """Return quiet hours from 15 minutes after the start until three hours after it."""
    return Gate(reason="quiet_hours", until=later(10_800)) if later(900) <= at < later(10_800) else None


def starts(steps: list[StepForecast]) -> list[tuple[StepStart, datetime | None]]:
    return [(step.start, step.at) for step in steps]


def test_each_goal_that_is_missed_starts_the_next_step() -> None:
    found = with_times([open_step(1), open_step(2), last(3)], later(0), None, lambda at: None)
    assert starts(found) == [
        (StepStart.ALWAYS, later(0)),
        (StepStart.GOAL_MISSED, later(3600)),
        (StepStart.GOAL_MISSED, later(7200)),
    ]


def test_a_step_without_a_goal_leaves_the_time_of_the_next_open() -> None:
    found = with_times([last(1), open_step(2), last(3)], later(0), None, lambda at: None)
    assert starts(found)[1:] == [(StepStart.STEP_FAILED, None), (StepStart.GOAL_MISSED, None)]


@pytest.mark.parametrize(
    "channel",
    [EXCLUDED, replace(EMAIL, decision=ForecastDecision.SKIP, reason=reason_with_cause("template_error", "x"))],
)
def test_a_step_without_channels_starts_the_next_immediately(channel: ChannelForecast) -> None:
    found = with_times([open_step(1, channel), last(2, EMAIL)], later(0), None, lambda at: None)
    assert starts(found)[1] == (StepStart.ALWAYS, later(0))


def test_a_later_step_waits_for_the_end_of_quiet_hours() -> None:
    [_, second, third] = with_times([open_step(1), open_step(2), last(3)], later(0), None, quiet_gate)
    assert (second.at, [wait.since for wait in second.waits]) == (later(10_800), [later(3600)])
    assert third.at == later(14_400)


def test_a_step_that_comes_after_the_expiry_is_skipped() -> None:
    [first, second] = with_times([open_step(1), last(2)], later(0), later(1800), lambda at: None)
    assert (first.channels[0].decision, second.at) == (ForecastDecision.SEND, later(1800))
    assert [(one.decision, one.reason) for one in second.channels] == [(ForecastDecision.SKIP, Reason("expired"))]


def test_a_held_step_leaves_its_time_open() -> None:
    held = replace(EMAIL, decision=ForecastDecision.WAIT, reason=Reason("paused", {"kind": "channel", "name": "email"}))
    assert starts(with_times([open_step(1, held), last(2)], later(0), None, lambda at: None)) == [
        (StepStart.ALWAYS, None),
        (StepStart.GOAL_MISSED, None),
    ]


def test_always_channels_start_with_the_route_and_delay_nothing() -> None:
    found = with_times([open_step(0), open_step(1), last(2)], later(0), None, lambda at: None)
    assert starts(found) == [
        (StepStart.ALWAYS, later(0)),
        (StepStart.ALWAYS, later(0)),
        (StepStart.GOAL_MISSED, later(3600)),
    ]


@pytest.mark.parametrize(
    ("steps", "status"),
    [
        ([last(1)], None),
        ([last(1, EXCLUDED), last(2)], None),
        ([last(1, EXCLUDED)], NotificationStatus.SUPPRESSED),
        (
            [last(1, replace(EXCLUDED, is_skipped_by_rule=False, reason=Reason("no_address")))],
            NotificationStatus.FAILED,
        ),
        (
            [last(1, replace(EMAIL, decision=ForecastDecision.SKIP, reason=Reason("expired")))],
            NotificationStatus.EXPIRED,
        ),
        ([], NotificationStatus.FAILED),
    ],
)
def test_a_send_without_a_call_has_an_end(steps: list[StepForecast], status: NotificationStatus | None) -> None:
    end = forecast_outcome(steps)
    assert (end and end.status) == status
