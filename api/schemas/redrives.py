"""Models of redrives: sending failed notifications again."""

from typing import Annotated

from pydantic import Field, StringConstraints

from api.schemas.base import ChannelName, Id, Model, ShortText, Timestamp
from api.schemas.contact import RecipientId
from api.schemas.sends import Tag
from domain.json_types import Json
from domain.statuses import NotificationStatus

EXAMPLE: Json = {
    "filter": {"notification_type": "order.shipped", "channel": "email", "failure_reason": "retries_exhausted"},
    "dry_run": True,
}
StatusName = Annotated[NotificationStatus, Field(strict=False)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]


class RedriveFilter(Model):
    """A notification must match every given member. Without `status`: FAILED or IN_DOUBT."""

    notification_type: ShortText | None = None
    status: StatusName | None = None
    channel: ChannelName | None = None
    failure_reason: Annotated[
        Reason | None,
        Field(
            description=(
                "A reason code, its cause, or both: `retries_exhausted`, `timeout`, `retries_exhausted: timeout`."
            )
        ),
    ] = None
    recipient_id: RecipientId | None = None
    tag: Tag | None = None
    created_from: Timestamp | None = None
    created_before: Timestamp | None = None


class RedriveBody(Model):
    force: Annotated[
        bool, Field(description="Also redrive IN_DOUBT notifications, which may reach recipients twice.")
    ] = False


class RedriveManyBody(RedriveBody):
    model_config = {"json_schema_extra": {"examples": [EXAMPLE]}}

    filter: RedriveFilter
    dry_run: Annotated[
        bool,
        Field(description="Report the result and change nothing. Quiet hours and limits apply later, at the start."),
    ] = False
    limit: Annotated[
        int, Field(ge=1, le=10_000, description="Maximum number of redriven notifications, oldest first.")
    ] = 1_000


class SkippedNotification(Model):
    """`reason`: `already_sent`, `in_doubt` (needs `force`), `expired`, `recipient_erased`, `content_removed`,
    `not_finished`, `canceled`, `digested` or, if it ended SUPPRESSED, `suppressed`. If no channel can be used, the
    reason that all channels share: `opted_out`, `not_opted_in`, `suppressed`, `number_refused`, `no_address`,
    `no_chat_room`, `no_template` or `no_provider`; `no_channel` if the reasons differ."""

    id: Id
    reason: str


class RedriveResponse(Model):
    """`matched` notifications match the filter. It exceeds `redriven` plus `skipped` if the limit was reached. At most
    1,000 skipped notifications are listed."""

    matched: int
    redriven: int
    skipped: list[SkippedNotification]


class RedriveOneResponse(RedriveResponse):
    """`generation` is the present generation: one more than before, unless the notification is skipped."""

    id: Id
    status: str
    generation: int
