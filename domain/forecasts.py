"""Describe what a send would do, step by step and with times. Pure; `services/dry_runs/sends.py` passes the facts.

Times hold if each call is accepted immediately, no receipt arrives, and nothing else is sent.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from domain.channels import Channel
from domain.evidence import Evidence
from domain.gates import Gate
from domain.goals import goal_deadline
from domain.messages import NotificationOutcome
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
    """When a step would run: always, after the step before missed its goal, or after every channel of that step
    failed."""

    ALWAYS = "always"
    GOAL_MISSED = "goal_missed"
    STEP_FAILED = "step_failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class ForecastWait:
    """Describe a wait. `until` is None if its end is not known."""

    reason: str
    since: datetime
    until: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelForecast:
    """Describe a channel. `reason` is why it is skipped or waits; `is_skipped_by_rule`: excluded by a rule, not because
    something is missing. `rule` allowed or excluded the channel. `providers` are in the order of calls. It is sent
    to `devices` and not to `devices_skipped`, or to the `chat_room` of the tenant."""

    channel: Channel
    decision: ForecastDecision
    reason: Reason | None = None
    is_skipped_by_rule: bool = False
    rule: str | None = None
    providers: tuple[str, ...] = ()
    devices: int = 0
    devices_skipped: int = 0
    chat_room: str | None = None
    template: TemplateVersion | None = None
    content: dict[str, Any] | None = None

    @property
    def is_sent(self) -> bool:
        return self.decision is ForecastDecision.SEND


@dataclass(frozen=True, kw_only=True, slots=True)
class StepForecast:
    """Describe a step. Step 0 holds the channels that are always sent. `at` is the time of its calls; None if not
    known."""

    number: int
    channels: tuple[ChannelForecast, ...]
    goal: Evidence | None = None
    within: timedelta | None = None
    start: StepStart = StepStart.ALWAYS
    at: datetime | None = None
    waits: tuple[ForecastWait, ...] = ()

    @property
    def has_no_channel(self) -> bool:
        """Return whether no channel of the step would be called."""
        return all(channel.decision is ForecastDecision.SKIP for channel in self.channels)


@dataclass(frozen=True, kw_only=True, slots=True)
class DigestForecast:
    """Describe the window that would collect the send, with the number of its items."""

    opened_at: datetime
    closes_at: datetime
    items: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """Describe the send. `status` and `reason` are its end if nothing would be sent. `priority` and `expires_at` are
    those of the notification that is sent, which may be its digest's."""

    priority: int
    expires_at: datetime | None
    waits: tuple[ForecastWait, ...]
    digest: DigestForecast | None = None
    status: NotificationStatus | None = None
    reason: str | None = None
    steps: tuple[StepForecast, ...] = ()


def forecast_outcome(steps: Sequence[StepForecast]) -> NotificationOutcome | None:
    """Return the end of a notification without a channel to call; None if there is one."""
    channels = [channel for step in steps for channel in sorted(step.channels, key=lambda one: one.channel)]
    if not all(step.has_no_channel for step in steps):
        return None
    reasons = [ChannelReason(channel.channel, channel.reason) for channel in channels if channel.reason is not None]
    reason = failure_line(reasons) or NO_CHANNEL
    if any(channel.reason == EXPIRED_REASON for channel in channels):
        return NotificationOutcome(status=NotificationStatus.EXPIRED, reason=reason)
    is_excluded = bool(channels) and all(channel.is_skipped_by_rule for channel in channels)
    status = NotificationStatus.SUPPRESSED if is_excluded else NotificationStatus.FAILED
    return NotificationOutcome(status=status, reason=reason)


def with_times(
    steps: Sequence[StepForecast], at: datetime, expires_at: datetime | None, time_gate: TimeGate
) -> list[StepForecast]:
    """Add the time of each step. `time_gate` returns the gate at a time: a later step may fall into quiet hours."""
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
    """Return why and when the next step starts."""
    if step.has_no_channel:
        return step.start, step.at
    if step.goal is None or step.within is None:
        return StepStart.STEP_FAILED, None
    return StepStart.GOAL_MISSED, None if step.at is None else goal_deadline(step.at, step.within, expires_at)
