"""How large and how long: what one send takes a batch takes too, and no type may retry for longer than a day."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.front_door import BODY_LIMIT
from bootstrap import Parts
from tests.api.shops import Shop, faults, open_shop

pytestmark = pytest.mark.postgres

SEND, BATCH = "/notifications/send", "/notifications/send-batch"
TYPE = "/notification-types/news"
KIND = {"route": [{"channels": ["sms"]}], "templates": {"sms": "news"}}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def shop(parts: Parts) -> AsyncIterator[Shop]:
    """Has a type `news` and a person."""
    async with open_shop(parts) as shop:
        template = {"name": "news", "channel": "sms", "language": "en", "body_template": "Hi", "variables_schema": {}}
        assert (await shop.http.post("/templates", json={**template, "publish": True})).status_code < 300
        assert (await shop.put(TYPE, KIND)).status_code < 300
        await shop.with_person(phone="+447700900123")
        yield shop


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def item(shop: Shop, size: int) -> dict[str, Any]:
    """A send of so many bytes as compact JSON, in very many small pieces: written with blanks it is half as long
    again."""
    send = {"notification_type": "news", "recipient_id": shop.person, "payload": {"more": [], "rest": ""}}
    room = size - len(compact(send))
    pieces, rest = divmod(room - 2, 2)
    send["payload"] = {"more": [1] * (pieces + 1), "rest": "x" * (rest + 1)}
    assert len(compact(send)) == size
    return send


@pytest.mark.parametrize(("size", "status"), [(250_000, 202), (BODY_LIMIT, 202), (BODY_LIMIT + 1, 413)])
async def test_an_item_of_a_batch_may_be_as_large_as_a_send(shop: Shop, size: int, status: int) -> None:
    send = item(shop, size)
    alone = await shop.http.post(SEND, content=compact(send), headers=JSON)
    assert alone.status_code == status
    batch = await shop.http.post(BATCH, content=compact({"items": [send, item(shop, 1_000)]}), headers=JSON)
    assert batch.status_code == 202
    assert [answer["status"] for answer in batch.json()["items"]] == [status, 202]


async def test_an_item_that_is_too_large_is_told_the_limit(shop: Shop) -> None:
    batch = await shop.http.post(BATCH, json={"items": [item(shop, BODY_LIMIT + 1)]})
    [answer] = batch.json()["items"]
    assert (answer["status"], answer["id"]) == (413, None)
    assert [fault["detail"] for fault in answer["errors"]] == ["an item may have at most 262144 bytes"]


@pytest.mark.parametrize("duration", ["25h", "2d", "86401s", "1441m"])
async def test_a_type_that_would_retry_for_longer_than_a_day_is_refused(shop: Shop, duration: str) -> None:
    assert faults(await shop.put(TYPE, {**KIND, "give_up_after": duration})) == {
        "/give_up_after": "must not be longer than 1d"
    }


@pytest.mark.parametrize("duration", ["1d", "24h", "6s"])
async def test_a_type_may_retry_for_a_day(shop: Shop, duration: str) -> None:
    answer = await shop.put(TYPE, {**KIND, "give_up_after": duration})
    assert (answer.is_success, answer.json().get("give_up_after")) == (True, duration)
