"""Dead letters as an operator finds them and sends them again, for tests."""

from typing import Any
from uuid import UUID

import pytest

from storage import dead_letters
from storage.dead_letters import PlannedRedrive, RedriveTarget
from storage.notifications import NotificationFilter
from tests.storage.sends import KEY, DatabaseSend, DatabaseTenant


@pytest.fixture
async def failed(database_tenant: DatabaseTenant) -> DatabaseSend:
    return await (await database_tenant.send()).failed()


async def found(database_tenant: DatabaseTenant, tenant: UUID | None = None, **wanted: Any) -> list[RedriveTarget]:
    async with database_tenant.database.transaction() as session:
        return await dead_letters.find_targets(
            session, tenant or database_tenant.tenant, NotificationFilter(**wanted), limit=100, lock=False
        )


async def redrive(database_tenant: DatabaseTenant, *some: RedriveTarget, delay: float = 0.0) -> set[UUID]:
    async with database_tenant.database.transaction() as session:
        return await dead_letters.redrive(
            session, database_tenant.tenant, [PlannedRedrive(target=one, delay=delay) for one in some], KEY
        )
