"""Sends at a steady rate while something else happens."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from tests.faults.crowd import Sent
from tests.faults.pace import lasting

AT_ONCE = 8


class Trickle:
    """`send` is called `rate` times a second, `most` times in all (None: without end); not while so many are waiting
    for their answer. `sent` are those that have it."""

    def __init__(
        self, send: Callable[[], Coroutine[Any, Any, Sent]], rate: float, dice: Random, most: int | None = None
    ) -> None:
        self._send = send
        self._every = 1 / rate
        self._dice = dice
        self._left = most
        self._flows = asyncio.Event()
        self._flows.set()
        self._asked: list[asyncio.Task[Sent]] = []
        self.sent: list[Sent] = []
        self.running: asyncio.Task[None] | None = None

    async def all_asked(self) -> None:
        """Until `most` have been."""
        if self.running is not None:
            await self.running

    async def run(self) -> None:
        while self._left is None or self._left > 0:
            await self._flows.wait()
            await lasting(self._every * self._dice.uniform(0.5, 1.5))
            if sum(not task.done() for task in self._asked) < AT_ONCE:
                self._left = None if self._left is None else self._left - 1
                self._asked.append(asyncio.create_task(self._send()))

    def pause(self) -> None:
        self._flows.clear()

    def resume(self) -> None:
        self._flows.set()

    async def answered(self) -> None:
        """Until everything that was asked has its answer."""
        self.sent = list(await asyncio.gather(*self._asked))


@asynccontextmanager
async def trickling(
    send: Callable[[], Coroutine[Any, Any, Sent]], rate: float, dice: Random, most: int | None = None
) -> AsyncIterator[Trickle]:
    """For as long as the block lasts; at its end everything has been answered."""
    trickle = Trickle(send, rate, dice, most)
    trickle.running = asyncio.create_task(trickle.run())
    try:
        yield trickle
    finally:
        trickle.running.cancel()
    await trickle.answered()
