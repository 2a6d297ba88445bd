"""One POST of an event to a tenant's endpoint, and what its answer means. Called by the poster."""

import asyncio
import time
from datetime import timedelta

from domain.clock import now
from providers.outcomes import ProviderError
from providers.standard_webhooks import signed_headers
from providers.transport import Answer, Transport, retry_after
from storage.event_posting import Call, DuePost

DEADLINE = 15.0  # seconds
GONE = 410


async def call(transport: Transport, post: DuePost) -> Call:
    """Any 2xx within the deadline is taken; all else, also a redirect, is a failure that is tried again, but 410."""
    at, started = now(), time.monotonic()
    answer, error = await _answered(transport, post)
    status = None if answer is None else answer.status
    wish = None if answer is None else retry_after(answer.headers)
    return Call(
        at=at,
        status=status,
        ms=round((time.monotonic() - started) * 1_000),
        error=error,
        retry_after=None if wish is None else timedelta(seconds=wish),
        gone=status == GONE,
    )


async def _answered(transport: Transport, post: DuePost) -> tuple[Answer | None, str | None]:
    """The answer if there was one, and a word for what went wrong."""
    headers = signed_headers(str(post.id), post.body, post.secrets)
    try:
        async with asyncio.timeout(DEADLINE):
            answer = await transport.post(post.url, headers=headers, content=post.body.encode())
    except TimeoutError:
        return None, "timeout"
    except ProviderError as error:
        return None, error.reason
    return answer, None if answer.is_2xx else f"status_{answer.status}"
