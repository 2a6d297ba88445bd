"""Test the outbox by API: complete, filtered, harmless, and absent outside development."""

from collections.abc import AsyncIterator

import pytest

from bootstrap import Container
from tests.api.outbox_messages import EMAIL_OPTIONS, PAGE, deliver, open_outbox_tenant
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant, open_in_process_tenant
from tests.production import production_settings
from tests.storage.recipient_histories import CANARY, StoredHistory, recipient_with_history

pytestmark = pytest.mark.postgres


@pytest.fixture
async def api_tenant(container: Container) -> AsyncIterator[ApiTenant]:
    async with open_outbox_tenant(container) as api_tenant:
        yield api_tenant


async def test_the_api_lists_sandbox_and_inbox_newest_first(api_tenant: ApiTenant, known: StoredHistory) -> None:
    await deliver(api_tenant, known, "sms", {"text": "later"}, {"phone": "+15550000001"})
    items = (await api_tenant.http.get("/outbox", params={"recipient_id": api_tenant.recipient_id})).json()["items"]
    assert items[0]["channel"] == "sms"
    assert {item["channel"] for item in items} == {"email", "in_app", "sms"}
    assert [item["accepted_at"] for item in items] == sorted((i["accepted_at"] for i in items), reverse=True)
    assert set(items[0]) == {
        "id",
        "channel",
        "recipient_id",
        "notification_id",
        "address",
        "content",
        "email",
        "accepted_at",
    }
    assert (items[0]["address"], items[0]["content"]) == ({"phone": "+15550000001"}, {"text": "later"})
    assert items[0]["notification_id"] == str(known.notification_id)


async def test_the_api_filters_by_recipient_and_channel(api_tenant: ApiTenant, known: StoredHistory) -> None:
    await recipient_with_history(api_tenant.database, api_tenant.tenant, "another")
    only_email = (await api_tenant.http.get("/outbox", params={"channel": "email"})).json()["items"]
    assert {item["recipient_id"] for item in only_email} == {known.recipient_id, "another"}
    both = (
        await api_tenant.http.get("/outbox", params={"channel": "in_app", "recipient_id": api_tenant.recipient_id})
    ).json()["items"]
    assert [(item["channel"], item["recipient_id"], item["address"]) for item in both] == [
        ("in_app", api_tenant.recipient_id, {})
    ]


async def test_the_api_pages_through_everything_once(api_tenant: ApiTenant, known: StoredHistory) -> None:
    for number in range(3):
        await deliver(api_tenant, known, "sms", {"text": str(number)}, {})
    found: list[str] = []
    cursor: dict[str, str] = {}
    while cursor != {"cursor": None}:
        page = (await api_tenant.http.get("/outbox", params={"limit": 2, **cursor})).json()
        found += [item["id"] for item in page["items"]]
        cursor = {"cursor": page["next_cursor"]}
    assert len(found) == len(set(found)) == 5


async def test_an_unknown_channel_is_refused_without_repeating_it(api_tenant: ApiTenant) -> None:
    response = await api_tenant.http.get("/outbox", params={"channel": "canary"})
    assert list(validation_errors(response)) == ["channel"]
    assert "canary" not in response.text


async def test_outside_development_there_is_neither(container: Container) -> None:
    async with open_in_process_tenant(container, settings=production_settings()) as api_tenant:
        await recipient_with_history(api_tenant.database, api_tenant.tenant, api_tenant.recipient_id)
        for url in ("/outbox", PAGE):
            response = await api_tenant.http.get(url)
            assert response.status_code == 404
            assert CANARY not in response.text


async def test_the_api_lists_the_options_of_an_email(api_tenant: ApiTenant, known: StoredHistory) -> None:
    await deliver(api_tenant, known, "email", {"subject": "Invoice"}, {"email": "ada@example.com"}, EMAIL_OPTIONS)
    await deliver(api_tenant, known, "sms", {"text": "later"}, {"phone": "+15550000001"})
    sms, email, *_ = await api_tenant.list_outbox(recipient_id=known.recipient_id)
    assert (email["email"], sms["email"]) == (EMAIL_OPTIONS, None)


async def test_the_outbox_never_shows_a_chat_url(api_tenant: ApiTenant, known: StoredHistory) -> None:
    url = "https://hooks.slack.com/services/T1/B1/canary"
    await deliver(api_tenant, known, "chat", {"title": "Hello"}, {"url": url})
    query = {"recipient_id": known.recipient_id, "channel": "chat"}
    page, listed = await api_tenant.http.get(PAGE, params=query), await api_tenant.list_outbox(**query)
    assert 'title="slack"' in page.text
    assert [entry["address"] for entry in listed] == [{"service": "slack"}]
    assert "canary" not in page.text
