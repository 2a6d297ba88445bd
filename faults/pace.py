"""Wait for durations without a condition: the length of an outage, and the interval of two sends."""

import asyncio


async def wait_seconds(seconds: float) -> None:
    await asyncio.sleep(seconds)
