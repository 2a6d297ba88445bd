"""Share database statements between single sends: the lookup of idempotency keys and the insert. Built by
`create_app`."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from api.statement_groups import StatementGroups
from bootstrap import Container
from domain.names import COLLECT_DUE, QUEUE_DUE
from storage.acceptance import AcceptResult, NewNotification, accept_without_profiles, find_key_holders

KeyHolder = dict[str, Any] | None


def announce_accepted(container: Container, items: Sequence[NewNotification]) -> None:
    """Wake the dispatchers for committed notifications."""
    for due in {QUEUE_DUE if item.digest_key is None else COLLECT_DUE for item in items}:
        container.work_announcer.announce(due)


class SendStatementGroups:
    def __init__(self, container: Container) -> None:
        self._container = container
        self._inserts: StatementGroups[NewNotification, AcceptResult] = StatementGroups(self._insert)
        self._lookups: StatementGroups[str, KeyHolder] = StatementGroups(self._look_up)

    async def insert(self, tenant: UUID, item: NewNotification) -> AcceptResult:
        """Insert an item without a profile. Two profiles of one recipient must be merged one after the other."""
        return await self._inserts.submit(tenant, item)

    async def find_key_holder(self, tenant: UUID, key: str) -> KeyHolder:
        """Return the notification or multi-send that holds the key, or None."""
        return await self._lookups.submit(tenant, key)

    async def _insert(self, tenant: UUID, items: Sequence[NewNotification]) -> list[AcceptResult]:
        async with self._container.database.statement() as session:
            rows = await accept_without_profiles(session, tenant, list(items), notify=False)
        announce_accepted(self._container, items)
        return [rows[item.id] for item in items]

    async def _look_up(self, tenant: UUID, keys: Sequence[str]) -> list[KeyHolder]:
        async with self._container.database.quick_transaction() as session:
            held = await find_key_holders(session, tenant, list(keys), self._container.settings.idempotency_window)
        return [held.get(key) for key in keys]
