"""Questions to a vendor over HTTP, which send nothing: whether it knows us, and what it has. Adapters ask them in
`check` and `look_up`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from providers.outcomes import Json, Permanent, Temporary, Unknown
from providers.transport import Answer, refuse_common

# Bytes. A page of messages is longer than what a send is answered.
LISTING_LIMIT = 1024 * 1024


@asynccontextmanager
async def asking(within: float) -> AsyncIterator[None]:
    """Around the calls of one question; `within` in seconds. Whatever is lost on the way is Temporary and never
    Unknown: there is nothing that may have been accepted."""
    try:
        async with asyncio.timeout(within):
            yield
    except TimeoutError as error:
        raise Temporary("timeout") from error
    except Unknown as error:
        raise Temporary(error.reason, error.response) from error


def told_by(answer: Answer) -> Json:
    """The JSON object of a 2xx. Raises ProviderError for every other answer."""
    evidence = {"status": answer.status}
    if not answer.is_2xx:
        refuse_common(answer)
        raise Permanent("unexpected_answer", evidence)
    told = answer.json()
    if not told:
        raise Temporary("malformed_answer", evidence)
    return told


def records(told: Json, name: str) -> list[Json]:
    """The list of objects under that name. An answer without it proves nothing: Temporary."""
    rows = told.get(name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Temporary("malformed_answer")
    return rows
