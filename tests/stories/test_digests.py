"""Digests: many become one, each item is in exactly one of them, and what was decided in the window counts."""

from typing import Any

import pytest

from tests.engine import Shop

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]
BODY = "{{ total }}: {% for item in items %}{{ item.name }} {% endfor %}"


async def news(shop: Shop, digest: dict[str, Any], **more: Any) -> None:
    await shop.template("news", "email", BODY, subject_template="{{ total }} news")
    given = {"route": [{"channels": ["email"]}], "templates": {"email": "news"}, "digest": digest, **more}
    await shop.ok("PUT", "/notification-types/news", given)
    await shop.person("ada", email="ada@example.com")


async def send(shop: Shop, *names: str, person: str = "ada", **more: Any) -> list[str]:
    return [await shop.send("news", person, payload={"name": name, **more}) for name in names]


async def mails(shop: Shop, person: str = "ada") -> list[str]:
    return [message["content"]["text"].strip() for message in await shop.outbox(recipient_id=person)]


async def digests(shop: Shop, **wanted: str) -> list[dict[str, Any]]:
    query = "&".join(f"{name}={value}" for name, value in wanted.items())
    items: list[dict[str, Any]] = (await shop.ok("GET", f"/digests?{query}"))["items"]
    return items


async def test_what_comes_in_a_window_goes_out_as_one(shop: Shop) -> None:
    await news(shop, {"window": "2s"})
    ids = await send(shop, "one", "two", "three")
    shown = [await shop.ended(id, "DIGESTED") for id in ids]
    [made] = {one["digest"]["notification_id"] for one in shown}
    whole = await shop.ended(made, "DELIVERED")
    assert whole["event_payload"] == {"items": [{"name": "one"}, {"name": "two"}, {"name": "three"}], "total": 3}
    assert await mails(shop) == ["3: one two three"]
    assert [entry["kind"] for entry in shown[0]["timeline"]] == ["accepted", "collected", "digested"]
    await shop.engine.history(made)
