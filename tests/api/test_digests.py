"""Test that digest windows are listed in pages, read and flushed. `tests/stories/test_digests.py` tests how they fill
and close."""

from typing import Any

import pytest

from bootstrap import Container
from storage.digest_collection import collect_waiting
from tests.api_tenants import ApiTenant

pytestmark = pytest.mark.postgres

TYPES = ("news", "orders")


@pytest.fixture
async def api_tenant(api_tenant: ApiTenant) -> ApiTenant:
    for key in TYPES:
        await api_tenant.put_type(key, ["email"], digest={"window": "1h"})
    for recipient_id in ("ada", "bob", "cyd"):
        await api_tenant.put_recipient(recipient_id)
    return api_tenant


async def collect(
    container: Container, api_tenant: ApiTenant, *recipient_ids: str, notification_type: str = "news", **more: Any
) -> list[str]:
    """Send one to each recipient and collect them like the dispatcher. Return the ids of the notifications."""
    ids = []
    for recipient_id in recipient_ids:
        sent = {"notification_type": notification_type, "recipient_id": recipient_id, "payload": {}, **more}
        ids.append((await api_tenant.http.post("/notifications/send", json=sent)).json()["id"])
        async with container.database.transaction() as session:
            await collect_waiting(session, container.catalog.type_by_id, 100)
    return ids


async def listed(api_tenant: ApiTenant, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await api_tenant.http.get("/digests", params=query)).json()["items"]
    return items


async def test_a_window_is_shown_with_its_items_and_found_by_them(container: Container, api_tenant: ApiTenant) -> None:
    first, _ = await collect(container, api_tenant, "ada", "ada")
    [window] = await listed(api_tenant)
    assert (window["notification_type"], window["recipient_id"], window["items"]) == ("news", "ada", 2)
    assert (window["closed_at"], window["notification_id"]) == (None, None)
    assert window["opened_at"] < window["closes_at"]
    assert (await api_tenant.http.get(f"/digests/{window['id']}")).json() == window
    shown = (await api_tenant.http.get(f"/notifications/{first}")).json()
    assert shown["digest"] == {"id": window["id"], "closes_at": window["closes_at"], "notification_id": None}


async def test_the_newest_come_first_page_by_page(container: Container, api_tenant: ApiTenant) -> None:
    await collect(container, api_tenant, "ada", "bob", "cyd")
    first = (await api_tenant.http.get("/digests", params={"limit": 2})).json()
    rest = (await api_tenant.http.get("/digests", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [item["recipient_id"] for item in first["items"] + rest["items"]] == ["cyd", "bob", "ada"]
    assert rest["next_cursor"] is None


async def test_digests_are_filtered_by_recipient_type_and_state(container: Container, api_tenant: ApiTenant) -> None:
    await collect(container, api_tenant, "ada", "bob")
    await collect(container, api_tenant, "ada", notification_type="orders")
    kinds = [
        (window["notification_type"], window["recipient_id"]) for window in await listed(api_tenant, recipient_id="ada")
    ]
    assert kinds == [("orders", "ada"), ("news", "ada")]
    assert [window["recipient_id"] for window in await listed(api_tenant, notification_type="news")] == ["bob", "ada"]
    [orders] = await listed(api_tenant, notification_type="orders")
    assert (await api_tenant.http.post(f"/digests/{orders['id']}/flush")).status_code == 200
    assert await listed(api_tenant, notification_type="orders") == []
    assert [window["id"] for window in await listed(api_tenant, closed="true")] == [orders["id"]]


async def test_a_window_flushed_repeatedly_becomes_one_notification(
    container: Container, api_tenant: ApiTenant
) -> None:
    ids = await collect(container, api_tenant, "ada", "ada", "ada")
    await api_tenant.http.post(f"/notifications/{ids[0]}/cancel")
    [window] = await listed(api_tenant)
    path = f"/digests/{window['id']}"
    flushed = (await api_tenant.http.post(f"{path}/flush")).json()
    assert flushed["items"] == 2
    assert flushed["closed_at"] is not None
    assert (await api_tenant.http.post(f"{path}/flush")).json() == flushed
    assert (await api_tenant.http.get(path)).json() == flushed
    made = (await api_tenant.http.get(f"/notifications/{flushed['notification_id']}")).json()
    assert (made["status"], made["event_payload"]) == ("PENDING", {"items": [{}, {}], "total": 2})
    statuses = [(await api_tenant.http.get(f"/notifications/{id}")).json()["status"] for id in ids]
    assert statuses == ["CANCELED", "DIGESTED", "DIGESTED"]


async def test_a_cancel_of_a_digested_item_stops_nothing(container: Container, api_tenant: ApiTenant) -> None:
    [id] = await collect(container, api_tenant, "ada")
    [window] = await listed(api_tenant)
    made = (await api_tenant.http.post(f"/digests/{window['id']}/flush")).json()["notification_id"]
    response = (await api_tenant.http.post(f"/notifications/{id}/cancel")).json()
    assert (response["status"], response["channels"]) == ("DIGESTED", {"email": "in_doubt"})
    await api_tenant.http.post(f"/notifications/{made}/cancel")
    assert (await api_tenant.http.post(f"/notifications/{id}/cancel")).json()["channels"] == {"email": "stopped"}


async def test_sends_with_different_channels_have_separate_digests(container: Container, api_tenant: ApiTenant) -> None:
    await collect(container, api_tenant, "ada", "ada", channels=["email"])
    await collect(container, api_tenant, "ada")
    assert [window["items"] for window in await listed(api_tenant)] == [1, 2]


@pytest.mark.parametrize("id", ["0f9619ff-8b86-4d01-b42d-00cf4fc964ff", "no-uuid"])
async def test_there_is_no_such_digest(api_tenant: ApiTenant, id: str) -> None:
    assert (await api_tenant.http.get(f"/digests/{id}")).status_code == 404
    assert (await api_tenant.http.post(f"/digests/{id}/flush")).status_code == 404
