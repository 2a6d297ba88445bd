"""Send at a steady rate during other work."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from faults.load_generator import GeneratedSend
from faults.pace import wait_seconds

MAX_IN_FLIGHT = 8


class BackgroundLoad:
    """Call `send` `rate` times per second, `limit` times in total (None: no limit), but not while too many responses
    are pending. `sent` are the accepted sends.
    """

    def __init__(
        self,
        send: Callable[[], Coroutine[Any, Any, GeneratedSend]],
        rate: float,
        rand: Random,
        limit: int | None = None,
    ) -> None:
        self._send = send
        self._every = 1 / rate
        self._rand = rand
        self._remaining = limit
        self._is_running = asyncio.Event()
        self._is_running.set()
        self._tasks: list[asyncio.Task[GeneratedSend]] = []
        self.sent: list[GeneratedSend] = []
        self.running: asyncio.Task[None] | None = None

    async def wait_until_all_started(self) -> None:
        """Wait until `limit` sends have been started."""
        if self.running is not None:
            await self.running

    async def run(self) -> None:
        while self._remaining is None or self._remaining > 0:
            await self._is_running.wait()
            await wait_seconds(self._every * self._rand.uniform(0.5, 1.5))
            if sum(not task.done() for task in self._tasks) < MAX_IN_FLIGHT:
                self._remaining = None if self._remaining is None else self._remaining - 1
                self._tasks.append(asyncio.create_task(self._send()))

    def pause(self) -> None:
        self._is_running.clear()

    def resume(self) -> None:
        self._is_running.set()

    async def wait_for_responses(self) -> None:
        """Wait for the response to every started send."""
        self.sent = list(await asyncio.gather(*self._tasks))


@asynccontextmanager
async def running_background_load(
    send: Callable[[], Coroutine[Any, Any, GeneratedSend]], rate: float, rand: Random, limit: int | None = None
) -> AsyncIterator[BackgroundLoad]:
    """Send while the block runs. At its end, every send has its response."""
    background_load = BackgroundLoad(send, rate, rand, limit)
    background_load.running = asyncio.create_task(background_load.run())
    try:
        yield background_load
    finally:
        background_load.running.cancel()
    await background_load.wait_for_responses()
