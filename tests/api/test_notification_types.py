import asyncio
from typing import Any

import httpx2
import pytest

from bootstrap import Container
from domain.channels import Channel
from tests.api_tenants import ApiTenant

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
DAYTIME = {"start": "09:00", "end": "17:00"}
SLIDING = {"window": "1h", "sliding": True}
DAILY = {"schedule": "0 9 * * *"}


def changed(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (SHIPPED | changes).items() if value is not ...}


async def find_issues(api: httpx2.AsyncClient, body: Any) -> dict[str, str]:
    response = await api.put(PATH, json=body)
    assert response.status_code == 422
    return {error["pointer"]: error["detail"] for error in response.json()["errors"]}


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
        (
            {"route": [{"channels": ["sms"], "until": "opened", "within": "31d"}]},
            "/route/0/within",
            "must be greater than 0 and at most 30d",
        ),
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
        ({"always": ["email"]}, "/always", "email is also on the route, so it would be sent twice"),
        ({"always": ["fax"]}, "/always/0", "must be 'email'"),
        ({"always": ["webhook"]}, "/templates/webhook", "is required, because the route has this channel"),
        ({"respects_quiet_hours": "no"}, "/respects_quiet_hours", "must be a valid boolean"),
        ({"send_window": {"start": "09:00"}}, "/send_window/end", "is required"),
        ({"send_window": {"start": "9:00", "end": "17:00"}}, "/send_window/start", "String should match"),
        ({"send_window": {"start": "09:00", "end": "09:00"}}, "/send_window", "must not start and end at the same"),
        ({"send_window": DAYTIME | {"days": ["monday"]}}, "/send_window/days/0", "must be 'mon', "),
        ({"send_window": DAYTIME | {"days": []}}, "/send_window/days", "List should have at least 1 item"),
        ({"send_window": DAYTIME | {"timezone": "UTC"}}, "/send_window/timezone", "is not known here"),
        ({"throttle": {"per": "1h"}}, "/throttle/limit", "is required"),
        ({"throttle": {"limit": 1}}, "/throttle/per", "is required"),
        ({"throttle": {"limit": 0, "per": "1h"}}, "/throttle/limit", "must be greater than or equal to 1"),
        ({"throttle": {"limit": 100_001, "per": "1h"}}, "/throttle/limit", "must be less than or equal to 100000"),
        ({"throttle": {"limit": 1, "per": "1w"}}, "/throttle/per", "must be a whole number followed by"),
        ({"throttle": {"limit": 1, "per": "32d"}}, "/throttle/per", "must be at most 31d"),
        ({"throttle": {"limit": 1, "per": "1h", "scope": "planet"}}, "/throttle/scope", "must be 'recipient' or"),
        ({"throttle": {"limit": 1, "per": "1h", "on_exceed": "shrug"}}, "/throttle/on_exceed", "must be 'drop', "),
        (
            {"throttle": {"limit": 1, "per": "1h", "on_exceed": "digest"}},
            "/digest",
            "is required, because items over the `throttle`",
        ),
        ({"digest": True}, "/digest", "must be an object"),
        ({"digest": {}}, "/digest", "needs either `window` or `schedule`"),
        ({"digest": {"window": "15m", "schedule": "0 9 * * *"}}, "/digest", "needs either `window` or `schedule`"),
        ({"digest": {"window": "0m"}}, "/digest/window", "must be a whole number followed by"),
        ({"digest": {"window": "32d"}}, "/digest/window", "must be at most 31d"),
        ({"digest": {"window": "1h", "sliding": True}}, "/digest", "`sliding` needs `max_window`, and"),
        ({"digest": {"window": "1h", "max_window": "2h"}}, "/digest", "`sliding` needs `max_window`, and"),
        ({"digest": SLIDING | {"max_window": "59m"}}, "/digest", "`max_window` must not be shorter than the `window`"),
        ({"digest": SLIDING | {"max_window": "32d"}}, "/digest/max_window", "must be at most 31d"),
        ({"digest": DAILY | {"sliding": True, "max_window": "1h"}}, "/digest", "only a `window` can be `sliding`"),
        ({"digest": DAILY | {"send_first_immediately": True}}, "/digest", "`send_first_immediately` needs a `window`"),
        ({"digest": {"schedule": "0 9 * *"}}, "/digest/schedule", "must have five fields, such as"),
        ({"digest": {"schedule": "0 25 * * *"}}, "/digest/schedule", "hour: 25 must be 0 to 23"),
        ({"digest": {"schedule": "0 9 30 2 *"}}, "/digest/schedule", "is never due"),
        ({"digest": {"window": "1h", "key": ""}}, "/digest/key", "String should have at least 1 character"),
        ({"digest": {"window": "1h", "max_items": 0}}, "/digest/max_items", "must be greater than or equal to 1"),
        ({"digest": {"window": "1h", "max_items": 1_001}}, "/digest/max_items", "must be less than or equal to 1000"),
        ({"from": "x"}, "/from", "must be an object"),
        ({"reply_to": {"email": "x"}}, "/reply_to/email", "must be an email address"),
        ({"tracking": True}, "/tracking", "must be an object"),
        ({"tracking": {"opens": 1}}, "/tracking/opens", "must be a valid boolean"),
        ({"tracking": {"replies": True}}, "/tracking/replies", "is not known here"),
        ({"sms": True}, "/sms", "must be an object"),
        ({"sms": {"fold_typography": 1}}, "/sms/fold_typography", "must be a valid boolean"),
        ({"sms": {"sender": "x"}}, "/sms/sender", "is not known here"),
        ({"sensitive": True}, "/sensitive", "is not supported yet"),
        ({"variants": [{}]}, "/variants", "is not supported yet"),
    ],
)
async def test_a_bad_type_is_refused_with_the_place(
    api: httpx2.AsyncClient, changes: dict[str, Any], pointer: str, detail: str
) -> None:
    found = await find_issues(api, changed(**changes))
    assert list(found) == [pointer]
    assert found[pointer].startswith(detail)


async def test_saying_no_is_kept(api: httpx2.AsyncClient) -> None:
    body = changed(respects_quiet_hours=False, tracking=False, digest=None, throttle=None, send_window=None, always=[])
    assert (await api.put(PATH, json=body)).status_code == 201
    kept = (await api.get(PATH)).json()
    assert kept["respects_quiet_hours"] is False
    assert not {"digest", "throttle", "send_window"} & kept.keys()


@pytest.mark.parametrize(
    ("name", "asked", "added"),
    [
        ("send_window", DAYTIME, {}),
        ("send_window", DAYTIME | {"days": ["mon", "fri"]}, {}),
        ("throttle", {"limit": 3, "per": "1h"}, {"scope": "recipient", "on_exceed": "drop"}),
        ("throttle", {"limit": 3, "per": "31d", "scope": "tenant", "on_exceed": "defer"}, {}),
        ("digest", {"window": "15m"}, {"sliding": False, "max_items": 100, "send_first_immediately": False}),
        (
            "digest",
            SLIDING | {"max_window": "1h", "key": "project"},
            {"max_items": 100, "send_first_immediately": False},
        ),
        ("digest", DAILY | {"max_items": 1000}, {"sliding": False, "send_first_immediately": False}),
        ("digest", {"window": "31d", "send_first_immediately": True}, {"sliding": False, "max_items": 100}),
    ],
)
async def test_timing_rules_are_stored_as_written_with_their_defaults(
    api: httpx2.AsyncClient, name: str, asked: dict[str, Any], added: dict[str, Any]
) -> None:
    assert (await api.put(PATH, json=changed(**{name: asked}))).status_code == 201
    assert (await api.get(PATH)).json()[name] == asked | added


async def test_sends_over_a_throttle_can_join_an_existing_digest(api: httpx2.AsyncClient) -> None:
    body = changed(throttle={"limit": 1, "per": "1h", "on_exceed": "digest"}, digest={"window": "15m"})
    assert (await api.put(PATH, json=body)).status_code == 201


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({"opens": True}, {"opens": True, "clicks": False, "vendor": False}),
        ({"opens": True, "clicks": True}, {"opens": True, "clicks": True, "vendor": False}),
        ({"vendor": True}, {"opens": False, "clicks": False, "vendor": True}),
        ({}, {"opens": False, "clicks": False, "vendor": False}),
        (False, None),
        (None, None),
    ],
)
async def test_tracking_is_switched_on_by_name(api: httpx2.AsyncClient, asked: Any, kept: Any) -> None:
    assert (await api.put(PATH, json=changed(tracking=asked))).status_code == 201
    assert (await api.get(PATH)).json().get("tracking") == kept


@pytest.mark.parametrize(
    ("asked", "kept"),
    [({"fold_typography": True}, {"fold_typography": True}), ({}, {"fold_typography": False}), (None, None)],
)
async def test_sms_options_are_kept(api: httpx2.AsyncClient, asked: Any, kept: Any) -> None:
    assert (await api.put(PATH, json=changed(sms=asked))).status_code == 201
    assert (await api.get(PATH)).json().get("sms") == kept


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
