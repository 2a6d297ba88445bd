"""Test that calls which hang at one receiver leave connections for the calls to others."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from activities.delivery import MAX_SHARED_QUEUE_CALLS
from domain.target_urls import TargetPolicy
from providers.http_clients import open_http_clients
from providers.transport import Transport
from tests.polling import wait_until

# Of three providers in one process. Each has some on the shared queue, and on its own as many as the SDK's default.
HANGING_CALLS = 3 * (MAX_SHARED_QUEUE_CALLS + 100)


@pytest.mark.parametrize("name", ["vendors", "guarded"])
async def test_calls_that_hang_leave_connections_for_other_providers(name: str) -> None:
    waiting: list[asyncio.StreamReader] = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting.append(reader)
        await reader.read()
        writer.close()

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with AsyncExitStack() as stack:
        hanging = await stack.enter_async_context(await asyncio.start_server(hang, "127.0.0.1", 0))
        other = await stack.enter_async_context(await asyncio.start_server(respond, "127.0.0.1", 0))
        clients = await stack.enter_async_context(open_http_clients(TargetPolicy(private=True, ports=frozenset())))
        transport = Transport(getattr(clients, name))
        calls = [asyncio.create_task(transport.post(url_of(hanging))) for _ in range(HANGING_CALLS)]
        stack.callback(lambda: [call.cancel() for call in calls])
        await wait_until(lambda: len(waiting) == HANGING_CALLS)
        assert (await transport.post(url_of(other))).status == 201


def url_of(server: asyncio.Server) -> str:
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
