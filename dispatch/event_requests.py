"""Post an event to a tenant's endpoint and interpret the response. Called by the poster."""

import asyncio
import time
from datetime import timedelta

from domain.clock import now
from providers.outcomes import ProviderError
from providers.transport import Transport, VendorResponse, parse_retry_after
from providers.webhook import sign_headers
from storage.event_outbox import DuePost, PostResult

TIMEOUT = 15.0  # seconds
GONE_STATUS = 410


async def post_event(transport: Transport, post: DuePost) -> PostResult:
    """Post an event. Any 2xx within the deadline is success. Any other result, also a redirect, is a failure; all but
    410 are retried."""
    at, started = now(), time.monotonic()
    response, error = await _send(transport, post)
    status = None if response is None else response.status
    retry_seconds = None if response is None else parse_retry_after(response.headers)
    return PostResult(
        at=at,
        status=status,
        ms=round((time.monotonic() - started) * 1_000),
        error=error,
        retry_after=None if retry_seconds is None else timedelta(seconds=retry_seconds),
        is_gone=status == GONE_STATUS,
    )


async def _send(transport: Transport, post: DuePost) -> tuple[VendorResponse | None, str | None]:
    """Return the response, if any, and a code for the failure."""
    headers = sign_headers(str(post.id), post.body, post.secrets)
    try:
        async with asyncio.timeout(TIMEOUT):
            response = await transport.post(post.url, headers=headers, content=post.body.encode())
    except TimeoutError:
        return None, "timeout"
    except ProviderError as error:
        return None, error.reason
    return response, None if response.is_2xx else f"status_{response.status}"
