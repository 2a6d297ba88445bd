"""Test how keys of the installation's own tenant manage tenants, and what a suspension stops."""

from typing import Any
from uuid import uuid4

import pytest
from httpx2 import AsyncClient

from domain.json_types import Json
from tests.api.responses import validation_errors
from tests.installation_keys import INSTALLATION

pytestmark = pytest.mark.postgres


async def made(operator: AsyncClient, **asked: Any) -> Json:
    response = await operator.post("/tenants", json={"key": f"t-{uuid4()}", **asked})
    assert response.status_code == 201, response.text
    tenant: Json = response.json()
    assert response.headers["location"] == f"/api/v1/tenants/{tenant['key']}"
    return tenant


async def key_of(operator: AsyncClient, tenant: str, *scopes: str) -> dict[str, str]:
    """Return headers with a new key of this tenant."""
    response = await operator.post(f"/tenants/{tenant}/keys", json={"name": "first", "scopes": scopes})
    assert (response.status_code, response.headers["cache-control"]) == (201, "no-store")
    return {"Authorization": f"Bearer {response.json()['key']}"}


async def test_a_new_tenant_is_listed_and_its_first_key_works(operator: AsyncClient) -> None:
    tenant = await made(operator, name="Acme Corporation")
    assert (tenant["name"], tenant["installation"], tenant["suspended_at"]) == ("Acme Corporation", False, None)
    assert (await operator.get(f"/tenants/{tenant['key']}")).json() == tenant
    assert (await operator.post("/tenants", json={"key": tenant["key"]})).status_code == 409
    headers = await key_of(operator, tenant["key"], "read", "manage")
    shown = (await operator.get("/keys", headers=headers)).json()["items"]
    assert [item["name"] for item in shown] == ["first"]


async def test_tenants_are_listed_by_key_page_by_page(operator: AsyncClient) -> None:
    keys = {(await made(operator))["key"] for _ in range(3)}
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = (await operator.get("/tenants", params={"limit": 100} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [item["key"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert keys <= set(seen)
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("key", ["", "a b", "-x", "a" * 129, 7])
async def test_a_tenant_has_a_key_that_paths_can_carry(operator: AsyncClient, key: Any) -> None:
    assert set(validation_errors(await operator.post("/tenants", json={"key": key}))) == {"/key"}


async def test_operate_is_refused_for_other_tenants(operator: AsyncClient) -> None:
    tenant = await made(operator)
    body = {"name": "n", "scopes": ["read", "operate"]}
    assert set(validation_errors(await operator.post(f"/tenants/{tenant['key']}/keys", json=body))) == {"/scopes"}
    assert (await operator.post(f"/tenants/{INSTALLATION}/keys", json=body)).status_code == 201


async def test_a_suspended_tenant_is_refused_until_it_is_resumed(operator: AsyncClient) -> None:
    tenant = await made(operator)
    headers = await key_of(operator, tenant["key"], "read")
    assert (await operator.get("/notification-types", headers=headers)).status_code == 200
    path = f"/tenants/{tenant['key']}"
    for _ in range(2):
        suspended = (await operator.post(f"{path}/suspend", json={"reason": "unpaid"})).json()
    assert (suspended["suspended_at"] is not None, suspended["suspension_reason"]) == (True, "unpaid")
    response = await operator.get("/notification-types", headers=headers)
    problem = response.json()
    assert (response.status_code, problem["type"]) == (403, "urn:tocsin:problem:tenant-suspended")
    assert "queued" in problem["detail"]
    for _ in range(2):
        assert (await operator.post(f"{path}/resume")).json() == tenant
    assert (await operator.get("/notification-types", headers=headers)).status_code == 200


async def test_the_email_domains_of_a_tenant_are_set_whole_and_audited(operator: AsyncClient) -> None:
    tenant = await made(operator)
    path = f"/tenants/{tenant['key']}/email-domains"
    response = await operator.put(path, json={"email_domains": ["Acme.example", "müller.example", "acme.example"]})
    assert response.json() == tenant | {"email_domains": ["acme.example", "xn--mller-kva.example"]}
    assert (await operator.put(path, json={"email_domains": []})).json() == tenant
    refused = await operator.put(path, json={"email_domains": ["acme.example", "a@b"]})
    assert set(validation_errors(refused)) == {"/email_domains/1"}
    entries = (await operator.get("/audit", params={"tenant": tenant["key"]})).json()["items"]
    assert [entry["action"] for entry in entries][:2] == ["tenant.email_domains_set"] * 2


async def test_the_installations_own_tenant_cannot_be_suspended(operator: AsyncClient) -> None:
    assert (await operator.post(f"/tenants/{INSTALLATION}/suspend")).status_code == 409


async def test_an_unknown_tenant_is_not_found(operator: AsyncClient) -> None:
    for method, tail, body in (
        ("GET", "", None),
        ("POST", "/suspend", None),
        ("POST", "/resume", None),
        ("PUT", "/email-domains", {"email_domains": []}),
        ("POST", "/keys", {"name": "n", "scopes": ["read"]}),
    ):
        response = await operator.request(method, f"/tenants/unknown{tail}", json=body)
        assert response.status_code == 404, tail
