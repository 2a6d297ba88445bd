"""Finds goals of a route that no provider can report. Used when a notification type is saved."""

from collections.abc import Iterator, Mapping, Sequence

from domain.channels import Channel
from domain.evidence import Evidence
from domain.notification_types import NotificationType, Tracking

BY_APPLICATION = "only what the application reports (POST /notifications/{id}/events) can reach it"
# What each provider of a channel's pool reports at most.
Reports = Mapping[Channel, Sequence[Evidence]]


def goal_warnings(kind: NotificationType, reports: Reports) -> Iterator[str]:
    """One for each step whose goal is beyond what is reported of any of its channels."""
    for number, step in enumerate(kind.route):
        known = [evidence for channel in step.channels for evidence in _reported(channel, kind.tracking, reports)]
        if step.goal is not None and all(evidence.rank < step.goal.rank for evidence in known):
            names = " or ".join(step.channels)
            yield f"/route/{number}: no provider of {names} reports {step.goal}; {BY_APPLICATION}"


def _reported(channel: Channel, tracking: Tracking, reports: Reports) -> Iterator[Evidence]:
    yield from reports[channel]
    if channel is Channel.EMAIL and tracking.opens:
        yield Evidence.OPENED
    if channel is Channel.EMAIL and (tracking.clicks or tracking.vendor):
        yield Evidence.CLICKED
