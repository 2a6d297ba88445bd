"""The installation's own tenant of a test database, whose keys may have the scope `operate`."""

from storage.api_keys import SCOPES, ensure_tenant, upsert_key
from storage.database import Database
from storage.tenants import claim_installation

INSTALLATION = "installation"


async def installation_key(database: Database, *scopes: str) -> str:
    """A key with these scopes, or all; the tenant is made the first time."""
    async with database.transaction() as session:
        tenant = await ensure_tenant(session, INSTALLATION, "Installation")
        assert await claim_installation(session, tenant.id)
        _, key = await upsert_key(session, tenant.id, "operator", scopes or SCOPES)
    return key
