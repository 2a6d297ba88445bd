"""A tenant's own endpoint for webhooks, on this machine: keeps what it gets, and answers as the test says."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import standardwebhooks

from tests.polling import eventually
from tests.providers.harness_http import Reply, Request, read_request


class EventReceiver:
    """`reply` is its answer; while `holding` it reads and does not answer. Its port stays the same when it is away."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.reply = Reply(status=204)
        self.holding = False
        self.port = 0
        self._released = asyncio.Event()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """From now on connections are refused."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def release(self) -> None:
        self.holding = False
        self._released.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            self.requests.append(await read_request(reader))
            if self.holding:
                await self._released.wait()
            writer.write(self.reply.wire)
            await writer.drain()
        writer.close()

    async def got(self, count: int) -> list[Request]:
        async def look() -> list[Request]:
            return self.requests

        return await eventually(look, lambda requests: len(requests) >= count)

    @property
    def types(self) -> list[str]:
        return [json.loads(request.body)["type"] for request in self.requests]


def verified(request: Request, secret: str) -> Any:
    """The body, as a receiver reads it that has this secret. Raises WebhookVerificationError."""
    return standardwebhooks.Webhook(secret).verify(request.body, dict(request.headers))


@asynccontextmanager
async def open_event_receiver() -> AsyncIterator[EventReceiver]:
    receiver = EventReceiver()
    await receiver.start()
    try:
        yield receiver
    finally:
        receiver.release()
        await receiver.stop()
