"""Waiting for a condition, with a deadline: the one place where tests wait."""

import time
from collections.abc import Callable

from testing.polling import DEFAULT_TIMEOUT as DEFAULT_TIMEOUT
from testing.polling import eventually as eventually


async def wait_until(condition: Callable[[], object], within: float = DEFAULT_TIMEOUT) -> float:
    """Return the seconds it took until `condition` held."""
    started = time.monotonic()

    async def look() -> object:
        return condition()

    await eventually(look, bool, within)
    return time.monotonic() - started
