"""Test size and time limits: a batch accepts what a send accepts, and no type may retry for longer than a day."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from api.authenticated_route import BODY_LIMIT
from api.json_values import has_more_values
from api.pydantic_errors import issues_of
from api.send_bodies import BATCH_VALUE_LIMIT
from api.strict_json import VALUE_LIMIT
from domain.validation_issues import ERROR_LIMIT
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant

pytestmark = pytest.mark.postgres

SEND, BATCH = "/notifications/send", "/notifications/send-batch"
TYPE = "/notification-types/news"
KIND = {"route": [{"channels": ["sms"]}], "templates": {"sms": "news"}}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def api_tenant(api_tenant: ApiTenant) -> ApiTenant:
    """Return a tenant with a type `news` and a recipient."""
    await api_tenant.add_template("news", "sms")
    assert (await api_tenant.put(TYPE, KIND)).is_success
    await api_tenant.put_recipient(phone="+447700900123")
    return api_tenant


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def item(api_tenant: ApiTenant, size: int) -> dict[str, Any]:
    """Return a send of this many bytes as compact JSON, in many pieces. With whitespace it is longer."""
    send = {"notification_type": "news", "recipient_id": api_tenant.recipient_id, "payload": {"more": [], "rest": ""}}
    room = size - len(compact(send))
    pieces = min(VALUE_LIMIT - 10, room // 2)
    send["payload"] = {"more": [1] * pieces, "rest": "x" * (room - 2 * pieces + 1)}
    assert len(compact(send)) == size
    return send


@pytest.mark.parametrize(("size", "status"), [(250_000, 202), (BODY_LIMIT, 202), (BODY_LIMIT + 1, 413)])
async def test_an_item_of_a_batch_may_be_as_large_as_a_send(api_tenant: ApiTenant, size: int, status: int) -> None:
    send = item(api_tenant, size)
    alone = await api_tenant.http.post(SEND, content=compact(send), headers=JSON)
    assert alone.status_code == status
    batch = await api_tenant.http.post(BATCH, content=compact({"items": [send, item(api_tenant, 1_000)]}), headers=JSON)
    assert batch.status_code == 202
    assert [response["status"] for response in batch.json()["items"]] == [status, 202]


async def test_an_oversized_item_gets_the_limit(api_tenant: ApiTenant) -> None:
    batch = await api_tenant.http.post(BATCH, json={"items": [item(api_tenant, BODY_LIMIT + 1)]})
    [response] = batch.json()["items"]
    assert (response["status"], response["id"]) == (413, None)
    assert [issue["detail"] for issue in response["errors"]] == ["an item may have at most 262144 bytes"]


@pytest.mark.parametrize("duration", ["25h", "2d", "86401s", "1441m"])
async def test_a_type_that_would_retry_for_longer_than_a_day_is_refused(api_tenant: ApiTenant, duration: str) -> None:
    assert validation_errors(await api_tenant.put(TYPE, {**KIND, "give_up_after": duration})) == {
        "/give_up_after": "must be at most 1d"
    }


@pytest.mark.parametrize("duration", ["1d", "24h", "6s"])
async def test_a_type_may_retry_for_a_day(api_tenant: ApiTenant, duration: str) -> None:
    response = await api_tenant.put(TYPE, {**KIND, "give_up_after": duration})
    assert (response.is_success, response.json().get("give_up_after")) == (True, duration)


def sends_with_values(count: int) -> dict[str, Any]:
    """Return a send with this many JSON values."""
    send = {"notification_type": "news", "recipient_id": "ada", "payload": {"more": [1] * (count - 5)}}
    assert not has_more_values(compact(send), count)
    assert has_more_values(compact(send), count - 1)
    return send


@pytest.mark.parametrize(("count", "status"), [(VALUE_LIMIT, 202), (VALUE_LIMIT + 1, 413)])
async def test_an_item_of_a_batch_may_have_as_many_values_as_a_send(
    api_tenant: ApiTenant, count: int, status: int
) -> None:
    send = sends_with_values(count)
    alone = await api_tenant.http.post(SEND, json=send)
    batch = await api_tenant.http.post(BATCH, json={"items": [send]})
    assert (alone.status_code, batch.json()["items"][0]["status"]) == (status, status)


async def test_a_batch_with_too_many_values_is_refused(api_tenant: ApiTenant) -> None:
    body = {"items": [sends_with_values(VALUE_LIMIT)] * (BATCH_VALUE_LIMIT // VALUE_LIMIT)}
    response = await api_tenant.http.post(BATCH, json=body)
    assert (response.status_code, response.json()["detail"]) == (413, "The body may have at most 100000 JSON values.")


async def test_a_response_lists_50_errors_and_mentions_more(api_tenant: ApiTenant) -> None:
    send = {f"unknown {index}": 1 for index in range(51)}
    response = await api_tenant.http.post(SEND, json=send)
    problem = response.json()
    assert (response.status_code, len(problem["errors"])) == (422, 50)
    assert problem["detail"] == "The request is not valid; see errors. Only the first 50 errors are listed."
    [item] = (await api_tenant.http.post(BATCH, json={"items": [send]})).json()["items"]
    assert (len(item["errors"]), item["more_errors"]) == (50, True)


async def test_the_errors_of_a_batch_are_limited_too(api_tenant: ApiTenant) -> None:
    send = {f"unknown {index}": 1 for index in range(40)}
    items = (await api_tenant.http.post(BATCH, json={"items": [send] * 100})).json()["items"]
    listed = [len(item["errors"]) for item in items]
    assert sum(listed[:25]) >= 1_000
    assert set(listed[26:]) == {1}
    assert all(item["more_errors"] for item in items[26:])


@pytest.mark.parametrize("path", [SEND, "/schedules/daily"])
async def test_a_channel_may_not_repeat(api_tenant: ApiTenant, path: str) -> None:
    body = {"notification_type": "news", "recipient_id": api_tenant.recipient_id, "channels": ["sms", "sms"]}
    timed = {"cron": "0 9 * * *", "timezone": "UTC"}
    response = await (api_tenant.http.post(path, json=body) if path == SEND else api_tenant.put(path, body | timed))
    assert validation_errors(response) == {"/channels": "names a channel twice"}


async def test_a_pointer_does_not_repeat_a_long_name(api_tenant: ApiTenant) -> None:
    response = await api_tenant.http.post(SEND, json={"x" * 200_000: 1})
    assert response.status_code == 422
    assert len(response.content) < 1_000


async def test_an_object_has_a_limited_number_of_fields(api_tenant: ApiTenant) -> None:
    response = await api_tenant.http.post(SEND, json={f"unknown {index}": 1 for index in range(101)})
    assert validation_errors(response) == {"": "must have at most 100 fields"}


def test_errors_beyond_the_limit_are_not_examined() -> None:
    examined = []

    def errors() -> Iterator[dict[str, Any]]:
        for index in range(1_000):
            examined.append(index)
            yield {"type": "missing", "loc": ("body", f"field {index}"), "msg": ""}

    assert len(issues_of(errors(), {})) == len(examined) == ERROR_LIMIT + 1
