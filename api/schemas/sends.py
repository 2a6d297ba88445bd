"""Models of sends: to one recipient, to several in one request, and in batches."""

from datetime import timedelta
from typing import Annotated, Any, Self

from pydantic import (
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from api.schemas.base import Channels, Duration, Key, Model, ShortText, Timestamp
from api.schemas.contact import RecipientId
from api.schemas.emails import EmailBody, InlineEmail
from api.schemas.recipients import InlineRecipient
from domain.durations import parse_duration
from domain.json_types import Json
from services.inline_emails import INLINE_TYPE, inline_recipient_id
from services.multi_sends import MAX_SUBSCRIBERS

MAX_RECIPIENTS = 100

Tag = Annotated[str, StringConstraints(min_length=1, max_length=64)]
# The characters of a header value. An item of a batch has the same in its body.
IdempotencyKey = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[ -~]+$")]
# A name of the caller for an event that makes sends obsolete, such as `cart-4711`.
CancelKey = ShortText
EXAMPLE: Json = {
    "notification_type": "welcome",
    "recipient": {"recipient_id": "ada", "email": "ada@example.com", "locale": "en"},
    "payload": {"name": "Ada"},
}
MULTI_SEND_EXAMPLE: Json = {
    "notification_type": "order.shipped",
    "payload": {"carrier": "Kite"},
    "recipients": [
        {"recipient_id": "mia", "payload": {"order": "4711"}},
        {"recipient_id": "jonas", "payload": {"order": "4712"}, "priority": 2},
    ],
}
INLINE_EXAMPLE: Json = {
    "content": {
        "to": "ada@example.com",
        "subject": "Your report",
        "text": "It is ready.",
        "html": "<p>It is ready.</p>",
    }
}
TOPIC_EXAMPLE: Json = {"notification_type": "newsletter", "topic": "lamps", "payload": {"headline": "Lamps"}}


class SendEntry(Model):
    """Fields of a send that each recipient can have: the recipient, and what differs from the fields of the request."""

    recipient_id: RecipientId | None = None
    recipient: InlineRecipient | None = None
    payload: Annotated[
        Json, Field(description="Variables of the templates, checked against their variables_schema.")
    ] = {}
    channels: Annotated[Channels | None, Field(description="Use only these channels of the route.")] = None
    priority: Annotated[
        int | None, Field(ge=1, le=5, description="1 is the most urgent. By default that of the type.")
    ] = None
    send_at: Annotated[
        Timestamp | None,
        Field(
            description=(
                "Earliest time of the send. A time in the past means now. The send is refused (422) if it would "
                "already have expired, by its `expires_in` or by that of its type."
            )
        ),
    ] = None
    expires_in: Annotated[
        Duration | None,
        Field(description="Counted from send_at, or from acceptance without it. By default that of the type."),
    ] = None
    tags: Annotated[list[Tag], Field(max_length=20)] = []
    cancel_key: Annotated[
        CancelKey | None,
        Field(description="`POST /notifications/cancel` cancels all notifications with the same key."),
    ] = None

    email: Annotated[EmailBody | None, Field(description="Options of the email: copies, headers and attachments.")] = (
        None
    )

    @model_validator(mode="after")
    def _check_one_recipient(self) -> Self:
        if (self.recipient_id is None) == (self.recipient is None):
            raise ValueError("needs either recipient_id or recipient")
        return self

    @property
    def email_options(self) -> Json | None:
        """Return the given options in the form that is stored."""
        return None if self.email is None else self.email.model_dump(mode="json", exclude_unset=True) or None

    @property
    def expires_in_duration(self) -> timedelta | None:
        return parse_duration(self.expires_in) if self.expires_in else None

    @property
    def resolved_recipient_id(self) -> str:
        return self.recipient.recipient_id if self.recipient is not None else self.recipient_id or ""


class SendRequest(SendEntry):
    """One message to one recipient: known by `recipient_id`, or given inline as `recipient`; or an email with its
    content."""

    content: Annotated[
        InlineEmail | None,
        Field(description="Instead of type, recipient and payload: one email with its content."),
    ] = None
    notification_type: Annotated[
        ShortText, Field(default_factory=str, validate_default=True, description="Required, except with `content`.")
    ]

    @field_validator("notification_type", mode="before")
    @classmethod
    def _default_type(cls, given: object, info: ValidationInfo) -> object:
        if given != "":
            return given
        if "content" in info.data and info.data["content"] is None:
            raise PydanticCustomError("missing", "Field required")
        return INLINE_TYPE

    @model_validator(mode="after")
    def _check_one_recipient(self) -> Self:
        if sum(given is not None for given in (self.recipient_id, self.recipient, self.content)) != 1:
            raise ValueError("needs exactly one of recipient_id, recipient and content")
        return self

    @model_validator(mode="after")
    def _check_content_alone(self) -> Self:
        if self.content is not None and (self.payload or self.channels):
            raise ValueError("`content` takes the place of payload and channels")
        return self

    @property
    def resolved_recipient_id(self) -> str:
        return super().resolved_recipient_id if self.content is None else inline_recipient_id(self.content.to)


def _list_schema(model: type[Model], max_items: int) -> dict[str, Any]:
    """Return the schema of a list whose items are validated one by one."""
    item = model.model_json_schema(ref_template="#/components/schemas/{model}")
    item.pop("$defs", None)
    return {"type": "array", "items": item, "minItems": 1, "maxItems": max_items}


class SendBody(SendRequest):
    """One message to one recipient, known by `recipient_id` or given inline as `recipient`, to each of `recipients`, or
    to each subscriber of a `topic`."""

    model_config = {"json_schema_extra": {"examples": [EXAMPLE, MULTI_SEND_EXAMPLE, TOPIC_EXAMPLE, INLINE_EXAMPLE]}}

    recipients: Annotated[
        list[Json] | None,
        Field(
            min_length=1,
            max_length=MAX_RECIPIENTS,
            description=(
                "One notification for each entry. The `payload` of an entry is merged into that of the request; its "
                "members win. Its other fields replace those of the request. Entries are checked one by one: an "
                "invalid entry does not prevent the others from being accepted."
            ),
        ),
        WithJsonSchema({"anyOf": [_list_schema(SendEntry, MAX_RECIPIENTS), {"type": "null"}]}),
    ] = None
    topic: Annotated[
        Key | None,
        Field(
            description="One notification for each subscriber. A topic with no subscribers, or with more than "
            f"{MAX_SUBSCRIBERS:,}, is refused (422)."
        ),
    ] = None

    dry_run: Annotated[
        bool,
        Field(
            description=(
                "Store and send nothing. The response (200) is the prediction of the send: each channel with "
                "provider, language and rendered content, all times, and the rules that decided. Only for one "
                "recipient. Costs one render for each channel of the type."
            )
        ),
    ] = False

    @model_validator(mode="after")
    def _check_one_recipient(self) -> Self:
        audiences = (self.recipient_id, self.recipient, self.recipients, self.topic, self.content)
        if sum(given is not None for given in audiences) != 1:
            raise ValueError("needs exactly one of recipient_id, recipient, recipients, topic and content")
        return self

    @model_validator(mode="after")
    def _check_no_shared_copies(self) -> Self:
        """Reject copies of a send to several recipients: each copy would get one email per recipient."""
        is_shared = self.recipients is not None or self.topic is not None
        if is_shared and self.email is not None and (self.email.cc or self.email.bcc):
            raise ValueError("cc and bcc belong to one recipient: set them in the entries of `recipients`")
        return self


class SendItem(SendRequest):
    idempotency_key: IdempotencyKey | None = None


class BatchRequest(Model):
    """Items are checked one by one: an invalid item does not prevent the others from being accepted."""

    model_config = {"json_schema_extra": {"examples": [{"items": [EXAMPLE | {"idempotency_key": "signup-4711"}]}]}}

    items: Annotated[list[Json], Field(min_length=1, max_length=1000), WithJsonSchema(_list_schema(SendItem, 1000))]
