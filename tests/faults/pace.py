"""Durations that have no condition to wait for: how long an outage lasts, and how far two sends are apart."""

import asyncio


async def wait_seconds(seconds: float) -> None:
    await asyncio.sleep(seconds)
