"""Whom one send to several recipients goes to: the entries of `recipients`, merged with the fields of the request, or
the subscribers of a topic. Called by `api/multi_sends.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from api.acceptance import Ask
from api.batch_items import BATCH_LIMIT, BATCH_VALUE_LIMIT, COMPACT, Refusal, errors_of
from api.json_values import has_more_values
from api.problems import Problem, at
from api.schemas.sends import SendBody, SendEntry
from domain.time_slices import in_slices

Json = dict[str, Any]

TOO_LARGE = (
    f"The fields that all recipients share may have at most {BATCH_LIMIT} bytes and {BATCH_VALUE_LIMIT} JSON values, "
    "counted once for each recipient."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipientEntry:
    """`recipient_id` is None in an entry that cannot be read."""

    recipient_id: str | None
    read: Ask | Refusal


def check_size(given: Mapping[str, Any], count: int) -> None:
    """Raise 413 for a request whose notifications would have more bytes or values than those of a batch."""
    shared = {name: value for name, value in given.items() if name not in ("recipients", "topic")}
    raw = COMPACT.encode(shared).encode()
    if len(raw) * count > BATCH_LIMIT or has_more_values(raw, BATCH_VALUE_LIMIT // count):
        raise Problem(413, TOO_LARGE)


async def listed_entries(body: SendBody) -> list[RecipientEntry]:
    """Each recipient counts once: a further entry for the same one is refused."""
    first: dict[str, int] = {}
    entries = []
    async for index, given in in_slices(enumerate(body.recipients or ())):
        entry = _entry(body, given)
        if entry.recipient_id is not None and first.setdefault(entry.recipient_id, index) != index:
            repeated = at("", f"has the same recipient as entry {first[entry.recipient_id]}")
            entry = RecipientEntry(recipient_id=entry.recipient_id, read=Refusal(status=422, errors=[repeated]))
        entries.append(entry)
    return entries


def subscriber_entries(body: SendBody, subscribers: Sequence[str]) -> list[RecipientEntry]:
    """They share one payload, which is checked once."""
    return [RecipientEntry(recipient_id=one, read=_ask(body, {"recipient_id": one})) for one in subscribers]


def _entry(body: SendBody, given: Json) -> RecipientEntry:
    try:
        entry = SendEntry.model_validate(given)
    except ValidationError as error:
        return RecipientEntry(recipient_id=None, read=Refusal(status=422, errors=errors_of(error, given)))
    fields = {name: getattr(entry, name) for name in entry.model_fields_set}
    if "payload" in fields:
        fields["payload"] = {**body.payload, **entry.payload}
    return RecipientEntry(recipient_id=entry.person, read=_ask(body, fields))


def _ask(body: SendBody, fields: Json) -> Ask:
    """The request for one recipient. The key is that of all of them."""
    return Ask(request=body.model_copy(update={"recipients": None, "topic": None, **fields}), key=None, digest=None)
