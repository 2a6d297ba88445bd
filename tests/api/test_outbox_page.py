"""Test the outbox as a page: linked, filtered, and harmless also with hostile messages."""

from collections.abc import AsyncIterator
from html.parser import HTMLParser
from typing import Any

import pytest

from bootstrap import Container
from tests.api.outbox_messages import EMAIL_OPTIONS, PAGE, UI, deliver, open_outbox_tenant
from tests.api_tenants import ApiTenant
from tests.storage.recipient_histories import CANARY, StoredHistory
from web import outbox as page

pytestmark = pytest.mark.postgres

HOSTILE = """<p style="color:red">Hi</p><script>alert(1)</script>"><img src=x onerror=alert(2)>"""


@pytest.fixture
async def api_tenant(container: Container) -> AsyncIterator[ApiTenant]:
    async with open_outbox_tenant(container) as api_tenant:
        yield api_tenant


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


@pytest.mark.parametrize("query", [{"channel": "fax"}, {"before": "yesterday"}, {"recipient_id": "\x00"}])
async def test_the_page_leaves_out_a_filter_that_means_nothing(
    api_tenant: ApiTenant, known: StoredHistory, query: dict[str, str]
) -> None:
    await deliver(api_tenant, known, "sms", {"text": "still there"}, {})
    assert "still there" in (await api_tenant.http.get(PAGE, params=query)).text
