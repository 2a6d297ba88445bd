"""Test the explanation of a notification over HTTP: JSON and text, without addresses or content."""

import json
from collections.abc import AsyncIterator

import pytest

from tests.api.test_notifications import accepted, ready
from tests.api_tenants import ApiTenant, open_api_tenant
from tests.engine import Engine

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

SECRETS = ("ada@example.com", "+447700900123", "Xyzzy", "Your code")


@pytest.fixture(scope="module")
async def explained(engine: Engine) -> AsyncIterator[tuple[ApiTenant, str]]:
    """Send a notification by email whose recipient has opted out of SMS."""
    async with open_api_tenant(engine) as api_tenant:
        await api_tenant.put_type("code", ["sms"], ["email"])
        await api_tenant.add_template("code", "email", "Your code is {{ code }}")
        await api_tenant.put_recipient("ada", email="ada@example.com", phone="+447700900123")
        await api_tenant.call("PUT", "/recipients/ada/preferences", {"global_channel_opt_in": {"sms": False}})
        id = await api_tenant.send("code", payload={"name": "Ada", "code": "Xyzzy"})
        await api_tenant.wait_for_end(id, "DELIVERED")
        yield api_tenant, id


LINES = [
    "Accepted as code (version 1 of the type), priority 3.",
    "sms is not used: the recipient has turned it off.",
    "email is used: the type is on by default. Rendered from code, version 2, in en.",
    "email, attempt 1: sandbox was asked to send it.",
    "email, attempt 1: sandbox accepted it.",
    "No step waits any more.",
    "email: sandbox reports that it was delivered. With that the notification is DELIVERED.",
]


async def test_an_explanation_as_json_has_lines_with_times(explained: tuple[ApiTenant, str]) -> None:
    api_tenant, id = explained
    response = await api_tenant.call("GET", f"/notifications/{id}/explain")
    shown = await api_tenant.notification(id)
    assert {**response, "lines": []} == {
        "id": id,
        "summary": "DELIVERED, by email.",
        "waits_for": None,
        "waits_until": None,
        "lines": [],
        "temporal_url": shown["temporal_url"],
    }
    assert [line["text"] for line in response["lines"]] == LINES
    times = [line["at"] for line in response["lines"]]
    assert times == sorted(times)
    assert times[0] == shown["created_at"]


async def test_an_explanation_as_text_has_the_same_lines(explained: tuple[ApiTenant, str]) -> None:
    api_tenant, id = explained
    response = await api_tenant.http.get(f"/notifications/{id}/explain", headers={"Accept": "text/plain"})
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    summary, empty, *lines, gap, last = response.text.splitlines()
    assert (summary, empty, gap, last) == ("DELIVERED, by email.", "", "", id)
    assert [line.split("  ", 1)[1] for line in lines] == LINES


async def test_neither_names_an_address_or_quotes_a_message(explained: tuple[ApiTenant, str]) -> None:
    api_tenant, id = explained
    explanation = json.dumps(await api_tenant.call("GET", f"/notifications/{id}/explain"))
    assert [secret for secret in SECRETS if secret in explanation] == []


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/plain, application/json", "application/json"),
        ("text/html", "application/json"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("Text/Plain; charset=utf-8, */*;q=0.1", "text/plain; charset=utf-8"),
    ],
)
async def test_text_is_returned_to_clients_that_accept_it(
    explained: tuple[ApiTenant, str], accept: str, content_type: str
) -> None:
    api_tenant, id = explained
    response = await api_tenant.http.get(f"/notifications/{id}/explain", headers={"Accept": accept})
    assert response.headers["content-type"] == content_type


async def test_a_waiting_send_shows_its_wait_reason(api_tenant: ApiTenant) -> None:
    await ready(api_tenant)
    [id] = await accepted(api_tenant, 1)
    response = (await api_tenant.http.get(f"/notifications/{id}/explain")).json()
    assert response["summary"] == "PENDING: it is on its way, or waits."
    assert [(line["at"] is None, line["text"]) for line in response["lines"]][1:] == [
        (True, "sms (step 1): its turn has not come."),
        (True, "Now: it waits to be started."),
    ]
