"""Test subscribing recipients to topics over the API."""

from typing import Any

import pytest

from tests.api_tenants import ApiTenant

pytestmark = pytest.mark.postgres


@pytest.fixture
async def api_tenant(api_tenant: ApiTenant) -> ApiTenant:
    for recipient_id in ("ada", "bob"):
        await api_tenant.put_recipient(recipient_id)
    return api_tenant


async def status(api_tenant: ApiTenant, verb: str, topic: str, recipient_id: str) -> int:
    return (await api_tenant.http.request(verb, f"/topics/{topic}/subscribers/{recipient_id}")).status_code


async def listed(api_tenant: ApiTenant, path: str, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await api_tenant.http.get(path, params={**query, **({"cursor": cursor} if cursor else {})})).json()
        items += page["items"]
        cursor = page["next_cursor"]
    return items


async def test_a_recipient_subscribed_twice_has_one_subscription(api_tenant: ApiTenant) -> None:
    assert [await status(api_tenant, "PUT", "news", "ada") for _ in range(2)] == [204, 204]
    assert await listed(api_tenant, "/topics") == [{"key": "news", "subscribers": 1}]


async def test_lists_go_page_by_page(api_tenant: ApiTenant) -> None:
    for topic, recipient_id in (("news", "ada"), ("news", "bob"), ("alerts", "bob")):
        await status(api_tenant, "PUT", topic, recipient_id)
    assert await listed(api_tenant, "/topics", limit=1) == [
        {"key": "alerts", "subscribers": 1},
        {"key": "news", "subscribers": 2},
    ]
    subscribers = await listed(api_tenant, "/topics/news/subscribers", limit=1)
    assert subscribers == [{"recipient_id": "ada"}, {"recipient_id": "bob"}]


async def test_a_topic_exists_while_it_has_a_subscriber(api_tenant: ApiTenant) -> None:
    await status(api_tenant, "PUT", "news", "ada")
    assert [await status(api_tenant, "DELETE", "news", "ada") for _ in range(2)] == [204, 404]
    assert await listed(api_tenant, "/topics") == []


async def test_an_unknown_recipient_cannot_be_subscribed(api_tenant: ApiTenant) -> None:
    assert await status(api_tenant, "PUT", "news", "unknown") == 404
    assert await status(api_tenant, "PUT", "no such key!", "ada") == 422


async def test_an_erased_recipient_has_no_subscription(api_tenant: ApiTenant) -> None:
    await status(api_tenant, "PUT", "news", "ada")
    assert (await api_tenant.http.delete("/recipients/ada")).status_code == 202
    assert await listed(api_tenant, "/topics/news/subscribers") == []
