"""Test sends with their content: one email in one call, without a stored type, template or recipient."""

from typing import Any

import pytest

from services.inline_emails import INLINE_TYPE
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant

pytestmark = pytest.mark.postgres

CONTENT = {"to": "Ada@Example.com", "subject": "Hi", "text": "Hello", "html": "<p>Hello</p>"}


async def send(api_tenant: ApiTenant, **body: Any) -> Any:
    response = await api_tenant.http.post("/notifications/send", json=body)
    assert response.status_code in (200, 202), response.text
    return response.json()


async def test_an_email_needs_no_type_template_or_recipient(api_tenant: ApiTenant) -> None:
    first, second = [await send(api_tenant, content=CONTENT) for _ in range(2)]
    assert first["notification_type"] == INLINE_TYPE
    assert first["recipient_id"] == second["recipient_id"]
    stored = await api_tenant.call("GET", f"/recipients/{first['recipient_id']}")
    assert stored["email"] == "Ada@example.com"
    assert (await api_tenant.call("GET", f"/notification-types/{INLINE_TYPE}"))["version"] == 1


@pytest.mark.parametrize(
    ("given", "rendered"),
    [
        ({"html": "<p>1 &lt; 2</p>", "text": "1 < 2 {{ x }}"}, {"html": "<p>1 &lt; 2</p>", "text": "1 < 2 {{ x }}"}),
        ({"html": '<p>See <a href="https://a.example">it</a></p>'}, {"text": "See it (https://a.example)"}),
        ({"text": "Just text"}, {"html": "", "text": "Just text"}),
        ({"html": '<a href="javascript:x()">x</a>'}, {"html": '<a href="#">x</a>'}),
    ],
)
async def test_the_content_is_sent_as_it_is(api_tenant: ApiTenant, given: Any, rendered: Any) -> None:
    content = {"to": "ada@example.com", "subject": "A & B {{ x }}", **given}
    predicted = await send(api_tenant, content=content, dry_run=True)
    [channel] = predicted["steps"][0]["channels"]
    expected = {"subject": "A & B {{ x }}", **rendered}
    assert {name: channel["rendered_content"][name] for name in expected} == expected


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({"content": {"to": "ada", "subject": "Hi", "text": "x"}}, {"/content/to": "must be an email address"}),
        ({"content": {"to": "ada@example.com", "subject": "Hi"}}, {"/content": "needs html or text"}),
        ({"content": CONTENT, "payload": {"a": 1}}, {"": "`content` takes the place of payload and channels"}),
        (
            {"content": CONTENT, "recipient_id": "ada"},
            {"": "needs exactly one of recipient_id, recipient, recipients, topic and content"},
        ),
        ({"recipient_id": "ada"}, {"/notification_type": "is required"}),
        ({"recipient_id": "ada", "notification_type": ""}, {"/notification_type": "is required"}),
    ],
)
async def test_an_invalid_send_is_refused_with_its_position(
    api_tenant: ApiTenant, body: Any, errors: dict[str, str]
) -> None:
    assert validation_errors(await api_tenant.http.post("/notifications/send", json=body)) == errors


async def test_a_batch_may_have_emails_with_their_content(api_tenant: ApiTenant) -> None:
    items = [{"content": CONTENT}, {"content": {**CONTENT, "to": "bob@example.com"}}, {"content": {"to": "x"}}]
    response = await api_tenant.http.post("/notifications/send-batch", json={"items": items})
    assert [item["status"] for item in response.json()["items"]] == [202, 202, 422]


async def test_a_type_of_the_tenant_may_carry_the_content(api_tenant: ApiTenant) -> None:
    await api_tenant.add_template("mail", "email", "{{ html|safe }}", subject_template="{{ subject }}")
    body = {"route": [{"channels": ["email"]}], "templates": {"email": "mail"}, "category": "REPORTS"}
    await api_tenant.call("PUT", "/notification-types/report", body)
    assert (await send(api_tenant, content=CONTENT, notification_type="report"))["notification_type"] == "report"


async def test_the_type_may_be_changed_and_is_made_again_after_a_deletion(api_tenant: ApiTenant) -> None:
    await send(api_tenant, content=CONTENT)
    path = f"/notification-types/{INLINE_TYPE}"
    body = {"route": [{"channels": ["email"]}], "templates": {"email": INLINE_TYPE}, "priority": 2}
    await api_tenant.call("PUT", path, body)
    assert (await send(api_tenant, content=CONTENT))["priority"] == 2
    await api_tenant.call("DELETE", path)
    assert (await send(api_tenant, content=CONTENT))["priority"] == 3
