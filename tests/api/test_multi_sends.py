"""Test one `send` to several recipients: a list or a topic, one notification each, one idempotency key for all of
them."""

import asyncio
from typing import Any

import pytest
from httpx2 import Response

from domain.json_types import Json
from services.statement_groups import SendStatementGroups
from storage import acceptance, recipients
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant

pytestmark = pytest.mark.postgres
SCHEMA = {"type": "object", "required": ["shop", "order"], "properties": {"order": {"type": "string"}}}
RECIPIENT_IDS = ("ada", "bob", "eve")
MANY_RECIPIENTS = """
INSERT INTO recipient (tenant, recipient_id, contact, address_hashes, attributes, created_at, updated_at)
SELECT :tenant, 'r' || n, '{}', '{}', '{}', now(), now() FROM generate_series(1, 998) n
"""
MANY_SUBSCRIBERS = """
INSERT INTO topic_subscriber (tenant, recipient_id, topic, created_at)
SELECT :tenant, 'r' || n, 'lamps', now() FROM generate_series(1, 998) n
"""


@pytest.fixture
async def store(api_tenant: ApiTenant) -> ApiTenant:
    """Create a type `shipped` (SMS, priority 3), three recipients, and a topic `lamps` with them."""
    template = {"body": "{{ shop }} {{ order }}", "variables_schema": SCHEMA}
    await api_tenant.put_type("shipped", ["sms"], template=template)
    for recipient_id in RECIPIENT_IDS:
        await api_tenant.put_recipient(recipient_id, phone="+447700900123")
        assert (await api_tenant.http.put(f"/topics/lamps/subscribers/{recipient_id}")).status_code == 204
    return api_tenant


def to(recipient_id: str, **more: Any) -> Json:
    return {"recipient_id": recipient_id, "payload": {"order": f"order of {recipient_id}"}, **more}


async def post(api_tenant: ApiTenant, *recipients: Json, key: str | None = None, **more: Any) -> Response:
    body: Json = {"notification_type": "shipped", "payload": {"shop": "Kite"}, **more}
    headers = {} if key is None else {"Idempotency-Key": key}
    return await api_tenant.http.post(
        "/notifications/send", json=body | ({"recipients": list(recipients)} if recipients else {}), headers=headers
    )


def entries(response: Response) -> list[Json]:
    assert response.status_code == 202, response.text
    items: list[Json] = response.json()["items"]
    assert [item["index"] for item in items] == list(range(len(items)))
    return items


async def send(api_tenant: ApiTenant, *recipients: Json, **more: Any) -> list[Json]:
    return entries(await post(api_tenant, *recipients, **more))


async def to_topic(api_tenant: ApiTenant, **more: Any) -> list[Json]:
    return await send(api_tenant, topic="lamps", payload={"shop": "Kite", "order": "1"}, **more)


async def shown(api_tenant: ApiTenant, item: Json) -> Json:
    view: Json = (await api_tenant.http.get(f"/notifications/{item['id']}")).json()
    return view


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


# Idempotency


async def test_a_repeat_gets_the_same_response_and_another_body_is_refused(store: ApiTenant) -> None:
    given = (to("ada"), to("unknown"), to("bob", priority=9), to("eve"))
    first = await post(store, *given, key="k")
    assert (await store.put("/recipients/unknown", {})).status_code == 201
    assert (await store.http.delete("/notification-types/shipped")).status_code == 204
    again = await post(store, *given, key="k")
    assert (first.headers.get("Idempotent-Replayed"), again.headers["Idempotent-Replayed"]) == (None, "true")
    assert (entries(again), await store.count_notifications()) == (entries(first), 2)
    for other in (await post(store, *given[:1], key="k"), await post(store, topic="lamps", key="k")):
        assert validation_errors(other) == {"": "the idempotency key was already used with another body"}


async def test_a_repeat_for_a_topic_reaches_no_later_subscriber(store: ApiTenant) -> None:
    assert (await store.http.delete("/topics/lamps/subscribers/ada")).status_code == 204
    first = await to_topic(store, key="k")
    assert (await store.http.put("/topics/lamps/subscribers/ada")).status_code == 204
    assert await to_topic(store, key="k") == first
    assert await store.count_notifications() == 2


async def test_a_key_holds_for_sends_to_one_recipient_too(store: ApiTenant) -> None:
    reused = {"": "the idempotency key was already used with another body"}
    await send(store, to("ada"), key="several")
    assert (
        validation_errors(await post(store, key="several", recipient_id="bob", payload={"shop": "", "order": ""}))
        == reused
    )
    assert (await post(store, key="one", recipient_id="bob", payload={"shop": "", "order": ""})).status_code == 202
    assert validation_errors(await post(store, to("ada"), key="one")) == reused


async def test_a_key_is_free_without_accepted_sends_or_after_its_expiry(store: ApiTenant) -> None:
    entries: list[dict[str, Any]] = [to("unknown"), {"payload": {}}]
    for refused in entries:
        assert [item["status"] for item in await send(store, refused, key="k")] == [422]
    [item] = await send(store, to("ada"), key="k")
    await store.query("UPDATE multi_send SET expires_at = now() WHERE tenant = :tenant")
    await store.query("UPDATE notification SET created_at = now() - interval '2 days' WHERE tenant = :tenant")
    [later] = await send(store, to("ada"), key="k")
    assert later["id"] != item["id"]


@pytest.mark.parametrize("bodies", [("ada", "ada"), ("ada", "bob")])
async def test_one_of_concurrent_requests_with_a_key_is_accepted(
    store: ApiTenant, monkeypatch: pytest.MonkeyPatch, bodies: tuple[str, str]
) -> None:
    """Both requests look up the key before either holds it."""
    both = asyncio.Barrier(2)
    keep = acceptance.store_results

    async def keep_together(*arguments: Any) -> bool:
        await both.wait()
        return await keep(*arguments)

    monkeypatch.setattr(acceptance, "store_results", keep_together)
    async with asyncio.timeout(60):
        one, other = await asyncio.gather(
            *(post(store, to(recipient_id), to("eve"), key="k") for recipient_id in bodies)
        )
    assert await store.count_notifications() == 2
    if bodies[0] == bodies[1]:
        assert entries(one) == entries(other)
        assert {one.headers.get("Idempotent-Replayed"), other.headers.get("Idempotent-Replayed")} == {None, "true"}
    else:
        assert {one.status_code, other.status_code} == {202, 422}


REUSED = {"": "the idempotency key was already used with another body"}


async def one(api_tenant: ApiTenant) -> Response:
    return await post(api_tenant, key="k", recipient_id="bob", payload={"shop": "", "order": ""})


async def test_a_single_send_takes_the_key_from_a_concurrent_multi_send(
    store: ApiTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The single send is accepted after the multi-send has looked up the key."""
    keep = acceptance.store_results

    async def keep_afterwards(*arguments: Any) -> bool:
        assert (await one(store)).status_code == 202
        return await keep(*arguments)

    monkeypatch.setattr(acceptance, "store_results", keep_afterwards)
    assert validation_errors(await post(store, to("ada"), to("eve"), key="k")) == REUSED
    assert await store.count_notifications() == 1


async def test_a_multi_send_takes_the_key_from_a_concurrent_single_send(
    store: ApiTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The multi-send is accepted after the single send has looked up the key. Its first entry is rejected."""
    insert = SendStatementGroups.insert

    async def insert_afterwards(*arguments: Any) -> Any:
        await send(store, to("unknown"), to("ada"), to("eve"), key="k")
        return await insert(*arguments)

    monkeypatch.setattr(SendStatementGroups, "insert", insert_afterwards)
    assert validation_errors(await one(store)) == REUSED
    assert await store.count_notifications() == 2


async def test_an_erasure_leaves_no_key_that_quotes_the_recipient(store: ApiTenant) -> None:
    """The notification of another recipient also holds the key, which stays in force."""
    given, key = (to("bob"), to("ada")), "for +447700900123"
    first = await send(store, *given, key=key)
    assert (await store.put("/recipients/bob", {"phone": "+447700900124"})).status_code == 200
    assert (await store.http.delete("/recipients/ada")).status_code == 202
    kept = "SELECT count(*) AS number FROM {} WHERE tenant = :tenant AND idempotency_key = 'for +447700900123'"
    for table in ("notification", "multi_send"):
        assert await store.query(kept.format(table)) == [{"number": 0}]
    assert [entry["id"] for entry in await send(store, *given, key=key)] == [entry["id"] for entry in first]
    assert (
        validation_errors(await post(store, key=key, recipient_id="bob", payload={"shop": "", "order": ""})) == REUSED
    )
