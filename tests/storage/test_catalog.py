import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event, text

from domain.channels import Channel
from domain.names import FLUSH_CHANNEL
from models.tenants import Tenant
from storage import api_keys, notification_types, templates
from storage.api_keys import hash_secret, upsert_key
from storage.catalog import MAX_KEY_LOOKUPS, Catalog
from storage.database import Database
from storage.statements import notify
from storage.templates import TemplateKey
from storage.tenants import ensure_tenant

pytestmark = pytest.mark.postgres

SPEC = {"key": "order.shipped", "route": [{"channels": ["email"]}], "templates": {"email": "shipped"}}


@pytest.fixture
def catalog(database: Database) -> Catalog:
    return Catalog(database)


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        seen.append(statement)

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    yield seen
    event.remove(database.engine.sync_engine, "before_cursor_execute", note)


async def put(database: Database, tenant: Tenant, **changes: Any) -> Any:
    async with database.transaction() as session:
        row, _ = await notification_types.put(session, tenant.id, SPEC["key"], SPEC | changes)  # type: ignore[arg-type]
    return row


async def publish(database: Database, tenant: Tenant, language: str, body: str, channel: Channel = Channel.SMS) -> Any:
    place = TemplateKey(tenant=tenant.id, name="shipped", channel=channel, language=language)
    async with database.transaction() as session:
        row = await templates.add_version(session, place, {"body_template": body, "variables_schema": {}})
        await templates.publish_version(session, place, row)
    return row


async def test_a_key_gives_its_tenant_and_scopes(database: Database, tenant: Tenant, catalog: Catalog) -> None:
    async with database.transaction() as session:
        row, secret = await upsert_key(session, tenant.id, "shop", ["send", "read"])
    info = await catalog.key(hash_secret(secret))
    assert info is not None
    assert (info.id, info.tenant, info.scopes) == (row.id, tenant.id, frozenset({"send", "read"}))
    assert info.default_language == "en"
    assert secret.startswith("tk_live_")
    assert row.prefix == secret[: len("tk_live_") + 6]
    assert secret not in str(row)


async def test_an_unknown_and_a_revoked_key_give_nothing(database: Database, tenant: Tenant, catalog: Catalog) -> None:
    async with database.transaction() as session:
        _, secret = await upsert_key(session, tenant.id, "old", ["send"])
        await session.execute(text("UPDATE api_key SET revoked_at = now() WHERE hash = :h"), {"h": hash_secret(secret)})
    assert await catalog.key(hash_secret(secret)) is None
    assert await catalog.key(hash_secret("unknown")) is None


async def test_a_fixed_key_can_be_ensured_twice_but_not_by_another_tenant(database: Database, tenant: Tenant) -> None:
    secret = f"tk_dev_{uuid4().hex}"
    async with database.transaction() as session:
        first, _ = await upsert_key(session, tenant.id, "dev", ["send"], secret)
        again, same = await upsert_key(session, tenant.id, "dev", ["send", "read"], secret)
        other = await ensure_tenant(session, uuid4().hex, "Other")
    assert (first.id, same) == (again.id, secret)
    assert again.scopes == ["send", "read"]
    with pytest.raises(ValueError, match="another tenant"):
        async with database.transaction() as session:
            await upsert_key(session, other.id, "dev", ["send"], secret)


async def test_a_tenant_is_made_once(database: Database) -> None:
    key = uuid4().hex

    async def ensure() -> Tenant:
        async with database.transaction() as session:
            return await ensure_tenant(session, key, "New")

    one, other = await asyncio.gather(ensure(), ensure())
    assert one.id == other.id


async def test_lookups_are_cached_including_absence(database: Database, tenant: Tenant, catalog: Catalog) -> None:
    assert await catalog.current_type(tenant.id, "order.shipped") is None
    await put(database, tenant)
    with statements(database) as seen:
        assert await catalog.current_type(tenant.id, "order.shipped") is None
    assert seen == []
    catalog.flush()
    assert await catalog.current_type(tenant.id, "order.shipped") is not None


async def test_callers_that_miss_together_share_one_query(database: Database, tenant: Tenant, catalog: Catalog) -> None:
    await put(database, tenant)
    with statements(database) as seen:
        found = await asyncio.gather(*(catalog.current_type(tenant.id, "order.shipped") for _ in range(20)))
    assert len(seen) == 1
    assert all(one is found[0] for one in found)


async def test_unknown_keys_take_few_connections(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    under_way, most, find = 0, 0, api_keys.find_by_hash

    async def counted(*given: Any) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            return await find(*given)
        finally:
            under_way -= 1

    monkeypatch.setattr(api_keys, "find_by_hash", counted)
    found = await asyncio.gather(*(catalog.key(hash_secret(f"unknown {number}")) for number in range(40)))
    assert found == [None] * 40
    assert most == MAX_KEY_LOOKUPS


async def test_a_canceled_caller_does_not_cancel_the_lookup_of_others(
    database: Database, tenant: Tenant, catalog: Catalog
) -> None:
    await put(database, tenant)
    canceled_read = asyncio.ensure_future(catalog.current_type(tenant.id, "order.shipped"))
    waiting_read = asyncio.ensure_future(catalog.current_type(tenant.id, "order.shipped"))
    await asyncio.wait({canceled_read}, timeout=0)
    canceled_read.cancel()
    assert await waiting_read is not None


async def test_a_lookup_from_before_a_flush_is_not_cached(database: Database, tenant: Tenant, catalog: Catalog) -> None:
    asked = asyncio.ensure_future(catalog.current_type(tenant.id, "order.shipped"))
    await asyncio.wait({asked}, timeout=0)
    catalog.flush()
    await asked
    await put(database, tenant)
    assert await catalog.current_type(tenant.id, "order.shipped") is not None


async def test_an_error_is_not_kept(database: Database, tenant: Tenant, catalog: Catalog) -> None:
    away = Catalog(Database("postgresql+asyncpg://nouser@127.0.0.1:1/none"))
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            await away.key("x")


async def test_the_current_type_is_the_newest_that_is_not_retired(
    database: Database, tenant: Tenant, catalog: Catalog
) -> None:
    first = await put(database, tenant)
    second = await put(database, tenant, priority=1)
    current = await catalog.current_type(tenant.id, "order.shipped")
    assert current is not None
    assert (current.id, current.priority, second.version) == (second.id, 1, 2)
    async with database.transaction() as session:
        assert await notification_types.retire(session, tenant.id, "order.shipped")
    catalog.flush()
    assert await catalog.current_type(tenant.id, "order.shipped") is None
    assert (await catalog.type_by_id(tenant.id, second.id)).priority == 1
    assert (await catalog.type_by_id(tenant.id, first.id)).priority == 3


async def test_a_type_of_another_tenant_is_not_found(database: Database, tenant: Tenant, catalog: Catalog) -> None:
    row = await put(database, tenant)
    async with database.transaction() as session:
        other = await ensure_tenant(session, uuid4().hex, "Other")
    assert await catalog.current_type(other.id, "order.shipped") is None
    with pytest.raises(LookupError):
        await catalog.type_by_id(other.id, row.id)


async def test_the_first_published_language_of_the_chain_is_taken(
    database: Database, tenant: Tenant, catalog: Catalog
) -> None:
    await publish(database, tenant, "en", "Shipped")
    await publish(database, tenant, "fr", "Expédié")
    french = await catalog.published(tenant.id, "shipped", Channel.SMS, ["fr-BE", "fr", "en"])
    english = await catalog.published(tenant.id, "shipped", Channel.SMS, ["de", "en"])
    assert french is not None
    assert english is not None
    assert (french.language, french.body_template, english.language) == ("fr", "Expédié", "en")
    assert await catalog.published(tenant.id, "shipped", Channel.SMS, ["de"]) is None
    assert await catalog.published(tenant.id, "shipped", Channel.EMAIL, ["en"]) is None


async def test_the_version_published_at_a_moment_stays_for_that_moment(
    database: Database, tenant: Tenant, catalog: Catalog
) -> None:
    before = datetime.now(UTC)
    await publish(database, tenant, "en", "one")
    between = datetime.now(UTC)
    await publish(database, tenant, "en", "two")
    found = [
        await catalog.published(tenant.id, "shipped", Channel.SMS, ["en"], as_of) for as_of in (before, between, None)
    ]
    assert [one and (one.version, one.body_template) for one in found] == [None, (1, "one"), (2, "two")]


async def test_a_change_is_announced_when_it_is_committed(database: Database) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    connection = await database.dedicated()
    await connection.add_listener(FLUSH_CHANNEL, lambda *_: heard.put_nowait("flush"))
    async with database.transaction() as session:
        await notify(session, FLUSH_CHANNEL)
    assert await asyncio.wait_for(heard.get(), 60) == "flush"
    await connection.close()


def test_secrets_are_long_and_all_different() -> None:
    secrets = {api_keys.generate_secret("dev") for _ in range(100)}
    assert len(secrets) == 100
    assert all(len(secret.removeprefix("tk_dev_")) >= 32 for secret in secrets)
