"""`tocsin keys create`: straight into the database, since whoever has no key yet can ask no API."""

from collections.abc import Sequence

from commands.direct import open_database
from commands.errors import CommandError
from commands.tenants import no_such
from config import Settings
from storage import tenants
from storage.api_keys import SCOPES, create_key
from storage.catalog import announce


async def create(settings: Settings, tenant: str, name: str, scopes: Sequence[str]) -> str:
    """The key, which nobody can show again. A tenant is never made by the way: a typo would be one."""
    if unknown := sorted(set(scopes) - set(SCOPES)):
        raise CommandError(f"unknown scope {', '.join(unknown)}; there are {', '.join(SCOPES)}")
    async with open_database(settings) as database:
        async with database.transaction() as session:
            owner = await tenants.find(session, tenant)
            if owner is not None:
                _, key = await create_key(session, owner.id, name, list(dict.fromkeys(scopes)), env=settings.env)
                await announce(session)
                return key
        raise await no_such(database, tenant)
