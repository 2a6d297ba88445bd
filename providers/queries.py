"""Questions to a vendor over HTTP, which send nothing: whether it knows us, and what it has. Adapters ask them in
`check` and `look_up`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from providers.outcomes import Json, PermanentError, TemporaryError, UnknownOutcome
from providers.transport import VendorResponse, raise_common_errors

# Bytes. A page of messages is longer than what a send is answered.
LIST_LIMIT = 1024 * 1024


@asynccontextmanager
async def query_timeout(seconds: float) -> AsyncIterator[None]:
    """Around the calls of one question; `within` in seconds. Whatever is lost on the way is TemporaryError and never
    Unknown: there is nothing that may have been accepted."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise TemporaryError("timeout") from error
    except UnknownOutcome as error:
        raise TemporaryError(error.reason, error.response) from error


def parse_json(http_response: VendorResponse) -> Json:
    """The JSON object of a 2xx. Raises ProviderError for every other answer."""
    evidence = {"status": http_response.status}
    if not http_response.is_2xx:
        raise_common_errors(http_response)
        raise PermanentError("unexpected_answer", evidence)
    body = http_response.json()
    if not body:
        raise TemporaryError("malformed_answer", evidence)
    return body


def parse_records(body: Json, name: str) -> list[Json]:
    """The list of objects under that name. An answer without it proves nothing: TemporaryError."""
    rows = body.get(name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TemporaryError("malformed_answer")
    return rows
