"""How large and how long: what one send takes a batch takes too, and no type may retry for longer than a day."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from api.batch_items import BATCH_VALUE_LIMIT
from api.front_door import BODY_LIMIT
from api.json_values import has_more_values
from api.problems import ERROR_LIMIT
from api.strict_json import VALUE_LIMIT
from api.violations import faults_of
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
    """A send of so many bytes as compact JSON, in many pieces: written with blanks it is longer."""
    send = {"notification_type": "news", "recipient_id": shop.person, "payload": {"more": [], "rest": ""}}
    room = size - len(compact(send))
    pieces = min(VALUE_LIMIT - 10, room // 2)
    send["payload"] = {"more": [1] * pieces, "rest": "x" * (room - 2 * pieces + 1)}
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


def sends_with_values(count: int) -> dict[str, Any]:
    """A send of so many JSON values."""
    send = {"notification_type": "news", "recipient_id": "ada", "payload": {"more": [1] * (count - 5)}}
    assert not has_more_values(compact(send), count)
    assert has_more_values(compact(send), count - 1)
    return send


@pytest.mark.parametrize(("count", "status"), [(VALUE_LIMIT, 422), (VALUE_LIMIT + 1, 413)])
async def test_an_item_of_a_batch_may_have_as_many_values_as_a_send(shop: Shop, count: int, status: int) -> None:
    send = sends_with_values(count)
    alone = await shop.http.post(SEND, json=send)
    batch = await shop.http.post(BATCH, json={"items": [send]})
    assert (alone.status_code, batch.json()["items"][0]["status"]) == (status, status)


async def test_a_batch_with_too_many_values_is_refused(shop: Shop) -> None:
    body = {"items": [sends_with_values(VALUE_LIMIT)] * (BATCH_VALUE_LIMIT // VALUE_LIMIT)}
    response = await shop.http.post(BATCH, json=body)
    assert (response.status_code, response.json()["detail"]) == (413, "The body may have at most 100000 JSON values.")


async def test_a_response_lists_50_errors_and_mentions_more(shop: Shop) -> None:
    send = {f"unknown {index}": 1 for index in range(51)}
    response = await shop.http.post(SEND, json=send)
    problem = response.json()
    assert (response.status_code, len(problem["errors"])) == (422, 50)
    assert problem["detail"] == "The request is not valid; see errors. Only the first 50 errors are listed."
    [item] = (await shop.http.post(BATCH, json={"items": [send]})).json()["items"]
    assert (len(item["errors"]), item["more_errors"]) == (50, True)


async def test_the_errors_of_a_batch_are_limited_too(shop: Shop) -> None:
    send = {f"unknown {index}": 1 for index in range(40)}
    items = (await shop.http.post(BATCH, json={"items": [send] * 100})).json()["items"]
    listed = [len(item["errors"]) for item in items]
    assert sum(listed[:25]) >= 1_000
    assert set(listed[26:]) == {1}
    assert all(item["more_errors"] for item in items[26:])


@pytest.mark.parametrize("path", [SEND, "/schedules/daily"])
async def test_a_channel_may_not_repeat(shop: Shop, path: str) -> None:
    body = {"notification_type": "news", "recipient_id": shop.person, "channels": ["sms", "sms"]}
    timed = {"cron": "0 9 * * *", "timezone": "UTC"}
    response = await (shop.http.post(path, json=body) if path == SEND else shop.put(path, body | timed))
    assert faults(response) == {"/channels": "names a channel twice"}


async def test_a_pointer_does_not_repeat_a_long_name(shop: Shop) -> None:
    response = await shop.http.post(SEND, json={"x" * 200_000: 1})
    assert response.status_code == 422
    assert len(response.content) < 1_000


async def test_an_object_has_a_limited_number_of_fields(shop: Shop) -> None:
    response = await shop.http.post(SEND, json={f"unknown {index}": 1 for index in range(101)})
    assert faults(response) == {"": "must have at most 100 fields"}


def test_errors_beyond_the_limit_are_not_examined() -> None:
    examined = []

    def errors() -> Iterator[dict[str, Any]]:
        for index in range(1_000):
            examined.append(index)
            yield {"type": "missing", "loc": ("body", f"field {index}"), "msg": ""}

    assert len(faults_of(errors(), {})) == len(examined) == ERROR_LIMIT + 1
