"""Limit the memory of bodies that are read before their sender is known: receipts, whose signature covers the body."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fastapi import Request

from api.authenticated_route import read_body
from api.problems import Problem
from metrics.engine import ReachedLimit, count_limit_reached

MAX_BODIES = 256
MAX_BYTES = 32 * 1024 * 1024
BUDGET_EXCEEDED = "Too many unverified requests are being received; retry later."


@dataclass(eq=False)
class BufferedBody:
    """Hold the state of a body that is being received. An eviction makes `deadline` expire."""

    size: int = 0
    is_complete: bool = False
    is_evicted: bool = False
    deadline: asyncio.Timeout = field(default_factory=lambda: asyncio.timeout(None))


class BodyBudget:
    """Evict the oldest incomplete body when the budget is full, because a genuine one arrives within milliseconds.
    Never evict a complete body."""

    def __init__(self, max_bodies: int = MAX_BODIES, max_bytes: int = MAX_BYTES) -> None:
        self._max_bodies, self.max_bytes = max_bodies, max_bytes
        self._buffered: dict[BufferedBody, None] = {}
        self.bytes = 0

    @asynccontextmanager
    async def read(self, request: Request, limit: int) -> AsyncIterator[bytes]:
        """Yield the body, which counts until the block ends. Raise Problem 503 if it is evicted."""
        buffered = BufferedBody()
        try:
            try:
                async with buffered.deadline:
                    self._reserve(buffered, 0)
                    body = await read_body(request, limit, lambda size: self._reserve(buffered, size))
            except TimeoutError:
                raise _budget_exceeded() from None
            buffered.is_complete = True
            yield body
        finally:
            self._release(buffered)

    def _reserve(self, buffered: BufferedBody, size: int) -> None:
        if buffered.is_evicted:
            raise _budget_exceeded()
        self._buffered[buffered] = None
        buffered.size += size
        self.bytes += size
        while len(self._buffered) > self._max_bodies or self.bytes > self.max_bytes:
            oldest = next((each for each in self._buffered if not each.is_complete and each is not buffered), None)
            if oldest is None:
                raise _budget_exceeded()
            oldest.is_evicted = True
            oldest.deadline.reschedule(asyncio.get_running_loop().time())
            self._release(oldest)

    def _release(self, buffered: BufferedBody) -> None:
        if self._buffered.pop(buffered, buffered) is None:
            self.bytes -= buffered.size
            buffered.size = 0


def _budget_exceeded() -> Problem:
    count_limit_reached(ReachedLimit.RECEIPT_BODIES)
    return Problem(503, BUDGET_EXCEEDED, headers={"Retry-After": "1"})
