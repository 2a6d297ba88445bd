"""Split long loops of a request into short slices, so that other requests are served in between."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

Item = TypeVar("Item")

# Seconds. A request needs several rounds of the event loop, and every long loop may use one slice in each of them.
SLICE_SECONDS = 0.001


async def in_slices(items: Iterable[Item]) -> AsyncIterator[Item]:
    """Yield the items one by one. Let other tasks run after the item that uses up a slice."""
    began = time.monotonic()
    for item in items:
        yield item
        if time.monotonic() - began > SLICE_SECONDS:
            await asyncio.sleep(0)
            began = time.monotonic()
