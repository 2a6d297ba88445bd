"""The statements that single sends share: looking up idempotency keys, and inserting. Built by `create_app`."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from api.grouping import Groups
from bootstrap import Parts
from domain.names import COLLECT_DUE, QUEUE_DUE
from storage.acceptance import Accepted, NewNotification, accept_known, held_keys

Held = dict[str, Any] | None


def announce(parts: Parts, items: Sequence[NewNotification]) -> None:
    """Wake the dispatchers for what has been committed."""
    for due in {QUEUE_DUE if item.digest_group is None else COLLECT_DUE for item in items}:
        parts.announcements.announce(due)


class SendGroups:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._inserts: Groups[NewNotification, Accepted] = Groups(self._insert)
        self._lookups: Groups[str, Held] = Groups(self._look_up)

    async def insert(self, tenant: UUID, item: NewNotification) -> Accepted:
        """Only for an item without a profile: two profiles of one recipient must be merged one after the other."""
        return await self._inserts.submit(tenant, item)

    async def held_key(self, tenant: UUID, key: str) -> Held:
        """The notification that holds the key, if there is one."""
        return await self._lookups.submit(tenant, key)

    async def _insert(self, tenant: UUID, items: Sequence[NewNotification]) -> list[Accepted]:
        async with self._parts.database.statement() as session:
            rows = await accept_known(session, tenant, list(items), notify=False)
        announce(self._parts, items)
        return [rows[item.id] for item in items]

    async def _look_up(self, tenant: UUID, keys: Sequence[str]) -> list[Held]:
        async with self._parts.database.quick_transaction() as session:
            held = await held_keys(session, tenant, list(keys), self._parts.settings.idempotency_window)
        return [held.get(key) for key in keys]
