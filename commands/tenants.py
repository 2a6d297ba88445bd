"""`tocsin tenants`: who shares this installation without seeing each other. In the database, like their first keys."""

from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from api.schemas.base import Key
from commands.direct import open_database
from commands.errors import CommandError
from config import Settings
from storage import tenants
from storage.database import Database

# So many are named where one is asked for that does not exist.
NAMED = 20
SPELLING = "a tenant has up to 128 letters, digits and . _ : - and begins with a letter or digit"


async def create(settings: Settings, key: str) -> None:
    try:
        TypeAdapter(Key).validate_python(key)
    except ValidationError:
        raise CommandError(SPELLING) from None
    async with open_database(settings) as database, database.transaction() as session:
        if not await tenants.make(session, key):
            raise CommandError(
                f"there is a tenant {key} already; 'tocsin keys create --tenant {key}' makes a key for it"
            )


async def every(settings: Settings) -> Sequence[str]:
    async with open_database(settings) as database, database.transaction() as session:
        return await tenants.keys(session)


async def no_such(database: Database, key: str) -> CommandError:
    async with database.transaction() as session:
        there = await tenants.keys(session, NAMED + 1)
    named = ", ".join([*there[:NAMED], *(["…"] if len(there) > NAMED else [])])
    return CommandError(f"there is no tenant {key}; there are {named or 'none'}; 'tocsin tenants create' makes one")
