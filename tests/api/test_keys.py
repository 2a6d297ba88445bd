"""Test that keys are created, used, rotated and revoked, by which keys, and that every process refuses them within 5
seconds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest
from httpx2 import ASGITransport, AsyncClient, Response

from api.app import create_app
from api.key_uses import KeyUses
from bootstrap import Container, open_container
from domain.clock import now
from domain.json_types import Json
from storage.api_keys import hash_secret, upsert_key
from storage.catalog import CACHE_TTL
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant
from tests.apps import app_of
from tests.installation_keys import installation_key
from tests.polling import eventually
from tests.production import production_settings

pytestmark = pytest.mark.postgres

READER: Json = {"name": "reader", "scopes": ["read"]}


async def created(http: AsyncClient, **asked: Any) -> Json:
    response = await http.post("/keys", json=READER | asked)
    assert response.status_code == 201, response.text
    assert response.headers["cache-control"] == "no-store"
    body: Json = response.json()
    assert response.headers["location"] == f"/api/v1/keys/{body['id']}"
    return body


async def use(http: AsyncClient, key: str, path: str = "/notification-types") -> Response:
    return await http.get(path, headers={"Authorization": f"Bearer {key}"})


async def rotated(http: AsyncClient, id: str, **asked: Any) -> Json:
    response = await http.post(f"/keys/{id}/rotate", json=asked)
    assert response.status_code == 201, response.text
    body: Json = response.json()
    return body


async def statuses(http: AsyncClient, *keys: str) -> list[int]:
    return [(await use(http, key)).status_code for key in keys]


async def set_column(api_tenant: ApiTenant, id: str, column: str, at: datetime) -> None:
    await api_tenant.query(f"UPDATE api_key SET {column} = :at WHERE id = :id", at=at, id=id)


def moment(shown: str) -> datetime:
    return datetime.fromisoformat(shown)


async def test_a_key_is_shown_once_and_only_its_hash_is_stored(api_tenant: ApiTenant) -> None:
    made = await created(api_tenant.http, expires_in="90d")
    assert made["key"].startswith(f"{made['prefix']}")
    assert (made["status"], made["scopes"], made["last_used_at"], made["replaces"]) == ("active", ["read"], None, None)
    assert moment(made["expires_at"]) - moment(made["created_at"]) == timedelta(days=90)
    listed = (await api_tenant.http.get("/keys")).json()["items"]
    alone = (await api_tenant.http.get(f"/keys/{made['id']}")).json()
    assert listed[0] == alone == {name: value for name, value in made.items() if name != "key"}
    [row] = await api_tenant.query("SELECT * FROM api_key WHERE id = :id", id=made["id"])
    assert row["hash"] == hash_secret(made["key"])
    assert made["key"] not in str(dict(row))
    assert await statuses(api_tenant.http, made["key"]) == [200]


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["read", "read"]}, "/scopes"),
        ({"scopes": ["everything"]}, "/scopes/0"),
        ({"scopes": ["read", "operate"]}, "/scopes/1"),
        ({"name": ""}, "/name"),
        ({"expires_in": "soon"}, "/expires_in"),
    ],
)
async def test_a_key_that_cannot_be_is_refused(api_tenant: ApiTenant, asked: Json, pointer: str) -> None:
    assert set(validation_errors(await api_tenant.http.post("/keys", json=READER | asked))) == {pointer}


async def test_a_key_grants_only_scopes_that_it_has(api_tenant: ApiTenant) -> None:
    manager = await created(api_tenant.http, scopes=["manage"])
    headers = {"Authorization": f"Bearer {manager['key']}"}
    refused = await api_tenant.http.post("/keys", json=READER | {"scopes": ["manage", "send"]}, headers=headers)
    assert set(validation_errors(refused)) == {"/scopes/1"}
    strong = (await api_tenant.http.get("/keys")).json()["items"][-1]
    response = await api_tenant.http.post(f"/keys/{strong['id']}/rotate", headers=headers)
    assert (response.status_code, "scope" in response.json()["detail"]) == (403, True)
    assert (await api_tenant.http.delete(f"/keys/{manager['id']}", headers=headers)).status_code == 204, (
        "it may end itself"
    )
    assert await statuses(api_tenant.http, manager["key"]) == [401]


async def test_a_revoked_key_is_refused_at_once_and_listed_as_ended(api_tenant: ApiTenant) -> None:
    made = await created(api_tenant.http)
    assert await statuses(api_tenant.http, made["key"]) == [200]
    for _ in range(2):
        assert (await api_tenant.http.delete(f"/keys/{made['id']}")).status_code == 204
    response = await use(api_tenant.http, made["key"])
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert made["id"] not in [item["id"] for item in (await api_tenant.http.get("/keys")).json()["items"]]
    [ended] = (await api_tenant.http.get("/keys", params={"ended": "true"})).json()["items"]
    assert (ended["id"], ended["status"]) == (made["id"], "revoked")
    assert (await api_tenant.http.post(f"/keys/{made['id']}/rotate")).status_code == 409


async def test_a_key_ends_when_it_expires_also_while_it_is_cached(api_tenant: ApiTenant, container: Container) -> None:
    made = await created(api_tenant.http, expires_in="1h")
    assert await statuses(api_tenant.http, made["key"]) == [200]
    await set_column(api_tenant, made["id"], "expires_at", now() + timedelta(milliseconds=300))
    container.catalog.flush()
    await eventually(lambda: use(api_tenant.http, made["key"]), lambda response: response.status_code == 401)
    assert (await use(api_tenant.http, made["key"])).json()["detail"] == "The API key has expired."
    assert (await api_tenant.http.get(f"/keys/{made['id']}")).json()["status"] == "expired"


async def test_both_keys_are_valid_while_a_rotation_overlaps(api_tenant: ApiTenant, container: Container) -> None:
    old = await created(api_tenant.http, scopes=["read", "send"])
    new = await rotated(api_tenant.http, old["id"], overlap="1h")
    assert (new["name"], new["scopes"], new["replaces"]) == ("reader", ["read", "send"], old["id"])
    assert new["expires_at"] is None
    assert timedelta(minutes=59) < moment(new["previous_expires_at"]) - now() <= timedelta(hours=1)
    assert await statuses(api_tenant.http, old["key"], new["key"]) == [200, 200]
    await set_column(api_tenant, old["id"], "expires_at", now())
    container.catalog.flush()
    assert await statuses(api_tenant.http, old["key"], new["key"]) == [401, 200]


async def test_a_rotation_without_overlap_ends_the_key_at_once(api_tenant: ApiTenant) -> None:
    old = await created(api_tenant.http, expires_in="10d")
    assert await statuses(api_tenant.http, old["key"]) == [200]
    new = await rotated(api_tenant.http, old["id"], overlap=None)
    assert await statuses(api_tenant.http, old["key"], new["key"]) == [401, 200]
    assert moment(new["expires_at"]) - moment(new["created_at"]) == timedelta(days=10), "it lives as long again"


async def test_a_rotation_never_prolongs_a_key_and_is_done_once(api_tenant: ApiTenant) -> None:
    old = await created(api_tenant.http, expires_in="1h")
    new = await rotated(api_tenant.http, old["id"], overlap="30d", expires_in="2d")
    assert new["previous_expires_at"] == old["expires_at"]
    again = await api_tenant.http.post(f"/keys/{old['id']}/rotate")
    assert (again.status_code, "successor" in again.json()["detail"]) == (409, True)
    assert (await api_tenant.http.delete(f"/keys/{new['id']}")).status_code == 204
    assert (await rotated(api_tenant.http, old["id"]))["replaces"] == old["id"], "the successor was lost and revoked"
    assert set(validation_errors(await api_tenant.http.post(f"/keys/{new['id']}/rotate", json={"overlap": "31d"}))) == {
        "/overlap"
    }


async def test_operate_works_in_the_installations_own_tenant_only(api_tenant: ApiTenant, container: Container) -> None:
    async with container.database.transaction() as session:
        _, key_of_tenant = await upsert_key(session, api_tenant.tenant, "other", ["operate", "manage"])
    assert (await use(api_tenant.http, key_of_tenant, "/tenants")).status_code == 403
    operator = await installation_key(container.database)
    assert (await use(api_tenant.http, operator, "/tenants")).status_code == 200


async def test_development_keys_are_refused_in_production(api_tenant: ApiTenant, container: Container) -> None:
    made = await created(api_tenant.http)
    assert made["key"].startswith("tk_dev_")
    app = create_app(replace(container, settings=production_settings()))
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test/api/v1") as http:
        response = await use(http, made["key"])
        assert (response.status_code, "development" in response.json()["detail"]) == (401, True)
        own = await http.get("/keys", headers={"Authorization": api_tenant.http.headers["Authorization"]})
        assert own.status_code == 200, "made elsewhere"


@asynccontextmanager
async def second_process(container: Container) -> AsyncIterator[AsyncClient]:
    """Open a second API on the same database, with its own caches and listener."""
    async with open_container(container.settings) as other:
        listening = asyncio.create_task(other.listener.run())
        app = create_app(other)
        async with AsyncClient(transport=ASGITransport(app), base_url="http://other/api/v1") as http:
            yield http
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


async def test_a_revocation_reaches_a_second_process(api_tenant: ApiTenant, container: Container) -> None:
    assert CACHE_TTL <= 5, "the age of what is cached, should a notification be lost"
    made, kept = await created(api_tenant.http), await created(api_tenant.http)
    async with second_process(container) as http:
        assert await statuses(http, made["key"], kept["key"]) == [200, 200]
        assert (await api_tenant.http.delete(f"/keys/{made['id']}")).status_code == 204
        await eventually(lambda: use(http, made["key"]), lambda response: response.status_code == 401)
        assert await statuses(http, kept["key"]) == [200]


async def test_the_last_use_is_written_at_most_once_a_minute(api_tenant: ApiTenant, container: Container) -> None:
    made = await created(api_tenant.http)
    uses: KeyUses = app_of(container).state.key_uses
    await uses.write()
    shown = await last_used(api_tenant, made["id"])
    assert shown is None, "creating is not using"
    await use(api_tenant.http, made["key"])
    assert await last_used(api_tenant, made["id"]) is None, "no request writes it"
    await uses.write()
    first = await last_used(api_tenant, made["id"])
    assert first is not None
    await use(api_tenant.http, made["key"])
    await uses.write()
    assert await last_used(api_tenant, made["id"]) == first
    await set_column(api_tenant, made["id"], "last_used_at", now() - timedelta(seconds=61))
    await use(api_tenant.http, made["key"])
    await uses.write()
    assert (await last_used(api_tenant, made["id"]) or first) > first


async def last_used(api_tenant: ApiTenant, id: str) -> datetime | None:
    shown = (await api_tenant.http.get(f"/keys/{id}")).json()["last_used_at"]
    return moment(shown) if shown else None


async def test_a_tenant_has_a_largest_number_of_keys(api_tenant: ApiTenant) -> None:
    async with api_tenant.database.transaction() as session:
        for number in range(99):
            await upsert_key(session, api_tenant.tenant, f"key {number}", ["read"])
    response: httpx2.Response = await api_tenant.http.post("/keys", json=READER)
    assert (response.status_code, "100" in response.json()["detail"]) == (409, True)
    page = (await api_tenant.http.get("/keys", params={"limit": 60})).json()
    rest = (await api_tenant.http.get("/keys", params={"limit": 60, "cursor": page["next_cursor"]})).json()
    assert len({item["id"] for item in (*page["items"], *rest["items"])}) == 100
