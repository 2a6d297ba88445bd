"""Digests: many become one, each item is in exactly one of them, and what was decided in the window counts."""

from typing import Any

import pytest

from tests.engine import Shop, later
from tests.polling import eventually

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


async def flush(shop: Shop, *items: int) -> None:
    """Close the open windows, once they have so many items, without waiting for their end."""
    windows = await eventually(
        lambda: digests(shop), lambda seen: sorted(each["items"] for each in seen) == sorted(items)
    )
    for window in windows:
        await shop.ok("POST", f"/digests/{window['id']}/flush")


async def test_what_comes_in_a_window_goes_out_as_one(shop: Shop) -> None:
    await news(shop, {"window": "6s"})
    ids = await send(shop, "one", "two", "three")
    shown = [await shop.ended(id, "DIGESTED") for id in ids]
    [made] = {one["digest"]["notification_id"] for one in shown}
    whole = await shop.ended(made, "DELIVERED")
    assert whole["event_payload"] == {"items": [{"name": "one"}, {"name": "two"}, {"name": "three"}], "total": 3}
    assert await mails(shop) == ["3: one two three"]
    assert (await shop.cancel(ids[0]))["channels"] == {"email": "already_sent"}
    assert [entry["kind"] for entry in shown[0]["timeline"]] == ["accepted", "collected", "digested"]
    await shop.engine.history(made)


async def test_each_part_and_each_person_has_a_digest_of_its_own(shop: Shop) -> None:
    await news(shop, {"window": "1h", "key": "project"})
    await shop.person("bob", email="bob@example.com")
    await send(shop, "one", "two", project="a")
    await send(shop, "three", project="b")
    ids = await send(shop, "four", person="bob", project="a")
    await flush(shop, 2, 1, 1)
    await shop.ended(ids[0], "DIGESTED")
    await eventually(lambda: mails(shop), lambda seen: sorted(seen) == ["1: three", "2: one two"])
    await eventually(lambda: mails(shop, "bob"), lambda seen: seen == ["1: four"])


async def test_a_window_that_is_full_closes_at_once_and_the_next_one_opens(shop: Shop) -> None:
    await news(shop, {"window": "1h", "max_items": 3})
    await send(shop, *"abcdefg")
    await eventually(lambda: mails(shop), lambda seen: sorted(seen) == ["3: a b c", "3: d e f"])
    [left] = await digests(shop, recipient_id="ada")
    assert (left["items"], left["closed_at"]) == (1, None)
    await shop.ok("POST", f"/digests/{left['id']}/flush")
    await eventually(lambda: mails(shop), lambda seen: "1: g" in seen)


async def test_flushed_twice_it_goes_out_once(shop: Shop) -> None:
    await news(shop, {"window": "1h"})
    [id] = await send(shop, "one")
    [window] = await eventually(lambda: digests(shop), lambda seen: [each["items"] for each in seen] == [1])
    flushed = [await shop.ok("POST", f"/digests/{window['id']}/flush") for _ in range(2)]
    assert flushed[0]["notification_id"] == flushed[1]["notification_id"]
    await shop.ended(id, "DIGESTED")
    await shop.ended(flushed[0]["notification_id"], "DELIVERED")
    assert await mails(shop) == ["1: one"]


async def test_a_sliding_window_moves_with_each_item_but_not_for_ever(shop: Shop) -> None:
    await news(shop, {"window": "1h", "sliding": True, "at_most": "61m"})
    await send(shop, "one")
    [first] = await eventually(lambda: digests(shop), lambda seen: [each["items"] for each in seen] == [1])
    await send(shop, "two")
    [second] = await eventually(lambda: digests(shop), lambda seen: [each["items"] for each in seen] == [2])
    assert (second["id"], second["opened_at"]) == (first["id"], first["opened_at"])
    assert second["closes_at"] > first["closes_at"]
    await shop.ok("POST", f"/digests/{first['id']}/flush")


async def test_an_item_that_is_cancelled_is_not_in_it_and_one_without_items_is_not_sent(shop: Shop) -> None:
    await news(shop, {"window": "1h"})
    first, second = await send(shop, "one", "two")
    assert (await shop.cancel(first))["channels"] == {"email": "stopped"}
    # An item that was cancelled after it was collected is still counted.
    collected = await eventually(lambda: shop.shown(second), lambda shown: shown["digest"] is not None)
    await shop.ok("POST", f"/digests/{collected['digest']['id']}/flush")
    await shop.ended(second, "DIGESTED")
    await eventually(lambda: mails(shop), lambda seen: seen == ["1: two"])
    assert (await shop.shown(first))["status"] == "CANCELED"
    [alone] = await send(shop, "three")
    [window] = await eventually(lambda: digests(shop), lambda seen: [each["items"] for each in seen] == [1])
    await shop.cancel(alone)
    empty = await shop.ok("POST", f"/digests/{window['id']}/flush")
    assert (empty["items"], empty["notification_id"]) == (0, None)
    assert await mails(shop) == ["1: two"]


async def test_the_first_one_goes_out_at_once_and_what_follows_is_collected(shop: Shop) -> None:
    await news(shop, {"window": "1h", "first_at_once": True})
    first, second, third = await send(shop, "one", "two", "three")
    await shop.ended(first, "DELIVERED")
    await eventually(lambda: mails(shop), lambda seen: seen == ["1: one"])
    await flush(shop, 2)
    await shop.ended(second, "DIGESTED")
    await shop.ended(third, "DIGESTED")
    await eventually(lambda: mails(shop), lambda seen: sorted(seen) == ["1: one", "2: two three"])


async def test_an_opt_out_within_the_window_is_obeyed(shop: Shop) -> None:
    await news(shop, {"window": "1h"})
    ids = await send(shop, "one", "two")
    await shop.ok("PUT", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": False}})
    await flush(shop, 2)
    [made] = {(await shop.ended(id, "DIGESTED"))["digest"]["notification_id"] for id in ids}
    assert (await shop.ended(made, "SUPPRESSED"))["failure_reason"] == "email: opted_out (global_channel_opt_in.email)"
    assert await mails(shop) == []


async def test_somebody_who_is_erased_within_the_window_gets_nothing(shop: Shop) -> None:
    await news(shop, {"window": "6s"})
    [id] = await send(shop, "one")
    await eventually(lambda: digests(shop), lambda seen: [each["items"] for each in seen] == [1])
    await shop.ok("DELETE", "/recipients/ada")
    await shop.ended(id, "CANCELED")
    assert await shop.outbox() == []


async def test_what_exceeds_a_throttle_is_collected(shop: Shop) -> None:
    await news(shop, {"window": "1h"}, throttle={"limit": 2, "per": "1h", "on_exceed": "digest"})
    ids = await send(shop, "one", "two", "three", "four")
    await flush(shop, 2)
    shown = [await shop.ended(id, "DELIVERED", "DIGESTED") for id in ids]
    assert sorted(one["status"] for one in shown) == ["DELIVERED", "DELIVERED", "DIGESTED", "DIGESTED"]
    [made] = {one["digest"]["notification_id"] for one in shown if one["status"] == "DIGESTED"}
    # The digest itself exceeds the throttle, too: it can only wait.
    assert (await eventually(lambda: shop.shown(made), lambda one: one["waits_for"]))["waits_for"] == "throttled"


async def test_what_exceeds_a_throttle_goes_out_on_the_channels_that_it_was_sent_for(shop: Shop) -> None:
    await news(shop, {"window": "1h"}, throttle={"limit": 1, "per": "1h", "on_exceed": "digest"})
    [first] = await send(shop, "one")
    await shop.ended(first, "SENT", "DELIVERED")
    mailed = await shop.send("news", channels=["email"], tags=["a"], payload={"name": "two"})
    await send(shop, "three")
    found = await eventually(lambda: digests(shop), lambda seen: [each["items"] for each in seen] == [1, 1])
    shown = await shop.shown(mailed)
    assert shown["digest"]["id"] in {window["id"] for window in found}
    made = (await shop.ok("POST", f"/digests/{shown['digest']['id']}/flush"))["notification_id"]
    assert (await shop.shown(made))["tags"] == ["a"]


async def test_its_workflow_tells_an_operator_what_it_is_and_nobody_who_it_is_for(shop: Shop) -> None:
    await news(shop, {"window": "1h", "key": "project"})
    await shop.person("quokka", email="quokka@example.com")
    [id] = await send(shop, "one", person="quokka", project="wombat")
    shown = await eventually(lambda: shop.shown(id), lambda one: one["digest"] is not None)
    handle = await shop.engine.begun(shown["workflow_id"])
    history = await eventually(handle.fetch_history, lambda history: len(history.events) > 5)
    told = b"".join(event.SerializeToString() for event in history.events)
    assert b"digest of news" in told
    assert b"quokka" not in told
    assert b"wombat" not in told
    await shop.ok("POST", f"/digests/{shown['digest']['id']}/flush")


async def test_a_collected_one_is_sent_when_it_is_due(shop: Shop) -> None:
    await news(shop, {"window": "1h"})
    late = await shop.send("news", send_at=later(600), payload={"name": "late"})
    await send(shop, "early")
    await flush(shop, 1)
    await eventually(lambda: mails(shop), lambda seen: seen == ["1: early"])
    await shop.due(late)
    await flush(shop, 1)
    await shop.ended(late, "DIGESTED")
    await eventually(lambda: mails(shop), lambda seen: sorted(seen) == ["1: early", "1: late"])
