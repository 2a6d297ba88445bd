"""Test what browsers report about web push messages, without authentication: only signed tokens are stored."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from httpx2 import ASGITransport, AsyncClient

from api.app import create_app
from bootstrap import Container, open_container
from config import Settings
from domain.channels import Channel
from domain.evidence import AttemptState, ReceiptKind
from domain.notification_types import TrackingOptions
from domain.tracking import TraceSigner, TrackedAction
from rendering.tracking import Tracker
from tests.apps import app_of
from tests.outgoing_messages import outgoing_message
from tests.storage.sends import open_database_tenant
from tests.web.test_tracking import stored

pytestmark = pytest.mark.postgres
SITE = {"Origin": "https://shop.example"}


@pytest.fixture
async def browser(container: Container) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(
        transport=ASGITransport(app_of(container)), base_url="http://t.test", headers=SITE
    ) as client:
        yield client


def report_path(container: Container, attempt_id: UUID) -> str:
    """Return the path of the URL that a message carries."""
    message = outgoing_message(Channel.WEB_PUSH, attempt_id=attempt_id)
    tracker = Tracker(TraceSigner(container.settings.secret), "http://t.test")
    return str(tracker.add_tracking(message, "web_push", TrackingOptions()).report_url).removeprefix("http://t.test")


async def test_a_browser_reports_each_event_once(browser: AsyncClient, container: Container) -> None:
    attempt = uuid4()
    for event in ("delivered", "clicked", "delivered"):
        response = await browser.post(f"{report_path(container, attempt)}/{event}")
        assert (response.status_code, response.headers["access-control-allow-origin"]) == (204, "*")
    assert await stored(container, attempt) == [
        {"provider": "tracking", "kind": "clicked", "raw": {}},
        {"provider": "tracking", "kind": "delivered", "raw": {}},
    ]


async def test_reports_become_the_status_of_the_delivery(browser: AsyncClient, container: Container) -> None:
    database_tenant = await open_database_tenant(container.database)
    sent = await database_tenant.send(Channel.WEB_PUSH)
    await sent.claim(channel=Channel.WEB_PUSH)
    await sent.answer(AttemptState.ACCEPTED, channel=Channel.WEB_PUSH)
    path = report_path(container, sent.attempt(channel=Channel.WEB_PUSH))
    statuses = []
    for event in ("delivered", "clicked"):
        await browser.post(f"{path}/{event}")
        await container.receipt_applier.apply_waiting()
        [row] = await database_tenant.query("SELECT status FROM delivery WHERE notification_id = :id", id=sent.id)
        statuses.append(row["status"])
    assert statuses == ["DELIVERED", "OPENED"]


async def test_an_unsigned_report_is_not_stored(browser: AsyncClient, container: Container) -> None:
    attempt = uuid4()
    path = report_path(container, attempt)
    click = TrackedAction(kind=ReceiptKind.CLICKED, attempt_id=attempt, provider="smtp", target="https://example.com")
    paths = [
        f"{path[:-1]}{'A' if path[-1] != 'A' else 'B'}/delivered",
        f"{path}/bounced",
        f"/t/p/{TraceSigner(container.settings.secret).token(click)}/clicked",
        "/t/p/%00/clicked",
        f"/t/p/{'a' * 9_000}/clicked",
    ]
    assert [(await browser.post(one)).status_code for one in paths] == [404] * len(paths)
    assert (await browser.get(f"{path}/delivered")).status_code == 405
    assert await stored(container, attempt) == []


async def test_a_report_is_asked_for_again_while_the_database_is_unavailable() -> None:
    nowhere = "postgresql+asyncpg://nouser@127.0.0.1:1/none"
    settings = Settings(env="dev", database_url=nowhere, temporal_address="127.0.0.1:1", _env_file=None)
    async with open_container(settings) as container:
        transport = ASGITransport(create_app(container))
        async with AsyncClient(transport=transport, base_url="http://t.test") as browser:
            response = await browser.post(f"{report_path(container, uuid4())}/delivered")
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")


@pytest.mark.parametrize("name", ["tocsin-sw.js", "tocsin-push.js"])
async def test_every_site_may_load_the_scripts(browser: AsyncClient, name: str) -> None:
    response = await browser.get(f"/web/{name}")
    assert response.headers["content-type"] == "text/javascript; charset=utf-8"
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["cross-origin-resource-policy"] == "cross-origin"
    assert response.headers["content-security-policy"].startswith("default-src 'none'; connect-src 'self'")
    assert response.headers["cache-control"] == "public, max-age=3600"
    assert "web push" in response.text


async def test_other_files_of_the_folder_are_not_served(browser: AsyncClient) -> None:
    for name in ("tracking.py", "outbox.html", "..%2Fconfig%2F__init__.py"):
        assert (await browser.get(f"/web/{name}")).status_code == 404
