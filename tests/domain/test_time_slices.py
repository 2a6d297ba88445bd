import asyncio
import time

from domain.time_slices import SLICE_SECONDS, in_slices


async def test_other_work_runs_between_the_items_of_a_long_loop() -> None:
    loop, rounds, done = asyncio.get_running_loop(), 0, False

    def count() -> None:
        nonlocal rounds
        rounds += 1
        if not done:
            loop.call_soon(count)

    loop.call_soon(count)
    seen = []
    async for item in in_slices(range(5)):
        seen.append(item)
        started = time.monotonic()
        while time.monotonic() - started <= SLICE_SECONDS:
            pass
    done = True
    assert seen == list(range(5))
    assert rounds >= 5
