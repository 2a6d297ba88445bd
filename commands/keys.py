"""`tocsin keys create`: straight into the database, since whoever has no key yet can ask no API."""

from collections.abc import Sequence

import bootstrap
from commands.errors import CommandError
from config import Settings
from storage.api_keys import create_key, ensure_tenant
from storage.catalog import announce
from storage.database import DATABASE_DOWN, Database


async def create(settings: Settings, tenant: str, name: str, scopes: Sequence[str]) -> str:
    """The key, which nobody can show again. A tenant that does not exist is made."""
    if unknown := sorted(set(scopes) - set(bootstrap.SCOPES)):
        raise CommandError(f"unknown scope {', '.join(unknown)}; there are {', '.join(bootstrap.SCOPES)}")
    if not settings.database_url:
        raise CommandError("set TOCSIN_DATABASE_URL, or start everything with 'make run'")
    database = Database(settings.database_url)
    try:
        async with database.transaction() as session:
            owner = await ensure_tenant(session, tenant, tenant)
            _, key = await create_key(session, owner.id, name, list(dict.fromkeys(scopes)), env=settings.env)
            await announce(session)
    except DATABASE_DOWN as error:
        raise CommandError(f"the database does not take the key ({type(error).__name__})") from None
    finally:
        await database.close()
    return key
