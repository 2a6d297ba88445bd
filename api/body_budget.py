"""Memory for bodies that are read before their sender is known: receipts, whose signature covers the body."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fastapi import Request

from api.front_door import read_body
from api.problems import Problem
from metrics.engine import Limit, limit_reached

MAX_BODIES = 256
MAX_BYTES = 32 * 1024 * 1024
FULL = "Too many unverified requests are being received; repeat the request later."


@dataclass(eq=False)
class HeldBody:
    """`patience` ends when the body must give way."""

    size: int = 0
    is_complete: bool = False
    gives_way: bool = False
    patience: asyncio.Timeout = field(default_factory=lambda: asyncio.timeout(None))


class BodyBudget:
    """When it is full the body gives way that has been received for the longest time: an honest one takes milliseconds.
    A complete one never gives way."""

    def __init__(self, max_bodies: int = MAX_BODIES, max_bytes: int = MAX_BYTES) -> None:
        self._max_bodies, self.max_bytes = max_bodies, max_bytes
        self._held: dict[HeldBody, None] = {}
        self.bytes = 0

    @asynccontextmanager
    async def read(self, request: Request, limit: int) -> AsyncIterator[bytes]:
        """The body, which counts until the block ends. Raises Problem 503 if it has to give way."""
        held = HeldBody()
        try:
            try:
                async with held.patience:
                    self._hold(held, 0)
                    body = await read_body(request, limit, lambda size: self._hold(held, size))
            except TimeoutError:
                raise _full() from None
            held.is_complete = True
            yield body
        finally:
            self._release(held)

    def _hold(self, held: HeldBody, size: int) -> None:
        if held.gives_way:
            raise _full()
        self._held[held] = None
        held.size += size
        self.bytes += size
        while len(self._held) > self._max_bodies or self.bytes > self.max_bytes:
            oldest = next((each for each in self._held if not each.is_complete and each is not held), None)
            if oldest is None:
                raise _full()
            oldest.gives_way = True
            oldest.patience.reschedule(asyncio.get_running_loop().time())
            self._release(oldest)

    def _release(self, held: HeldBody) -> None:
        if self._held.pop(held, held) is None:
            self.bytes -= held.size
            held.size = 0


def _full() -> Problem:
    limit_reached(Limit.RECEIPT_BODIES)
    return Problem(503, FULL, headers={"Retry-After": "1"})
