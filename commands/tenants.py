"""Manage tenants in the database, because their first keys are created there. Used by `tocsin tenants`."""

import getpass
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from api.schemas.base import Key
from api.schemas.tenants import EmailDomainsBody
from commands.database import open_database
from commands.errors import CommandError
from config import Settings
from domain.audit import Actor
from models.tenants import Tenant
from storage import tenants
from storage.database import Database
from storage.tenants import TenantChangeNotAllowed, TenantState

# Existing tenants that the error of an unknown tenant lists.
MAX_NAMED = 20
KEY_FORMAT = "a tenant key has up to 128 letters, digits and . _ : - and begins with a letter or digit"


async def create(settings: Settings, key: str, *, installation: bool = False) -> None:
    try:
        TypeAdapter(Key).validate_python(key)
    except ValidationError:
        raise CommandError(KEY_FORMAT) from None
    async with open_database(settings) as database, database.transaction() as session:
        created = await tenants.create(session, key, command_line_actor())
        if created is None:
            raise CommandError(f"tenant {key} already exists; 'tocsin keys create --tenant {key}' creates a key for it")
        if installation and not await tenants.claim_installation(session, created.id):
            raise CommandError("the installation already has its own tenant; 'tocsin tenants list' shows it")


async def list_tenant_lines(settings: Settings) -> Sequence[str]:
    async with open_database(settings) as database, database.transaction() as session:
        return [_tenant_line(state) for state in await tenants.list_page(session, None, None)]


async def suspend(settings: Settings, key: str, reason: str | None) -> None:
    async with _open_tenant(settings, key) as (session, tenant):
        try:
            await tenants.suspend(session, tenant, reason, command_line_actor())
        except TenantChangeNotAllowed as refused:
            raise CommandError(str(refused)) from None


async def resume(settings: Settings, key: str) -> None:
    async with _open_tenant(settings, key) as (session, tenant):
        await tenants.resume(session, tenant, command_line_actor())


async def set_email_domains(settings: Settings, key: str, domains: Sequence[str]) -> None:
    try:
        checked = EmailDomainsBody(email_domains=list(domains)).email_domains
    except ValidationError as error:
        raise CommandError(f"{error.errors()[0]['input']} is not a domain, such as acme.example") from None
    async with _open_tenant(settings, key) as (session, tenant):
        await tenants.set_email_domains(session, tenant, list(dict.fromkeys(checked)), command_line_actor())


async def no_such_tenant_error(database: Database, key: str) -> CommandError:
    async with database.transaction() as session:
        known = await tenants.list_keys(session, MAX_NAMED + 1)
    names = ", ".join([*known[:MAX_NAMED], *(["…"] if len(known) > MAX_NAMED else [])])
    return CommandError(
        f"there is no tenant {key}; existing tenants: {names or 'none'}; 'tocsin tenants create' creates one"
    )


@asynccontextmanager
async def _open_tenant(settings: Settings, key: str) -> AsyncIterator[tuple[AsyncSession, Tenant]]:
    async with open_database(settings) as database:
        async with database.transaction() as session:
            tenant = await tenants.find(session, key)
            if tenant is not None:
                yield session, tenant
                return
        raise await no_such_tenant_error(database, key)


def _tenant_line(state: TenantState) -> str:
    words = [state.key]
    words += ["(the installation's own)"] if state.is_installation else []
    words += [f"(suspended since {state.suspended_at:%Y-%m-%d %H:%M}Z)"] if state.suspended_at is not None else []
    return "  ".join(words)


def command_line_actor() -> Actor:
    """Return the user of the operating system, or its number if the system has no name for it."""
    try:
        return Actor(name=getpass.getuser())
    except (KeyError, OSError):
        return Actor(name=f"uid {os.getuid()}")
