"""Models of the responses to sends: to one recipient, to several in one request, and in batches."""

from typing import Annotated

from pydantic import Field

from api.schemas.base import Id, Model, Timestamp


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
