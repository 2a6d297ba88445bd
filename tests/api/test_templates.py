"""Test that templates are stored in versions, published and listed, and what a save refuses or warns of."""

import asyncio
from typing import Any

import httpx2
import pytest

from bootstrap import Container
from domain.channels import Channel
from domain.templates import version_before
from tests.api.shipped_templates import EMAIL, SCHEMA, find_issues, save
from tests.api_tenants import ApiTenant

pytestmark = pytest.mark.postgres

ACTION = {"action": "track", "title": "Track"}
RICH = {"image": "{{ photo }}", "actions": [ACTION], "badge": 1, "data": {"order": "{{ order.id }}"}}
PLACE = {"channel": "email", "language": "en"}


async def body_in_force(container: Container, api_tenant: ApiTenant) -> str | None:
    found = await container.catalog.published(api_tenant.tenant, "shipped", Channel.EMAIL, ["en"])
    return None if found is None else found.body_template


async def test_a_save_is_a_new_version(api: httpx2.AsyncClient) -> None:
    response = await api.post("/templates", json=EMAIL)
    assert response.status_code == 201
    first = response.json()
    assert {name: first[name] for name in EMAIL if name in first} == {n: v for n, v in EMAIL.items() if n != "publish"}
    assert (first["version"], first["published_version"], first["warnings"]) == (1, 1, [])
    listed = await api.get(response.headers["location"].removeprefix("/api/v1"))
    assert [item["id"] for item in listed.json()["items"]] == [first["id"]]
    second = await save(api, publish=False)
    assert (second["version"], second["published_version"]) == (2, 1)


async def test_rich_fields_are_stored_and_shown_in_a_preview(api: httpx2.AsyncClient) -> None:
    saved = await save(api, channel="push", push=RICH, variables_schema={"required": ["name", "order"]})
    assert {name: value for name, value in saved["push"].items() if value} == RICH | {
        "actions": [ACTION | {"link": None}]
    }
    assert saved["warnings"] == ["'photo' is used but not declared in the schema: a payload without it can fail"]
    again = await save(api, channel="push", push=saved["push"])
    assert again["push"] == saved["push"]
    payload = {"name": "Ada", "photo": "https://shop.test/1.png", "order": {"id": 7}}
    preview = await api.post("/templates/shipped/preview", json={"channel": "push", "payload": payload})
    assert preview.json()["content"] == {
        "title": "Hello Ada",
        "body": "<p>Ada &amp; co</p>",
        "image": "https://shop.test/1.png",
        "actions": [ACTION],
        "badge": 1,
        "data": {"order": "7"},
    }


async def test_each_channel_and_language_counts_its_own_versions(api: httpx2.AsyncClient) -> None:
    await save(api)
    assert (await save(api, language="fr"))["version"] == 1
    assert (await save(api, channel="sms", subject_template=None))["version"] == 1


async def test_a_language_is_written_in_one_way(api: httpx2.AsyncClient) -> None:
    assert (await save(api, language="de_at"))["language"] == "de-AT"
    assert (await save(api, language="DE-at"))["version"] == 2
    found = (await api.get("/templates", params={"language": "de-at"})).json()["items"]
    assert [item["version"] for item in found] == [2]


async def test_saves_at_the_same_time_make_consecutive_versions(api: httpx2.AsyncClient) -> None:
    saved = await asyncio.gather(*(save(api, body_template=f"number {number}") for number in range(8)))
    assert sorted(one["version"] for one in saved) == list(range(1, 9))


async def test_only_a_published_template_is_used(
    api: httpx2.AsyncClient, container: Container, api_tenant: ApiTenant
) -> None:
    await save(api, body_template="one", publish=False)
    assert await body_in_force(container, api_tenant) is None
    await save(api, body_template="two", publish=True)
    assert await body_in_force(container, api_tenant) == "two"
    await save(api, body_template="three", publish=False)
    assert await body_in_force(container, api_tenant) == "two"


async def test_publishing_and_rolling_back_choose_the_version(
    api: httpx2.AsyncClient, container: Container, api_tenant: ApiTenant
) -> None:
    for text in ("one", "two", "three"):
        await save(api, body_template=text, publish=False)
    for version in (1, 2, 2, 3):
        published = await api.post("/templates/shipped/publish", json=PLACE | {"version": version})
        assert (published.status_code, published.json()["published_version"]) == (200, version)
    assert await body_in_force(container, api_tenant) == "three"
    for text in ("two", "one"):
        assert (await api.post("/templates/shipped/rollback", json=PLACE)).json()["body_template"] == text
        assert await body_in_force(container, api_tenant) == text
    response = await api.post("/templates/shipped/rollback", json=PLACE)
    assert (response.status_code, response.headers["content-type"]) == (409, "application/problem+json")
    assert await body_in_force(container, api_tenant) == "one"


@pytest.mark.parametrize(
    ("published", "before"),
    [([], None), ([1], None), ([1, 1], None), ([1, 2], 1), ([1, 2, 3, 2], 1), ([1, 2, 1], None), ([2, 1, 3], 1)],
)
def test_a_rollback_goes_back_one_publication(published: list[int], before: int | None) -> None:
    assert version_before(published) == before


@pytest.mark.parametrize(
    ("changes", "pointer", "detail"),
    [
        ({"body_template": "{{ name"}, "/body_template", "syntax error"),
        ({"body_template": "a\nb\n{% if %}"}, "/body_template", "(line 3)"),
        ({"subject_template": "{% for %}"}, "/subject_template", "syntax error"),
        ({"text_template": "{{ 1 +* }}"}, "/text_template", "syntax error"),
        ({"body_template": "{% include 'x' %}"}, "/body_template", "not available"),
        ({"variables_schema": {"type": "strung"}}, "/variables_schema", "not valid JSON Schema"),
        ({"variables_schema": {"$ref": "https://example.com/x"}}, "/variables_schema/$ref", "nothing is fetched"),
        ({"variables_schema": []}, "/variables_schema", "must be an object"),
        ({"language": "english please"}, "/language", "not a language tag"),
        ({"channel": "fax"}, "/channel", "must be 'email'"),
        ({"name": "a/b"}, "/name", "String should match"),
        ({"publish": "yes"}, "/publish", "must be a valid boolean"),
        ({"body_template": None}, "/body_template", "must be a valid string"),
        ({"push": {}}, "/push", "is only for push, web_push, in_app"),
        (
            {"channel": "push", "push": {"link": "javascript:{{ name }}"}},
            "/push/link",
            "is not an https URL or the link",
        ),
        ({"channel": "push", "push": {"sound": "a\n{{ name"}}, "/push/sound", "(line 2)"),
        ({"channel": "push", "push": {"badge": -1}}, "/push/badge", ""),
        ({"channel": "push", "push": {"data": {"aps": "x"}}}, "/push/data", "not be a name of FCM, APNs or Tocsin"),
        ({"channel": "push", "push": {"actions": [ACTION | {"action": "a b"}]}}, "/push/actions/0/action", "letters"),
        ({"channel": "push", "push": {"actions": [ACTION, ACTION]}}, "/push/actions", "names an action twice"),
        ({"channel": "push", "push": {"actions": [ACTION] * 4}}, "/push/actions", "at most 3"),
    ],
)
async def test_a_bad_template_is_refused_with_the_place(
    api: httpx2.AsyncClient, changes: dict[str, Any], pointer: str, detail: str
) -> None:
    found = await find_issues(api, "/templates", EMAIL | changes)
    assert pointer in {place[: len(pointer)] for place in found}
    assert any(detail in message for message in found.values())
    assert (await api.get("/templates")).json()["items"] == []


async def test_a_hostile_template_is_a_bad_template(api: httpx2.AsyncClient) -> None:
    await find_issues(api, "/templates", EMAIL | {"body_template": "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}"})


async def test_a_save_returns_warnings(api: httpx2.AsyncClient) -> None:
    schema = SCHEMA | {"properties": {"name": {}, "carrier": {}, "plan": {}}}
    body = "{{ nmae|default('') }} {{ carrier }} {{ recipient.locale }}"
    saved = await save(api, subject_template=None, body_template=body, variables_schema=schema)
    assert saved["warnings"] == [
        "'carrier' is used but not required in the schema: a payload without it can fail",
        "'name' is required in the schema but not used",
        "'nmae' is used but not declared in the schema",
        "'plan' is declared in the schema but not used",
        "there is no subject_template: the email has an empty subject",
    ]
    assert "subject_template is not used for sms" in (await save(api, channel="sms"))["warnings"]


async def test_templates_of_digests_get_no_false_warnings(api: httpx2.AsyncClient) -> None:
    total = {"subject_template": "News", "body_template": "{{ total }} new"}
    undeclared = "'total' is used but not declared in the schema: a payload without it can fail"
    each = {"subject_template": "{{ total }}", "body_template": "{% for item in items %}{{ item.name }}{% endfor %}"}
    assert (await save(api, **each))["warnings"] == []
    assert undeclared in (await save(api, **total))["warnings"]
    type_body = {"route": [{"channels": ["email"]}], "templates": {"email": "shipped"}, "digest": {"window": "1h"}}
    assert (await api.put("/notification-types/news", json=type_body)).status_code == 201
    assert (await save(api, **total))["warnings"] == []
    assert (await api.delete("/notification-types/news")).status_code == 204
    assert undeclared in (await save(api, **total))["warnings"]


async def test_templates_are_listed_by_name_in_pages(api: httpx2.AsyncClient) -> None:
    for name, language in (("b", "en"), ("a", "fr"), ("a", "en"), ("a", "en")):
        await save(api, name=name, language=language)
    seen, cursor = [], None
    for _ in range(3):
        query = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        page = (await api.get("/templates", params=query)).json()
        seen += [(item["name"], item["language"], item["version"]) for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [("a", "en", 2), ("a", "fr", 1), ("b", "en", 1)]
    assert cursor is None
    named = (await api.get("/templates", params={"name": "a", "channel": "email"})).json()["items"]
    assert len(named) == 2


async def test_versions_are_listed_newest_first_in_pages(api: httpx2.AsyncClient) -> None:
    for _ in range(3):
        await save(api)
    first = (await api.get("/templates/shipped/versions", params={"limit": 2})).json()
    rest = (await api.get("/templates/shipped/versions", params={"cursor": first["next_cursor"]})).json()
    assert [item["version"] for item in (*first["items"], *rest["items"])] == [3, 2, 1]
    assert {item["published_version"] for item in first["items"]} == {3}


@pytest.mark.parametrize("cursor", ["a", "bm90LWEtcGxhY2U", "AA"])
async def test_a_cursor_of_another_list_is_refused(api: httpx2.AsyncClient, cursor: str) -> None:
    await save(api)
    for path in ("/templates", "/templates/shipped/versions"):
        response = await api.get(path, params={"cursor": cursor})
        assert (response.status_code, response.json()["errors"][0]["parameter"]) == (422, "cursor")


async def test_an_unknown_name_is_404_and_an_unknown_version_422(api: httpx2.AsyncClient) -> None:
    version = PLACE | {"version": 9}
    assert (await api.get("/templates/none/versions")).status_code == 404
    for action, body in (("publish", version), ("rollback", PLACE), ("preview", {"channel": "email"})):
        assert (await api.post(f"/templates/none/{action}", json=body)).status_code == 404
    await save(api)
    assert list(await find_issues(api, "/templates/shipped/publish", version)) == ["/version"]
    assert list(await find_issues(api, "/templates/shipped/preview", version)) == ["/version"]
