"""The suppression list of a tenant, for tests of what is on it."""

from typing import Any

from storage import suppressions
from storage.suppressions import NewSuppression, SuppressionEntry, SuppressionFilter
from tests.storage.sends import DatabaseTenant


def key_of(database_tenant: DatabaseTenant, contact: str, address: str) -> str:
    return database_tenant.database.encryption.address_hash(database_tenant.tenant, contact, address)


async def listed(
    database_tenant: DatabaseTenant, *, limit: int = 100, before: Any = None, **wanted: Any
) -> list[SuppressionEntry]:
    async with database_tenant.database.transaction() as session:
        return await suppressions.list_page(
            session, database_tenant.tenant, SuppressionFilter(**wanted), before=before, limit=limit
        )


async def add(database_tenant: DatabaseTenant, one: NewSuppression) -> tuple[SuppressionEntry, bool]:
    async with database_tenant.database.transaction() as session:
        return await suppressions.add(session, database_tenant.tenant, one)


async def lift(database_tenant: DatabaseTenant, one: SuppressionEntry) -> bool:
    async with database_tenant.database.transaction() as session:
        return await suppressions.lift(session, database_tenant.tenant, one.id)
