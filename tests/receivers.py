"""Run a tenant's webhook endpoint on this machine. It records requests and returns the response that the test sets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import standardwebhooks

from testing.vendors.http import HOST, HttpListener, Reply, Request, VendorConnection
from tests.polling import eventually


class EventReceiver(HttpListener):
    """Respond with `reply`, but wait while `is_holding`. The port stays the same after `stop` and `start`."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.complaints = []
        self.reply = Reply(status=204)
        self.is_holding = False
        self._released = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/events"

    def release(self) -> None:
        self.is_holding = False
        self._released.set()

    async def handle(self, request: Request, connection: VendorConnection) -> None:
        self.requests.append(request)
        if self.is_holding:
            await self._released.wait()
        connection.write(self.reply)

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
    async with EventReceiver().running() as receiver:
        try:
            yield receiver
        finally:
            receiver.release()
