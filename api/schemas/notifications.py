"""Sending, and what is shown of a notification."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field, StringConstraints, WithJsonSchema, model_validator

from api.schemas.base import Channels, Duration, Id, Json, Model, Timestamp, Word
from api.schemas.contact import RecipientId
from api.schemas.digests import DigestOf
from api.schemas.recipients import InlineRecipient
from domain.cancellation import CancelAnswer
from domain.channels import Channel
from domain.durations import parse_duration

Tag = Annotated[str, StringConstraints(min_length=1, max_length=64)]
# As a header can carry it; an item of a batch has the same in its body.
IdempotencyKey = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[ -~]+$")]
# The caller's own name for what makes sends pointless, such as `cart-4711`.
CancelKey = Word
EXAMPLE: Json = {
    "notification_type": "welcome",
    "recipient": {"recipient_id": "ada", "email": "ada@example.com", "locale": "en"},
    "payload": {"name": "Ada"},
}


class SendRequest(Model):
    """One message to one person: known by `recipient_id`, or given inline as `recipient`."""

    model_config = {"json_schema_extra": {"examples": [EXAMPLE]}}

    notification_type: Word
    recipient_id: RecipientId | None = None
    recipient: InlineRecipient | None = None
    payload: Annotated[Json, Field(description="What the templates use; checked against their variables_schema.")] = {}
    channels: Annotated[Channels | None, Field(description="Only these of the route.")] = None
    priority: Annotated[int | None, Field(ge=1, le=5, description="1 is the most urgent; else the type's.")] = None
    send_at: Annotated[
        Timestamp | None,
        Field(
            description="Not before this time. A time in the past means now; it is refused (422) if the notification "
            "would have expired already, by `expires_in` or by that of its type."
        ),
    ] = None
    expires_in: Annotated[
        Duration | None, Field(description="Counted from send_at, else from acceptance; else the type's.")
    ] = None
    tags: Annotated[list[Tag], Field(max_length=20)] = []
    cancel_key: Annotated[
        CancelKey | None,
        Field(description="`POST /notifications/cancel` cancels all that have the same key."),
    ] = None

    @model_validator(mode="after")
    def _one_recipient(self) -> "SendRequest":
        if (self.recipient_id is None) == (self.recipient is None):
            raise ValueError("give either recipient_id or recipient")
        return self

    @property
    def lifetime(self) -> timedelta | None:
        return parse_duration(self.expires_in) if self.expires_in else None

    @property
    def person(self) -> str:
        return self.recipient.recipient_id if self.recipient is not None else self.recipient_id or ""


class SendItem(SendRequest):
    idempotency_key: IdempotencyKey | None = None


def _items_schema() -> dict[str, Any]:
    item = SendItem.model_json_schema(ref_template="#/components/schemas/{model}")
    item.pop("$defs", None)
    return {"type": "array", "items": item, "minItems": 1, "maxItems": 1000}


class BatchRequest(Model):
    """Items are checked one by one: a bad one does not keep the others from being accepted."""

    model_config = {"json_schema_extra": {"examples": [{"items": [EXAMPLE | {"idempotency_key": "signup-4711"}]}]}}

    items: Annotated[list[Json], Field(min_length=1, max_length=1000), WithJsonSchema(_items_schema())]


class Sent(Model):
    id: Id
    status: str
    notification_type: str
    recipient_id: str
    priority: int
    created_at: Timestamp
    send_at: Timestamp | None
    expires_at: Timestamp | None


class BatchItem(Model):
    """`status` is what a single send would have answered: 202 with an `id`, or 413 or 422 with `errors`.

    An item lists at most 50 errors. Once 1,000 are listed in the response, each further item lists its first one.
    `more_errors`: the item has more than it lists.
    """

    index: int
    status: int
    id: Id | None = None
    replayed: bool = False
    errors: list[dict[str, str]] | None = None
    more_errors: bool = False


class BatchAnswer(Model):
    items: list[BatchItem]


class NotificationSummary(Model):
    id: Id
    notification_type: str
    recipient_id: str
    status: str
    priority: int
    failure_reason: str | None
    tags: list[str]
    created_at: Timestamp
    send_at: Timestamp | None
    expires_at: Timestamp | None
    finished_at: Timestamp | None
    workflow_id: str
    temporal_url: str | None


class AttemptView(Model):
    """`outcome`: accepted, refused, error (proved not accepted), unknown, or null before the answer."""

    id: Id
    endpoint_id: str
    provider: str
    outcome: str | None
    error_type: str | None
    reason: str | None
    started_at: Timestamp
    finished_at: Timestamp | None
    cost: str | None
    provider_message_id: str | None
    provider_response: Json | None


class DeliveryView(Model):
    """`generation` is 1, and one more with each redrive, which makes new deliveries; the newest are the last."""

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
    provider_message_id: str | None
    provider_response: Json | None
    failure_reason: str | None
    created_at: Timestamp
    sent_at: Timestamp | None
    delivered_at: Timestamp | None
    opened_at: Timestamp | None
    clicked_at: Timestamp | None
    attempts: list[AttemptView]


class TimelineEntry(Model):
    """`status` is set on the one entry that moved the notification to it."""

    at: Timestamp
    kind: str
    channel: str | None
    reason: str | None
    detail: Json | None
    status: str | None


class NotificationView(NotificationSummary):
    """`waits_for` says what holds it back: quiet_hours, send_window, throttled, capped, or provider_busy with the
    provider's name; `waits_until` when it is checked again."""

    event_payload: Json
    digest: DigestOf | None
    waits_for: str | None
    waits_until: Timestamp | None
    deliveries: list[DeliveryView]
    timeline: list[TimelineEntry]


class Canceled(Model):
    id: Id
    status: str
    channels: dict[Channel, CancelAnswer]


class CancelMany(Model):
    """All sends with this key that are still open, of one recipient or of all."""

    model_config = {"json_schema_extra": {"examples": [{"cancel_key": "cart-4711"}]}}

    cancel_key: CancelKey
    recipient_id: RecipientId | None = None


class CanceledMany(Model):
    """`more`: there are others with this key; repeat the call."""

    items: list[Canceled]
    more: bool
