"""`tocsin tenants`: who shares this installation without seeing each other. In the database, like their first keys."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from api.schemas.base import Key
from commands.actors import command_line
from commands.direct import open_database
from commands.errors import CommandError
from config import Settings
from models.tenants import Tenant
from storage import tenants
from storage.database import Database
from storage.tenants import TenantRefused, TenantState

# So many are named where one is asked for that does not exist.
NAMED = 20
SPELLING = "a tenant has up to 128 letters, digits and . _ : - and begins with a letter or digit"


async def create(settings: Settings, key: str, *, installation: bool = False) -> None:
    try:
        TypeAdapter(Key).validate_python(key)
    except ValidationError:
        raise CommandError(SPELLING) from None
    async with open_database(settings) as database, database.transaction() as session:
        made = await tenants.make(session, key, command_line())
        if made is None:
            raise CommandError(
                f"there is a tenant {key} already; 'tocsin keys create --tenant {key}' makes a key for it"
            )
        if installation and not await tenants.claim_installation(session, made.id):
            raise CommandError("the installation has a tenant of its own already; 'tocsin tenants list' shows it")


async def every(settings: Settings) -> Sequence[str]:
    async with open_database(settings) as database, database.transaction() as session:
        return [_line(state) for state in await tenants.listed(session, None, None)]


async def suspend(settings: Settings, key: str, reason: str | None) -> None:
    async with _known(settings, key) as (session, tenant):
        try:
            await tenants.suspend(session, tenant, reason, command_line())
        except TenantRefused as refused:
            raise CommandError(str(refused)) from None


async def resume(settings: Settings, key: str) -> None:
    async with _known(settings, key) as (session, tenant):
        await tenants.resume(session, tenant, command_line())


async def no_such(database: Database, key: str) -> CommandError:
    async with database.transaction() as session:
        there = await tenants.keys(session, NAMED + 1)
    named = ", ".join([*there[:NAMED], *(["…"] if len(there) > NAMED else [])])
    return CommandError(f"there is no tenant {key}; there are {named or 'none'}; 'tocsin tenants create' makes one")


@asynccontextmanager
async def _known(settings: Settings, key: str) -> AsyncIterator[tuple[AsyncSession, Tenant]]:
    async with open_database(settings) as database:
        async with database.transaction() as session:
            tenant = await tenants.find(session, key)
            if tenant is not None:
                yield session, tenant
                return
        raise await no_such(database, key)


def _line(state: TenantState) -> str:
    words = [state.key]
    words += ["(the installation's own)"] if state.installation else []
    words += [f"(suspended since {state.suspended_at:%Y-%m-%d %H:%M}Z)"] if state.suspended_at is not None else []
    return "  ".join(words)
