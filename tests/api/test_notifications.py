"""Test searching and reading notifications: every filter, cursors, the shape of the response, and ids of other
tenants."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.api_tenants import ApiTenant, open_api_tenant
from tests.engine import Engine

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


async def found(api_tenant: ApiTenant, **wanted: str) -> set[str]:
    return {item["id"] for item in (await api_tenant.call("GET", f"/notifications?{urlencode(wanted)}"))["items"]}


@pytest.fixture(scope="module")
async def archive(engine: Engine) -> AsyncIterator[tuple[ApiTenant, dict[str, str]]]:
    """Create five notifications that differ, by name."""
    async with open_api_tenant(engine) as api_tenant:
        await api_tenant.put_type("welcome", ["email"])
        await api_tenant.put_type("code", ["sms"], ["email"])
        await api_tenant.add_template("code", "sms", "Your code is {{ code }}, valid for an hour")
        await api_tenant.put_recipient("ada", email="ada@example.com", phone="+447700900123")
        await api_tenant.put_recipient("bob", email="bob+refuse@example.com")
        ids = {
            "ada welcome": await api_tenant.send(
                "welcome", payload={"name": "Zebra Crossing"}, tags=["spring", "sale"]
            ),
            "ada code": await api_tenant.send("code", payload={"name": "Ada", "code": "4711"}),
            "bob refused": await api_tenant.send("welcome", "bob", tags=["sale"]),
            "bob without a phone": await api_tenant.send("code", "bob", payload={"name": "Bob", "code": "4712"}),
        }
        for name in ("ada welcome", "ada code"):
            await api_tenant.wait_for_end(ids[name], "DELIVERED")
        for name in ("bob refused", "bob without a phone"):
            await api_tenant.wait_for_end(ids[name], "FAILED")
        ids["waiting"] = await api_tenant.send("welcome", send_at="2099-01-01T00:00:00Z", cancel_key="cart-1")
        yield api_tenant, ids
        await api_tenant.cancel(ids["waiting"])


ADA, BOB = {"ada welcome", "ada code", "waiting"}, {"bob refused", "bob without a phone"}
FILTERS: list[tuple[dict[str, str], set[str]]] = [
    ({}, ADA | BOB),
    ({"recipient_id": "ada"}, ADA),
    ({"recipient_id": "unknown"}, set()),
    ({"notification_type": "code"}, {"ada code", "bob without a phone"}),
    ({"status": "DELIVERED"}, {"ada welcome", "ada code"}),
    ({"status": "FAILED"}, BOB),
    ({"status": "PENDING"}, {"waiting"}),
    ({"channel": "sms"}, {"ada code", "bob without a phone"}),
    ({"channel": "email"}, {"ada welcome", "bob refused", "bob without a phone"}),
    ({"channel": "push"}, set()),
    ({"tag": "sale"}, {"ada welcome", "bob refused"}),
    ({"tag": "spring"}, {"ada welcome"}),
    ({"tag": "spr"}, set()),
    ({"cancel_key": "cart-1"}, {"waiting"}),
    ({"cancel_key": "cart"}, set()),
    ({"text": "zebra"}, {"ada welcome"}),
    ({"text": "crossing ZEBRA"}, {"ada welcome"}),
    ({"text": '"valid for an hour"'}, {"ada code"}),
    ({"text": "4711"}, {"ada code"}),
    ({"text": "code -4711"}, set()),
    ({"text": "' OR 1=1 --"}, set()),
    ({"text": "zebra", "channel": "sms"}, set()),
    ({"recipient_id": "ada", "notification_type": "welcome", "status": "DELIVERED", "tag": "sale"}, {"ada welcome"}),
]


@pytest.mark.parametrize(
    ("wanted", "names"), FILTERS, ids=lambda value: urlencode(value) if type(value) is dict else ""
)
async def test_a_search_returns_only_matching_notifications(
    archive: tuple[ApiTenant, dict[str, str]], wanted: dict[str, str], names: set[str]
) -> None:
    api_tenant, ids = archive
    assert await found(api_tenant, **wanted) == {ids[name] for name in names}


async def test_a_time_range_includes_its_start_and_excludes_its_end(archive: tuple[ApiTenant, dict[str, str]]) -> None:
    api_tenant, ids = archive
    at = (await api_tenant.notification(ids["ada code"]))["created_at"]
    after = (datetime.fromisoformat(at) + timedelta(microseconds=1)).isoformat()
    assert await found(api_tenant, created_from=at) == set(ids.values()) - {ids["ada welcome"]}
    assert await found(api_tenant, created_before=at) == {ids["ada welcome"]}
    assert await found(api_tenant, created_from=at, created_before=after) == {ids["ada code"]}
    assert await found(api_tenant, created_from=datetime.now(UTC).isoformat()) == set()


@pytest.mark.parametrize(
    ("wanted", "parameter"),
    [
        ({"status": "LOST"}, "status"),
        ({"channel": "fax"}, "channel"),
        ({"created_from": "yesterday"}, "created_from"),
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"cursor": "invented"}, "cursor"),
    ],
)
async def test_a_search_that_makes_no_sense_is_refused(
    api_tenant: ApiTenant, wanted: dict[str, str], parameter: str
) -> None:
    response = await api_tenant.http.get("/notifications", params=wanted)
    assert response.status_code == 422
    assert [issue["parameter"] for issue in response.json()["errors"]] == [parameter]


async def test_a_list_item_has_its_fields_without_payload_and_content(
    archive: tuple[ApiTenant, dict[str, str]],
) -> None:
    api_tenant, ids = archive
    [item] = (await api_tenant.call("GET", "/notifications?tag=spring"))["items"]
    assert set(item) == {
        *("id", "notification_type", "recipient_id", "status", "priority", "failure_reason", "tags", "created_at"),
        *("send_at", "expires_at", "finished_at", "cancel_key", "workflow_id", "temporal_url", "failures"),
        *("failure_category", "waits_for", "waits_until"),
    }
    assert item["workflow_id"] == f"notification-{ids['ada welcome']}-1"


# The agreed shape of the response. More fields may follow.
SHAPE = {
    *("id", "notification_type", "recipient_id", "status", "priority", "failure_reason", "created_at", "send_at"),
    *("expires_at", "finished_at", "event_payload", "workflow_id", "temporal_url", "deliveries", "timeline"),
}
DELIVERY = {
    *("id", "channel", "status", "provider", "template_id", "template_name", "template_version", "language"),
    *("rendered_content", "provider_message_id", "provider_response", "failure_reason", "sent_at", "delivered_at"),
    *("opened_at", "attempts"),
}
ATTEMPT = {"id", "endpoint_id", "provider", "outcome", "error_type", "started_at", "finished_at", "cost"}
ENTRY = {"at", "kind", "channel", "reason", "detail"}


async def test_a_notification_is_shown_with_its_whole_history(archive: tuple[ApiTenant, dict[str, str]]) -> None:
    api_tenant, ids = archive
    shown = await api_tenant.notification(ids["ada code"])
    [delivery] = shown["deliveries"]
    [attempt] = delivery["attempts"]
    assert SHAPE - set(shown) == set()
    assert DELIVERY - set(delivery) == set()
    assert ATTEMPT - set(attempt) == set()
    assert [ENTRY - set(entry) for entry in shown["timeline"]] == [set()] * 4
    assert shown["event_payload"] == {"name": "Ada", "code": "4711"}
    assert delivery["rendered_content"] == {"text": "Your code is 4711, valid for an hour"}
    assert (delivery["template_name"], delivery["template_version"], delivery["language"]) == ("code", 2, "en")
    assert delivery["provider_message_id"]
    assert delivery["provider_response"] == {"status": "queued"}
    assert (attempt["outcome"], attempt["error_type"], attempt["cost"]) == ("accepted", None, "0")
    assert shown["created_at"] <= delivery["created_at"] <= attempt["started_at"] <= attempt["finished_at"]
    assert delivery["sent_at"] <= shown["finished_at"] <= delivery["delivered_at"]
    times = [value for value in _times(shown) if value]
    assert times
    assert all(value.endswith("Z") for value in times)


def _times(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [time for one in value for time in _times(one)]
    if isinstance(value, dict):
        own = [time for name, time in value.items() if name == "at" or name.endswith("_at")]
        return own + [time for one in value.values() for time in _times(one)]
    return []


async def test_a_skipped_channel_has_a_reason(archive: tuple[ApiTenant, dict[str, str]]) -> None:
    api_tenant, ids = archive
    shown = await api_tenant.notification(ids["bob without a phone"])
    outcomes = {d["channel"]: (d["status"], d["failure_reason"]) for d in shown["deliveries"]}
    assert outcomes == {"sms": ("SKIPPED", "no_address"), "email": ("FAILED", "refused_recipient")}
    skipped = [entry for entry in shown["timeline"] if entry["kind"] == "channel_skipped"]
    assert [(entry["channel"], entry["reason"]) for entry in skipped] == [("sms", "no_address")]


@pytest.mark.parametrize("id", ["nonsense", "1", "%00", "00000000-0000-0000-0000-00000000000g"])
async def test_an_invalid_id_is_not_found(api_tenant: ApiTenant, id: str) -> None:
    assert (await api_tenant.http.get(f"/notifications/{id}")).status_code == 404
    assert (await api_tenant.http.post(f"/notifications/{id}/cancel")).status_code == 404


async def ready(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("t", ["sms"])
    await api_tenant.put_recipient(phone="+447700900123")


async def accepted(api_tenant: ApiTenant, count: int) -> list[str]:
    """Return ids, in the order of the requests."""
    return [await api_tenant.send("t") for _ in range(count)]


async def test_pages_are_newest_first_and_stand_still_while_others_are_sent(api_tenant: ApiTenant) -> None:
    await ready(api_tenant)
    ids = await accepted(api_tenant, 7)
    seen: list[str] = []
    pages, cursor = 0, None
    while pages < 5:
        params = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
        page = (await api_tenant.http.get("/notifications", params=params)).json()
        seen += [item["id"] for item in page["items"]]
        pages, cursor = pages + 1, page["next_cursor"]
        if cursor is None:
            break
        await accepted(api_tenant, 2)
    assert seen == ids[::-1]
    assert pages == 3


async def test_a_page_that_is_just_full_is_the_last(api_tenant: ApiTenant) -> None:
    await ready(api_tenant)
    await accepted(api_tenant, 3)
    page = (await api_tenant.http.get("/notifications", params={"limit": "3"})).json()
    assert (len(page["items"]), page["next_cursor"]) == (3, None)


async def test_a_filter_holds_on_every_page(api_tenant: ApiTenant) -> None:
    await ready(api_tenant)
    await api_tenant.put_recipient("bob", phone="+447700900124")
    for _ in range(3):
        await accepted(api_tenant, 1)
        await api_tenant.send("t", "bob")
    first = (await api_tenant.http.get("/notifications", params={"recipient_id": "bob", "limit": "2"})).json()
    params = {"recipient_id": "bob", "limit": "2", "cursor": first["next_cursor"]}
    second = (await api_tenant.http.get("/notifications", params=params)).json()
    items = first["items"] + second["items"]
    assert [item["recipient_id"] for item in items] == ["bob"] * 3
    assert second["next_cursor"] is None


async def test_an_accepted_notification_without_a_dispatcher_is_pending(api_tenant: ApiTenant) -> None:
    await ready(api_tenant)
    [id] = await accepted(api_tenant, 1)
    shown = (await api_tenant.http.get(f"/notifications/{id}")).json()
    assert (shown["status"], shown["finished_at"], shown["deliveries"]) == ("PENDING", None, [])
    assert [(entry["kind"], entry["status"]) for entry in shown["timeline"]] == [("accepted", "PENDING")]
