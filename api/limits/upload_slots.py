"""Limit the memory and the database connections of uploads: each one has a chunk in memory and a transaction."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID
from weakref import WeakValueDictionary

from fastapi import Request

from api.problems import Problem
from metrics.engine import ReachedLimit, count_limit_reached

MAX_UPLOADS = 8
# Of the connections of the pool, uploads use at most one in this many.
CONNECTIONS_PER_UPLOAD = 4
TENANT_DIVISOR = 4
WAIT = 5.0


class UploadSlots:
    """Give each upload a slot. A tenant uses at most a quarter of them, so that it cannot keep others waiting."""

    def __init__(self, uploads: int, wait: float = WAIT) -> None:
        self._wait = wait
        self._per_tenant = max(1, uploads // TENANT_DIVISOR)
        self._all = asyncio.Semaphore(uploads)
        self._by_tenant = WeakValueDictionary[UUID, asyncio.Semaphore]()

    @classmethod
    def of_pool(cls, connections: int) -> "UploadSlots":
        return cls(max(1, min(MAX_UPLOADS, connections // CONNECTIONS_PER_UPLOAD)))

    @asynccontextmanager
    async def take(self, tenant: UUID) -> AsyncIterator[None]:
        """Wait for a slot. Raise Problem 503 if there is none in time."""
        own = self._by_tenant.setdefault(tenant, asyncio.Semaphore(self._per_tenant))
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._wait):
                    await stack.enter_async_context(own)
                    await stack.enter_async_context(self._all)
            except TimeoutError:
                count_limit_reached(ReachedLimit.ATTACHMENT_UPLOADS)
                raise Problem(
                    503, "Too many attachments are being uploaded; retry later.", headers={"Retry-After": "1"}
                ) from None
            yield


async def read_chunks(request: Request, limit: int, chunk_size: int) -> AsyncIterator[bytes]:
    """Yield the body in parts of `chunk_size`; the last one may be smaller. Raise Problem 413 above the limit."""
    too_large = Problem(413, f"The body may have at most {limit} bytes.")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    buffer, size = bytearray(), 0
    async for part in request.stream():
        buffer += part
        size += len(part)
        if size > limit:
            raise too_large
        while len(buffer) >= chunk_size:
            yield bytes(memoryview(buffer)[:chunk_size])
            del buffer[:chunk_size]
    if buffer:
        yield bytes(buffer)
