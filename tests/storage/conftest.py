import pytest

from models.tenants import Tenant
from storage.database import Database
from tests.api_tenants import create_tenant
from tests.storage.fixtures import database, database_tenant, sent

__all__ = ["database", "database_tenant", "sent"]


@pytest.fixture
async def tenant(database: Database) -> Tenant:
    return (await create_tenant(database))[0]
