"""Subscribing people to topics over the API."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bootstrap import Parts
from tests.api.shops import Shop, open_shop

pytestmark = pytest.mark.postgres


@pytest.fixture
async def shop(parts: Parts) -> AsyncIterator[Shop]:
    async with open_shop(parts) as shop:
        for person in ("ada", "bob"):
            await shop.put(f"/recipients/{person}", {})
        yield shop


async def status(shop: Shop, verb: str, topic: str, person: str) -> int:
    return (await shop.http.request(verb, f"/topics/{topic}/subscribers/{person}")).status_code


async def listed(shop: Shop, path: str, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await shop.http.get(path, params={**query, **({"cursor": cursor} if cursor else {})})).json()
        items += page["items"]
        cursor = page["next_cursor"]
    return items


async def test_whoever_is_subscribed_twice_is_subscribed_once(shop: Shop) -> None:
    assert [await status(shop, "PUT", "news", "ada") for _ in range(2)] == [204, 204]
    assert await listed(shop, "/topics") == [{"key": "news", "subscribers": 1}]


async def test_lists_go_page_by_page(shop: Shop) -> None:
    for topic, person in (("news", "ada"), ("news", "bob"), ("alerts", "bob")):
        await status(shop, "PUT", topic, person)
    assert await listed(shop, "/topics", limit=1) == [
        {"key": "alerts", "subscribers": 1},
        {"key": "news", "subscribers": 2},
    ]
    people = await listed(shop, "/topics/news/subscribers", limit=1)
    assert people == [{"recipient_id": "ada"}, {"recipient_id": "bob"}]


async def test_a_topic_is_there_as_long_as_somebody_is_subscribed(shop: Shop) -> None:
    await status(shop, "PUT", "news", "ada")
    assert [await status(shop, "DELETE", "news", "ada") for _ in range(2)] == [204, 404]
    assert await listed(shop, "/topics") == []


async def test_nobody_unknown_is_subscribed(shop: Shop) -> None:
    assert await status(shop, "PUT", "news", "nobody") == 404
    assert await status(shop, "PUT", "no such key!", "ada") == 422


async def test_whoever_is_erased_is_subscribed_to_nothing(shop: Shop) -> None:
    await status(shop, "PUT", "news", "ada")
    assert (await shop.http.delete("/recipients/ada")).status_code == 202
    assert await listed(shop, "/topics/news/subscribers") == []
