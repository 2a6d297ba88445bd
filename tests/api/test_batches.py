"""Test `POST /notifications/send-batch`: the items are accepted and rejected one by one."""

import asyncio
from typing import Any

import pytest

from tests.api.news_sends import BAD_KEYS, BATCH, GOOD, changed_send
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant

pytestmark = pytest.mark.postgres


async def test_a_bad_item_does_not_keep_the_others_from_being_accepted(news_tenant: ApiTenant) -> None:
    responses = await news_tenant.send_batch(
        GOOD, changed_send(priority=9), changed_send(payload={}), changed_send(recipient_id="unknown"), GOOD
    )
    assert [response["status"] for response in responses] == [202, 422, 422, 422, 202]
    assert [[issue["pointer"] for issue in response["errors"] or []] for response in responses] == [
        [],
        ["/priority"],
        ["/payload/name"],
        ["/recipient_id"],
        [],
    ]
    assert len({response["id"] for response in responses if response["id"]}) == 2
    assert await news_tenant.count_notifications() == 2


async def test_a_batch_item_may_have_its_own_key(news_tenant: ApiTenant) -> None:
    alone = await news_tenant.post_send(GOOD, key="k")
    [same, other] = await news_tenant.send_batch({**GOOD, "idempotency_key": "k"}, {**GOOD, "idempotency_key": "l"})
    assert (same["id"], same["replayed"]) == (alone.json()["id"], True)
    assert (other["id"] != same["id"], other["replayed"]) == (True, False)
    [clash] = await news_tenant.send_batch({**changed_send(priority=1), "idempotency_key": "l"})
    assert (clash["status"], clash["id"]) == (422, None)
    assert await news_tenant.count_notifications() == 2


@pytest.mark.parametrize("key", [*BAD_KEYS, "a\n", 7])
async def test_a_bad_key_of_an_item_is_refused_as_in_the_header(news_tenant: ApiTenant, key: Any) -> None:
    bad, good = await news_tenant.send_batch(
        {**GOOD, "idempotency_key": key}, {**GOOD, "idempotency_key": "~ " * 127 + "k"}
    )
    assert [response["status"] for response in (bad, good)] == [422, 202]
    assert [issue["pointer"] for issue in bad["errors"]] == ["/idempotency_key"]
    assert await news_tenant.count_notifications() == 1


async def test_the_key_of_a_batch_counts_for_each_item_by_its_place(news_tenant: ApiTenant) -> None:
    own = {**GOOD, "idempotency_key": "own"}
    first = await news_tenant.send_batch(GOOD, own, GOOD, key="b")
    assert (await news_tenant.post_send(GOOD, key="b:0")).json()["id"] == first[0]["id"]
    assert (await news_tenant.post_send(GOOD, key="own")).json()["id"] == first[1]["id"]
    assert (await news_tenant.post_send(GOOD, key="b:2")).json()["id"] == first[2]["id"]
    assert await news_tenant.count_notifications() == 3


async def test_a_repeated_batch_is_replayed(news_tenant: ApiTenant) -> None:
    items = [changed_send(payload={"name": str(number)}) for number in range(20)]
    first, again = await news_tenant.send_batch(*items, key="b"), await news_tenant.send_batch(*items, key="b")
    assert [response["id"] for response in again] == [response["id"] for response in first]
    assert ({response["replayed"] for response in first}, {response["replayed"] for response in again}) == (
        {False},
        {True},
    )
    assert await news_tenant.count_notifications() == 20


async def test_batches_at_once_with_the_same_keys_make_each_notification_once(news_tenant: ApiTenant) -> None:
    items = [changed_send(payload={"name": str(number)}) for number in range(20)]
    batches = await asyncio.gather(*(news_tenant.send_batch(*items, key="b") for _ in range(8)))
    assert len({response["id"] for responses in batches for response in responses}) == 20
    assert sum(not response["replayed"] for responses in batches for response in responses) == 20
    assert await news_tenant.count_notifications() == 20


async def test_a_key_that_a_batch_names_twice_is_one_notification(news_tenant: ApiTenant) -> None:
    keyed = {**GOOD, "idempotency_key": "k"}
    first, repeated, other = await news_tenant.send_batch(keyed, keyed, {**keyed, "priority": 1})
    assert (first["status"], repeated["status"], repeated["id"]) == (202, 202, first["id"])
    assert [first["replayed"], repeated["replayed"]] == [False, True]
    assert (other["status"], other["errors"][0]["pointer"]) == (422, "")
    assert await news_tenant.count_notifications() == 1


async def test_an_item_may_create_the_recipient_of_the_next_one(news_tenant: ApiTenant) -> None:
    recipient = {"recipient_id": "grace", "email": "grace@example.com"}
    responses = await news_tenant.send_batch(
        changed_send(recipient_id=..., recipient=recipient), changed_send(recipient_id="grace")
    )
    assert [response["status"] for response in responses] == [202, 202]


async def test_a_batch_takes_a_thousand_items_and_no_more(news_tenant: ApiTenant) -> None:
    responses = await news_tenant.send_batch(*[GOOD] * 1_000)
    assert {item["status"] for item in responses} == {202}
    assert await news_tenant.count_notifications() == 1_000
    response = await news_tenant.http.post(BATCH, json={"items": [GOOD] * 1_001})
    assert set(validation_errors(response)) == {"/items"}
    assert set(validation_errors(await news_tenant.http.post(BATCH, json={"items": []}))) == {"/items"}
    assert await news_tenant.count_notifications() == 1_000


async def test_an_item_over_256_kib_is_refused_alone(news_tenant: ApiTenant) -> None:
    too_large = changed_send(payload={"name": "Ada", "more": "x" * (256 * 1024)})
    responses = await news_tenant.send_batch(GOOD, too_large)
    assert [response["status"] for response in responses] == [202, 413]
    assert await news_tenant.count_notifications() == 1


async def test_a_batch_over_8_mib_is_413(news_tenant: ApiTenant) -> None:
    large = changed_send(payload={"name": "Ada", "more": "x" * (200 * 1024)})
    assert (await news_tenant.http.post(BATCH, json={"items": [large] * 45})).status_code == 413
    assert await news_tenant.count_notifications() == 0
