"""Waiting for a condition, with a deadline: the one place where tests sleep, ours and those of users."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from testing.liveness import first_death

Value = TypeVar("Value")

# A condition that comes costs nothing however long it may take, and a machine can be slow.
WITHIN = 120.0
# Each look may cost as much as a request. A look right after the condition came saves time only where it came soon.
SHORTEST, LONGEST = 0.02, 0.1
SHARE = 0.1  # of the time waited so far


async def eventually(
    look: Callable[[], Awaitable[Value]], until: Callable[[Value], bool], within: float = WITHIN
) -> Value:
    """Return what `look` saw when `until` held. Fail after `within` seconds, or once a part under test has died."""
    started = time.monotonic()
    while True:
        seen = await look()
        if until(seen):
            return seen
        if (death := first_death()) is not None:
            raise AssertionError(death)
        waited = time.monotonic() - started
        if waited > within:
            raise AssertionError(f"the condition never held; last seen: {seen}")
        await asyncio.sleep(min(max(SHORTEST, SHARE * waited), LONGEST))
