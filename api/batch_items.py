"""Check the items of a batch like single sends, and build the response of each. Used by the routes of sends."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from api.acceptance import AcceptedSend, SendCommand, SendResult, body_hash_of
from api.authenticated_route import BODY_LIMIT
from api.json_values import has_more_values
from api.problems import ERROR_LIMIT, ValidationIssue, issue_at
from api.schemas.sends import BatchItemResponse, SendItem
from api.strict_json import VALUE_LIMIT
from api.validation_issues import issues_of
from domain.json_types import Json

COMPACT_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

BATCH_LIMIT = 8 * 1024 * 1024
BATCH_VALUE_LIMIT = 100_000
# Listed errors of one response. Each further item still lists its first error.
BATCH_ERROR_LIMIT = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedItem:
    """An item that is not a valid send."""

    status: int
    errors: list[ValidationIssue]


def parse_item(item: Json, key: str | None) -> SendCommand | RejectedItem:
    """Return the command of an item. `key` is used if the item has no idempotency key of its own."""
    raw = COMPACT_ENCODER.encode(item).encode()
    if len(raw) > BODY_LIMIT:
        return RejectedItem(status=413, errors=[issue_at("", f"an item may have at most {BODY_LIMIT} bytes")])
    if has_more_values(raw, VALUE_LIMIT):
        return RejectedItem(status=413, errors=[issue_at("", f"an item may have at most {VALUE_LIMIT} JSON values")])
    try:
        request = SendItem.model_validate(item)
    except ValidationError as error:
        return RejectedItem(status=422, errors=item_issues_of(error, item))
    key = request.idempotency_key or key
    hashed_item = item if key is None else {name: value for name, value in item.items() if name != "idempotency_key"}
    return SendCommand(request=request, key=key, body_hash=body_hash_of(hashed_item, key))


def batch_response(results: Iterable[SendResult | SendCommand | RejectedItem]) -> list[BatchItemResponse]:
    """Return the response of each item, in order."""
    return list(_batch_items(results))


def _batch_items(results: Iterable[SendResult | SendCommand | RejectedItem]) -> Iterator[BatchItemResponse]:
    listed = ErrorListing()
    for index, result in enumerate(results):
        if isinstance(result, SendCommand):
            raise LookupError("a batch item has no result")
        if isinstance(result, AcceptedSend):
            yield BatchItemResponse(index=index, status=202, id=result.values["id"], replayed=result.replayed)
        else:
            yield BatchItemResponse(index=index, **listed.error_fields(result))


class ErrorListing:
    """The errors of one response, of which at most 1,000 are listed, plus the first error of each further item."""

    def __init__(self) -> None:
        self._left = BATCH_ERROR_LIMIT

    def error_fields(self, result: list[ValidationIssue] | RejectedItem) -> Json:
        """Return `status`, `errors` and `more_errors` of an item."""
        status, errors = (result.status, result.errors) if isinstance(result, RejectedItem) else (422, result)
        listed = errors[: max(1, min(ERROR_LIMIT, self._left))]
        self._left -= len(listed)
        shown = [{name: str(value) for name, value in error.items()} for error in listed]
        return {"status": status, "errors": shown, "more_errors": len(listed) < len(errors)}


def item_issues_of(error: ValidationError, item: Json) -> list[ValidationIssue]:
    return issues_of(({**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)), item)
