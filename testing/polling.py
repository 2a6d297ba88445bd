"""Wait for a condition with a deadline: the only place where tests sleep, in Tocsin and in users' projects."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from testing.liveness import find_dead_part

Value = TypeVar("Value")

# A condition that becomes true costs nothing however long it may take, and a machine can be slow.
DEFAULT_TIMEOUT = 120.0
# Each look may cost as much as a request. An early look saves time only for a condition that becomes true early.
MIN_INTERVAL, MAX_INTERVAL = 0.02, 0.25
WAITED_SHARE = 0.1  # of the time waited so far


async def eventually(
    read: Callable[[], Awaitable[Value]], condition: Callable[[Value], bool], within: float = DEFAULT_TIMEOUT
) -> Value:
    """Return the value for which `condition` holds. Fail after `within` seconds, or once a part under test has died."""
    started = time.monotonic()
    while True:
        value = await read()
        if condition(value):
            return value
        if (dead_part := find_dead_part()) is not None:
            raise AssertionError(dead_part)
        waited = time.monotonic() - started
        if waited > within:
            raise AssertionError(f"the condition was never true; last value: {value}")
        await asyncio.sleep(min(max(MIN_INTERVAL, WAITED_SHARE * waited), MAX_INTERVAL))
