"""What a send would do, step by step and with its times. Pure; `activities/predictions.py` brings the facts.

Times hold if each call is accepted at once, no receipt comes, and nothing else is sent meanwhile.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from domain.channels import Channel
from domain.evidence import Evidence
from domain.goals import goal_deadline
from domain.messages import Gate, NotificationOutcome
from domain.reasons import ChannelReason, Reason, failure_line
from domain.redrives import NO_CHANNEL
from domain.statuses import NotificationStatus
from domain.stored_enums import StoredEnum
from domain.templates import TemplateVersion

EXPIRED_REASON = Reason("expired")
TimeGate = Callable[[datetime], Gate | None]


class ForecastDecision(StoredEnum):
    SEND = "send"
    WAIT = "wait"
    SKIP = "skip"


class StepStart(StoredEnum):
    """Why a step would run: in any case, if the step before misses its goal, or if every channel of that one fails."""

    ALWAYS = "always"
    GOAL_MISSED = "goal_missed"
    STEP_FAILED = "step_failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class ForecastWait:
    """`until` is None where the end is not known."""

    reason: str
    since: datetime
    until: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelForecast:
    """`reason` is why it is skipped or waits; `by_rule`: by a decision, not for lack of something. `rule` allowed or
    excluded the channel. `providers` are in the order in which they would be called. It goes to `devices`, and not to
    `devices_skipped`."""

    channel: Channel
    decision: ForecastDecision
    reason: Reason | None = None
    by_rule: bool = False
    rule: str | None = None
    providers: tuple[str, ...] = ()
    devices: int = 0
    devices_skipped: int = 0
    template: TemplateVersion | None = None
    content: dict[str, Any] | None = None

    @property
    def is_sent(self) -> bool:
        return self.decision is ForecastDecision.SEND


@dataclass(frozen=True, kw_only=True, slots=True)
class StepForecast:
    """Step 0 holds the channels that go out always. `at` is when its calls are made; None if that is not known."""

    number: int
    channels: tuple[ChannelForecast, ...]
    goal: Evidence | None = None
    within: timedelta | None = None
    start: StepStart = StepStart.ALWAYS
    at: datetime | None = None
    waits: tuple[ForecastWait, ...] = ()

    @property
    def has_no_channel(self) -> bool:
        """No channel of it would be called."""
        return all(channel.decision is ForecastDecision.SKIP for channel in self.channels)


@dataclass(frozen=True, kw_only=True, slots=True)
class DigestForecast:
    """The window that it would be collected in, with the number of its items."""

    opened_at: datetime
    closes_at: datetime
    items: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """`status` and `reason` are its end if nothing would be sent. `priority` and `expires_at` are those of the
    notification that goes out, which may be its digest's."""

    priority: int
    expires_at: datetime | None
    waits: tuple[ForecastWait, ...]
    digest: DigestForecast | None = None
    status: NotificationStatus | None = None
    reason: str | None = None
    steps: tuple[StepForecast, ...] = ()


def forecast_outcome(steps: Sequence[StepForecast]) -> NotificationOutcome | None:
    """Return the end of a notification that no channel would be called for; None if one would."""
    channels = [channel for step in steps for channel in sorted(step.channels, key=lambda one: one.channel)]
    if not all(step.has_no_channel for step in steps):
        return None
    reasons = [ChannelReason(channel.channel, channel.reason) for channel in channels if channel.reason is not None]
    reason = failure_line(reasons) or NO_CHANNEL
    if any(channel.reason == EXPIRED_REASON for channel in channels):
        return NotificationOutcome(status=NotificationStatus.EXPIRED, reason=reason)
    is_excluded = bool(channels) and all(channel.by_rule for channel in channels)
    status = NotificationStatus.SUPPRESSED if is_excluded else NotificationStatus.FAILED
    return NotificationOutcome(status=status, reason=reason)


def with_times(
    steps: Sequence[StepForecast], at: datetime, expires_at: datetime | None, time_gate: TimeGate
) -> list[StepForecast]:
    """Give each step its time. `hour` tells what holds it at a moment: a later step may come into quiet hours."""
    found: list[StepForecast] = []
    start = StepStart.ALWAYS
    begins: datetime | None = at
    for step in steps:
        if step.number == 0:
            found.append(_step_with_times(step, StepStart.ALWAYS, at, expires_at, time_gate))
            continue
        found.append(_step_with_times(step, start, begins, expires_at, time_gate))
        start, begins = _next_start(found[-1], expires_at)
    return found


def _step_with_times(
    step: StepForecast, start: StepStart, begins: datetime | None, expires_at: datetime | None, time_gate: TimeGate
) -> StepForecast:
    at, waits = begins, list[ForecastWait]()
    while at is not None and (expires_at is None or at < expires_at) and (gate := time_gate(at)) is not None:
        waits.append(ForecastWait(reason=gate.reason, since=at, until=gate.until))
        at = gate.until
    if at is not None and expires_at is not None and at >= expires_at:
        expired = tuple(_as_expired(channel) for channel in step.channels)
        return replace(step, start=start, at=expires_at, waits=tuple(waits), channels=expired)
    held = not step.has_no_channel and not any(channel.is_sent for channel in step.channels)
    return replace(step, start=start, at=None if held else at, waits=tuple(waits))


def _as_expired(channel: ChannelForecast) -> ChannelForecast:
    return (
        channel
        if channel.decision is ForecastDecision.SKIP
        else replace(channel, decision=ForecastDecision.SKIP, reason=EXPIRED_REASON)
    )


def _next_start(step: StepForecast, expires_at: datetime | None) -> tuple[StepStart, datetime | None]:
    """How the step after this one starts, and when."""
    if step.has_no_channel:
        return step.start, step.at
    if step.goal is None or step.within is None:
        return StepStart.STEP_FAILED, None
    return StepStart.GOAL_MISSED, None if step.at is None else goal_deadline(step.at, step.within, expires_at)
