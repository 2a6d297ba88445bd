"""Test that event endpoints are stored, shown without their secret, changed and deleted."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from bootstrap import Container
from domain.event_webhooks import EVENT_TYPES
from storage import event_endpoints
from tests.api.event_endpoints import PATH, URL, made, messages
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant, open_in_process_tenant
from tests.production import production_settings

pytestmark = pytest.mark.postgres

BOTH = [
    ("GET", "", None),
    ("DELETE", "", None),
    ("GET", "/attempts", None),
    ("POST", "/rotate-secret", None),
    ("POST", "/test", None),
    ("POST", "/replay", {"since": "2026-01-01T00:00:00Z"}),
]


async def test_one_is_made_with_a_secret_that_is_shown_once(api_tenant: ApiTenant) -> None:
    response = await api_tenant.put(PATH, {"url": URL, "events": ["notification.failed"]})
    assert (response.status_code, response.headers["location"]) == (201, f"/api/v1{PATH}")
    assert response.headers["cache-control"] == "no-store"
    body = response.json()
    secret = body.pop("secret")
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert (await api_tenant.http.get(PATH)).json() == body
    assert (body["key"], body["url"], body["events"], body["enabled"]) == ("shop", URL, ["notification.failed"], True)
    again = await api_tenant.put(PATH, {"url": URL, "events": ["notification.failed"]})
    assert (again.status_code, "secret" in again.json()) == (200, False)
    listed = (await api_tenant.http.get("/event-endpoints")).text
    assert secret not in listed
    assert "secret" not in json.loads(listed)["items"][0]


async def test_an_endpoint_without_events_gets_all_events(api_tenant: ApiTenant) -> None:
    assert (await made(api_tenant))["events"] == ["*"]


async def test_a_put_replaces_every_field(api_tenant: ApiTenant) -> None:
    await made(api_tenant, events=["notification.failed"])
    response = (await api_tenant.put(PATH, {"url": URL + "/2", "events": ["*", "*"], "enabled": False})).json()
    assert (response["url"], response["events"], response["enabled"]) == (URL + "/2", ["*"], False)
    assert response["disabled_reason"] == "by_request"
    assert response["disabled_at"] is not None
    response = (await api_tenant.put(PATH, {"url": URL})).json()
    assert (response["enabled"], response["disabled_at"], response["disabled_reason"]) == (True, None, None)


async def test_lists_are_by_key_and_paged(api_tenant: ApiTenant) -> None:
    for key in ("c", "a", "b"):
        await made(api_tenant, key)
    first = (await api_tenant.http.get("/event-endpoints?limit=2")).json()
    second = (await api_tenant.http.get(f"/event-endpoints?limit=2&cursor={first['next_cursor']}")).json()
    assert [item["key"] for item in first["items"] + second["items"]] == ["a", "b", "c"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/url"),
        ({"url": "ftp://shop.example.com/"}, "/url"),
        ({"url": "https://ada:secret@shop.example.com/"}, "/url"),
        ({"url": "https://"}, "/url"),
        ({"url": URL, "events": []}, "/events"),
        ({"url": URL, "events": ["notification.pending"]}, "/events"),
        ({"url": URL, "events": ["notification.*"]}, "/events"),
        ({"url": URL, "events": "notification.failed"}, "/events"),
        ({"url": URL, "enabled": "yes"}, "/enabled"),
        ({"url": URL, "secret": "whsec_mine"}, "/secret"),
    ],
)
async def test_an_invalid_endpoint_is_refused_with_the_field(api_tenant: ApiTenant, body: Any, pointer: str) -> None:
    assert list(validation_errors(await api_tenant.put(PATH, body))) == [pointer]
    assert (await api_tenant.http.get(PATH)).status_code == 404


@pytest.mark.parametrize("event_type", EVENT_TYPES)
async def test_every_kind_can_be_subscribed_to(api_tenant: ApiTenant, event_type: str) -> None:
    assert (await made(api_tenant, events=[event_type]))["events"] == [event_type]


async def test_an_endpoint_outside_development_must_use_https(container: Container) -> None:
    async with open_in_process_tenant(container, settings=production_settings()) as api_tenant:
        assert validation_errors(await api_tenant.put(PATH, {"url": "http://shop.example.com/"})) == {
            "/url": "must be an https URL"
        }
        await made(api_tenant)


async def test_a_tenant_has_at_most_twenty_endpoints(api_tenant: ApiTenant) -> None:
    for number in range(20):
        await made(api_tenant, f"e{number}")
    assert (await api_tenant.put(PATH, {"url": URL})).status_code == 409
    assert (await api_tenant.put("/event-endpoints/e7", {"url": URL})).status_code == 200
    await api_tenant.http.delete("/event-endpoints/e7")
    await made(api_tenant)


async def test_a_deleted_endpoint_is_not_found_and_its_key_is_free(api_tenant: ApiTenant) -> None:
    first = await made(api_tenant)
    [message] = await messages(api_tenant, "failed")
    assert (await api_tenant.http.delete(PATH)).status_code == 204
    assert (await api_tenant.http.get(PATH)).status_code == 404
    assert (await api_tenant.http.delete(PATH)).status_code == 404
    second = await made(api_tenant)
    assert second["secret"] != first["secret"]
    assert (await api_tenant.http.get(f"{PATH}/attempts")).json()["items"] == []
    assert validation_errors(await api_tenant.http.post(f"{PATH}/replay", json={"message_id": str(message)})) == {
        "/message_id": "no such message was sent to this endpoint"
    }
    async with api_tenant.database.transaction() as session:
        kept = text("SELECT url, secret FROM event_endpoint WHERE tenant = :tenant AND deleted_at IS NOT NULL")
        assert [tuple(row) for row in await session.execute(kept, {"tenant": api_tenant.tenant})] == [("", "")]


async def test_a_rotation_returns_the_new_secret_and_the_overlap(api_tenant: ApiTenant) -> None:
    first = await made(api_tenant)
    response = await api_tenant.http.post(f"{PATH}/rotate-secret")
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    body = response.json()
    assert body["secret"] not in ("", first["secret"])
    left = datetime.fromisoformat(body["previous_secret_until"]) - datetime.now(UTC)
    assert timedelta(hours=23, minutes=59) < left <= timedelta(days=1)
    assert (await api_tenant.http.get(PATH)).json()["previous_secret_until"] == body["previous_secret_until"]


async def test_an_endpoint_without_readable_secrets_is_listed_repaired_and_deleted(api_tenant: ApiTenant) -> None:
    await made(api_tenant)
    lost = "replace({0}, 'enc:', 'enc:lost-')"
    lose = f"UPDATE event_endpoint SET url = {lost.format('url')}, secret = {lost.format('secret')}"
    await api_tenant.query(f"{lose} WHERE tenant = :tenant")
    [listed] = (await api_tenant.http.get("/event-endpoints")).json()["items"]
    assert listed["url"] == ""
    assert (await api_tenant.http.post(f"{PATH}/rotate-secret")).status_code == 200
    assert (await api_tenant.put(PATH, {"url": URL})).json()["url"] == URL
    async with api_tenant.database.transaction() as session:
        row = await event_endpoints.find(session, api_tenant.tenant, "shop")
    assert row is not None
    assert (row.previous_secret, event_endpoints.decrypt_secret(api_tenant.database.encryption, row)[:6]) == (
        None,
        "whsec_",
    )
    assert (await api_tenant.http.delete(PATH)).status_code == 204


@pytest.mark.parametrize(("method", "path", "body"), BOTH)
async def test_an_unknown_key_is_not_found(api_tenant: ApiTenant, method: str, path: str, body: Any) -> None:
    assert (await api_tenant.http.request(method, PATH + path, json=body)).status_code == 404


async def test_openapi_describes_event_endpoints_with_examples(api_tenant: ApiTenant) -> None:
    document = (await api_tenant.http.get("http://localhost/openapi.json")).json()
    paths = [path for path in document["paths"] if "event-endpoints" in path]
    assert len(paths) == 6
    schemas = document["components"]["schemas"]
    assert schemas["EndpointBody"]["examples"][0]["url"].startswith("https://")
    assert len(schemas["ReplayBody"]["examples"]) == 2
    assert "409" in document["paths"]["/api/v1/event-endpoints/{key}/replay"]["post"]["responses"]
