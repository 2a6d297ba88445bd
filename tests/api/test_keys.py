"""Keys: created, used, rotated and revoked, by whom, and refused in every process within 5 seconds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest
from httpx2 import ASGITransport, AsyncClient, Response
from sqlalchemy import text

from api.app import create_app
from api.key_uses import KeyUses
from bootstrap import Parts, open_parts
from domain.clock import now
from storage.api_keys import create_key, hash_of
from storage.catalog import SECONDS
from tests.api.shops import Shop, faults, production
from tests.apps import app_of
from tests.installation import installation_key
from tests.polling import eventually

pytestmark = pytest.mark.postgres

Json = dict[str, Any]
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


async def set_column(shop: Shop, id: str, column: str, at: datetime) -> None:
    async with shop.database.transaction() as session:
        await session.execute(text(f"UPDATE api_key SET {column} = :at WHERE id = :id"), {"at": at, "id": id})


def moment(shown: str) -> datetime:
    return datetime.fromisoformat(shown)


async def test_a_key_is_shown_once_and_only_its_hash_is_stored(shop: Shop) -> None:
    made = await created(shop.http, expires_in="90d")
    assert made["key"].startswith(f"{made['prefix']}")
    assert (made["status"], made["scopes"], made["last_used_at"], made["replaces"]) == ("active", ["read"], None, None)
    assert moment(made["expires_at"]) - moment(made["created_at"]) == timedelta(days=90)
    listed = (await shop.http.get("/keys")).json()["items"]
    alone = (await shop.http.get(f"/keys/{made['id']}")).json()
    assert listed[0] == alone == {name: value for name, value in made.items() if name != "key"}
    async with shop.database.transaction() as session:
        row = (await session.execute(text("SELECT * FROM api_key WHERE id = :id"), {"id": made["id"]})).mappings().one()
    assert row["hash"] == hash_of(made["key"])
    assert made["key"] not in str(dict(row))
    assert await statuses(shop.http, made["key"]) == [200]


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
async def test_a_key_that_cannot_be_is_refused(shop: Shop, asked: Json, pointer: str) -> None:
    assert set(faults(await shop.http.post("/keys", json=READER | asked))) == {pointer}


async def test_a_key_grants_only_scopes_that_it_has(shop: Shop) -> None:
    manager = await created(shop.http, scopes=["manage"])
    headers = {"Authorization": f"Bearer {manager['key']}"}
    refused = await shop.http.post("/keys", json=READER | {"scopes": ["manage", "send"]}, headers=headers)
    assert set(faults(refused)) == {"/scopes/1"}
    strong = (await shop.http.get("/keys")).json()["items"][-1]
    response = await shop.http.post(f"/keys/{strong['id']}/rotate", headers=headers)
    assert (response.status_code, "scope" in response.json()["detail"]) == (403, True)
    assert (await shop.http.delete(f"/keys/{manager['id']}", headers=headers)).status_code == 204, "it may end itself"
    assert await statuses(shop.http, manager["key"]) == [401]


async def test_a_revoked_key_is_refused_at_once_and_listed_as_ended(shop: Shop) -> None:
    made = await created(shop.http)
    assert await statuses(shop.http, made["key"]) == [200]
    for _ in range(2):
        assert (await shop.http.delete(f"/keys/{made['id']}")).status_code == 204
    response = await use(shop.http, made["key"])
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert made["id"] not in [item["id"] for item in (await shop.http.get("/keys")).json()["items"]]
    [ended] = (await shop.http.get("/keys", params={"ended": "true"})).json()["items"]
    assert (ended["id"], ended["status"]) == (made["id"], "revoked")
    assert (await shop.http.post(f"/keys/{made['id']}/rotate")).status_code == 409


async def test_a_key_ends_when_it_expires_also_while_it_is_cached(shop: Shop, parts: Parts) -> None:
    made = await created(shop.http, expires_in="1h")
    assert await statuses(shop.http, made["key"]) == [200]
    await set_column(shop, made["id"], "expires_at", now() + timedelta(milliseconds=300))
    parts.catalog.flush()
    await eventually(lambda: use(shop.http, made["key"]), lambda response: response.status_code == 401)
    assert (await use(shop.http, made["key"])).json()["detail"] == "The API key has expired."
    assert (await shop.http.get(f"/keys/{made['id']}")).json()["status"] == "expired"


async def test_both_keys_are_valid_while_a_rotation_overlaps(shop: Shop, parts: Parts) -> None:
    old = await created(shop.http, scopes=["read", "send"])
    new = await rotated(shop.http, old["id"], overlap="1h")
    assert (new["name"], new["scopes"], new["replaces"]) == ("reader", ["read", "send"], old["id"])
    assert new["expires_at"] is None
    assert timedelta(minutes=59) < moment(new["previous_expires_at"]) - now() <= timedelta(hours=1)
    assert await statuses(shop.http, old["key"], new["key"]) == [200, 200]
    await set_column(shop, old["id"], "expires_at", now())
    parts.catalog.flush()
    assert await statuses(shop.http, old["key"], new["key"]) == [401, 200]


async def test_a_rotation_without_overlap_ends_the_key_at_once(shop: Shop) -> None:
    old = await created(shop.http, expires_in="10d")
    assert await statuses(shop.http, old["key"]) == [200]
    new = await rotated(shop.http, old["id"], overlap=None)
    assert await statuses(shop.http, old["key"], new["key"]) == [401, 200]
    assert moment(new["expires_at"]) - moment(new["created_at"]) == timedelta(days=10), "it lives as long again"


async def test_a_rotation_never_prolongs_a_key_and_is_done_once(shop: Shop) -> None:
    old = await created(shop.http, expires_in="1h")
    new = await rotated(shop.http, old["id"], overlap="30d", expires_in="2d")
    assert new["previous_expires_at"] == old["expires_at"]
    again = await shop.http.post(f"/keys/{old['id']}/rotate")
    assert (again.status_code, "successor" in again.json()["detail"]) == (409, True)
    assert (await shop.http.delete(f"/keys/{new['id']}")).status_code == 204
    assert (await rotated(shop.http, old["id"]))["replaces"] == old["id"], "the successor was lost and revoked"
    assert set(faults(await shop.http.post(f"/keys/{new['id']}/rotate", json={"overlap": "31d"}))) == {"/overlap"}


async def test_operate_works_in_the_installations_own_tenant_only(shop: Shop, parts: Parts) -> None:
    async with parts.database.transaction() as session:
        _, stray = await create_key(session, shop.tenant, "stray", ["operate", "manage"])
    assert (await use(shop.http, stray, "/tenants")).status_code == 403
    operator = await installation_key(parts.database)
    assert (await use(shop.http, operator, "/tenants")).status_code == 200


async def test_keys_of_development_are_refused_elsewhere(shop: Shop, parts: Parts) -> None:
    made = await created(shop.http)
    assert made["key"].startswith("tk_dev_")
    app = create_app(replace(parts, settings=production()))
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test/api/v1") as http:
        response = await use(http, made["key"])
        assert (response.status_code, "development" in response.json()["detail"]) == (401, True)
        own = await http.get("/keys", headers={"Authorization": shop.http.headers["Authorization"]})
        assert own.status_code == 200, "made elsewhere"


@asynccontextmanager
async def second_process(parts: Parts) -> AsyncIterator[AsyncClient]:
    """Another API on the same database, with caches and a listener of its own."""
    async with open_parts(parts.settings) as other:
        listening = asyncio.create_task(other.listener.run())
        app = create_app(other)
        async with AsyncClient(transport=ASGITransport(app), base_url="http://other/api/v1") as http:
            yield http
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


async def test_a_revocation_reaches_a_second_process(shop: Shop, parts: Parts) -> None:
    assert SECONDS <= 5, "the age of what is cached, should a notification be lost"
    made, kept = await created(shop.http), await created(shop.http)
    async with second_process(parts) as http:
        assert await statuses(http, made["key"], kept["key"]) == [200, 200]
        assert (await shop.http.delete(f"/keys/{made['id']}")).status_code == 204
        await eventually(lambda: use(http, made["key"]), lambda response: response.status_code == 401)
        assert await statuses(http, kept["key"]) == [200]


async def test_the_last_use_is_written_at_most_once_a_minute(shop: Shop, parts: Parts) -> None:
    made = await created(shop.http)
    uses: KeyUses = app_of(parts).state.key_uses
    await uses.write()
    shown = await last_used(shop, made["id"])
    assert shown is None, "creating is not using"
    await use(shop.http, made["key"])
    assert await last_used(shop, made["id"]) is None, "no request writes it"
    await uses.write()
    first = await last_used(shop, made["id"])
    assert first is not None
    await use(shop.http, made["key"])
    await uses.write()
    assert await last_used(shop, made["id"]) == first
    await set_column(shop, made["id"], "last_used_at", now() - timedelta(seconds=61))
    await use(shop.http, made["key"])
    await uses.write()
    assert (await last_used(shop, made["id"]) or first) > first


async def last_used(shop: Shop, id: str) -> datetime | None:
    shown = (await shop.http.get(f"/keys/{id}")).json()["last_used_at"]
    return moment(shown) if shown else None


async def test_a_tenant_has_a_largest_number_of_keys(shop: Shop) -> None:
    async with shop.database.transaction() as session:
        for number in range(99):
            await create_key(session, shop.tenant, f"key {number}", ["read"])
    response: httpx2.Response = await shop.http.post("/keys", json=READER)
    assert (response.status_code, "100" in response.json()["detail"]) == (409, True)
    page = (await shop.http.get("/keys", params={"limit": 60})).json()
    rest = (await shop.http.get("/keys", params={"limit": 60, "cursor": page["next_cursor"]})).json()
    assert len({item["id"] for item in (*page["items"], *rest["items"])}) == 100
