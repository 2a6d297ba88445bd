"""Test that every route that changes configuration records the change, and that the log is shown only to permitted
keys."""

from typing import Any
from uuid import uuid4

import pytest
from httpx2 import AsyncClient
from sqlalchemy import text

from bootstrap import Container
from domain.audit import MASK
from domain.json_types import Json
from tests.api.audited_steps import HOOK, KIND, OPERATOR_STEPS, STEPS, AuditedStep
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant
from tests.apps import openapi_document

pytestmark = pytest.mark.postgres

# Routes that record nothing → reason.
UNAUDITED = {
    "POST /notifications/send": "a send is a row of its own",
    "POST /attachments": "a file is a row of its own",
    "POST /notifications/send-batch": "as a send",
    "POST /notifications/{id}/cancel": "the timeline has it",
    "POST /notifications/cancel": "the timelines have it",
    "POST /notifications/{id}/events": "the timeline has it",
    "POST /digests/{id}/flush": "the timeline has it",
    "POST /receipts/{provider}": "called by providers",
    "POST /templates/{name}/preview": "changes nothing",
    "POST /event-endpoints/{key}/test": "changes nothing",
    **dict.fromkeys(
        (
            "PUT /recipients/{recipient_id}",
            "PATCH /recipients/{recipient_id}",
            "DELETE /recipients/{recipient_id}",
            "PUT /recipients/{recipient_id}/devices/{device}",
            "DELETE /recipients/{recipient_id}/devices/{device}",
            "PUT /recipients/{recipient_id}/preferences",
            "PATCH /recipients/{recipient_id}/preferences",
            "PUT /topics/{key}/subscribers/{recipient_id}",
            "DELETE /topics/{key}/subscribers/{recipient_id}",
            "POST /inbox/read-all",
            "POST /inbox/{id}/read",
            "POST /inbox/{id}/seen",
            "POST /inbox/{id}/archive",
        ),
        "data of recipients, as many as there are recipients",
    ),
}
# They need a failed notification. `test_redrives.py` has one.
ELSEWHERE = {"POST /notifications/redrive", "POST /notifications/{id}/redrive"}


def changing_routes() -> set[str]:
    return {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, methods in openapi_document()["paths"].items()
        for method in methods
        if method != "get"
    }


def test_every_changing_route_is_audited_or_has_a_reason() -> None:
    audited = {step.route for step in (*STEPS, *OPERATOR_STEPS)} | ELSEWHERE
    assert not audited & set(UNAUDITED)
    assert audited | set(UNAUDITED) == changing_routes()


async def entries(http: AsyncClient, **params: Any) -> list[Json]:
    response = await http.get("/audit", params={"limit": 100, **params})
    assert response.status_code == 200, response.text
    items: list[Json] = response.json()["items"]
    return items


async def take(http: AsyncClient, step: AuditedStep, names: dict[str, str]) -> None:
    """Call the route. `names` keeps the id in its response for the next step."""
    method, _, route = step.route.partition(" ")
    path, body = step.path or route, step.body
    if isinstance(body, dict):
        body = {name: names["tenant"] if value == "{tenant}" else value for name, value in body.items()}
    response = await http.request(method, path.format(**names), json=body)
    assert response.is_success, (step, response.text)
    found = response.json() if response.content else {}
    if "id" in found:
        names["before"], names["id"] = names.get("id", ""), found["id"]


async def test_each_change_has_an_entry_without_personal_data(api_tenant: ApiTenant) -> None:
    assert (await api_tenant.put("/recipients/canary-xyzzy", {"email": "ada@example.com"})).status_code == 201
    names: dict[str, str] = {"tenant": ""}
    known = 0
    for step in STEPS:
        await take(api_tenant.http, step, names)
        items = await entries(api_tenant.http)
        assert len(items) > known, step
        known = len(items)
        newest = items[0]
        assert (newest["action"], newest["subject"]) == (step.action, step.subject.format(**names)), step
        assert (newest["actor"]["kind"], newest["actor"]["name"]) == ("key", "test")
    assert known == len(STEPS) + 1, "a rotation creates a key and changes one"
    shown = str(await entries(api_tenant.http))
    assert "xyzzy" not in shown
    assert MASK in shown


async def test_the_operators_changes_are_those_of_the_tenant_concerned(
    operator: AsyncClient, container: Container, api_tenant: ApiTenant
) -> None:
    tenant = f"t-{uuid4()}"
    names = {"tenant": tenant}
    headers: dict[str, str] = {}
    try:
        for step in OPERATOR_STEPS:
            await take(operator, step, names)
            [newest, *_] = await entries(operator, **({} if step.action == "provider.changed" else {"tenant": tenant}))
            assert (newest["action"], newest["subject"]) == (step.action, step.subject.format(**names)), step
            assert newest["actor"]["name"] == "operator"
    finally:
        assert (await operator.patch("/providers/sandbox", json={"rate": None})).status_code == 200
    made = (await operator.post(f"/tenants/{tenant}/keys", json={"name": "own", "scopes": ["manage"]})).json()
    headers = {"Authorization": f"Bearer {made['key']}"}
    own = (await operator.get("/audit", headers=headers)).json()["items"]
    assert {item["tenant"] for item in own} == {tenant}
    assert {(item["actor"]["kind"], item["actor"]["id"], item["actor"]["name"]) for item in own} == {
        ("installation", None, None)
    }
    assert tenant in {item["tenant"] for item in await entries(operator, all_tenants="true")}
    assert all(item["tenant"] != tenant for item in await entries(operator))
    assert set(validation_errors(await operator.get("/audit", params={"tenant": "unknown"}))) == {"tenant"}
    assert (await api_tenant.http.get("/audit", params={"tenant": tenant})).status_code == 403
    assert (await api_tenant.http.get("/audit", params={"all_tenants": "true"})).status_code == 403


async def test_an_unchanged_resource_has_no_audit_entry(api_tenant: ApiTenant) -> None:
    for _ in range(2):
        await api_tenant.put("/notification-types/k", KIND)
        await api_tenant.http.post("/channels/sms/pause")
        await api_tenant.http.patch("/settings", json={"timezone": "Europe/Vienna"})
        await api_tenant.put("/event-endpoints/e", {"url": HOOK})
    actions = [item["action"] for item in await entries(api_tenant.http)]
    assert sorted(actions) == ["channel.paused", "event_endpoint.saved", "notification_type.saved", "settings.changed"]


async def test_an_audit_entry_shows_the_old_and_the_new_value(api_tenant: ApiTenant) -> None:
    await api_tenant.put("/notification-types/k", KIND)
    await api_tenant.put("/notification-types/k", {**KIND, "priority": 1})
    [changed, made] = await entries(api_tenant.http, subject="notification_type/k")
    assert (changed["before"], changed["after"]) == ({"priority": 3}, {"priority": 1})
    assert (made["before"], made["after"]["key"]) == (None, "k")


async def test_entries_are_searched_and_paged_newest_first(api_tenant: ApiTenant, other_api_tenant: ApiTenant) -> None:
    for zone in ("Europe/Vienna", "Europe/Paris", "Europe/Rome"):
        await api_tenant.http.patch("/settings", json={"timezone": zone})
    await api_tenant.http.post("/channels/sms/pause")
    first = (await api_tenant.http.get("/audit", params={"limit": 3})).json()
    rest = (await api_tenant.http.get("/audit", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [item["after"].get("timezone") for item in (*first["items"], *rest["items"])] == [
        None,
        "Europe/Rome",
        "Europe/Paris",
        "Europe/Vienna",
    ]
    assert rest["next_cursor"] is None
    middle = first["items"][1]
    assert len(await entries(api_tenant.http, action="settings.changed")) == 3
    assert await entries(api_tenant.http, at_from=middle["at"], action="settings.changed") == [middle]
    assert len(await entries(api_tenant.http, at_before=middle["at"])) == 2
    assert len(await entries(api_tenant.http, actor_id=middle["actor"]["id"])) == 4
    assert await entries(api_tenant.http, actor_id=str(uuid4())) == []
    assert await entries(other_api_tenant.http) == []


async def test_a_change_that_fails_has_no_entry(api_tenant: ApiTenant) -> None:
    await api_tenant.http.request("DELETE", "/notification-types/nothing")
    await api_tenant.http.post("/channels/sms/resume")
    async with api_tenant.database.transaction() as session:
        counted = await session.execute(
            text("SELECT count(*) FROM audit_entry WHERE tenant = :tenant"), {"tenant": api_tenant.tenant}
        )
    assert counted.scalar_one() == 0
