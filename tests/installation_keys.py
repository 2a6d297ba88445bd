"""Create keys of the installation's own tenant, which may have the scope `operate`."""

from storage.api_keys import SCOPES, upsert_key
from storage.database import Database
from storage.tenants import claim_installation, ensure_tenant

INSTALLATION = "installation"


async def installation_key(database: Database, *scopes: str) -> str:
    """Return a key with these scopes, or with all. Create the tenant if it is missing."""
    async with database.transaction() as session:
        tenant = await ensure_tenant(session, INSTALLATION, "Installation")
        assert await claim_installation(session, tenant.id)
        _, key = await upsert_key(session, tenant.id, "operator", scopes or SCOPES)
    return key
