"""Open the HTTP clients of a process. Used by bootstrap and the command line."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx2

from domain.target_urls import TargetPolicy
from providers.http2 import http2_client
from providers.network_guard import GuardedBackend, guarded_http_transport
from providers.transport import outgoing_client


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpClients:
    """`guarded` is for addresses that users choose, `http2` for vendors that require HTTP/2, `vendors` for others."""

    vendors: httpx2.AsyncClient
    guarded: httpx2.AsyncClient
    http2: httpx2.AsyncClient


@asynccontextmanager
async def open_http_clients(targets: TargetPolicy) -> AsyncIterator[HttpClients]:
    async with AsyncExitStack() as stack:
        yield HttpClients(
            vendors=await stack.enter_async_context(outgoing_client()),
            guarded=await stack.enter_async_context(outgoing_client(guarded_http_transport(GuardedBackend(targets)))),
            http2=await stack.enter_async_context(http2_client()),
        )
