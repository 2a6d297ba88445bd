"""A bounded cache in front of one query; used by the catalog."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Generic, TypeVar

from cachetools import LRUCache, TTLCache

K = TypeVar("K")
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Least recently used goes first; with `seconds`, nothing is older. Callers that miss together share a query."""

    def __init__(self, load: Callable[[K], Awaitable[V]], *, size: int, seconds: float | None = None) -> None:
        self._load = load
        self._values: MutableMapping[K, V] = LRUCache(size) if seconds is None else TTLCache(size, seconds)
        self._loading: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K) -> V:
        """What `load` raises reaches everyone who waits and is not kept."""
        if key in self._values:
            return self._values[key]
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.ensure_future(self._fetch(key))
            task.add_done_callback(lambda done: self._store_result(key, done))
        # A caller that goes away must not take the answer from the others.
        return await asyncio.shield(task)

    def flush(self) -> None:
        """Queries under way answer those who wait, but may be older than the change, so are not kept."""
        self._values.clear()
        self._loading.clear()

    async def _fetch(self, key: K) -> V:
        return await self._load(key)

    def _store_result(self, key: K, task: asyncio.Task[V]) -> None:
        has_failed = task.cancelled() or task.exception() is not None
        if self._loading.get(key) is task:
            del self._loading[key]
            if not has_failed:
                self._values[key] = task.result()
