"""Test one-click unsubscribing: a GET changes nothing, a POST does, once and repeatably, and tokens show nothing."""

from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx2 import ASGITransport, AsyncClient

from bootstrap import Container
from services.unsubscribing import UnsubscribeLinks, Unsubscription
from tests.api_tenants import ApiTenant, open_in_process_tenant
from tests.apps import app_of

pytestmark = pytest.mark.postgres

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
TODAY = datetime.now(UTC).date().isoformat()


@pytest.fixture
async def api_tenant(container: Container) -> AsyncIterator[ApiTenant]:
    async with open_in_process_tenant(container) as api_tenant:
        yield api_tenant


@pytest.fixture
async def mail_program(container: Container) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(transport=ASGITransport(app_of(container)), base_url="http://t.test") as client:
        yield client


@pytest.fixture
def links(container: Container) -> UnsubscribeLinks:
    return UnsubscribeLinks(container.settings.secret, container.settings.base_url)


def of(api_tenant: ApiTenant, **changes: Any) -> Unsubscription:
    fields = {"tenant": api_tenant.tenant, "recipient_id": "ada", "notification_type": "news", "category": "MARKETING"}
    return Unsubscription(**{**fields, "issued_on": TODAY, **changes})


async def preferences(api_tenant: ApiTenant) -> Any:
    return (await api_tenant.call("GET", "/recipients/ada/preferences"))["type_channel_preferences"]


async def test_only_a_post_unsubscribes_and_a_repeat_changes_nothing(
    api_tenant: ApiTenant, mail_program: AsyncClient, links: UnsubscribeLinks
) -> None:
    await api_tenant.put_recipient(email="ada@example.com")
    path = f"/unsubscribe/{links.token(of(api_tenant))}"
    for method in ("GET", "HEAD"):
        assert (await mail_program.request(method, path)).status_code == 200
    assert await preferences(api_tenant) == {}
    for _ in range(2):
        response = await mail_program.post(path, data=ONE_CLICK)
        assert (response.status_code, "You are unsubscribed" in response.text) == (200, True)
        assert await preferences(api_tenant) == {"MARKETING": {"email": False}}


async def test_a_type_without_a_category_is_left_alone(
    api_tenant: ApiTenant, mail_program: AsyncClient, links: UnsubscribeLinks
) -> None:
    await api_tenant.put_recipient(email="ada@example.com")
    await mail_program.post(f"/unsubscribe/{links.token(of(api_tenant, category=None))}")
    assert await preferences(api_tenant) == {"news": {"email": False}}


async def test_a_link_with_the_longest_names_is_valid(
    api_tenant: ApiTenant, mail_program: AsyncClient, links: UnsubscribeLinks
) -> None:
    longest = of(api_tenant, recipient_id="\U0001f389" * 255, notification_type="n" * 128, category="\U0001f389" * 255)
    assert (await mail_program.get(f"/unsubscribe/{links.token(longest)}")).status_code == 200


async def test_a_choice_for_the_type_does_not_outweigh_the_category(
    api_tenant: ApiTenant, mail_program: AsyncClient, links: UnsubscribeLinks
) -> None:
    path = await api_tenant.put_recipient(email="ada@example.com")
    chosen = {"news": {"email": True, "sms": True}, "offers": {"email": True}, "MARKETING": {"sms": True}}
    await api_tenant.call("PATCH", f"{path}/preferences", {"type_channel_preferences": chosen})
    await mail_program.post(f"/unsubscribe/{links.token(of(api_tenant))}")
    assert await preferences(api_tenant) == {
        "news": {"email": False, "sms": True},
        "offers": {"email": True},
        "MARKETING": {"sms": True, "email": False},
    }


async def test_a_link_of_an_unknown_recipient_looks_the_same(
    api_tenant: ApiTenant, mail_program: AsyncClient, links: UnsubscribeLinks
) -> None:
    response = await mail_program.post(f"/unsubscribe/{links.token(of(api_tenant))}")
    assert (response.status_code, "You are unsubscribed" in response.text) == (200, True)


async def test_a_link_is_valid_for_a_year(
    api_tenant: ApiTenant, mail_program: AsyncClient, links: UnsubscribeLinks
) -> None:
    for days, status in ((366, 200), (368, 404)):
        issued_on = (datetime.now(UTC) - timedelta(days=days)).date().isoformat()
        token = links.token(of(api_tenant, issued_on=issued_on))
        assert (await mail_program.get(f"/unsubscribe/{token}")).status_code == status


async def test_a_changed_token_is_not_found(
    api_tenant: ApiTenant, mail_program: AsyncClient, links: UnsubscribeLinks, container: Container
) -> None:
    await api_tenant.put_recipient(email="ada@example.com")
    token = links.token(of(api_tenant))
    other = UnsubscribeLinks(b"another secret" + container.settings.secret, container.settings.base_url)
    for bad in (
        token[:-2] + ("AA" if token[-2:] != "AA" else "BB"),
        other.token(of(api_tenant)),
        "x",
        "é",
        "A" * 9_000,
    ):
        for method in ("GET", "POST"):
            assert (await mail_program.request(method, f"/unsubscribe/{bad}")).status_code == 404, bad
    assert await preferences(api_tenant) == {}


async def test_a_token_shows_neither_recipient_nor_category(api_tenant: ApiTenant, links: UnsubscribeLinks) -> None:
    token = links.token(of(api_tenant))
    raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert not any(word in raw for word in (b"ada", b"MARKETING", b"news", str(api_tenant.tenant).encode()))
    assert links.token(of(api_tenant)) == token


async def test_the_page_escapes_the_name_and_loads_nothing(
    api_tenant: ApiTenant, mail_program: AsyncClient, links: UnsubscribeLinks
) -> None:
    response = await mail_program.get(f"/unsubscribe/{links.token(of(api_tenant, category='<b>A&B</b>'))}")
    assert "&lt;b&gt;A&amp;B&lt;/b&gt;" in response.text
    assert response.headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline'; form")
    assert response.headers["referrer-policy"] == "no-referrer"
