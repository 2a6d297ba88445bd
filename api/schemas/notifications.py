"""Models of notifications: their details, cancellation, and events that an application reports."""

from typing import Annotated, Literal

from pydantic import Field

from api.schemas.base import ChannelName, Id, Model, Timestamp
from api.schemas.contact import RecipientId
from api.schemas.digests import NotificationDigest
from api.schemas.sends import CancelKey
from api.schemas.sms import SmsView
from domain.cancellation import CancelResult
from domain.channels import Channel
from domain.failure_reasons import ReasonCategory
from domain.json_types import Json
from domain.waits import WaitReason

WaitsFor = Annotated[
    WaitReason | None,
    Field(
        description=(
            "What the notification waits for; null once it has ended and while it is processed. `send_at`: its time. "
            "`digest`: the end of its digest window. `quiet_hours`: their end. `send_window`: its start. "
            "`throttled`: the limit of the type. `frequency_capped`: the frequency cap of the recipient. "
            "`provider_busy`: the rate limit of the provider. `provider_throttled`: the provider is rate-limiting "
            "(429). `circuit_open`: the provider is down. `paused`: an operator's pause. `retry`: the next attempt. "
            "`receipt`: evidence for an attempt with an unknown outcome. `goal`: the goal of its step. `dispatch`: a "
            "worker."
        )
    ),
]
WaitsUntil = Annotated[
    Timestamp | None,
    Field(description="The latest end of the wait, or its next check; null if not known."),
]
TemporalUrl = Annotated[
    str | None,
    Field(
        description=(
            "The workflow run in Temporal's Web UI. A receipt after the end of the run, such as a bounce, changes "
            "`status` and `GET /failures`, but not the run."
        )
    ),
]


class ChannelFailure(Model):
    """One failed channel. `channel` is null if the whole notification has one reason."""

    channel: str | None
    code: str
    args: Json


class NotificationSummary(Model):
    """`failures` are the codes and arguments of `failure_reason`."""

    id: Id
    notification_type: str
    recipient_id: str
    status: str
    priority: int
    failure_reason: str | None
    failures: list[ChannelFailure]
    failure_category: ReasonCategory | None
    tags: list[str]
    cancel_key: str | None
    created_at: Timestamp
    send_at: Timestamp | None
    expires_at: Timestamp | None
    finished_at: Timestamp | None
    waits_for: WaitsFor
    waits_until: WaitsUntil
    workflow_id: str
    temporal_url: TemporalUrl


class AttemptView(Model):
    """One provider call. `outcome`: accepted, refused, error (proved not accepted), unknown, or null before the
    response. `reason` says why the call was not accepted, `receipt_reason` why the provider did not deliver an accepted
    message."""

    id: Id
    endpoint_id: str
    provider: str
    outcome: str | None
    error_type: str | None
    reason: str | None
    receipt_reason: str | None
    category: ReasonCategory | None
    started_at: Timestamp
    finished_at: Timestamp | None
    cost: str | None
    provider_message_id: str | None
    provider_response: Json | None


class DeliveryView(Model):
    """One channel of a step. `generation` starts at 1 and grows with each redrive, which creates new deliveries; the
    newest are last."""

    id: Id
    generation: int
    channel: str
    step: int
    status: str
    rule: str | None
    provider: str | None
    template_id: Id | None
    template_name: str | None
    template_version: int | None
    language: str | None
    rendered_content: Json | None
    sms: SmsView | None
    provider_message_id: str | None
    provider_response: Json | None
    failure_reason: str | None
    failure_category: ReasonCategory | None
    waits_for: WaitsFor
    waits_until: WaitsUntil
    created_at: Timestamp
    sent_at: Timestamp | None
    delivered_at: Timestamp | None
    opened_at: Timestamp | None
    clicked_at: Timestamp | None
    attempts: list[AttemptView]


class TimelineEntry(Model):
    """`status` is set on the entry that changed the notification to it. `detail` has the arguments of `reason`."""

    at: Timestamp
    kind: str
    channel: str | None
    reason: str | None
    detail: Json | None
    status: str | None


class NotificationView(NotificationSummary):
    """If several deliveries wait, `waits_for` of the notification is the wait that ends first."""

    event_payload: Json
    email: Annotated[
        Json | None,
        Field(description="Email options of the send; null without any, or once the content is removed."),
    ]
    digest: NotificationDigest | None
    deliveries: list[DeliveryView]
    timeline: list[TimelineEntry]


class CanceledNotification(Model):
    id: Id
    status: str
    channels: dict[Channel, CancelResult]


class CancelManyBody(Model):
    """Cancel the open notifications with this key, of one recipient or of all, at most 100 per call."""

    model_config = {"json_schema_extra": {"examples": [{"cancel_key": "cart-4711"}]}}

    cancel_key: CancelKey
    recipient_id: RecipientId | None = None


class CanceledNotifications(Model):
    """`more`: other open notifications have this key. Repeat the request."""

    items: list[CanceledNotification]
    more: bool


class NotificationEvent(Model):
    """What the recipient did. A click also counts as opened."""

    model_config = {"json_schema_extra": {"examples": [{"event": "opened", "channel": "push"}]}}

    event: Literal["opened", "clicked"]
    channel: Annotated[
        ChannelName | None, Field(description="Required if the notification was sent by several channels.")
    ] = None
