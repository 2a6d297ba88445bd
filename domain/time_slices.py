"""Long loops of a request in short slices, so that other requests are served in between."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

Item = TypeVar("Item")

# Seconds. A request needs several rounds of the event loop, and in each of them every long loop may use one slice.
SLICE_SECONDS = 0.001


async def in_slices(items: Iterable[Item]) -> AsyncIterator[Item]:
    """The items, one by one. Lets others run after the item with which a slice is used up."""
    began = time.monotonic()
    for item in items:
        yield item
        if time.monotonic() - began > SLICE_SECONDS:
            await asyncio.sleep(0)
            began = time.monotonic()
