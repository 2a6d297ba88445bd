"""Test the points of keys, tenants and addresses: their costs, and the response when they are used up."""

from typing import Any
from uuid import uuid4

import pytest
from httpx2 import AsyncClient, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.limits.rate_limits import COMPILE_POINTS, RENDER_POINTS
from storage import api_keys
from storage.api_keys import ApiKeyInfo
from tests.api.limited_apps import Limited

pytestmark = pytest.mark.postgres

FORGED = b'{"events": []}'


def left(response: Response) -> dict[str, int]:
    """Return the remaining points by name of the quota."""
    container = [part.split(";") for part in response.headers["RateLimit"].split(", ")]
    return {name.strip('"'): int(rest.removeprefix("r=")) for name, rest, _ in container}


async def statuses(client: AsyncClient, requests: int) -> list[int]:
    return [(await client.get("/settings")).status_code for _ in range(requests)]


async def test_header_fields_contain_the_remaining_points(limited: Limited) -> None:
    limited.limit(key_rate_limit=3, tenant_rate_limit=10)
    async with limited.client() as client:
        response = await client.get("/settings")
    assert response.headers["RateLimit-Policy"] == '"key";q=3;w=60, "tenant";q=10;w=60'
    assert response.headers["RateLimit"] == '"key";r=2;t=20, "tenant";r=9;t=20'


async def test_a_key_without_points_gets_429_until_the_next_minute(limited: Limited) -> None:
    limited.limit(key_rate_limit=2)
    async with limited.client() as client, limited.client() as other_key:
        assert await statuses(client, 2) == [200, 200]
        refused = await client.get("/settings")
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "20")
        assert refused.headers["RateLimit"] == '"key";r=0;t=20'
        assert refused.json() == {
            "type": "urn:tocsin:problem:too-many-requests",
            "title": "Too many requests",
            "status": 429,
            "detail": "The API key has used its 2 points for this minute; retry in 20 s.",
        }
        assert await statuses(other_key, 1) == [200]
        limited.clock.now += 20
        assert await statuses(client, 1) == [200]


async def test_keys_of_a_tenant_share_its_points(limited: Limited) -> None:
    limited.limit(key_rate_limit=2, tenant_rate_limit=3)
    async with limited.client() as first, limited.client() as second:
        assert await statuses(first, 2) + await statuses(second, 2) == [200, 200, 200, 429]
        assert left(await second.get("/settings")) == {"key": 1, "tenant": 0}


async def test_work_is_counted_and_not_requests(limited: Limited) -> None:
    limited.limit(key_rate_limit=1_000)
    template = {"name": "hello", "channel": "sms", "language": "en", "body_template": "Hi", "variables_schema": {}}
    preview = {"channel": "sms", "payload": {}}
    many_values = {"global_channel_opt_in": {}, "attributes": {"many": list(range(2_500))}}
    async with limited.client() as client:

        async def cost(method: str, path: str, body: Any) -> int:
            before = left(await client.get("/settings"))["key"]
            return before - left(await client.request(method, path, json=body))["key"]

        assert await cost("POST", "/notifications/send-batch", {"items": [{}] * 40}) == 40
        assert await cost("POST", "/notifications/send", {"notification_type": "none", "recipients": [{}] * 30}) == 30
        copied = {"recipient_id": "ada", "email": {"cc": ["bob@example.com"], "bcc": ["cleo@example.com"]}}
        send = {"notification_type": "none", **copied}
        assert await cost("POST", "/notifications/send", send) == 1 + 2
        assert await cost("POST", "/notifications/send-batch", {"items": [send] * 3}) == 3 + 6
        several = {"notification_type": "none", "recipients": [copied]}
        assert await cost("POST", "/notifications/send", several) == 1 + 2
        assert await cost("POST", "/templates", {**template, "publish": True}) == 1 + COMPILE_POINTS
        assert await cost("POST", "/templates/hello/preview", preview) == 1 + RENDER_POINTS
        assert await cost("PUT", "/recipients/ada", many_values) == 1 + 2
        type_body = {
            "route": [{"channels": ["sms"]}, {"channels": ["email"]}],
            "templates": {"sms": "hello", "email": "hello"},
        }
        await client.put("/notification-types/hello", json=type_body)
        dry = {"notification_type": "hello", "recipient_id": "ada", "payload": {}, "dry_run": True}
        assert await cost("POST", "/notifications/send", dry) == 1 + 2 * RENDER_POINTS
        assert await cost("POST", "/notifications/send", dry | {"channels": ["sms"]}) == 1 + RENDER_POINTS


async def test_a_batch_that_is_refused_takes_one_point(limited: Limited) -> None:
    limited.limit(key_rate_limit=10)
    async with limited.client() as client:
        assert await statuses(client, 5) == [200] * 5
        assert (await client.post("/notifications/send-batch", json={"items": [{}] * 9})).status_code == 429
        assert await statuses(client, 4) == [200] * 4


async def test_a_batch_over_the_minutes_budget_takes_all_points(limited: Limited) -> None:
    limited.limit(key_rate_limit=10)
    async with limited.client() as client:
        accepted = await client.post("/notifications/send-batch", json={"items": [{}] * 1_000})
        assert (accepted.status_code, left(accepted)) == (202, {"key": 0})
        assert await statuses(client, 1) == [429]
        limited.clock.now += 20
        assert await statuses(client, 1) == [200]
        assert (await client.post("/notifications/send-batch", json={"items": [{}] * 1_000})).status_code == 429


async def test_unverified_receipts_are_limited_by_the_address_of_their_sender(limited: Limited) -> None:
    limited.limit(source_rate_limit=2, trusted_proxies="10.0.0.0/8")
    async with limited.client() as sender, limited.client("198.51.100.8") as other, limited.client("10.0.0.1") as proxy:
        for path in ("/receipts/sandbox", "/receipts/unknown"):
            assert (await sender.post(path, content=FORGED)).status_code in (401, 404)
        refused = [await sender.post("/receipts/sandbox", content=FORGED) for _ in range(2)]
        assert [(each.status_code, each.headers["Retry-After"]) for each in refused] == [(429, "20")] * 2
        assert (await other.post("/receipts/sandbox", content=FORGED)).status_code == 401
        assert [(await proxy.post("/receipts/sandbox", content=FORGED)).status_code for _ in range(4)] == [401] * 4
        limited.clock.now += 20
        assert (await sender.post("/receipts/sandbox", content=FORGED)).status_code == 401


async def test_unknown_keys_are_limited_by_the_address_of_their_sender(
    limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited.limit(source_rate_limit=2, trusted_proxies="10.0.0.0/8")
    looked_up, find = [], api_keys.find_by_hash

    async def noted(session: AsyncSession, hash: str) -> ApiKeyInfo | None:
        looked_up.append(hash)
        return await find(session, hash)

    async def guess(client: AsyncClient) -> Response:
        return await client.get("/settings", headers={"Authorization": f"Bearer {uuid4()}"})

    monkeypatch.setattr(api_keys, "find_by_hash", noted)
    async with limited.client() as sender, limited.client("198.51.100.8") as other, limited.client("10.0.0.1") as proxy:
        assert await statuses(sender, 1) == [200]
        assert [(await guess(sender)).status_code for _ in range(3)] == [401, 401, 429]
        looked_up.clear()
        refused = await guess(sender)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "20")
        assert refused.json()["detail"].startswith("The address has used its 2 unknown API keys for this minute")
        async with limited.client() as unused:
            assert await statuses(unused, 1) == [429]
            assert looked_up == []
            limited.app.state.container.catalog.flush()
            assert await statuses(sender, 1) == [200]
            assert (await guess(other)).status_code == 401
            assert [(await guess(proxy)).status_code for _ in range(4)] == [401] * 4
            limited.clock.now += 20
            assert await statuses(unused, 1) == [200]
            assert (await guess(sender)).status_code == 401


async def test_unknown_keys_and_unverified_receipts_are_counted_apart(limited: Limited) -> None:
    limited.limit(source_rate_limit=1)
    async with limited.client() as sender:
        for _ in range(3):
            await sender.get("/settings", headers={"Authorization": f"Bearer {uuid4()}"})
        assert (await sender.post("/receipts/sandbox", content=FORGED)).status_code == 401


async def test_without_limits_nothing_is_counted(limited: Limited) -> None:
    limited.limit()
    async with limited.client() as client:
        assert "RateLimit" not in (await client.get("/settings")).headers
