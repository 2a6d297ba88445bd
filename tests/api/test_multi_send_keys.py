"""Test the idempotency key of a `send` to several recipients: one key for all of them."""

import asyncio
from typing import Any

import pytest
from httpx2 import Response

from services.statement_groups import SendStatementGroups
from storage import acceptance
from tests.api.multi_sends import entries, post, send, to, to_topic
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant

pytestmark = pytest.mark.postgres


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
