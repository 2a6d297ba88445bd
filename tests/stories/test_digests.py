"""Digests: many become one, each item is in exactly one of them, and what was decided in the window counts."""

from typing import Any

import pytest

from tests.engine import ApiTenant, later
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]
BODY = "{{ total }}: {% for item in items %}{{ item.name }} {% endfor %}"


async def news(api_tenant: ApiTenant, digest: dict[str, Any], **more: Any) -> None:
    await api_tenant.add_template("news", "email", BODY, subject_template="{{ total }} news")
    given = {"route": [{"channels": ["email"]}], "templates": {"email": "news"}, "digest": digest, **more}
    await api_tenant.call("PUT", "/notification-types/news", given)
    await api_tenant.put_recipient("ada", email="ada@example.com")


async def send(api_tenant: ApiTenant, *names: str, person: str = "ada", **more: Any) -> list[str]:
    return [await api_tenant.send("news", person, payload={"name": name, **more}) for name in names]


async def mails(api_tenant: ApiTenant, person: str = "ada") -> list[str]:
    return [message["content"]["text"].strip() for message in await api_tenant.list_outbox(recipient_id=person)]


async def digests(api_tenant: ApiTenant, **wanted: str) -> list[dict[str, Any]]:
    query = "&".join(f"{name}={value}" for name, value in wanted.items())
    items: list[dict[str, Any]] = (await api_tenant.call("GET", f"/digests?{query}"))["items"]
    return items


async def flush(api_tenant: ApiTenant, *items: int) -> None:
    """Close the open windows, once they have so many items, without waiting for their end."""
    windows = await eventually(
        lambda: digests(api_tenant), lambda seen: sorted(each["items"] for each in seen) == sorted(items)
    )
    for window in windows:
        await api_tenant.call("POST", f"/digests/{window['id']}/flush")


async def test_items_of_one_window_are_sent_as_one_digest(api_tenant: ApiTenant) -> None:
    await news(api_tenant, {"window": "6s"})
    ids = await send(api_tenant, "one", "two", "three")
    shown = [await api_tenant.wait_for_end(id, "DIGESTED") for id in ids]
    [made] = {one["digest"]["notification_id"] for one in shown}
    whole = await api_tenant.wait_for_end(made, "DELIVERED")
    assert whole["event_payload"] == {"items": [{"name": "one"}, {"name": "two"}, {"name": "three"}], "total": 3}
    assert await mails(api_tenant) == ["3: one two three"]
    assert (await api_tenant.cancel(ids[0]))["channels"] == {"email": "already_sent"}
    assert [entry["kind"] for entry in shown[0]["timeline"]] == ["accepted", "collected", "digested"]
    await api_tenant.engine.history(made)


async def test_each_digest_key_and_each_recipient_has_its_own_digest(api_tenant: ApiTenant) -> None:
    await news(api_tenant, {"window": "1h", "key": "project"})
    await api_tenant.put_recipient("bob", email="bob@example.com")
    await send(api_tenant, "one", "two", project="a")
    await send(api_tenant, "three", project="b")
    ids = await send(api_tenant, "four", person="bob", project="a")
    await flush(api_tenant, 2, 1, 1)
    await api_tenant.wait_for_end(ids[0], "DIGESTED")
    await eventually(lambda: mails(api_tenant), lambda seen: sorted(seen) == ["1: three", "2: one two"])
    await eventually(lambda: mails(api_tenant, "bob"), lambda seen: seen == ["1: four"])


async def test_a_full_window_closes_and_the_next_one_opens(api_tenant: ApiTenant) -> None:
    await news(api_tenant, {"window": "1h", "max_items": 3})
    await send(api_tenant, *"abcdefg")
    await eventually(lambda: mails(api_tenant), lambda seen: sorted(seen) == ["3: a b c", "3: d e f"])
    [left] = await digests(api_tenant, recipient_id="ada")
    assert (left["items"], left["closed_at"]) == (1, None)
    await api_tenant.call("POST", f"/digests/{left['id']}/flush")
    await eventually(lambda: mails(api_tenant), lambda seen: "1: g" in seen)


async def test_flushed_twice_it_goes_out_once(api_tenant: ApiTenant) -> None:
    await news(api_tenant, {"window": "1h"})
    [id] = await send(api_tenant, "one")
    [window] = await eventually(lambda: digests(api_tenant), lambda seen: [each["items"] for each in seen] == [1])
    flushed = [await api_tenant.call("POST", f"/digests/{window['id']}/flush") for _ in range(2)]
    assert flushed[0]["notification_id"] == flushed[1]["notification_id"]
    await api_tenant.wait_for_end(id, "DIGESTED")
    await api_tenant.wait_for_end(flushed[0]["notification_id"], "DELIVERED")
    assert await mails(api_tenant) == ["1: one"]


async def test_a_sliding_window_moves_with_each_item_but_not_for_ever(api_tenant: ApiTenant) -> None:
    await news(api_tenant, {"window": "1h", "sliding": True, "max_window": "61m"})
    await send(api_tenant, "one")
    [first] = await eventually(lambda: digests(api_tenant), lambda seen: [each["items"] for each in seen] == [1])
    await send(api_tenant, "two")
    [second] = await eventually(lambda: digests(api_tenant), lambda seen: [each["items"] for each in seen] == [2])
    assert (second["id"], second["opened_at"]) == (first["id"], first["opened_at"])
    assert second["closes_at"] > first["closes_at"]
    await api_tenant.call("POST", f"/digests/{first['id']}/flush")


async def test_a_digest_omits_canceled_items_and_is_not_sent_without_items(api_tenant: ApiTenant) -> None:
    await news(api_tenant, {"window": "1h"})
    first, second = await send(api_tenant, "one", "two")
    assert (await api_tenant.cancel(first))["channels"] == {"email": "stopped"}
    # An item that was cancelled after it was collected is still counted.
    collected = await eventually(lambda: api_tenant.notification(second), lambda shown: shown["digest"] is not None)
    await api_tenant.call("POST", f"/digests/{collected['digest']['id']}/flush")
    await api_tenant.wait_for_end(second, "DIGESTED")
    await eventually(lambda: mails(api_tenant), lambda seen: seen == ["1: two"])
    assert (await api_tenant.notification(first))["status"] == "CANCELED"
    [alone] = await send(api_tenant, "three")
    [window] = await eventually(lambda: digests(api_tenant), lambda seen: [each["items"] for each in seen] == [1])
    await api_tenant.cancel(alone)
    empty = await api_tenant.call("POST", f"/digests/{window['id']}/flush")
    assert (empty["items"], empty["notification_id"]) == (0, None)
    assert await mails(api_tenant) == ["1: two"]


async def test_the_first_item_is_sent_immediately_and_later_items_are_collected(api_tenant: ApiTenant) -> None:
    await news(api_tenant, {"window": "1h", "send_first_immediately": True})
    first, second, third = await send(api_tenant, "one", "two", "three")
    await api_tenant.wait_for_end(first, "DELIVERED")
    await eventually(lambda: mails(api_tenant), lambda seen: seen == ["1: one"])
    await flush(api_tenant, 2)
    await api_tenant.wait_for_end(second, "DIGESTED")
    await api_tenant.wait_for_end(third, "DIGESTED")
    await eventually(lambda: mails(api_tenant), lambda seen: sorted(seen) == ["1: one", "2: two three"])


async def test_an_opt_out_within_the_window_is_obeyed(api_tenant: ApiTenant) -> None:
    await news(api_tenant, {"window": "1h"})
    ids = await send(api_tenant, "one", "two")
    await api_tenant.call("PUT", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": False}})
    await flush(api_tenant, 2)
    [made] = {(await api_tenant.wait_for_end(id, "DIGESTED"))["digest"]["notification_id"] for id in ids}
    assert (await api_tenant.wait_for_end(made, "SUPPRESSED"))[
        "failure_reason"
    ] == "email: opted_out (global_channel_opt_in.email)"
    assert await mails(api_tenant) == []


async def test_a_recipient_erased_within_the_window_gets_no_digest(api_tenant: ApiTenant) -> None:
    await news(api_tenant, {"window": "6s"})
    [id] = await send(api_tenant, "one")
    await eventually(lambda: digests(api_tenant), lambda seen: [each["items"] for each in seen] == [1])
    await api_tenant.call("DELETE", "/recipients/ada")
    await api_tenant.wait_for_end(id, "CANCELED")
    assert await api_tenant.list_outbox() == []


async def test_a_send_over_a_throttle_is_collected(api_tenant: ApiTenant) -> None:
    await news(api_tenant, {"window": "1h"}, throttle={"limit": 2, "per": "1h", "on_exceed": "digest"})
    ids = await send(api_tenant, "one", "two", "three", "four")
    await flush(api_tenant, 2)
    shown = [await api_tenant.wait_for_end(id, "DELIVERED", "DIGESTED") for id in ids]
    assert sorted(one["status"] for one in shown) == ["DELIVERED", "DELIVERED", "DIGESTED", "DIGESTED"]
    [made] = {one["digest"]["notification_id"] for one in shown if one["status"] == "DIGESTED"}
    # The digest itself exceeds the throttle, too: it can only wait.
    assert (await eventually(lambda: api_tenant.notification(made), lambda one: one["waits_for"]))[
        "waits_for"
    ] == "throttled"


async def test_a_collected_send_uses_its_requested_channels(api_tenant: ApiTenant) -> None:
    await news(api_tenant, {"window": "1h"}, throttle={"limit": 1, "per": "1h", "on_exceed": "digest"})
    [first] = await send(api_tenant, "one")
    await api_tenant.wait_for_end(first, "SENT", "DELIVERED")
    mailed = await api_tenant.send("news", channels=["email"], tags=["a"], payload={"name": "two"})
    await send(api_tenant, "three")
    found = await eventually(lambda: digests(api_tenant), lambda seen: [each["items"] for each in seen] == [1, 1])
    shown = await api_tenant.notification(mailed)
    assert shown["digest"]["id"] in {window["id"] for window in found}
    made = (await api_tenant.call("POST", f"/digests/{shown['digest']['id']}/flush"))["notification_id"]
    assert (await api_tenant.notification(made))["tags"] == ["a"]


async def test_the_digest_workflow_shows_its_type_and_not_its_recipient(api_tenant: ApiTenant) -> None:
    await news(api_tenant, {"window": "1h", "key": "project"})
    await api_tenant.put_recipient("quokka", email="quokka@example.com")
    [id] = await send(api_tenant, "one", person="quokka", project="wombat")
    shown = await eventually(lambda: api_tenant.notification(id), lambda one: one["digest"] is not None)
    handle = await api_tenant.engine.wait_for_workflow(shown["workflow_id"])
    history = await eventually(handle.fetch_history, lambda history: len(history.events) > 5)
    told = b"".join(event.SerializeToString() for event in history.events)
    assert b"digest of news" in told
    assert b"quokka" not in told
    assert b"wombat" not in told
    await api_tenant.call("POST", f"/digests/{shown['digest']['id']}/flush")


async def test_a_collected_one_is_sent_when_it_is_due(api_tenant: ApiTenant) -> None:
    await news(api_tenant, {"window": "1h"})
    late = await api_tenant.send("news", send_at=later(600), payload={"name": "late"})
    await send(api_tenant, "early")
    await flush(api_tenant, 1)
    await eventually(lambda: mails(api_tenant), lambda seen: seen == ["1: early"])
    await api_tenant.make_due(late)
    await flush(api_tenant, 1)
    await api_tenant.wait_for_end(late, "DIGESTED")
    await eventually(lambda: mails(api_tenant), lambda seen: sorted(seen) == ["1: early", "1: late"])
