"""Query a vendor over HTTP without sending: verify credentials and look up messages. Adapters use this in `check` and
`look_up`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from domain.json_types import Json
from providers.outcomes import PermanentError, TemporaryError, UnknownOutcome
from providers.transport import VendorResponse, raise_common_errors

# Bytes. A page of messages is longer than the response to a send.
LIST_LIMIT = 1024 * 1024


@asynccontextmanager
async def query_timeout(seconds: float) -> AsyncIterator[None]:
    """Limit the calls of one query to `seconds`.

    A lost response is a TemporaryError and never an UnknownOutcome: a query cannot be accepted.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise TemporaryError("timeout") from error
    except UnknownOutcome as error:
        raise TemporaryError(error.reason, error.response) from error


def parse_json(http_response: VendorResponse) -> Json:
    """Return the JSON object of a 2xx response. Raises ProviderError for every other response."""
    evidence = {"status": http_response.status}
    if not http_response.is_2xx:
        raise_common_errors(http_response)
        raise PermanentError("unexpected_answer", evidence)
    body = http_response.json()
    if not body:
        raise TemporaryError("malformed_response", evidence)
    return body


def parse_records(body: Json, name: str) -> list[Json]:
    """Return the list of objects with that name. Raises TemporaryError without it: such a response proves nothing."""
    rows = body.get(name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TemporaryError("malformed_response")
    return rows
