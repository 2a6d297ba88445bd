"""The items of a batch: each is checked like a single send, and answered by itself. Called by the sends' routes."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from api.acceptance import Answer, Ask, Taken, digest_of
from api.front_door import BODY_LIMIT
from api.json_values import has_more_values
from api.problems import ERROR_LIMIT, Fault, at
from api.schemas.sends import BatchItem, SendItem
from api.strict_json import VALUE_LIMIT
from api.violations import faults_of

Json = dict[str, Any]

COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

BATCH_LIMIT = 8 * 1024 * 1024
BATCH_VALUE_LIMIT = 100_000
# Errors in one response, but for the first one of each item.
BATCH_ERROR_LIMIT = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """An item that is not a valid send."""

    status: int
    errors: list[Fault]


def read_item(item: Json, key: str | None) -> Ask | Refusal:
    """`key` is for an item without one of its own."""
    raw = COMPACT.encode(item).encode()
    if len(raw) > BODY_LIMIT:
        return Refusal(status=413, errors=[at("", f"an item may have at most {BODY_LIMIT} bytes")])
    if has_more_values(raw, VALUE_LIMIT):
        return Refusal(status=413, errors=[at("", f"an item may have at most {VALUE_LIMIT} JSON values")])
    try:
        request = SendItem.model_validate(item)
    except ValidationError as error:
        return Refusal(status=422, errors=errors_of(error, item))
    key = request.idempotency_key or key
    own = item if key is None else {name: value for name, value in item.items() if name != "idempotency_key"}
    return Ask(request=request, key=key, digest=digest_of(own, key))


def batch_response(answers: Iterable[Answer | Ask | Refusal]) -> list[BatchItem]:
    """In the order of the items."""
    return list(_items(answers))


def _items(answers: Iterable[Answer | Ask | Refusal]) -> Iterator[BatchItem]:
    listed = ListedErrors()
    for index, answer in enumerate(answers):
        if isinstance(answer, Ask):
            raise LookupError("an ask without an answer")
        if isinstance(answer, Taken):
            yield BatchItem(index=index, status=202, id=answer.values["id"], replayed=answer.replayed)
        else:
            yield BatchItem(index=index, **listed.refused(answer))


class ListedErrors:
    """The errors of one response, whose number is limited."""

    def __init__(self) -> None:
        self._left = BATCH_ERROR_LIMIT

    def refused(self, answer: list[Fault] | Refusal) -> Json:
        """`status`, `errors` and `more_errors` of an item."""
        status, errors = (answer.status, answer.errors) if isinstance(answer, Refusal) else (422, answer)
        listed = errors[: max(1, min(ERROR_LIMIT, self._left))]
        self._left -= len(listed)
        shown = [{name: str(value) for name, value in error.items()} for error in listed]
        return {"status": status, "errors": shown, "more_errors": len(listed) < len(errors)}


def errors_of(error: ValidationError, item: Json) -> list[Fault]:
    return faults_of(({**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)), item)
