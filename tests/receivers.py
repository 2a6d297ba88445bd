"""Run a tenant's webhook endpoint on this machine. It records requests and returns the response that the test sets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import standardwebhooks

from testing.vendors.http import Reply, Request, read_request
from tests.polling import eventually


class EventReceiver:
    """Respond with `reply`, but wait while `is_holding`. The port stays the same after `stop` and `start`."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.reply = Reply(status=204)
        self.is_holding = False
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
        """Refuse connections."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def release(self) -> None:
        self.is_holding = False
        self._released.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            self.requests.append(await read_request(reader))
            if self.is_holding:
                await self._released.wait()
            writer.write(self.reply.wire)
            await writer.drain()
        writer.close()

    async def wait_for_requests(self, count: int) -> list[Request]:
        """Wait until at least `count` requests have arrived, and return all."""

        async def list_requests() -> list[Request]:
            return self.requests

        return await eventually(list_requests, lambda requests: len(requests) >= count)

    @property
    def types(self) -> list[str]:
        return [json.loads(request.body)["type"] for request in self.requests]


def verify_request(request: Request, secret: str) -> Any:
    """Verify a request with an endpoint's secret, and return its body. A forgery raises WebhookVerificationError."""
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
