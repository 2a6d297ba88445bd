"""Poll a condition with a deadline. All tests wait by these functions."""

import time
from collections.abc import Callable

from testing.polling import DEFAULT_TIMEOUT as DEFAULT_TIMEOUT
from testing.polling import eventually as eventually


async def wait_until(condition: Callable[[], object], within: float = DEFAULT_TIMEOUT) -> float:
    """Return the seconds it took until `condition` held."""
    started = time.monotonic()

    async def check() -> object:
        return condition()

    await eventually(check, bool, within)
    return time.monotonic() - started
