"""`sweep`: the minute's backstop, should every dispatcher have missed something."""

from collections.abc import Awaitable, Callable

from temporalio import activity


class Sweeping:
    """`sweep` is handed in by bootstrap: it belongs to the dispatcher, which stands above the activities."""

    def __init__(self, sweep: Callable[[], Awaitable[int]]) -> None:
        self._sweep = sweep

    @activity.defn
    async def sweep(self) -> int:
        """How many rows were found and dispatched."""
        return await self._sweep()
