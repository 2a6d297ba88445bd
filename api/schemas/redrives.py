"""Sending again what has failed, as it is asked for and answered."""

from typing import Annotated

from pydantic import Field, StringConstraints

from api.schemas.base import ChannelName, Id, Json, Model, ShortText, Timestamp
from api.schemas.contact import RecipientId
from api.schemas.sends import Tag
from domain.statuses import NotificationStatus

EXAMPLE: Json = {
    "filter": {"notification_type": "order.shipped", "channel": "email", "failure_reason": "gave_up"},
    "dry_run": True,
}
StatusName = Annotated[NotificationStatus, Field(strict=False)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]


class RedriveFilter(Model):
    """All that is given must fit. Without `status`: what is FAILED or IN_DOUBT."""

    notification_type: ShortText | None = None
    status: StatusName | None = None
    channel: ChannelName | None = None
    failure_reason: Annotated[
        Reason | None,
        Field(description="A code, or that of its cause: `gave_up`, `timeout`, `gave_up: timeout`."),
    ] = None
    recipient_id: RecipientId | None = None
    tag: Tag | None = None
    created_from: Timestamp | None = None
    created_before: Timestamp | None = None


class RedriveBody(Model):
    force: Annotated[bool, Field(description="Also what is IN_DOUBT: it may reach people twice.")] = False


class RedriveManyBody(RedriveBody):
    model_config = {"json_schema_extra": {"examples": [EXAMPLE]}}

    filter: RedriveFilter
    dry_run: Annotated[
        bool, Field(description="Check the same and change nothing. Quiet hours and limits apply when each starts.")
    ] = False
    limit: Annotated[int, Field(ge=1, le=10_000, description="Redrive at most so many, the oldest first.")] = 1_000


class SkippedNotification(Model):
    """`reason`: already_sent, in_doubt (needs `force`), expired, recipient_erased, content_removed, not_finished,
    canceled or digested; opted_out, suppressed (also of a notification that ended SUPPRESSED), number_refused,
    no_address, no_template or no_provider if that keeps every channel from being used, no_channel if they differ."""

    id: Id
    reason: str


class RedriveResponse(Model):
    """`matched` fit the filter. More than are redriven and skipped if the limit was reached; of those that are skipped,
    at most 1,000 are named."""

    matched: int
    redriven: int
    skipped: list[SkippedNotification]


class RedriveOneResponse(RedriveResponse):
    """`generation` counts how often it was begun; with what it has now, if it is skipped."""

    id: Id
    status: str
    generation: int
