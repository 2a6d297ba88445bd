"""Build the entries of a send to several recipients: each of `recipients` merged with the fields of the request, or
each subscriber of a topic. Called by `api/multi_sends.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from api.acceptance import SendCommand
from api.batch_items import BATCH_LIMIT, BATCH_VALUE_LIMIT, COMPACT_ENCODER, RejectedItem, item_issues_of
from api.json_values import has_more_values
from api.problems import Problem, issue_at
from api.schemas.sends import SendBody, SendEntry
from domain.json_types import Json
from domain.time_slices import in_slices

SHARED_FIELDS_TOO_LARGE = (
    f"The fields that all recipients share may have at most {BATCH_LIMIT} bytes and {BATCH_VALUE_LIMIT} JSON values, "
    "counted once for each recipient."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipientEntry:
    """One recipient. `recipient_id` is None if the entry cannot be read."""

    recipient_id: str | None
    parsed: SendCommand | RejectedItem


def check_size(given: Mapping[str, Any], count: int) -> None:
    """Raise 413 if the notifications together would exceed the bytes or values of a batch."""
    shared = {name: value for name, value in given.items() if name not in ("recipients", "topic")}
    raw = COMPACT_ENCODER.encode(shared).encode()
    if len(raw) * count > BATCH_LIMIT or has_more_values(raw, BATCH_VALUE_LIMIT // count):
        raise Problem(413, SHARED_FIELDS_TOO_LARGE)


async def read_listed_entries(body: SendBody) -> list[RecipientEntry]:
    """Return the entries of `recipients`. A second entry for the same recipient is rejected."""
    first: dict[str, int] = {}
    entries = []
    async for index, given in in_slices(enumerate(body.recipients or ())):
        entry = _read_entry(body, given)
        if entry.recipient_id is not None and first.setdefault(entry.recipient_id, index) != index:
            duplicate_issue = issue_at("", f"has the same recipient as entry {first[entry.recipient_id]}")
            entry = RecipientEntry(
                recipient_id=entry.recipient_id, parsed=RejectedItem(status=422, errors=[duplicate_issue])
            )
        entries.append(entry)
    return entries


def subscriber_entries(body: SendBody, subscribers: Sequence[str]) -> list[RecipientEntry]:
    """Return an entry for each subscriber. They share one payload, which is checked once."""
    return [
        RecipientEntry(recipient_id=subscriber, parsed=_send_command(body, {"recipient_id": subscriber}))
        for subscriber in subscribers
    ]


def _read_entry(body: SendBody, given: Json) -> RecipientEntry:
    try:
        entry = SendEntry.model_validate(given)
    except ValidationError as error:
        return RecipientEntry(recipient_id=None, parsed=RejectedItem(status=422, errors=item_issues_of(error, given)))
    fields = {name: getattr(entry, name) for name in entry.model_fields_set}
    if "payload" in fields:
        fields["payload"] = {**body.payload, **entry.payload}
    return RecipientEntry(recipient_id=entry.resolved_recipient_id, parsed=_send_command(body, fields))


def _send_command(body: SendBody, fields: Json) -> SendCommand:
    """Return the command for one recipient. The idempotency key covers the whole request, so the command has none."""
    return SendCommand(
        request=body.model_copy(update={"recipients": None, "topic": None, **fields}), key=None, body_hash=None
    )
