"""Test `POST /notifications/send`: what is accepted, and what is rejected without a row."""

import asyncio
import json
from typing import Any
from uuid import UUID

import httpx2
import pytest

from api.app import create_app
from bootstrap import open_container
from config import Settings
from tests.api.news_sends import BATCH, GOOD, SEND, changed_send, post_bytes
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant

pytestmark = pytest.mark.postgres


async def count_transactions(api_tenant: ApiTenant) -> int:
    """Return how many transactions inserted the rows of this tenant."""
    statement = "SELECT count(DISTINCT xmin::text) AS number FROM notification WHERE tenant = :tenant"
    [row] = await api_tenant.query(statement)
    return int(row["number"])


async def test_concurrent_sends_share_transactions_and_fail_one_by_one(news_tenant: ApiTenant) -> None:
    bodies = [GOOD | ({} if number % 10 else {"recipient_id": "unknown"}) for number in range(40)]
    responses = await asyncio.gather(*map(news_tenant.post_send, bodies))
    assert [response.status_code for response in responses] == [
        422 if number % 10 == 0 else 202 for number in range(40)
    ]
    assert await news_tenant.count_notifications() == 36
    assert await count_transactions(news_tenant) < 18


async def test_concurrent_profiles_of_one_recipient_are_all_kept(news_tenant: ApiTenant) -> None:
    bodies = [
        {"notification_type": "news", "payload": {"name": "Bob"}, "recipient": {"recipient_id": "bob", **given}}
        for given in ({"email": "bob@example.com"}, {"phone": "+4915112345678"}, {"locale": "de"})
    ]
    responses = await asyncio.gather(*(news_tenant.post_send(body) for body in bodies))
    assert [response.status_code for response in responses] == [202] * 3
    profile = (await news_tenant.http.get("/recipients/bob")).json()
    assert (profile["email"], profile["phone"], profile["locale"]) == ("bob@example.com", "+4915112345678", "de")


async def test_a_send_returns_the_row_and_its_location(news_tenant: ApiTenant) -> None:
    response = await news_tenant.post_send(GOOD)
    body = response.json()
    assert response.status_code == 202
    assert response.headers["location"] == f"/api/v1/notifications/{body['id']}"
    assert UUID(body["id"]).version == 7
    plain = {name: body[name] for name in ("status", "notification_type", "recipient_id", "priority", "send_at")}
    assert plain == {
        "status": "PENDING",
        "notification_type": "news",
        "recipient_id": "ada",
        "priority": 4,
        "send_at": None,
    }
    assert body["created_at"].endswith("Z")
    shown = await news_tenant.http.get(f"http://test{response.headers['location']}")
    assert (shown.status_code, shown.json()["status"]) == (200, "PENDING")


async def test_times_are_accepted_in_any_zone_and_returned_in_utc(news_tenant: ApiTenant) -> None:
    response = (
        await news_tenant.post_send({**GOOD, "send_at": "2031-01-31T10:00:00+01:00", "expires_in": "1h"})
    ).json()
    assert (response["send_at"], response["expires_at"]) == ("2031-01-31T09:00:00Z", "2031-01-31T10:00:00Z")


EXPIRED = {
    "by the request": ({"send_at": "2020-01-31T10:00:00Z", "expires_in": "1h"}, "expires_in is 1h"),
    "by the type": ({"send_at": "2020-01-31T10:00:00Z", "notification_type": "brief"}, "the type's expires_in is 30m"),
}


@pytest.mark.parametrize(("asked", "limit"), EXPIRED.values(), ids=EXPIRED)
async def test_a_send_that_has_expired_already_is_refused(news_tenant: ApiTenant, asked: Any, limit: str) -> None:
    type_body = {"route": [{"channels": ["email"]}], "templates": {"email": "news"}, "expires_in": "30m"}
    assert (await news_tenant.http.put("/notification-types/brief", json=type_body)).status_code == 201
    body = {**GOOD, **asked}
    detail = validation_errors(await news_tenant.post_send(body, key="k"))["/send_at"]
    assert f"in the past, and {limit}: already expired" in detail
    [item, fine] = await news_tenant.send_batch(body, GOOD)
    assert (item["status"], item["errors"][0]["pointer"], fine["status"]) == (422, "/send_at", 202)
    assert await news_tenant.count_notifications() == 1


async def test_a_send_expires_by_its_type(news_tenant: ApiTenant) -> None:
    body = {"route": [{"channels": ["email"]}], "templates": {"email": "news"}, "expires_in": "30m"}
    await news_tenant.call("PUT", "/notification-types/brief", body)
    send = {**GOOD, "notification_type": "brief", "send_at": "2031-01-31T10:00:00Z"}
    response = (await news_tenant.post_send(send)).json()
    assert response["expires_at"] == "2031-01-31T10:30:00Z"
    assert (await news_tenant.notification(response["id"]))["expires_at"] == "2031-01-31T10:30:00Z"


async def test_a_send_in_the_past_that_has_time_left_is_accepted(news_tenant: ApiTenant) -> None:
    for asked in ({}, {"expires_in": "36500d"}):
        assert (await news_tenant.post_send({**GOOD, "send_at": "2020-01-31T10:00:00Z", **asked})).status_code == 202


INLINE = {"recipient_id": "grace", "email": "grace@example.com"}
INVALID = {
    "unknown type": (changed_send(notification_type="nothing"), "/notification_type"),
    "no type": (changed_send(notification_type=...), "/notification_type"),
    "missing variable": (changed_send(payload={}), "/payload/name"),
    "variable of another kind": (changed_send(payload={"name": 7}), "/payload/name"),
    "payload is a list": (changed_send(payload=[]), "/payload"),
    "unknown recipient": (changed_send(recipient_id="unknown"), "/recipient_id"),
    "bad e-mail": (changed_send(recipient_id=..., recipient={**INLINE, "email": "no address"}), "/recipient/email"),
    "bad phone": (changed_send(recipient_id=..., recipient={**INLINE, "phone": "0123"}), "/recipient/phone"),
    "both recipients": (changed_send(recipient=INLINE), ""),
    "neither recipient": (changed_send(recipient_id=...), ""),
    "channel outside the route": (changed_send(channels=["sms", "push"]), "/channels/1"),
    "no such channel": (changed_send(channels=["fax"]), "/channels/0"),
    "no channels": (changed_send(channels=[]), "/channels"),
    "priority 0": (changed_send(priority=0), "/priority"),
    "priority 6": (changed_send(priority=6), "/priority"),
    "priority as text": (changed_send(priority="3"), "/priority"),
    "priority true": (changed_send(priority=True), "/priority"),
    "priority 3.5": (changed_send(priority=3.5), "/priority"),
    "time without a zone": (changed_send(send_at="2031-01-31T10:00:00"), "/send_at"),
    "a time that does not exist": (changed_send(send_at="2031-02-30T10:00:00Z"), "/send_at"),
    "no duration": (changed_send(expires_in="soon"), "/expires_in"),
    "an empty tag": (changed_send(tags=[""]), "/tags/0"),
    "unknown field": (changed_send(surprise=1), "/surprise"),
}


@pytest.mark.parametrize(("body", "pointer"), INVALID.values(), ids=INVALID)
async def test_an_invalid_field_is_named_and_no_row_is_stored(news_tenant: ApiTenant, body: Any, pointer: str) -> None:
    assert set(validation_errors(await news_tenant.post_send(body, key="k"))) == {pointer}
    assert await news_tenant.count_notifications() == 0


async def test_everything_that_is_wrong_is_named_at_once(news_tenant: ApiTenant) -> None:
    wrong = changed_send(channels=["push"], payload={})
    assert set(validation_errors(await news_tenant.post_send(wrong))) == {"/channels/0"}, (
        "the payload is checked for channels that count"
    )
    wrong = changed_send(channels=["push", "sms"], payload={})
    assert set(validation_errors(await news_tenant.post_send(wrong))) == {"/channels/0", "/payload/name"}


async def test_a_refusal_does_not_repeat_the_request(news_tenant: ApiTenant) -> None:
    canary = "canary-4711"
    for body in (
        changed_send(recipient_id=..., recipient={"recipient_id": "x", "email": canary, "phone": canary}),
        changed_send(payload={"name": [canary]}, channels=[canary]),
        changed_send(recipient_id=canary),
        changed_send(notification_type=canary),
    ):
        response = await news_tenant.post_send(body)
        assert response.status_code == 422
        assert canary not in response.text


DEEP = json.dumps(GOOD).replace('"Ada"', "[" * 63 + "]" * 63)
UNREADABLE = {
    "not UTF-8": json.dumps(GOOD).encode("utf-16"),
    "Latin-1": b'{"notification_type": "\xe4"}',
    "with a BOM": json.dumps(GOOD).encode("utf-8-sig"),
    "NaN": b'{"notification_type": "news", "recipient_id": "ada", "payload": {"name": NaN}}',
    "Infinity": b'{"notification_type": "news", "recipient_id": "ada", "payload": {"name": -Infinity}}',
    "NUL": b'{"notification_type": "news", "recipient_id": "ada", "payload": {"name": "\\u0000"}}',
    "half a surrogate pair": b'{"notification_type": "news", "recipient_id": "ada", "payload": {"name": "\\ud800"}}',
    "a key twice": b'{"notification_type": "news", "recipient_id": "ada", "recipient_id": "bob"}',
    "too deep": DEEP.encode(),
    "rubbish behind": json.dumps(GOOD).encode() + b" x",
    "cut off": json.dumps(GOOD).encode()[:-1],
    "huge number": b'{"notification_type": "news", "recipient_id": "ada", "payload": {"name": 1e999}}',
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
async def test_unreadable_json_is_400_and_leaves_no_row(news_tenant: ApiTenant, content: bytes) -> None:
    response = await post_bytes(news_tenant, content)
    assert (response.status_code, response.json()["type"]) == (400, "urn:tocsin:problem:unreadable")
    assert await news_tenant.count_notifications() == 0


async def test_sixty_four_levels_are_readable(news_tenant: ApiTenant) -> None:
    assert (
        await post_bytes(news_tenant, DEEP.replace("[" * 63 + "]" * 63, "[" * 62 + "]" * 62).encode())
    ).status_code == 422
    allowed = json.dumps(changed_send(payload={"name": "Ada", "deep": "DEEP"})).replace('"DEEP"', "[" * 62 + "]" * 62)
    assert (await post_bytes(news_tenant, allowed.encode())).status_code == 202


async def test_a_body_over_256_kib_is_413_and_leaves_no_row(news_tenant: ApiTenant) -> None:
    fits = changed_send(payload={"name": "Ada", "more": "x" * (255 * 1024)})
    assert (await news_tenant.post_send(fits)).status_code == 202
    too_large = changed_send(payload={"name": "Ada", "more": "x" * (256 * 1024)})
    assert (await news_tenant.post_send(too_large)).status_code == 413
    assert await news_tenant.count_notifications() == 1


async def test_the_key_is_checked_before_the_body_is_read(news_tenant: ApiTenant) -> None:
    unknown_key = {"Authorization": "Bearer unknown"}
    assert (await post_bytes(news_tenant, b"{", **unknown_key)).status_code == 401
    assert (await post_bytes(news_tenant, b"{", **{"Idempotency-Key": ""})).status_code == 400
    assert (await post_bytes(news_tenant, b"{}")).status_code == 422
    assert (await post_bytes(news_tenant, b"{" * 300_000, **unknown_key)).status_code == 401
    assert await news_tenant.count_notifications() == 0


async def test_a_send_without_postgres_gets_503_with_retry_after() -> None:
    settings = Settings(
        env="dev",
        database_url="postgresql+asyncpg://nouser@127.0.0.1:1/nothing",
        temporal_address="127.0.0.1:1",
        _env_file=None,
    )
    async with open_container(settings) as container:
        transport = httpx2.ASGITransport(app=create_app(container))
        async with httpx2.AsyncClient(transport=transport, base_url="http://test/api/v1") as http:
            for path, body in ((SEND, GOOD), (BATCH, {"items": [GOOD]})):
                response = await http.post(path, json=body, headers={"Authorization": "Bearer anything"})
                assert response.status_code == 503
                assert int(response.headers["retry-after"]) >= 1
                assert response.json()["type"] == "urn:tocsin:problem:unavailable"
