"""Check digests: each item is in exactly one digest, and a choice within the window applies to its digest."""

from typing import Any

import pytest

from tests.api_tenants import ApiTenant
from tests.engine import later
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]
BODY = "{{ total }}: {% for item in items %}{{ item.name }} {% endfor %}"


async def put_digest_type(api_tenant: ApiTenant, digest: dict[str, Any], **fields: Any) -> None:
    await api_tenant.add_template("news", "email", BODY, subject_template="{{ total }} news")
    notification_type = {"route": [{"channels": ["email"]}], "templates": {"email": "news"}, "digest": digest, **fields}
    await api_tenant.call("PUT", "/notification-types/news", notification_type)
    await api_tenant.put_recipient("ada", email="ada@example.com")


async def send(api_tenant: ApiTenant, *names: str, recipient_id: str = "ada", **values: Any) -> list[str]:
    return [await api_tenant.send("news", recipient_id, payload={"name": name, **values}) for name in names]


async def list_emails(api_tenant: ApiTenant, recipient_id: str = "ada") -> list[str]:
    messages = await api_tenant.list_outbox(recipient_id=recipient_id)
    return [message["content"]["text"].strip() for message in messages]


async def list_windows(api_tenant: ApiTenant, **filters: str) -> list[dict[str, Any]]:
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    items: list[dict[str, Any]] = (await api_tenant.call("GET", f"/digests?{query}"))["items"]
    return items


async def wait_for_windows(api_tenant: ApiTenant, *items: int) -> list[dict[str, Any]]:
    """Wait until the open windows have these numbers of items, and return the windows."""
    return await eventually(
        lambda: list_windows(api_tenant),
        lambda windows: sorted(window["items"] for window in windows) == sorted(items),
    )


async def flush(api_tenant: ApiTenant, *items: int) -> None:
    """Close the open windows before their end, as soon as they have these numbers of items."""
    for window in await wait_for_windows(api_tenant, *items):
        await api_tenant.call("POST", f"/digests/{window['id']}/flush")


async def wait_for_emails(api_tenant: ApiTenant, *texts: str, recipient_id: str = "ada") -> None:
    """Wait until the recipient has exactly these emails."""
    await eventually(lambda: list_emails(api_tenant, recipient_id), lambda emails: sorted(emails) == sorted(texts))


async def test_items_of_one_window_are_sent_as_one_digest(api_tenant: ApiTenant) -> None:
    await put_digest_type(api_tenant, {"window": "6s"})
    ids = await send(api_tenant, "one", "two", "three")
    notifications = [await api_tenant.wait_for_end(id, "DIGESTED") for id in ids]
    [digest_id] = {item["digest"]["notification_id"] for item in notifications}
    digest = await api_tenant.wait_for_end(digest_id, "DELIVERED")
    assert digest["event_payload"] == {"items": [{"name": "one"}, {"name": "two"}, {"name": "three"}], "total": 3}
    assert await list_emails(api_tenant) == ["3: one two three"]
    assert (await api_tenant.cancel(ids[0]))["channels"] == {"email": "already_sent"}
    assert [entry["kind"] for entry in notifications[0]["timeline"]] == ["accepted", "collected", "digested"]
    await api_tenant.engine.history(digest_id)


async def test_each_digest_key_and_each_recipient_has_its_own_digest(api_tenant: ApiTenant) -> None:
    await put_digest_type(api_tenant, {"window": "1h", "key": "project"})
    await api_tenant.put_recipient("bob", email="bob@example.com")
    await send(api_tenant, "one", "two", project="a")
    await send(api_tenant, "three", project="b")
    ids = await send(api_tenant, "four", recipient_id="bob", project="a")
    await flush(api_tenant, 2, 1, 1)
    await api_tenant.wait_for_end(ids[0], "DIGESTED")
    await wait_for_emails(api_tenant, "1: three", "2: one two")
    await wait_for_emails(api_tenant, "1: four", recipient_id="bob")


async def test_a_full_window_closes_and_the_next_one_opens(api_tenant: ApiTenant) -> None:
    await put_digest_type(api_tenant, {"window": "1h", "max_items": 3})
    await send(api_tenant, *"abcdefg")
    await wait_for_emails(api_tenant, "3: a b c", "3: d e f")
    [window] = await list_windows(api_tenant, recipient_id="ada")
    assert (window["items"], window["closed_at"]) == (1, None)
    await api_tenant.call("POST", f"/digests/{window['id']}/flush")
    await wait_for_emails(api_tenant, "3: a b c", "3: d e f", "1: g")


async def test_a_window_that_is_flushed_twice_is_sent_once(api_tenant: ApiTenant) -> None:
    await put_digest_type(api_tenant, {"window": "1h"})
    [id] = await send(api_tenant, "one")
    [window] = await wait_for_windows(api_tenant, 1)
    flushed = [await api_tenant.call("POST", f"/digests/{window['id']}/flush") for _ in range(2)]
    assert flushed[0]["notification_id"] == flushed[1]["notification_id"]
    await api_tenant.wait_for_end(id, "DIGESTED")
    await api_tenant.wait_for_end(flushed[0]["notification_id"], "DELIVERED")
    assert await list_emails(api_tenant) == ["1: one"]


async def test_a_sliding_window_moves_with_each_item_up_to_its_maximum(api_tenant: ApiTenant) -> None:
    await put_digest_type(api_tenant, {"window": "1h", "sliding": True, "max_window": "61m"})
    await send(api_tenant, "one")
    [first] = await wait_for_windows(api_tenant, 1)
    await send(api_tenant, "two")
    [second] = await wait_for_windows(api_tenant, 2)
    assert (second["id"], second["opened_at"]) == (first["id"], first["opened_at"])
    assert second["closes_at"] > first["closes_at"]
    await api_tenant.call("POST", f"/digests/{first['id']}/flush")


async def test_a_digest_omits_canceled_items_and_is_not_sent_without_items(api_tenant: ApiTenant) -> None:
    await put_digest_type(api_tenant, {"window": "1h"})
    first, second = await send(api_tenant, "one", "two")
    assert (await api_tenant.cancel(first))["channels"] == {"email": "stopped"}
    # The count of a window includes an item that was canceled after its collection.
    collected = await eventually(lambda: api_tenant.notification(second), lambda found: found["digest"] is not None)
    await api_tenant.call("POST", f"/digests/{collected['digest']['id']}/flush")
    await api_tenant.wait_for_end(second, "DIGESTED")
    await wait_for_emails(api_tenant, "1: two")
    assert (await api_tenant.notification(first))["status"] == "CANCELED"
    [only_item] = await send(api_tenant, "three")
    [window] = await wait_for_windows(api_tenant, 1)
    await api_tenant.cancel(only_item)
    empty = await api_tenant.call("POST", f"/digests/{window['id']}/flush")
    assert (empty["items"], empty["notification_id"]) == (0, None)
    assert await list_emails(api_tenant) == ["1: two"]


async def test_the_first_item_is_sent_immediately_and_later_items_are_collected(api_tenant: ApiTenant) -> None:
    await put_digest_type(api_tenant, {"window": "1h", "send_first_immediately": True})
    first, second, third = await send(api_tenant, "one", "two", "three")
    await api_tenant.wait_for_end(first, "DELIVERED")
    await wait_for_emails(api_tenant, "1: one")
    await flush(api_tenant, 2)
    await api_tenant.wait_for_end(second, "DIGESTED")
    await api_tenant.wait_for_end(third, "DIGESTED")
    await wait_for_emails(api_tenant, "1: one", "2: two three")


async def test_an_opt_out_within_the_window_suppresses_the_digest(api_tenant: ApiTenant) -> None:
    await put_digest_type(api_tenant, {"window": "1h"})
    ids = await send(api_tenant, "one", "two")
    await api_tenant.call("PUT", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": False}})
    await flush(api_tenant, 2)
    [digest_id] = {(await api_tenant.wait_for_end(id, "DIGESTED"))["digest"]["notification_id"] for id in ids}
    digest = await api_tenant.wait_for_end(digest_id, "SUPPRESSED")
    assert digest["failure_reason"] == "email: opted_out (global_channel_opt_in.email)"
    assert await list_emails(api_tenant) == []


async def test_a_recipient_erased_within_the_window_gets_no_digest(api_tenant: ApiTenant) -> None:
    await put_digest_type(api_tenant, {"window": "6s"})
    [id] = await send(api_tenant, "one")
    await wait_for_windows(api_tenant, 1)
    await api_tenant.call("DELETE", "/recipients/ada")
    await api_tenant.wait_for_end(id, "CANCELED")
    assert await api_tenant.list_outbox() == []


async def test_a_send_over_a_throttle_is_collected(api_tenant: ApiTenant) -> None:
    await put_digest_type(api_tenant, {"window": "1h"}, throttle={"limit": 2, "per": "1h", "on_exceed": "digest"})
    ids = await send(api_tenant, "one", "two", "three", "four")
    await flush(api_tenant, 2)
    notifications = [await api_tenant.wait_for_end(id, "DELIVERED", "DIGESTED") for id in ids]
    assert sorted(one["status"] for one in notifications) == ["DELIVERED", "DELIVERED", "DIGESTED", "DIGESTED"]
    [digest_id] = {one["digest"]["notification_id"] for one in notifications if one["status"] == "DIGESTED"}
    # The digest itself exceeds the throttle, too. It waits, because it cannot be collected again.
    digest = await eventually(lambda: api_tenant.notification(digest_id), lambda found: found["waits_for"])
    assert digest["waits_for"] == "throttled"


async def test_a_collected_send_uses_its_requested_channels(api_tenant: ApiTenant) -> None:
    await put_digest_type(api_tenant, {"window": "1h"}, throttle={"limit": 1, "per": "1h", "on_exceed": "digest"})
    [first] = await send(api_tenant, "one")
    await api_tenant.wait_for_end(first, "SENT", "DELIVERED")
    by_email = await api_tenant.send("news", channels=["email"], tags=["a"], payload={"name": "two"})
    await send(api_tenant, "three")
    windows = await wait_for_windows(api_tenant, 1, 1)
    collected = await api_tenant.notification(by_email)
    assert collected["digest"]["id"] in {window["id"] for window in windows}
    flushed = await api_tenant.call("POST", f"/digests/{collected['digest']['id']}/flush")
    assert (await api_tenant.notification(flushed["notification_id"]))["tags"] == ["a"]


async def test_the_digest_workflow_shows_its_type_and_not_its_recipient(api_tenant: ApiTenant) -> None:
    await put_digest_type(api_tenant, {"window": "1h", "key": "project"})
    await api_tenant.put_recipient("quokka", email="quokka@example.com")
    [id] = await send(api_tenant, "one", recipient_id="quokka", project="wombat")
    notification = await eventually(lambda: api_tenant.notification(id), lambda found: found["digest"] is not None)
    handle = await api_tenant.engine.wait_for_workflow(notification["workflow_id"])
    history = await eventually(handle.fetch_history, lambda history: len(history.events) > 5)
    stored = b"".join(event.SerializeToString() for event in history.events)
    assert b"digest of news" in stored
    assert b"quokka" not in stored
    assert b"wombat" not in stored
    await api_tenant.call("POST", f"/digests/{notification['digest']['id']}/flush")


async def test_a_scheduled_item_is_collected_when_it_is_due(api_tenant: ApiTenant) -> None:
    await put_digest_type(api_tenant, {"window": "1h"})
    late = await api_tenant.send("news", send_at=later(600), payload={"name": "late"})
    await send(api_tenant, "early")
    await flush(api_tenant, 1)
    await wait_for_emails(api_tenant, "1: early")
    await api_tenant.make_due(late)
    await flush(api_tenant, 1)
    await api_tenant.wait_for_end(late, "DIGESTED")
    await wait_for_emails(api_tenant, "1: early", "1: late")
