"""Test one `send` to several recipients: a list or a topic, with one notification each."""

from typing import Any

import pytest

from domain.json_types import Json
from storage import recipients
from tests.api.multi_sends import post, send, shown, to, to_topic
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant

pytestmark = pytest.mark.postgres

MANY_RECIPIENTS = """
INSERT INTO recipient (tenant, recipient_id, contact, address_hashes, attributes, created_at, updated_at)
SELECT :tenant, 'r' || n, '{}', '{}', '{}', now(), now() FROM generate_series(1, 998) n
"""
MANY_SUBSCRIBERS = """
INSERT INTO topic_subscriber (tenant, recipient_id, topic, created_at)
SELECT :tenant, 'r' || n, 'lamps', now() FROM generate_series(1, 998) n
"""


# Entries


async def test_each_entry_has_its_own_data_and_may_differ_from_the_request(store: ApiTenant) -> None:
    ada, bob = await send(
        store, to("ada", payload={"order": "4711", "shop": "Own"}), to("bob", priority=1, tags=["b"]), tags=["all"]
    )
    assert [(item["recipient_id"], item["status"], item["errors"]) for item in (ada, bob)] == [
        ("ada", 202, None),
        ("bob", 202, None),
    ]
    ada, bob = await shown(store, ada), await shown(store, bob)
    assert (ada["event_payload"], ada["priority"], ada["tags"]) == ({"order": "4711", "shop": "Own"}, 3, ["all"])
    assert (bob["event_payload"], bob["priority"], bob["tags"]) == ({"order": "order of bob", "shop": "Kite"}, 1, ["b"])


async def test_an_entry_may_give_the_recipient_inline(store: ApiTenant) -> None:
    recipient = {"recipient_id": "new", "phone": "+447700900124"}
    [item] = await send(store, {"recipient": recipient, "payload": {"order": "1"}})
    assert (item["recipient_id"], item["status"]) == ("new", 202)
    assert (await store.http.get("/recipients/new")).json()["phone"] == "+447700900124"


async def test_a_bad_entry_does_not_keep_the_others_from_being_accepted(store: ApiTenant) -> None:
    bad = [to("unknown"), {"recipient_id": "bob"}, to("eve", priority=9), {"payload": {}}, to("eve", topic="lamps")]
    first, *refused = await send(store, to("ada"), *bad)
    assert (first["status"], await store.count_notifications()) == (202, 1)
    assert [(item["recipient_id"], item["status"], item["id"]) for item in refused] == [
        ("unknown", 422, None),
        ("bob", 422, None),
        *[(None, 422, None)] * 3,
    ]
    assert [item["errors"][0]["pointer"] for item in refused] == [
        "/recipient_id",
        "/payload/order",
        "/priority",
        "",
        "/topic",
    ]


async def test_a_further_entry_for_a_recipient_is_refused(store: ApiTenant) -> None:
    first, again = await send(store, to("ada"), to("ada", payload={"order": "2"}))
    assert (first["status"], again["status"], await store.count_notifications()) == (202, 422, 1)
    assert again["errors"] == [{"pointer": "", "detail": "has the same recipient as entry 0"}]


WRONG_AS_A_WHOLE: list[tuple[Json, str]] = [
    ({"recipient_id": "ada", "topic": "lamps"}, ""),
    ({"recipients": [to("ada")], "topic": "lamps"}, ""),
    ({}, ""),
    ({"recipients": []}, "/recipients"),
    ({"recipients": [to("ada")] * 101}, "/recipients"),
    ({"recipients": ["ada"]}, "/recipients/0"),
    ({"topic": "unknown"}, "/topic"),
    ({"topic": "lamps"}, "/payload/order"),
    ({"topic": "lamps", "channels": ["email"]}, "/channels/0"),
    ({"topic": "lamps", "notification_type": "unknown"}, "/notification_type"),
    ({"recipients": [to("ada"), to("bob")], "notification_type": "unknown"}, "/notification_type"),
]


async def test_an_invalid_shared_field_refuses_the_whole_request(store: ApiTenant) -> None:
    for body, pointer in WRONG_AS_A_WHOLE:
        assert pointer in validation_errors(await post(store, key="k", **body)), body
    assert await store.count_notifications() == 0


async def test_shared_fields_count_once_for_each_recipient(store: ApiTenant) -> None:
    large, many = {"shop": "x" * 100_000}, {"shop": [0] * 1_001}
    recipients = [to(f"r{number}") for number in range(100)]
    for payload in (large, many):
        refused = await post(store, *recipients, payload=payload)
        assert (refused.status_code, "counted once for each recipient" in refused.json()["detail"]) == (413, True)
    assert {item["status"] for item in await send(store, *recipients[:1], payload=large)} == {422}


# Topics


async def test_each_subscriber_of_a_topic_gets_a_notification(store: ApiTenant) -> None:
    assert (await store.http.delete("/topics/lamps/subscribers/bob")).status_code == 204
    items = await to_topic(store, cancel_key="lamps-1")
    assert [(item["recipient_id"], item["status"]) for item in items] == [("ada", 202), ("eve", 202)]
    assert {(await shown(store, item))["recipient_id"] for item in items} == {"ada", "eve"}
    canceled = (await store.http.post("/notifications/cancel", json={"cancel_key": "lamps-1"})).json()
    assert {item["id"] for item in canceled["items"]} == {item["id"] for item in items}


async def test_a_subscriber_erased_during_the_request_is_refused_alone(
    store: ApiTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribers = recipients.list_subscribers

    async def before_an_erasure(*arguments: Any) -> list[str]:
        found = await subscribers(*arguments)
        assert (await store.http.request("DELETE", "/recipients/bob")).status_code == 202
        return found

    monkeypatch.setattr(recipients, "list_subscribers", before_an_erasure)
    first = await to_topic(store, key="k")
    assert [(item["recipient_id"], item["status"]) for item in first] == [("ada", 202), ("bob", 422), ("eve", 202)]
    first[1]["recipient_id"] = None
    assert await to_topic(store, key="k") == first


async def test_a_topic_may_have_a_thousand_subscribers(store: ApiTenant) -> None:
    await store.query(MANY_RECIPIENTS)
    await store.query(MANY_SUBSCRIBERS)
    too_many = await post(store, topic="lamps", payload={"shop": "Kite", "order": "1"})
    assert validation_errors(too_many) == {"/topic": "has more than 1,000 subscribers, the limit of one send"}
    assert (await store.http.delete("/topics/lamps/subscribers/r7")).status_code == 204
    items = await to_topic(store, key="k")
    assert ({item["status"] for item in items}, len(items), await store.count_notifications()) == ({202}, 1_000, 1_000)
    assert await to_topic(store, key="k") == items
    transactions = "SELECT count(DISTINCT xmin::text) AS number FROM notification WHERE tenant = :tenant"
    assert await store.query(transactions) == [{"number": 1}]
