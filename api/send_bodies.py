"""Read the sends of a request body: a single send, the items of a batch, and the entries of a send to several
recipients. Called by the routes of sends."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from api.authenticated_route import BODY_LIMIT
from api.json_values import has_more_values
from api.problems import Problem
from api.pydantic_errors import issues_of
from api.schemas.recipients import Profile, profile_of
from api.schemas.sends import SendBody, SendEntry, SendItem, SendRequest
from api.strict_json import VALUE_LIMIT
from domain.json_types import Json
from domain.time_slices import in_slices
from domain.validation_issues import ValidationIssue, issue_at
from services.multi_sends import RecipientEntry
from services.send_commands import RejectedItem, SendCommand, body_hash_of

BATCH_LIMIT = 8 * 1024 * 1024
BATCH_VALUE_LIMIT = 100_000
SHARED_FIELDS_TOO_LARGE = (
    f"The fields that all recipients share may have at most {BATCH_LIMIT} bytes and {BATCH_VALUE_LIMIT} JSON values, "
    "counted once for each recipient."
)


def send_command(request: SendRequest, key: str | None = None, body_hash: str | None = None) -> SendCommand:
    return SendCommand(
        notification_type=request.notification_type,
        recipient_id=request.resolved_recipient_id,
        profile=_profile_of(request),
        payload=request.payload if request.content is None else request.content.payload,
        channels=request.channels,
        priority=request.priority,
        send_at=request.send_at,
        expires_in=request.expires_in_duration,
        tags=request.tags,
        cancel_key=request.cancel_key,
        is_inline=request.content is not None,
        email_options=request.email_options,
        key=key,
        body_hash=body_hash,
    )


def _profile_of(request: SendRequest) -> Json | None:
    if request.content is not None:
        return profile_of(Profile(email=request.content.to))
    return None if request.recipient is None else profile_of(request.recipient)


def parse_item(item: Json, key: str | None) -> SendCommand | RejectedItem:
    """Return the command of an item. `key` is used if the item has no idempotency key of its own."""
    raw = to_json(item)
    if len(raw) > BODY_LIMIT:
        return RejectedItem(status=413, errors=[issue_at("", f"an item may have at most {BODY_LIMIT} bytes")])
    if has_more_values(raw, VALUE_LIMIT):
        return RejectedItem(status=413, errors=[issue_at("", f"an item may have at most {VALUE_LIMIT} JSON values")])
    try:
        request = SendItem.model_validate(item)
    except ValidationError as error:
        return RejectedItem(status=422, errors=_item_issues(error, item))
    key = request.idempotency_key or key
    hashed_item = item if key is None else {name: value for name, value in item.items() if name != "idempotency_key"}
    return send_command(request, key, body_hash_of(hashed_item, key))


async def read_entries(body: SendBody, raw_body: Json, subscribers: Sequence[str] | None) -> list[RecipientEntry]:
    """Return an entry for each subscriber of the topic, or read the entries of `recipients`. `raw_body` is the body as
    it was sent. Raise 413 if the notifications together would be too large."""
    if subscribers is None:
        _check_size(raw_body, len(body.recipients or ()))
        return await _read_listed_entries(body)
    _check_size(raw_body, len(subscribers))
    # One payload, which is checked once.
    shared = send_command(body)
    return [
        RecipientEntry(recipient_id=subscriber, parsed=replace(shared, recipient_id=subscriber))
        for subscriber in subscribers
    ]


def _check_size(given: Mapping[str, Any], count: int) -> None:
    """Raise 413 if the notifications together would exceed the bytes or values of a batch."""
    shared = {name: value for name, value in given.items() if name not in ("recipients", "topic")}
    raw = to_json(shared)
    if len(raw) * count > BATCH_LIMIT or has_more_values(raw, BATCH_VALUE_LIMIT // count):
        raise Problem(413, SHARED_FIELDS_TOO_LARGE)


async def _read_listed_entries(body: SendBody) -> list[RecipientEntry]:
    """Return the entries of `recipients`. A second entry for the same recipient is rejected."""
    first: dict[str, int] = {}
    entries = []
    async for index, given in in_slices(enumerate(body.recipients or ())):
        entry = _read_entry(body, given)
        if entry.recipient_id is not None and first.setdefault(entry.recipient_id, index) != index:
            duplicate_issue = issue_at("", f"has the same recipient as entry {first[entry.recipient_id]}")
            entry = replace(entry, parsed=RejectedItem(status=422, errors=[duplicate_issue]))
        entries.append(entry)
    return entries


def _read_entry(body: SendBody, given: Json) -> RecipientEntry:
    """Return the entry, without a key: the idempotency key covers the whole request."""
    try:
        entry = SendEntry.model_validate(given)
    except ValidationError as error:
        return RecipientEntry(recipient_id=None, parsed=RejectedItem(status=422, errors=_item_issues(error, given)))
    fields = {name: getattr(entry, name) for name in entry.model_fields_set}
    if "payload" in fields:
        fields["payload"] = {**body.payload, **entry.payload}
    return RecipientEntry(recipient_id=entry.resolved_recipient_id, parsed=send_command(body.model_copy(update=fields)))


def _item_issues(error: ValidationError, item: Json) -> list[ValidationIssue]:
    return issues_of(({**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)), item)
