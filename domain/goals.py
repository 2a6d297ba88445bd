"""Compute deadlines of goals, and find goals that no provider can report, about which saving a type warns."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from domain.channels import Channel
from domain.evidence import Evidence
from domain.notification_types import NotificationType, TrackingOptions

APPLICATION_ONLY_NOTE = "only what the application reports (POST /notifications/{id}/events) can reach it"
# The highest evidence that each provider of a channel's pool reports.
ReportedEvidence = Mapping[Channel, Sequence[Evidence]]


def goal_deadline(sent_at: datetime, within: timedelta, expires_at: datetime | None) -> datetime:
    """Return when a step that was sent at `sent_at` must have reached its goal."""
    deadline = sent_at + within
    return deadline if expires_at is None else min(deadline, expires_at)


def goal_warnings(notification_type: NotificationType, reports: ReportedEvidence) -> Iterator[str]:
    """Return a warning for each step whose goal none of its channels can report."""
    for number, step in enumerate(notification_type.route):
        known = [
            evidence
            for channel in step.channels
            for evidence in _reported(channel, notification_type.tracking, reports)
        ]
        if step.goal is not None and all(evidence.rank < step.goal.rank for evidence in known):
            names = " or ".join(step.channels)
            yield f"/route/{number}: no provider of {names} reports {step.goal}; {APPLICATION_ONLY_NOTE}"


def _reported(channel: Channel, tracking: TrackingOptions, reports: ReportedEvidence) -> Iterator[Evidence]:
    yield from reports[channel]
    if channel is Channel.EMAIL and tracking.opens:
        yield Evidence.OPENED
    if channel is Channel.EMAIL and (tracking.clicks or tracking.vendor):
        yield Evidence.CLICKED
