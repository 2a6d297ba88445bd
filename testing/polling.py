"""Waiting for a condition, with a deadline: the one place where tests sleep, ours and those of users."""

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
        if time.monotonic() > deadline:
            raise AssertionError(f"the condition never held; last seen: {seen}")
        await asyncio.sleep(0.02)
