"""Keys, types and published templates, cached; built once per process by bootstrap, asked by API and activities.

The transaction of every write of a type, key or publication notifies FLUSH_CHANNEL; the writer also flushes after its
commit.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from cachetools import LRUCache

from domain.channels import Channel
from domain.notification_types import NotificationType
from domain.templates import TemplateVersion
from storage import api_keys, notification_types, templates
from storage.api_keys import ApiKeyInfo
from storage.caching import Cache
from storage.database import Database
from storage.templates import Publication

CACHE_TTL = 5.0
CACHE_SIZE = 10_000
# Keys that are looked up at a time: anyone can send keys that are not cached, and the pool is for all.
MAX_KEY_LOOKUPS = 4

KeyInTenant: TypeAlias = tuple[UUID, str]
IdInTenant: TypeAlias = tuple[UUID, UUID]


class Catalog:
    """What can change is at most 5 s old, absence included; what cannot is kept while there is room."""

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
        """By the SHA-256 of the key, in hex. None: unknown or revoked."""
        return await self._keys.get(hash)

    def was_valid(self, hash: str) -> bool:
        """Whether this process found the key when it looked it up last, also if that was long ago."""
        return hash in self._valid_keys

    async def current_type(self, tenant: UUID, key: str) -> NotificationType | None:
        return await self._current.get((tenant, key))

    async def type_by_id(self, tenant: UUID, id: UUID) -> NotificationType:
        """Any version, retired or not. LookupError: the tenant has none with this id."""
        return await self._types.get((tenant, id))

    async def published(
        self, tenant: UUID, name: str, channel: Channel, languages: Sequence[str], as_of: datetime | None = None
    ) -> TemplateVersion | None:
        """In the first of `languages` that had a publication at `as_of` (None: now)."""
        history = await self._published.get((tenant, name))
        for language in languages:
            publication = templates.find_in_force(history, channel, language, as_of)
            if publication is not None:
                return await self._templates.get((tenant, publication.template_id))
        return None

    def flush(self) -> None:
        """On every notification of FLUSH_CHANNEL, and when the listener has reconnected."""
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
