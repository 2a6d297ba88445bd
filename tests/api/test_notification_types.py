import asyncio
from typing import Any

import httpx2
import pytest

from bootstrap import Parts
from domain.channels import Channel
from models.tenants import Tenant

pytestmark = pytest.mark.postgres

SHIPPED: dict[str, Any] = {
    "category": "ORDERS",
    "route": [{"channels": ["email", "in_app"], "until": "sent"}, {"channels": ["sms"]}],
    "templates": {"email": "shipped", "in_app": "shipped", "sms": "shipped"},
    "default": {"sms": "off"},
    "priority": 2,
    "expires_in": "1d",
}
PATH = "/notification-types/order.shipped"


def changed(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (SHIPPED | changes).items() if value is not ...}


async def faults(api: httpx2.AsyncClient, body: Any) -> dict[str, str]:
    answer = await api.put(PATH, json=body)
    assert answer.status_code == 422
    return {error["pointer"]: error["detail"] for error in answer.json()["errors"]}


async def test_a_type_is_made_and_read_back(api: httpx2.AsyncClient) -> None:
    made = await api.put(PATH, json=SHIPPED)
    assert (made.status_code, made.headers["location"]) == (201, f"/api/v1{PATH}")
    read = await api.get(PATH)
    assert read.json() == made.json()
    for name, value in SHIPPED.items():
        assert read.json()[name] == value
    assert (read.json()["key"], read.json()["version"]) == ("order.shipped", 1)
    assert read.json()["created_at"].endswith("Z")


async def test_defaults_are_written_out(api: httpx2.AsyncClient) -> None:
    body = {"route": [{"channels": ["sms"]}], "templates": {"sms": "x"}}
    made = (await api.put(PATH, json=body)).json()
    assert (made["priority"], made["default"], made["required"], made["template_policy"]) == (3, "on", False, "pinned")


async def test_the_same_type_again_changes_nothing(api: httpx2.AsyncClient) -> None:
    await api.put(PATH, json=SHIPPED)
    again = await api.put(PATH, json={"key": "order.shipped", **SHIPPED})
    assert (again.status_code, again.json()["version"]) == (200, 1)


async def test_a_change_is_a_new_version_and_used_at_once(
    api: httpx2.AsyncClient, parts: Parts, tenant: Tenant
) -> None:
    await api.put(PATH, json=SHIPPED)
    assert await parts.catalog.current_type(tenant.id, "order.shipped")
    answer = await api.put(PATH, json=changed(priority=5))
    assert (answer.status_code, answer.json()["version"]) == (201, 2)
    current = await parts.catalog.current_type(tenant.id, "order.shipped")
    assert current is not None
    assert (current.priority, current.default) == (5, {Channel.SMS: False})


async def test_writers_at_the_same_time_make_consecutive_versions(api: httpx2.AsyncClient) -> None:
    bodies = [changed(description=f"number {number}") for number in range(8)]
    answers = await asyncio.gather(*(api.put(PATH, json=body) for body in bodies))
    assert sorted(answer.json()["version"] for answer in answers) == list(range(1, 9))


async def test_a_retired_type_is_gone_until_it_is_put_again(
    api: httpx2.AsyncClient, parts: Parts, tenant: Tenant
) -> None:
    await api.put(PATH, json=SHIPPED)
    old = await parts.catalog.current_type(tenant.id, "order.shipped")
    assert (await api.delete(PATH)).status_code == 204
    assert (await api.get(PATH)).status_code == 404
    assert (await api.delete(PATH)).status_code == 404
    assert (await api.get("/notification-types")).json()["items"] == []
    assert await parts.catalog.current_type(tenant.id, "order.shipped") is None
    assert old is not None
    assert (await parts.catalog.type_by_id(tenant.id, old.id)).priority == 2
    revived = await api.put(PATH, json=SHIPPED)
    assert (revived.status_code, revived.json()["version"]) == (201, 2)


async def test_types_are_listed_by_key_in_pages(api: httpx2.AsyncClient) -> None:
    for key in ("c", "a", "b"):
        await api.put(f"/notification-types/{key}", json=SHIPPED)
        await api.put(f"/notification-types/{key}", json=changed(priority=1))
    first = (await api.get("/notification-types", params={"limit": 2})).json()
    second = (await api.get("/notification-types", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [item["key"] for item in first["items"]] == ["a", "b"]
    assert [(item["key"], item["version"]) for item in second["items"]] == [("c", 2)]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"limit": "x"}, {"cursor": "ü"}, {"cursor": "a"}])
async def test_a_bad_page_is_refused(api: httpx2.AsyncClient, query: dict[str, Any]) -> None:
    answer = await api.get("/notification-types", params=query)
    assert answer.status_code == 422
    assert [error["parameter"] for error in answer.json()["errors"]] == list(query)


@pytest.mark.parametrize(
    ("changes", "pointer", "detail"),
    [
        ({"route": ...}, "/route", "is required"),
        ({"route": []}, "/route", "List should have at least 1 item"),
        ({"route": [{"channels": []}]}, "/route/0/channels", "List should have at least 1 item"),
        ({"route": [{"channels": ["fax"]}]}, "/route/0/channels/0", "must be 'email'"),
        ({"route": [{"channels": ["sms", "sms"]}]}, "/route/0/channels", "names a channel twice"),
        (
            {"route": [{"channels": ["sms"], "until": "opened"}]},
            "/route/0",
            "`until` delivered, opened or clicked needs",
        ),
        ({"route": [{"channels": ["sms"], "until": "sent", "within": "1h"}]}, "/route/0", "`until` delivered, opened"),
        ({"route": [{"channels": ["sms"], "until": "opened", "within": "31d"}]}, "/route/0/within", "must be longer"),
        ({"route": [{"channels": ["sms"], "until": "opened", "within": "0s"}]}, "/route/0/within", "must be"),
        ({"route": [{"channels": ["sms"], "until": "soon"}]}, "/route/0/until", "must be 'sent', "),
        ({"route": [{"channels": ["sms"], "within": "10m"}]}, "/route/0", "`until` delivered, opened or"),
        ({"route": [{"channels": ["push"]}]}, "/templates/push", "is required"),
        ({"templates": ...}, "/templates", "is required"),
        ({"templates": {"fax": "x"}}, "/templates/fax", "must be 'email'"),
        ({"templates": SHIPPED["templates"] | {"sms": ""}}, "/templates/sms", "String should"),
        ({"priority": 0}, "/priority", "must be greater than or equal to 1"),
        ({"priority": 6}, "/priority", "must be less than or equal to 5"),
        ({"priority": "1"}, "/priority", "must be a valid integer"),
        ({"priority": True}, "/priority", "must be a valid integer"),
        ({"required": 1}, "/required", "must be a valid boolean"),
        ({"default": "maybe"}, "/default", "must be 'on' or 'off'"),
        ({"default": True}, "/default", "must be 'on' or 'off'"),
        ({"default": {"sms": "maybe"}}, "/default/sms", "must be 'on' or 'off'"),
        ({"default": {"fax": "on"}}, "/default/fax", "must be 'email'"),
        ({"expires_in": "1w"}, "/expires_in", "must be a whole number followed by"),
        ({"give_up_after": 60}, "/give_up_after", "must be a valid string"),
        ({"delivery_guarantee": "exactly_once"}, "/delivery_guarantee", "must be 'at_least_once'"),
        ({"template_policy": "newest"}, "/template_policy", "must be 'pinned' or 'latest'"),
        ({"key": "other"}, "/key", "must be the key in the path"),
        ({"colour": "red"}, "/colour", "is not known here"),
        ({"always": ["email"]}, "/always", "email is on the route too: it would go out twice"),
        ({"always": ["fax"]}, "/always/0", "must be 'email'"),
        ({"always": ["webhook"]}, "/templates/webhook", "is required, since the route has it"),
        ({"respects_quiet_hours": True}, "/respects_quiet_hours", "is not supported yet"),
        ({"throttle": {"limit": 1, "per": "1h"}}, "/throttle", "is not supported yet"),
        ({"digest": {"window": "15m"}}, "/digest", "is not supported yet"),
        ({"from": "x"}, "/from", "is not supported yet"),
        ({"reply_to": "x"}, "/reply_to", "is not supported yet"),
        ({"tracking": True}, "/tracking", "must be a valid dictionary"),
        ({"tracking": {"opens": 1}}, "/tracking/opens", "must be a valid boolean"),
        ({"tracking": {"replies": True}}, "/tracking/replies", "is not known here"),
        ({"sensitive": True}, "/sensitive", "is not supported yet"),
        ({"variants": [{}]}, "/variants", "is not supported yet"),
    ],
)
async def test_a_bad_type_is_refused_with_the_place(
    api: httpx2.AsyncClient, changes: dict[str, Any], pointer: str, detail: str
) -> None:
    found = await faults(api, changed(**changes))
    assert list(found) == [pointer]
    assert found[pointer].startswith(detail)


async def test_saying_no_to_what_cannot_be_done_yet_is_kept(api: httpx2.AsyncClient) -> None:
    body = changed(respects_quiet_hours=False, tracking=False, digest=None, always=[])
    assert (await api.put(PATH, json=body)).status_code == 201
    assert (await api.get(PATH)).json()["respects_quiet_hours"] is False


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({"opens": True}, {"opens": True, "clicks": False}),
        ({"opens": True, "clicks": True}, {"opens": True, "clicks": True}),
        ({}, {"opens": False, "clicks": False}),
        (False, None),
        (None, None),
    ],
)
async def test_tracking_is_switched_on_by_name(api: httpx2.AsyncClient, asked: Any, kept: Any) -> None:
    assert (await api.put(PATH, json=changed(tracking=asked))).status_code == 201
    assert (await api.get(PATH)).json().get("tracking") == kept


async def test_a_key_that_urls_cannot_carry_is_refused(api: httpx2.AsyncClient) -> None:
    answer = await api.put("/notification-types/a b", json=SHIPPED)
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "key")
