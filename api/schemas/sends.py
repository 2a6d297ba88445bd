"""Models of sends: to one recipient, to several in one request, and in batches."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import (
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from api.schemas.base import Channels, Duration, Id, Key, Model, ShortText, Timestamp
from api.schemas.contact import RecipientId
from api.schemas.emails import EmailBody
from api.schemas.recipients import InlineRecipient
from domain.durations import parse_duration
from domain.json_types import Json
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
                "Earliest time of the send. A time in the past means now. It is refused (422) if the notification "
                "would already have expired, by `expires_in` or by that of its type."
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
    def _check_one_recipient(self) -> "SendEntry":
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
    """One message to one recipient: known by `recipient_id`, or given inline as `recipient`."""

    notification_type: ShortText


def _list_schema(model: type[Model], max_items: int) -> dict[str, Any]:
    """Return the schema of a list whose items are validated one by one."""
    item = model.model_json_schema(ref_template="#/components/schemas/{model}")
    item.pop("$defs", None)
    return {"type": "array", "items": item, "minItems": 1, "maxItems": max_items}


class SendBody(SendRequest):
    """One message to one recipient, known by `recipient_id` or given inline as `recipient`, to each of `recipients`, or
    to each subscriber of a `topic`."""

    model_config = {"json_schema_extra": {"examples": [EXAMPLE, MULTI_SEND_EXAMPLE, TOPIC_EXAMPLE]}}

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
    def _check_one_recipient(self) -> "SendBody":
        if sum(given is not None for given in (self.recipient_id, self.recipient, self.recipients, self.topic)) != 1:
            raise ValueError("needs exactly one of recipient_id, recipient, recipients and topic")
        return self

    @model_validator(mode="after")
    def _check_no_shared_copies(self) -> "SendBody":
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


class SendResponse(Model):
    id: Id
    status: str
    notification_type: str
    recipient_id: str
    priority: int
    created_at: Timestamp
    send_at: Timestamp | None
    expires_at: Timestamp | None


class BatchItemResponse(Model):
    """`status` is that of a single send: 202 with an `id`, or 413 or 422 with `errors`.

    An item lists at most 50 errors. Once the response lists 1,000 errors, each further item lists only its first.
    `more_errors`: the item has more errors than it lists.
    """

    index: int
    status: int
    id: Id | None = None
    replayed: bool = False
    errors: list[dict[str, str]] | None = None
    more_errors: bool = False


class BatchResponse(Model):
    items: list[BatchItemResponse]


class SendEntryResponse(Model):
    """`status` is that of a send to this recipient alone: 202 with an `id`, or 422 with `errors`, whose pointers are
    relative to the entry."""

    index: int
    recipient_id: Annotated[str | None, Field(description="Null if the entry cannot be read.")]
    status: int
    id: Id | None = None
    errors: list[dict[str, str]] | None = None
    more_errors: bool = False


class MultiSendResponse(Model):
    """The entries of `recipients` in order, or the subscribers of the topic by id."""

    items: list[SendEntryResponse]
