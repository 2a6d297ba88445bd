"""Waiting for a condition, with a deadline: the one place where tests sleep."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Value = TypeVar("Value")


async def eventually(look: Callable[[], Awaitable[Value]], until: Callable[[Value], bool], within: float = 20) -> Value:
    """What `look` saw when `until` held; fails with the last sight after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        seen = await look()
        if until(seen):
            return seen
        assert time.monotonic() < deadline, f"the condition never held; last seen: {seen}"
        await asyncio.sleep(0.02)


async def holds(condition: Callable[[], object], within: float = 10) -> float:
    """Returns the seconds it took until `condition` held."""
    started = time.monotonic()

    async def look() -> object:
        return condition()

    await eventually(look, bool, within)
    return time.monotonic() - started
