"""Test that suppressions are added, shown, found and lifted, isolated between tenants."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx2 import Response

from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant

pytestmark = pytest.mark.postgres
ADDRESS = "Ada@example.com"


async def post(api_tenant: ApiTenant, **body: Any) -> Response:
    return await api_tenant.http.post("/suppressions", json={"channel": "email", "address": ADDRESS, **body})


async def found(api_tenant: ApiTenant, **query: Any) -> list[str]:
    response = await api_tenant.http.get("/suppressions", params=query)
    assert response.status_code == 200, response.text
    return [item["id"] for item in response.json()["items"]]


async def test_an_added_suppression_is_shown_unchanged(api_tenant: ApiTenant) -> None:
    made = await post(api_tenant)
    assert made.status_code == 201
    shown = made.json()
    assert set(shown) == {
        *("id", "channel", "address", "reason", "source", "notification_id", "created_at", "expires_at", "lifted_at")
    }
    stored = {name: shown[name] for name in ("channel", "address", "reason", "source", "notification_id", "expires_at")}
    assert stored == {
        "channel": "email",
        "address": ADDRESS,
        "reason": "manual",
        "source": "api",
        "notification_id": None,
        "expires_at": None,
    }
    assert (await api_tenant.http.get(f"/suppressions/{shown['id']}")).json() == shown
    assert made.headers["location"] == f"/api/v1/suppressions/{shown['id']}"
    assert (await api_tenant.http.get("/suppressions")).json() == {"items": [shown], "next_cursor": None}


async def test_a_suppression_lasts_as_long_as_requested(api_tenant: ApiTenant) -> None:
    made = (await post(api_tenant, reason="complained", expires_in="90d")).json()
    lasts = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert made["reason"] == "complained"
    assert timedelta(days=89, hours=23) < lasts <= timedelta(days=90)


async def test_a_weaker_suppression_changes_nothing_and_a_stronger_one_replaces_it(api_tenant: ApiTenant) -> None:
    first = (await post(api_tenant, expires_in="1d")).json()
    weaker = await post(api_tenant, address="ada@EXAMPLE.com", expires_in="1h")
    assert (weaker.status_code, weaker.json()) == (200, first)
    stronger = await post(api_tenant)
    assert (stronger.status_code, stronger.json()) == (201, {**first, "expires_at": None})


async def test_a_lifted_suppression_is_not_listed_and_can_be_added_again(api_tenant: ApiTenant) -> None:
    made = (await post(api_tenant)).json()
    assert (await api_tenant.http.delete(f"/suppressions/{made['id']}")).status_code == 204
    assert (await found(api_tenant), await found(api_tenant, ended="true")) == ([], [made["id"]])
    assert (await api_tenant.http.get(f"/suppressions/{made['id']}")).json()["lifted_at"] is not None
    assert (await api_tenant.http.delete(f"/suppressions/{made['id']}")).status_code == 404
    again = await post(api_tenant)
    assert (again.status_code, await found(api_tenant)) == (201, [again.json()["id"]])


async def test_the_list_is_filtered_and_goes_page_by_page(api_tenant: ApiTenant) -> None:
    first = (await post(api_tenant, address="a@example.com")).json()["id"]
    second = (await post(api_tenant, address="b@example.com", reason="bounced")).json()["id"]
    third = (await post(api_tenant, channel="sms", address="+4917012345678", reason="opted_out")).json()["id"]
    assert await found(api_tenant) == [third, second, first]
    assert await found(api_tenant, channel="sms") == await found(api_tenant, reason="opted_out") == [third]
    assert await found(api_tenant, address="B@example.com") == [second]
    assert await found(api_tenant, address="+4917012345678") == [third]
    assert (
        await found(api_tenant, address="unknown@example.com")
        == await found(api_tenant, channel="sms", reason="bounced")
        == []
    )
    page = (await api_tenant.http.get("/suppressions", params={"limit": 2})).json()
    rest = (await api_tenant.http.get("/suppressions", params={"limit": 2, "cursor": page["next_cursor"]})).json()
    assert [item["id"] for item in page["items"] + rest["items"]] == [third, second, first]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"address": "canary"}, "/address"),
        ({"address": ""}, "/address"),
        ({"address": None}, "/address"),
        ({"channel": "sms", "address": "canary@example.com"}, "/address"),
        ({"channel": "sms", "address": "017012345678"}, "/address"),
        ({"channel": "push", "address": "canary"}, "/channel"),
        ({"channel": "webhook", "address": "https://canary.example.com"}, "/channel"),
        ({"reason": "canary"}, "/reason"),
        ({"expires_in": "0s"}, "/expires_in"),
        ({"expires_in": "canary"}, "/expires_in"),
        ({"canary": 1}, "/canary"),
    ],
)
async def test_a_bad_one_is_named_and_never_repeated(api_tenant: ApiTenant, body: dict[str, Any], pointer: str) -> None:
    response = await post(api_tenant, **body)
    assert list(validation_errors(response)) == [pointer]
    assert "canary" not in response.text.replace("/canary", "")
    assert await found(api_tenant) == []


@pytest.mark.parametrize(
    "query", [{"channel": "canary"}, {"reason": "canary"}, {"address": "canary"}, {"address": " 4917012345678"}]
)
async def test_a_filter_that_means_nothing_is_named(api_tenant: ApiTenant, query: dict[str, str]) -> None:
    response = await api_tenant.http.get("/suppressions", params=query)
    assert list(validation_errors(response)) == list(query)
    assert "canary" not in response.text
