"""Sends at a steady rate while something else happens."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from tests.faults.load_generator import GeneratedSend
from tests.faults.pace import wait_seconds

MAX_IN_FLIGHT = 8


class BackgroundLoad:
    """`send` is called `rate` times a second, `most` times in all (None: without end); not while so many are waiting
    for their answer. `sent` are those that have it."""

    def __init__(
        self,
        send: Callable[[], Coroutine[Any, Any, GeneratedSend]],
        rate: float,
        rand: Random,
        limit: int | None = None,
    ) -> None:
        self._send = send
        self._every = 1 / rate
        self._dice = rand
        self._remaining = limit
        self._is_running = asyncio.Event()
        self._is_running.set()
        self._tasks: list[asyncio.Task[GeneratedSend]] = []
        self.sent: list[GeneratedSend] = []
        self.running: asyncio.Task[None] | None = None

    async def wait_until_all_started(self) -> None:
        """Until `most` have been."""
        if self.running is not None:
            await self.running

    async def run(self) -> None:
        while self._remaining is None or self._remaining > 0:
            await self._is_running.wait()
            await wait_seconds(self._every * self._dice.uniform(0.5, 1.5))
            if sum(not task.done() for task in self._tasks) < MAX_IN_FLIGHT:
                self._remaining = None if self._remaining is None else self._remaining - 1
                self._tasks.append(asyncio.create_task(self._send()))

    def pause(self) -> None:
        self._is_running.clear()

    def resume(self) -> None:
        self._is_running.set()

    async def answered(self) -> None:
        """Until everything that was asked has its answer."""
        self.sent = list(await asyncio.gather(*self._tasks))


@asynccontextmanager
async def running_background_load(
    send: Callable[[], Coroutine[Any, Any, GeneratedSend]], rate: float, rand: Random, limit: int | None = None
) -> AsyncIterator[BackgroundLoad]:
    """For as long as the block lasts; at its end everything has been answered."""
    background_load = BackgroundLoad(send, rate, rand, limit)
    background_load.running = asyncio.create_task(background_load.run())
    try:
        yield background_load
    finally:
        background_load.running.cancel()
    await background_load.answered()
