"""Test the outbox by API and as a page: complete, filtered, harmless, and absent outside development."""

from collections.abc import AsyncIterator
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from uuid import uuid4

import pytest

from bootstrap import Container
from config import Settings
from models.sandbox import SandboxMessage
from storage.sandbox import secret_owner_of
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant, open_in_process_tenant
from tests.production import production_settings
from tests.storage.recipient_histories import CANARY, StoredHistory, recipient_with_history
from web import outbox as page

pytestmark = pytest.mark.postgres

PAGE = "http://localhost:8000/outbox"
UI = "http://127.0.0.1:8233"
EMAIL_OPTIONS = {
    "sender": {"email": "orders@shop.example", "name": "Orders"},
    "reply_to": {"email": "help@shop.example", "name": ""},
    "cc": ["bob@example.com", "cleo@example.com"],
    "bcc": ["archive@example.com"],
    "headers": {"X-Order": "4711"},
    "attachments": [{"name": "invoice.pdf", "content_type": "application/pdf", "size": 12_345}],
}
HOSTILE = """<p style="color:red">Hi</p><script>alert(1)</script>"><img src=x onerror=alert(2)>"""


@pytest.fixture
async def api_tenant(container: Container) -> AsyncIterator[ApiTenant]:
    settings = Settings(env="dev", temporal_ui_url=f"{UI}/", _env_file=None)
    async with open_in_process_tenant(container, settings=settings) as api_tenant:
        # The page shows all tenants.
        yield replace(api_tenant, recipient_id=f"recipient-{uuid4()}")


@pytest.fixture
async def known(api_tenant: ApiTenant) -> StoredHistory:
    """Create a recipient with one email in the sandbox and one message in the inbox."""
    return await recipient_with_history(api_tenant.database, api_tenant.tenant, api_tenant.recipient_id)


async def deliver(
    api_tenant: ApiTenant,
    known: StoredHistory,
    channel: str,
    content: dict[str, Any],
    address: dict[str, Any],
    email_options: dict[str, Any] | None = None,
) -> None:
    id = uuid4()
    row = SandboxMessage(
        id=id,
        tenant=known.tenant,
        recipient_id=known.recipient_id,
        notification_id=known.notification_id,
        delivery_id=known.delivery_id,
        attempt_id=uuid4(),
        endpoint_id=channel,
        channel=channel,
        address=api_tenant.database.encryption.encrypt_members(address, secret_owner_of(known.tenant, id)),
        content=content,
        email_options=email_options,
    )
    async with api_tenant.database.transaction() as session:
        session.add(row)


class Tags(HTMLParser):
    """Collect every start tag with its attributes and the text after it, as a browser would parse them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        self.texts.append((tag, ""))

    def handle_data(self, data: str) -> None:
        if self.texts:
            tag, text = self.texts[-1]
            self.texts[-1] = (tag, text + data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.seen if name == tag]

    def texts_of(self, tag: str) -> list[str]:
        return [text.strip() for name, text in self.texts if name == tag]


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


async def test_the_page_needs_no_key_and_links_messages_to_workflows(
    api_tenant: ApiTenant, known: StoredHistory
) -> None:
    response = await api_tenant.http.get(
        PAGE, params={"recipient_id": api_tenant.recipient_id}, headers={"Authorization": ""}
    )
    assert response.status_code == 200
    assert CANARY in response.text
    workflow = f"{UI}/namespaces/default/workflows/notification-{known.notification_id}-1"
    assert [link["href"] for link in Tags(response.text).of("a") if "workflows" in str(link["href"])] == [workflow] * 2


async def test_the_page_shows_html_in_a_frame_that_can_do_nothing(api_tenant: ApiTenant, known: StoredHistory) -> None:
    await deliver(
        api_tenant, known, "email", {"subject": HOSTILE, "html": HOSTILE, "text": HOSTILE}, {"email": HOSTILE}
    )
    response = await api_tenant.http.get(PAGE, params={"recipient_id": api_tenant.recipient_id})
    tags = Tags(response.text)
    assert [(frame["sandbox"], frame["srcdoc"]) for frame in tags.of("iframe")] == [("", HOSTILE)]
    assert not tags.of("script")
    assert not tags.of("img")
    assert not any(name.startswith("on") for _, attributes in tags.seen for name in attributes)


async def test_the_api_lists_the_options_of_an_email(api_tenant: ApiTenant, known: StoredHistory) -> None:
    await deliver(api_tenant, known, "email", {"subject": "Invoice"}, {"email": "ada@example.com"}, EMAIL_OPTIONS)
    await deliver(api_tenant, known, "sms", {"text": "later"}, {"phone": "+15550000001"})
    sms, email, *_ = await api_tenant.list_outbox(recipient_id=known.recipient_id)
    assert (email["email"], sms["email"]) == (EMAIL_OPTIONS, None)


async def test_the_page_shows_the_options_of_an_email(api_tenant: ApiTenant, known: StoredHistory) -> None:
    options = {**EMAIL_OPTIONS, "headers": {"X-Order": HOSTILE}}
    await deliver(api_tenant, known, "email", {"subject": "Invoice"}, {"email": "ada@example.com"}, options)
    response = await api_tenant.http.get(PAGE, params={"recipient_id": known.recipient_id})
    tags = Tags(response.text)
    assert list(zip(tags.texts_of("dt"), tags.texts_of("dd"), strict=True)) == [
        ("From", "Orders <orders@shop.example>"),
        ("Reply-To", "help@shop.example"),
        ("Cc", "bob@example.com, cleo@example.com"),
        ("Bcc", "archive@example.com"),
        ("X-Order", HOSTILE),
        ("Attachment", "invoice.pdf (application/pdf, 12.3 kB)"),
    ]


async def test_the_page_loads_nothing_from_anywhere(api_tenant: ApiTenant, known: StoredHistory) -> None:
    response = await api_tenant.http.get(PAGE, params={"recipient_id": known.recipient_id})
    policy = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["img-src"] == "data:"
    assert "script-src" not in policy
    assert not any("src" in attributes for _, attributes in Tags(response.text).seen)
    assert not Tags(response.text).of("link")


async def test_the_page_filters_and_reports_an_empty_result(api_tenant: ApiTenant, known: StoredHistory) -> None:
    shown = await api_tenant.http.get(PAGE, params={"recipient_id": known.recipient_id, "channel": "email"})
    assert len(Tags(shown.text).of("article")) == 1
    (selected,) = [option for option in Tags(shown.text).of("option") if "selected" in option]
    assert selected["value"] == "email"
    nothing = await api_tenant.http.get(PAGE, params={"recipient_id": '"><b>unknown'})
    assert "No message matches." in nothing.text
    assert not Tags(nothing.text).of("b")


async def test_the_page_links_to_older_messages(
    api_tenant: ApiTenant, known: StoredHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "PAGE_SIZE", 2)
    await deliver(api_tenant, known, "sms", {"text": "the newest"}, {})
    first = await api_tenant.http.get(PAGE, params={"recipient_id": known.recipient_id})
    (older,) = [str(link["href"]) for link in Tags(first.text).of("a") if "before" in str(link["href"])]
    second = await api_tenant.http.get(f"http://localhost{older}")
    assert len(Tags(first.text).of("article")) == 2
    assert len(Tags(second.text).of("article")) == 1
    assert "the newest" not in second.text


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ({"phone": "+15550000001"}, "+15550000001"),
        (
            {"subscription": {"endpoint": "https://push.example.com/1", "keys": {"auth": "a"}}},
            "https://push.example.com/1",
        ),
        ({}, ""),
    ],
)
async def test_the_page_shows_the_address_of_a_message(
    api_tenant: ApiTenant, known: StoredHistory, address: dict[str, Any], shown: str
) -> None:
    await deliver(api_tenant, known, "web_push", {"title": "Hello"}, address)
    response = await api_tenant.http.get(PAGE, params={"recipient_id": known.recipient_id, "channel": "web_push"})
    titles = [str(span["title"]) for span in Tags(response.text).of("span") if "title" in span]
    assert titles == ([shown] if shown else [])


async def test_the_outbox_never_shows_a_chat_url(api_tenant: ApiTenant, known: StoredHistory) -> None:
    url = "https://hooks.slack.com/services/T1/B1/canary"
    await deliver(api_tenant, known, "chat", {"title": "Hello"}, {"url": url})
    query = {"recipient_id": known.recipient_id, "channel": "chat"}
    page, listed = await api_tenant.http.get(PAGE, params=query), await api_tenant.list_outbox(**query)
    assert 'title="slack"' in page.text
    assert [entry["address"] for entry in listed] == [{"service": "slack"}]
    assert "canary" not in page.text


@pytest.mark.parametrize("query", [{"channel": "fax"}, {"before": "yesterday"}, {"recipient_id": "\x00"}])
async def test_the_page_leaves_out_a_filter_that_means_nothing(
    api_tenant: ApiTenant, known: StoredHistory, query: dict[str, str]
) -> None:
    await deliver(api_tenant, known, "sms", {"text": "still there"}, {})
    assert "still there" in (await api_tenant.http.get(PAGE, params=query)).text
