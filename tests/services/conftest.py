"""Provide tenants of the shared database, also one with recipients for schedules."""

import pytest

from storage.database import Database
from tests.services.schedule_tenants import ScheduleTenant, open_schedule_tenant
from tests.storage.fixtures import database, database_tenant, sent

__all__ = ["database", "database_tenant", "sent"]


@pytest.fixture
async def schedule_tenant(database: Database) -> ScheduleTenant:
    schedule_tenant = await open_schedule_tenant(database)
    for recipient_id in ("ada", "bob"):
        await schedule_tenant.put_recipient(recipient_id)
    return schedule_tenant
