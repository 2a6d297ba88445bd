"""Test that event endpoints are stored, shown without their secret, tested and replayed."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from bootstrap import Container
from domain.event_webhooks import EVENT_TYPES
from models.columns import new_id
from models.event_webhooks import EventMessage
from storage import event_endpoints
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant, open_in_process_tenant
from tests.production import production_settings

pytestmark = pytest.mark.postgres

URL = "https://shop.example.com/hooks"
PATH = "/event-endpoints/shop"
START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
BOTH = [
    ("GET", "", None),
    ("DELETE", "", None),
    ("GET", "/attempts", None),
    ("POST", "/rotate-secret", None),
    ("POST", "/test", None),
    ("POST", "/replay", {"since": "2026-01-01T00:00:00Z"}),
]


async def messages(api_tenant: ApiTenant, *standings: str, key: str = "shop") -> list[UUID]:
    """Insert a message of each status, ten minutes apart from 9:00 on. Return their ids."""
    ids = []
    async with api_tenant.database.transaction() as session:
        row = await event_endpoints.find(session, api_tenant.tenant, key)
        assert row is not None
        for number, standing in enumerate(standings):
            at = START + timedelta(minutes=10 * number)
            message = EventMessage(
                id=uuid4(),
                tenant=api_tenant.tenant,
                endpoint_id=row.id,
                notification_id=new_id(),
                kind="notification.failed",
                occurred_at=at,
                body="{}",
                attempt_count=8,
                next_attempt_at=at + timedelta(days=9_999) if standing == "waiting" else None,
                delivered_at=at if standing == "delivered" else None,
                given_up_at=at if standing == "failed" else None,
                last_error="status_500" if standing == "failed" else None,
                attempts=[{"at": at.isoformat(), "status": 500, "ms": 12, "error": "status_500"}],
            )
            session.add(message)
            ids.append(message.id)
    return ids


async def waits(api_tenant: ApiTenant) -> list[tuple[UUID, float]]:
    """Return id and seconds until the attempt of each queued replay, in order."""
    statement = text("""
        SELECT id, extract(epoch FROM next_attempt_at - now())::float8 AS wait FROM event_message
         WHERE tenant = :tenant AND replayed_at IS NOT NULL AND attempt_count = 0 ORDER BY next_attempt_at
    """)
    async with api_tenant.database.transaction() as session:
        return [(row.id, row.wait) for row in await session.execute(statement, {"tenant": api_tenant.tenant})]


async def made(api_tenant: ApiTenant, key: str = "shop", **more: Any) -> dict[str, Any]:
    response = await api_tenant.put(f"/event-endpoints/{key}", {"url": URL, **more})
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


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


async def test_attempts_are_shown_newest_first_and_filtered_by_outcome(api_tenant: ApiTenant) -> None:
    await made(api_tenant)
    failed, delivered, waiting, failed_too = map(
        str, await messages(api_tenant, "failed", "delivered", "waiting", "failed")
    )
    items = (await api_tenant.http.get(f"{PATH}/attempts")).json()["items"]
    assert [item["id"] for item in items] == [failed_too, waiting, delivered, failed]
    assert [item["status"] for item in items] == ["failed", "waiting", "delivered", "failed"]
    assert items[0] | {"notification_id": None, "occurred_at": None} == {
        "id": failed_too,
        "type": "notification.failed",
        "notification_id": None,
        "status": "failed",
        "occurred_at": None,
        "attempt_count": 8,
        "next_attempt_at": None,
        "delivered_at": None,
        "replayed_at": None,
        "last_status": None,
        "last_error": "status_500",
        "attempts": [{"at": "2026-03-01T09:30:00Z", "status": 500, "ms": 12, "error": "status_500"}],
    }
    for status, expected in {"failed": [failed_too, failed], "waiting": [waiting], "delivered": [delivered]}.items():
        items = (await api_tenant.http.get(f"{PATH}/attempts?status={status}")).json()["items"]
        assert [item["id"] for item in items] == expected
    assert (await api_tenant.http.get(f"{PATH}/attempts?status=lost")).status_code == 422


async def test_attempts_are_paged(api_tenant: ApiTenant) -> None:
    await made(api_tenant)
    ids = [str(id) for id in await messages(api_tenant, *["failed"] * 5)]
    seen: list[str] = []
    more: dict[str, str] = {}
    while len(seen) < 5:
        params = {"limit": "2", "status": "failed", **more}
        response = (await api_tenant.http.get(f"{PATH}/attempts", params=params)).json()
        seen += [item["id"] for item in response["items"]]
        more = {"cursor": response["next_cursor"]}
    assert seen == ids[::-1]
    assert response["next_cursor"] is None


async def test_a_test_is_a_message_like_any(api_tenant: ApiTenant) -> None:
    await made(api_tenant, events=["notification.failed"])
    response = await api_tenant.http.post(f"{PATH}/test")
    assert response.status_code == 202
    [item] = (await api_tenant.http.get(f"{PATH}/attempts")).json()["items"]
    assert item["id"] == response.json()["message_id"]
    assert (item["type"], item["status"], item["notification_id"]) == ("endpoint.test", "waiting", None)


@pytest.mark.parametrize(("path", "body"), [("/test", None), ("/replay", {"since": "2026-01-01T00:00:00Z"})])
async def test_a_disabled_one_is_neither_tested_nor_replayed(api_tenant: ApiTenant, path: str, body: Any) -> None:
    await made(api_tenant, enabled=False)
    response = await api_tenant.http.post(PATH + path, json=body)
    assert (response.status_code, response.json()["detail"]) == (409, "The endpoint is disabled; enable it first.")
    assert (await api_tenant.http.get(f"{PATH}/attempts")).json()["items"] == []


@pytest.mark.parametrize("standing", ["failed", "delivered", "waiting"])
async def test_one_message_is_replayed_in_any_state(api_tenant: ApiTenant, standing: str) -> None:
    await made(api_tenant)
    first, _ = await messages(api_tenant, standing, "failed")
    response = await api_tenant.http.post(f"{PATH}/replay", json={"message_id": str(first)})
    assert (response.status_code, response.json()["replayed"]) == (202, 1)
    [(replayed, wait)] = await waits(api_tenant)
    assert replayed == first
    assert wait <= 0


async def test_failed_messages_since_a_time_are_replayed_oldest_first_and_paced(api_tenant: ApiTenant) -> None:
    await made(api_tenant)
    standings = ["failed", "failed", "delivered", "waiting", "failed", "failed"]
    ids = await messages(api_tenant, *standings)
    body = {"since": "2026-03-01T09:10:00Z", "until": "2026-03-01T09:50:00Z"}
    response = (await api_tenant.http.post(f"{PATH}/replay", json=body)).json()
    assert response == {"replayed": 2, "through": "2026-03-01T09:40:00Z", "more": False}
    line = await waits(api_tenant)
    assert [id for id, _ in line] == [ids[1], ids[4]]
    assert line[1][1] - line[0][1] == pytest.approx(0.05)


async def test_a_replay_of_all_includes_delivered_messages(api_tenant: ApiTenant) -> None:
    await made(api_tenant)
    ids = await messages(api_tenant, "failed", "delivered", "waiting")
    response = (
        await api_tenant.http.post(f"{PATH}/replay", json={"since": "2026-03-01T09:00:00Z", "all": True})
    ).json()
    assert response["replayed"] == 2
    assert [id for id, _ in await waits(api_tenant)] == ids[:2]


async def test_a_second_replay_stands_behind_the_first(api_tenant: ApiTenant) -> None:
    await made(api_tenant)
    first, second = await messages(api_tenant, "failed", "failed")
    await api_tenant.http.post(
        f"{PATH}/replay", json={"since": "2026-03-01T09:00:00Z", "until": "2026-03-01T09:05:00Z"}
    )
    async with api_tenant.database.transaction() as session:
        later = text("UPDATE event_message SET next_attempt_at = now() + interval '60 seconds' WHERE id = :id")
        await session.execute(later, {"id": first})
    await api_tenant.http.post(f"{PATH}/replay", json={"since": "2026-03-01T09:05:00Z"})
    line = await waits(api_tenant)
    assert [id for id, _ in line] == [first, second]
    assert line[1][1] - line[0][1] == pytest.approx(0.05)


async def test_old_tests_are_not_replayed_with_the_rest(api_tenant: ApiTenant) -> None:
    await made(api_tenant)
    await api_tenant.http.post(f"{PATH}/test")
    async with api_tenant.database.transaction() as session:
        over = text("UPDATE event_message SET next_attempt_at = NULL, given_up_at = now() WHERE tenant = :tenant")
        await session.execute(over, {"tenant": api_tenant.tenant})
    response = await api_tenant.http.post(f"{PATH}/replay", json={"since": "2026-01-01T00:00:00Z"})
    assert response.json()["replayed"] == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"message_id": str(uuid4()), "since": "2026-03-01T09:00:00Z"},
        {"message_id": str(uuid4()), "all": True},
        {"until": "2026-03-01T09:00:00Z"},
    ],
)
async def test_a_replay_names_one_message_or_a_time(api_tenant: ApiTenant, body: Any) -> None:
    await made(api_tenant)
    assert list(validation_errors(await api_tenant.http.post(f"{PATH}/replay", json=body))) == [""]


async def test_openapi_describes_event_endpoints_with_examples(api_tenant: ApiTenant) -> None:
    document = (await api_tenant.http.get("http://localhost/openapi.json")).json()
    paths = [path for path in document["paths"] if "event-endpoints" in path]
    assert len(paths) == 6
    schemas = document["components"]["schemas"]
    assert schemas["EndpointBody"]["examples"][0]["url"].startswith("https://")
    assert len(schemas["ReplayBody"]["examples"]) == 2
    assert "409" in document["paths"]["/api/v1/event-endpoints/{key}/replay"]["post"]["responses"]
