"""Test that notification types are stored in versions, listed and retired, and what a save warns of."""

import asyncio
from typing import Any

import httpx2
import pytest

from bootstrap import Container
from domain.channels import Channel
from tests.api.shipped_types import PATH, SHIPPED, changed
from tests.api_tenants import ApiTenant

pytestmark = pytest.mark.postgres


async def test_a_type_is_made_and_read_back(api: httpx2.AsyncClient) -> None:
    made = await api.put(PATH, json=SHIPPED)
    assert (made.status_code, made.headers["location"]) == (201, f"/api/v1{PATH}")
    read = await api.get(PATH)
    assert read.json() | {"warnings": made.json()["warnings"]} == made.json()
    for name, value in SHIPPED.items():
        assert read.json()[name] == value
    assert (read.json()["key"], read.json()["version"]) == ("order.shipped", 1)
    assert read.json()["created_at"].endswith("Z")


async def test_a_goal_that_no_provider_reports_is_warned_of(api: httpx2.AsyncClient) -> None:
    steps = [{"channels": ["in_app"], "until": until, "within": "1h"} for until in ("opened", "clicked")]
    saved = (await api.put(PATH, json=changed(route=steps))).json()
    [warning, *_] = saved.pop("warnings")
    assert warning.startswith("/route/1: no provider of in_app reports clicked; ")
    assert (await api.get(PATH)).json() == saved


async def test_defaults_are_written_out(api: httpx2.AsyncClient) -> None:
    body = {"route": [{"channels": ["sms"]}], "templates": {"sms": "x"}}
    made = (await api.put(PATH, json=body)).json()
    assert (made["priority"], made["default"], made["required"], made["template_policy"]) == (3, "on", False, "pinned")


async def test_the_same_type_again_changes_nothing(api: httpx2.AsyncClient) -> None:
    await api.put(PATH, json=SHIPPED)
    again = await api.put(PATH, json={"key": "order.shipped", **SHIPPED})
    assert (again.status_code, again.json()["version"]) == (200, 1)


async def test_a_change_is_a_new_version_and_used_at_once(
    api: httpx2.AsyncClient, container: Container, api_tenant: ApiTenant
) -> None:
    await api.put(PATH, json=SHIPPED)
    assert await container.catalog.current_type(api_tenant.tenant, "order.shipped")
    response = await api.put(PATH, json=changed(priority=5))
    assert (response.status_code, response.json()["version"]) == (201, 2)
    current = await container.catalog.current_type(api_tenant.tenant, "order.shipped")
    assert current is not None
    assert (current.priority, current.default) == (5, {Channel.SMS: False})


async def test_writers_at_the_same_time_make_consecutive_versions(api: httpx2.AsyncClient) -> None:
    bodies = [changed(description=f"number {number}") for number in range(8)]
    responses = await asyncio.gather(*(api.put(PATH, json=body) for body in bodies))
    assert sorted(response.json()["version"] for response in responses) == list(range(1, 9))


async def test_a_retired_type_is_not_found_until_it_is_put_again(
    api: httpx2.AsyncClient, container: Container, api_tenant: ApiTenant
) -> None:
    await api.put(PATH, json=SHIPPED)
    old = await container.catalog.current_type(api_tenant.tenant, "order.shipped")
    assert (await api.delete(PATH)).status_code == 204
    assert (await api.get(PATH)).status_code == 404
    assert (await api.delete(PATH)).status_code == 404
    assert (await api.get("/notification-types")).json()["items"] == []
    assert await container.catalog.current_type(api_tenant.tenant, "order.shipped") is None
    assert old is not None
    assert (await container.catalog.type_by_id(api_tenant.tenant, old.id)).priority == 2
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
    response = await api.get("/notification-types", params=query)
    assert response.status_code == 422
    assert [error["parameter"] for error in response.json()["errors"]] == list(query)


async def test_a_key_that_urls_cannot_carry_is_refused(api: httpx2.AsyncClient) -> None:
    response = await api.put("/notification-types/a b", json=SHIPPED)
    assert (response.status_code, response.json()["errors"][0]["parameter"]) == (422, "key")


async def test_a_save_warns_of_missing_and_incomplete_templates(
    api: httpx2.AsyncClient,
) -> None:
    texts: list[dict[str, Any]] = [
        {"channel": "email", "body_template": "<p>Hi</p>", "publish": True},
        {"channel": "email", "language": "de", "subject_template": "Hallo", "body_template": " ", "publish": True},
        {"channel": "in_app", "body_template": "Hi", "publish": True},
        {"channel": "sms", "body_template": "Hi"},
    ]
    for text in texts:
        saved = await api.post("/templates", json={"name": "shipped", "language": "en", **text})
        assert saved.status_code == 201, saved.text
    not_sent = "the provider would reject it, so it is not sent"
    for _ in range(2):
        assert (await api.put(PATH, json=SHIPPED)).json()["warnings"] == [
            f"/templates/email: 'shipped' in 'de' has no text: {not_sent}",
            f"/templates/email: 'shipped' in 'en' has no subject: {not_sent}",
            "/templates/sms: template 'shipped' has no published version for sms: the channel is skipped",
        ]
    whole = {"name": "shipped", "channel": "email", "subject_template": "Hi", "body_template": "Hi", "publish": True}
    for changes in ({"language": "en"}, {"language": "de"}, {"language": "en", "channel": "sms"}):
        assert (await api.post("/templates", json=whole | changes)).status_code == 201
    assert "warnings" not in (await api.put(PATH, json=SHIPPED)).json()


async def test_a_save_warns_of_preferences_that_name_its_former_category(api_tenant: ApiTenant) -> None:
    path = await api_tenant.put_recipient()
    news: dict[str, Any] = {"route": [{"channels": ["sms"]}], "templates": {"sms": "news"}}

    async def saved(key: str, category: str | None) -> list[str]:
        body = news if category is None else news | {"category": category}
        response = await api_tenant.http.put(f"/notification-types/{key}", json=body)
        assert response.is_success, response.text
        return [each for each in response.json().get("warnings", ()) if each.startswith("/category")]

    assert await saved("news", "MARKETING") == []
    assert await saved("offer", "MARKETING") == []
    assert await saved("news", "PROMOTION") == []  # another type still has it
    await api_tenant.put(f"{path}/preferences", {"type_channel_preferences": {"MARKETING": {"sms": False}}})
    assert await saved("offer", None) == [
        "/category: preferences name 'MARKETING', which is no longer a category: they have no effect"
    ]
    assert await saved("news", None) == []  # no preference names PROMOTION
