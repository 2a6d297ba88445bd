"""Test `tocsin keys` and `tocsin tenants` in the database: their output, their changes, and the audit log."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from commands import keys, tenants
from commands.errors import CommandError
from config import Settings
from domain.clock import now
from storage import api_keys
from storage.api_keys import ApiKeyInfo, hash_secret, prefix_of
from storage.database import Database
from tests.api_tenants import ApiTenant
from tests.cli.terminal import open_terminal
from tests.storage.databases import own_database

pytestmark = pytest.mark.postgres


@pytest.fixture
async def own(database_url: str) -> AsyncIterator[Database]:
    """Yield a database without an installation tenant."""
    async with own_database(database_url) as database:
        yield database


@pytest.fixture
async def settings(own: Database) -> Settings:
    settings = Settings(env="dev", database_url=own.url, temporal_address="127.0.0.1:1", _env_file=None)
    await tenants.create(settings, "acme")
    return settings


async def known(database: Database, key: str) -> ApiKeyInfo | None:
    async with database.transaction() as session:
        return await api_keys.find_by_hash(session, hash_secret(key))


async def actions(database: Database) -> list[str]:
    async with database.transaction() as session:
        rows = await session.execute(text("SELECT action FROM audit_entry WHERE actor_kind = 'cli' ORDER BY id"))
        return list(rows.scalars())


async def refusal(work: object) -> str:
    with pytest.raises(CommandError) as refused:
        await work  # type: ignore[misc]
    [line] = refused.value.lines
    return line


async def test_a_key_is_listed_rotated_and_revoked(settings: Settings, own: Database) -> None:
    key = await keys.create(settings, "acme", "backend", ["read", "send"], "90d")
    [line] = await keys.list_key_lines(settings, "acme")
    id, prefix, name, scopes, *_ = re.split(r"  +", line)
    assert (prefix, name, scopes) == (f"{prefix_of(key)}…", "backend", "read,send")
    assert "last used never  expires 20" in line
    successor = await keys.rotate(settings, "acme", id, "1h")
    former = await known(own, key)
    assert former is not None
    assert former.expires_at is not None
    assert 0 < (former.expires_at - now()).total_seconds() <= 3_600
    await keys.revoke(settings, "acme", prefix_of(successor))
    assert [line.split()[0] for line in await keys.list_key_lines(settings, "acme")] == [id], (
        "the former one, while it overlaps"
    )
    [ended] = await keys.list_key_lines(settings, "acme", ended=True)
    assert "revoked 20" in ended
    assert await actions(own) == ["tenant.created", "key.created", "key.created", "key.rotated", "key.revoked"]


async def test_a_rotation_with_overlap_0_ends_the_key_now(settings: Settings, own: Database) -> None:
    key = await keys.create(settings, "acme", "backend", ["read"])
    [line] = await keys.list_key_lines(settings, "acme")
    successor = await keys.rotate(settings, "acme", line.split()[0], "0")
    ended, valid = await known(own, key), await known(own, successor)
    assert ended is not None
    assert ended.expires_at is not None
    assert ended.expires_at <= now()
    assert valid is not None
    assert valid.expires_at is None


async def test_an_error_is_one_line(settings: Settings) -> None:
    assert "--expires-in must be a whole number" in await refusal(keys.create(settings, "acme", "n", ["read"], "soon"))
    assert "own tenant" in await refusal(keys.create(settings, "acme", "n", ["operate"]))
    assert (await refusal(keys.list_key_lines(settings, "unknown"))).startswith(
        "there is no tenant unknown; existing tenants: acme"
    )
    assert (await refusal(keys.revoke(settings, "acme", "tk_x"))).startswith("tenant acme has no key tk_x")
    assert "at most 30d" in await refusal(keys.rotate(settings, "acme", "tk_x", "31d"))
    assert (await refusal(tenants.suspend(settings, "unknown", None))).startswith("there is no tenant unknown")


async def test_the_installation_has_one_tenant_of_its_own(settings: Settings, own: Database) -> None:
    await tenants.create(settings, "ops", installation=True)
    assert "already" in await refusal(tenants.create(settings, "ops-2", installation=True))
    assert await tenants.list_tenant_lines(settings) == ["acme", "ops  (the installation's own)"], (
        "the second one was not made"
    )
    operator = await known(own, await keys.create(settings, "ops", "operator", ["operate"]))
    assert operator is not None
    assert operator.scopes == {"operate"}
    assert "cannot be suspended" in await refusal(tenants.suspend(settings, "ops", None))


async def test_a_tenant_is_suspended_and_resumed(settings: Settings, own: Database) -> None:
    key = await keys.create(settings, "acme", "backend", ["read"])
    await tenants.suspend(settings, "acme", "unpaid")
    [line] = await tenants.list_tenant_lines(settings)
    assert re.fullmatch(r"acme  \(suspended since \d{4}-\d\d-\d\d \d\d:\d\dZ\)", line)
    suspended = await known(own, key)
    assert suspended is not None
    assert suspended.is_suspended
    await tenants.resume(settings, "acme")
    assert await tenants.list_tenant_lines(settings) == ["acme"]
    assert await actions(own) == ["tenant.created", "key.created", "tenant.suspended", "tenant.resumed"]


@pytest.mark.temporal
async def test_the_commands_work_with_a_running_stack(api_tenant: ApiTenant, forks: Path, tmp_path: Path) -> None:
    terminal = open_terminal(tmp_path, api_tenant, forks)
    tenant = f"t-{api_tenant.tenant}"
    await terminal.ok("tenants", "create", tenant)
    of_tenant = ("--tenant", tenant)
    key = (await terminal.ok("keys", "create", *of_tenant, "--name", "ci", "--scope", "read")).strip()
    assert (await terminal.tocsin("tail", TOCSIN_API_KEY=key)).code == 0
    id = (await terminal.ok("keys", "list", *of_tenant)).split()[0]
    successor = (await terminal.ok("keys", "rotate", id, *of_tenant, "--overlap", "1h")).strip()
    assert (await terminal.tocsin("tail", TOCSIN_API_KEY=successor)).code == 0
    await terminal.ok("keys", "revoke", id, *of_tenant)
    ended = await terminal.ok("keys", "list", *of_tenant, "--ended")
    assert (ended.split()[0], "revoked" in ended) == (id, True)
    await terminal.ok("tenants", "suspend", tenant, "--reason", "unpaid")
    await terminal.ok("tenants", "resume", tenant)
