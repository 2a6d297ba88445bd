"""Manage API keys in the database, because an operator without a key cannot use the API. Used by `tocsin keys`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from commands.database import open_database
from commands.errors import CommandError
from commands.tenants import command_line_actor, no_such_tenant_error
from config import Settings
from domain.durations import parse_duration
from models.tenants import ApiKey, Tenant
from storage import api_keys, tenants
from storage.api_keys import SCOPES, KeyChangeNotAllowed, NewKey

MAX_OVERLAP = timedelta(days=30)


async def list_key_lines(settings: Settings, tenant: str, *, ended: bool = False) -> Sequence[str]:
    """Return a line for each key, newest first."""
    async with _open_tenant(settings, tenant) as (session, owner):
        return [_key_line(row) for row in await api_keys.list_page(session, owner.id, ended=ended)]


async def create(
    settings: Settings, tenant: str, name: str, scopes: Sequence[str], expires_in: str | None = None
) -> str:
    """Return the new key, which cannot be shown again. An unknown tenant is an error, because its name could be
    misspelled."""
    if unknown := sorted(set(scopes) - set(SCOPES)):
        raise CommandError(f"unknown scope {', '.join(unknown)}; choose from {', '.join(SCOPES)}")
    new = NewKey(name=name, scopes=scopes, env=settings.env, expires_in=_parse_option("--expires-in", expires_in))
    async with _open_tenant(settings, tenant) as (session, owner):
        _, key = await api_keys.create_key(session, owner, new, command_line_actor())
        return key


async def rotate(settings: Settings, tenant: str, id: str, overlap: str, expires_in: str | None = None) -> str:
    """Return the new key, which cannot be shown again."""
    overlap_time = None if overlap == "0" else _parse_option("--overlap", overlap)
    if overlap_time is not None and overlap_time > MAX_OVERLAP:
        raise CommandError("--overlap must be at most 30d")
    duration = _parse_option("--expires-in", expires_in)
    async with _open_tenant(settings, tenant) as (session, owner):
        row = await _find_key(session, owner, id)
        _, key = await api_keys.rotate_key(session, row, overlap_time, settings.env, command_line_actor(), duration)
        return key


async def revoke(settings: Settings, tenant: str, id: str) -> None:
    async with _open_tenant(settings, tenant) as (session, owner):
        await api_keys.revoke_key(session, await _find_key(session, owner, id), command_line_actor())


@asynccontextmanager
async def _open_tenant(settings: Settings, tenant: str) -> AsyncIterator[tuple[AsyncSession, Tenant]]:
    """Yield the tenant in one transaction. Raise CommandError for an unknown tenant, and for a change that it does not
    allow."""
    async with open_database(settings) as database:
        async with database.transaction() as session:
            owner = await tenants.find(session, tenant)
            if owner is not None:
                try:
                    yield session, owner
                except KeyChangeNotAllowed as refused:
                    raise CommandError(str(refused)) from None
                return
        raise await no_such_tenant_error(database, tenant)


async def _find_key(session: AsyncSession, owner: Tenant, id: str) -> ApiKey:
    """Find a key by id or prefix, valid keys before ended ones."""
    for ended in (False, True):
        rows = await api_keys.list_page(session, owner.id, ended=ended)
        found = [row for row in rows if id in (str(row.id), row.prefix)]
        if len(found) > 1:
            raise CommandError(f"several keys begin with {id}; give the id of one")
        if found:
            return found[0]
    raise CommandError(f"tenant {owner.key} has no key {id}; 'tocsin keys list --tenant {owner.key}' shows its keys")


def _parse_option(option: str, value: str | None) -> timedelta | None:
    try:
        return None if value is None else parse_duration(value)
    except ValueError as error:
        raise CommandError(f"{option} {error}") from None


def _key_line(row: ApiKey) -> str:
    words = [str(row.id), f"{row.prefix}…", row.name, ",".join(row.scopes), f"last used {_time_text(row.last_used_at)}"]
    words += [f"expires {_time_text(row.expires_at)}"] if row.expires_at is not None else []
    words += [f"revoked {_time_text(row.revoked_at)}"] if row.revoked_at is not None else []
    return "  ".join(words)


def _time_text(at: datetime | None) -> str:
    return "never" if at is None else f"{at:%Y-%m-%d %H:%M}Z"
