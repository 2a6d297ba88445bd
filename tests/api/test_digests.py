"""Digests over the API: listed in pages, looked at and flushed. What fills and closes them by
itself is in `tests/stories/test_digests.py`."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bootstrap import Parts
from storage.digest_collection import collect_waiting
from tests.api.shops import Shop, open_shop

pytestmark = pytest.mark.postgres

TYPES = ("news", "orders")


@pytest.fixture
async def shop(parts: Parts) -> AsyncIterator[Shop]:
    async with open_shop(parts) as shop:
        words = {"name": "news", "channel": "email", "language": "en", "body_template": "{{ total }}", "publish": True}
        template = {**words, "subject_template": "News", "variables_schema": {}}
        assert (await shop.http.post("/templates", json=template)).status_code == 201
        for key in TYPES:
            kind = {"route": [{"channels": ["email"]}], "templates": {"email": "news"}, "digest": {"window": "1h"}}
            assert (await shop.put(f"/notification-types/{key}", kind)).status_code == 201
        for person in ("ada", "bob", "cyd"):
            assert (await shop.put(f"/recipients/{person}", {})).status_code == 201
        yield shop


async def collect(parts: Parts, shop: Shop, *people: str, kind: str = "news", **more: Any) -> list[str]:
    """Sends one to each, and does what the dispatcher would; the ids of the notifications."""
    ids = []
    for person in people:
        sent = {"notification_type": kind, "recipient_id": person, "payload": {}, **more}
        ids.append((await shop.http.post("/notifications/send", json=sent)).json()["id"])
        async with parts.database.transaction() as session:
            await collect_waiting(session, parts.catalog.type_by_id, 100)
    return ids


async def listed(shop: Shop, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await shop.http.get("/digests", params=query)).json()["items"]
    return items


async def test_a_window_is_shown_with_what_it_holds_and_found_by_its_items(parts: Parts, shop: Shop) -> None:
    first, _ = await collect(parts, shop, "ada", "ada")
    [window] = await listed(shop)
    assert (window["notification_type"], window["recipient_id"], window["items"]) == ("news", "ada", 2)
    assert (window["closed_at"], window["notification_id"]) == (None, None)
    assert window["opened_at"] < window["closes_at"]
    assert (await shop.http.get(f"/digests/{window['id']}")).json() == window
    shown = (await shop.http.get(f"/notifications/{first}")).json()
    assert shown["digest"] == {"id": window["id"], "closes_at": window["closes_at"], "notification_id": None}


async def test_the_newest_come_first_page_by_page(parts: Parts, shop: Shop) -> None:
    await collect(parts, shop, "ada", "bob", "cyd")
    first = (await shop.http.get("/digests", params={"limit": 2})).json()
    rest = (await shop.http.get("/digests", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [item["recipient_id"] for item in first["items"] + rest["items"]] == ["cyd", "bob", "ada"]
    assert rest["next_cursor"] is None


async def test_they_are_found_by_person_type_and_whether_they_are_over(parts: Parts, shop: Shop) -> None:
    await collect(parts, shop, "ada", "bob")
    await collect(parts, shop, "ada", kind="orders")
    kinds = [(window["notification_type"], window["recipient_id"]) for window in await listed(shop, recipient_id="ada")]
    assert kinds == [("orders", "ada"), ("news", "ada")]
    assert [window["recipient_id"] for window in await listed(shop, notification_type="news")] == ["bob", "ada"]
    [orders] = await listed(shop, notification_type="orders")
    assert (await shop.http.post(f"/digests/{orders['id']}/flush")).status_code == 200
    assert await listed(shop, notification_type="orders") == []
    assert [window["id"] for window in await listed(shop, closed="true")] == [orders["id"]]


async def test_flushed_it_is_one_notification_however_often(parts: Parts, shop: Shop) -> None:
    ids = await collect(parts, shop, "ada", "ada", "ada")
    await shop.http.post(f"/notifications/{ids[0]}/cancel")
    [window] = await listed(shop)
    path = f"/digests/{window['id']}"
    flushed = (await shop.http.post(f"{path}/flush")).json()
    assert flushed["items"] == 2
    assert flushed["closed_at"] is not None
    assert (await shop.http.post(f"{path}/flush")).json() == flushed
    assert (await shop.http.get(path)).json() == flushed
    made = (await shop.http.get(f"/notifications/{flushed['notification_id']}")).json()
    assert (made["status"], made["event_payload"]) == ("PENDING", {"items": [{}, {}], "total": 2})
    statuses = [(await shop.http.get(f"/notifications/{id}")).json()["status"] for id in ids]
    assert statuses == ["CANCELED", "DIGESTED", "DIGESTED"]


async def test_to_cancel_what_has_gone_into_a_digest_stops_nothing(parts: Parts, shop: Shop) -> None:
    [id] = await collect(parts, shop, "ada")
    [window] = await listed(shop)
    made = (await shop.http.post(f"/digests/{window['id']}/flush")).json()["notification_id"]
    answer = (await shop.http.post(f"/notifications/{id}/cancel")).json()
    assert (answer["status"], answer["channels"]) == ("DIGESTED", {"email": "in_doubt"})
    await shop.http.post(f"/notifications/{made}/cancel")
    assert (await shop.http.post(f"/notifications/{id}/cancel")).json()["channels"] == {"email": "stopped"}


async def test_what_is_sent_on_some_channels_only_is_a_digest_of_its_own(parts: Parts, shop: Shop) -> None:
    await collect(parts, shop, "ada", "ada", channels=["email"])
    await collect(parts, shop, "ada")
    assert [window["items"] for window in await listed(shop)] == [1, 2]


@pytest.mark.parametrize("id", ["0f9619ff-8b86-4d01-b42d-00cf4fc964ff", "no-uuid"])
async def test_there_is_no_such_digest(shop: Shop, id: str) -> None:
    assert (await shop.http.get(f"/digests/{id}")).status_code == 404
    assert (await shop.http.post(f"/digests/{id}/flush")).status_code == 404
