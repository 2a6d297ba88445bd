"""Cache keys, types and published templates. Bootstrap builds it once per process; API and activities read it.

The transaction of every write of a type, key or publication notifies FLUSH_CHANNEL; the writer also flushes after its
commit.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from datetime import datetime
from typing import Generic, TypeAlias, TypeVar
from uuid import UUID

from cachetools import LRUCache, TTLCache

from domain.channels import Channel
from domain.notification_types import NotificationType
from domain.templates import TemplateVersion
from storage import api_keys, notification_types, templates
from storage.api_keys import ApiKeyInfo
from storage.database import Database
from storage.templates import Publication

K = TypeVar("K")
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Least recently used goes first; with `seconds`, nothing is older. Callers that miss together share a query."""

    def __init__(self, load: Callable[[K], Awaitable[V]], *, size: int, seconds: float | None = None) -> None:
        self._load = load
        self._values: MutableMapping[K, V] = LRUCache(size) if seconds is None else TTLCache(size, seconds)
        self._loading: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K) -> V:
        """Return the cached value or load it. An error of `load` is raised to all waiting callers and is not cached."""
        if key in self._values:
            return self._values[key]
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.ensure_future(self._fetch(key))
            task.add_done_callback(lambda done: self._store_result(key, done))
        # A caller that goes away must not take the answer from the others.
        return await asyncio.shield(task)

    def flush(self) -> None:
        """Clear the cache. Queries in progress still return to their callers, but their results are not cached, because
        they may be older than the change."""
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


CACHE_TTL = 5.0
CACHE_SIZE = 10_000
# Limit concurrent lookups of keys: an unauthenticated caller can send uncached keys, and the pool is shared.
MAX_KEY_LOOKUPS = 4

KeyInTenant: TypeAlias = tuple[UUID, str]
IdInTenant: TypeAlias = tuple[UUID, UUID]


class Catalog:
    """Cache rows. Rows that can change, and their absence, are at most 5 s old. Immutable rows stay while the cache has
    room."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._key_lookups = asyncio.Semaphore(MAX_KEY_LOOKUPS)
        self._keys: Cache[str, ApiKeyInfo | None] = Cache(self._load_key, size=CACHE_SIZE, seconds=CACHE_TTL)
        self._valid_keys: LRUCache[str, None] = LRUCache(CACHE_SIZE)
        self._current: Cache[KeyInTenant, NotificationType | None] = Cache(
            self._load_type, size=CACHE_SIZE, seconds=CACHE_TTL
        )
        self._published: Cache[KeyInTenant, list[Publication]] = Cache(
            self._load_history, size=CACHE_SIZE, seconds=CACHE_TTL
        )
        self._types: Cache[IdInTenant, NotificationType] = Cache(self._load_type_by_id, size=CACHE_SIZE)
        self._templates: Cache[IdInTenant, TemplateVersion] = Cache(self._load_template, size=1_000)

    async def key(self, hash: str) -> ApiKeyInfo | None:
        """Return the key with this SHA-256 (in hex), or None if it is unknown or revoked."""
        return await self._keys.get(hash)

    def was_valid(self, hash: str) -> bool:
        """Return whether this process found the key at its last lookup, however long ago that was."""
        return hash in self._valid_keys

    async def current_type(self, tenant: UUID, key: str) -> NotificationType | None:
        return await self._current.get((tenant, key))

    async def type_by_id(self, tenant: UUID, id: UUID) -> NotificationType:
        """Return a version, retired or not. Raise LookupError if the tenant has none with this id."""
        return await self._types.get((tenant, id))

    async def published(
        self, tenant: UUID, name: str, channel: Channel, languages: Sequence[str], as_of: datetime | None = None
    ) -> TemplateVersion | None:
        """Return the version in the first of `languages` that had a publication at `as_of` (None: now)."""
        history = await self._published.get((tenant, name))
        for language in languages:
            publication = templates.find_in_force(history, channel, language, as_of)
            if publication is not None:
                return await self._templates.get((tenant, publication.template_id))
        return None

    def flush(self) -> None:
        """Clear the caches. Called on every notification of FLUSH_CHANNEL, and when the listener has reconnected."""
        for cache in (self._keys, self._current, self._published):
            cache.flush()

    async def _load_key(self, hash: str) -> ApiKeyInfo | None:
        async with self._key_lookups, self._database.transaction() as session:
            info = await api_keys.find_by_hash(session, hash)
        if info is None:
            self._valid_keys.pop(hash, None)
        else:
            self._valid_keys[hash] = None
        return info

    async def _load_type(self, cache_key: KeyInTenant) -> NotificationType | None:
        async with self._database.transaction() as session:
            row = await notification_types.find_current(session, *cache_key)
        return None if row is None else notification_types.notification_type_of(row)

    async def _load_type_by_id(self, cache_key: IdInTenant) -> NotificationType:
        async with self._database.transaction() as session:
            row = await notification_types.find_by_id(session, *cache_key)
        if row is None:
            raise LookupError(f"no notification type {cache_key[1]}")
        return notification_types.notification_type_of(row)

    async def _load_history(self, cache_key: KeyInTenant) -> list[Publication]:
        async with self._database.transaction() as session:
            return await templates.list_publications(session, *cache_key)

    async def _load_template(self, cache_key: IdInTenant) -> TemplateVersion:
        async with self._database.transaction() as session:
            row = await templates.find_by_id(session, *cache_key)
        if row is None:
            raise LookupError(f"no template {cache_key[1]}")
        return templates.template_version_of(row)
