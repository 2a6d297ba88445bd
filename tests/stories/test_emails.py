"""Follow emails with options from the send to the wire of a vendor."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from testing.vendors.emails import VendorEmail
from testing.vendors.sendgrid import FakeSendGrid
from tests.api_tenants import ApiTenant, open_api_tenant
from tests.engine import later, running_engine
from tests.stories.vendors import run_vendors, vendor_environment

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

# Two chunks.
PDF = b"%PDF-1.7 " + bytes(range(256)) * 5_000
OPTIONS = {
    "reply_to": {"email": "help@shop.example", "name": "Help"},
    "cc": ["bob@example.com", "ADA@example.com"],
    "bcc": ["archive@example.com", "Bob@example.com"],
    "headers": {"X-Order": "4711"},
}


@pytest.fixture
async def sendgrid(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeSendGrid]:
    async with run_vendors() as (sendgrid, mail_server):
        for name, value in vendor_environment(sendgrid, mail_server).items():
            monkeypatch.setenv(name, value)
        yield sendgrid


@pytest.fixture
async def shop(sendgrid: FakeSendGrid, database_url: str, tmp_path: Path) -> AsyncIterator[ApiTenant]:
    async with (
        running_engine(database_url, tmp_path, email_providers=["sendgrid"]) as engine,
        open_api_tenant(engine) as api_tenant,
    ):
        await api_tenant.allow_email_domains("shop.example")
        sender = {"email": "orders@shop.example", "name": "Orders"}
        await api_tenant.put_type("news", ["email"], **{"from": sender})
        await api_tenant.put_recipient(email="ada@example.com")
        yield api_tenant


async def sent_email(
    shop: ApiTenant, sendgrid: FakeSendGrid, notification_type: str = "news", **fields: Any
) -> VendorEmail:
    id = await shop.send(notification_type, **fields)
    assert (await shop.wait_until_finished(id))["status"] == "SENT"
    message = sendgrid.log.calls[-1].message
    assert message is not None
    assert message.email is not None
    return message.email


async def test_an_email_is_sent_with_the_options_of_send_type_and_tenant(
    shop: ApiTenant, sendgrid: FakeSendGrid
) -> None:
    email = await sent_email(shop, sendgrid, email=OPTIONS)
    assert (email.sender, email.reply_to) == (("Orders", "orders@shop.example"), ("Help", "help@shop.example"))
    assert (email.to, email.cc, email.bcc) == (["ada@example.com"], ["bob@example.com"], ["archive@example.com"])
    assert email.headers["x-order"] == "4711"


async def test_a_suppressed_address_gets_no_copy(shop: ApiTenant, sendgrid: FakeSendGrid) -> None:
    for address in ("Bob@example.com", "zoe@straße.example", "archive@example.com"):
        await shop.call("POST", "/suppressions", {"channel": "email", "address": address, "reason": "opted_out"})
    email = await sent_email(
        shop, sendgrid, email={**OPTIONS, "cc": ["bob@example.com", "zoe@straße.example", "cleo@example.com"]}
    )
    assert (email.to, email.cc, email.bcc) == (["ada@example.com"], ["cleo@example.com"], [])


async def test_an_email_has_its_attachments(shop: ApiTenant, sendgrid: FakeSendGrid) -> None:
    id = await upload(shop, PDF, "Rechnung März.pdf")
    email = await sent_email(shop, sendgrid, email={"attachments": [id]})
    assert email.attachments == [("Rechnung März.pdf", "application/pdf", PDF)]


async def test_an_email_is_not_sent_without_its_attachment(shop: ApiTenant, sendgrid: FakeSendGrid) -> None:
    attachment = await upload(shop, PDF, "lost.pdf")
    id = await shop.send("news", email={"attachments": [attachment]}, send_at=later(3_600))
    await shop.engine.sql("DELETE FROM attachment WHERE id = :id", id=attachment)
    await shop.make_due(id)
    ended = await shop.wait_until_finished(id)
    assert (ended["status"], ended["failure_reason"]) == ("FAILED", "email: refused: attachment_deleted")
    assert sendgrid.log.calls == []


async def upload(shop: ApiTenant, content: bytes, name: str) -> str:
    headers = {"Content-Type": "application/pdf"}
    response = await shop.http.post("/attachments", params={"name": name}, content=content, headers=headers)
    assert response.status_code in (200, 201), response.text
    return str(response.json()["id"])


async def test_a_recipient_unsubscribes_by_the_header_of_an_email(shop: ApiTenant, sendgrid: FakeSendGrid) -> None:
    body = '<p>{{ name }}</p><a href="{{ unsubscribe_url }}">Leave</a>'
    await shop.put_type("offer", ["email"], template={"body_template": body}, category="MARKETING")
    email = await sent_email(shop, sendgrid, notification_type="offer")
    url = email.headers["list-unsubscribe"].strip("<>")
    assert email.headers["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert f'<a href="{url}">' in email.html
    assert url in email.text
    page = urlsplit(url).path
    assert (
        await shop.http.post(f"{shop.engine.api_url}{page}", data={"List-Unsubscribe": "One-Click"})
    ).status_code == 200
    later = await shop.wait_until_finished(await shop.send("offer"))
    assert (later["status"], later["failure_reason"]) == (
        "SUPPRESSED",
        "email: opted_out (type_channel_preferences.MARKETING.email)",
    )


async def test_an_email_of_a_required_type_has_no_unsubscribe_header(shop: ApiTenant, sendgrid: FakeSendGrid) -> None:
    await shop.put_type("invoice", ["email"], required=True)
    email = await sent_email(shop, sendgrid, notification_type="invoice")
    assert not {"list-unsubscribe", "list-unsubscribe-post"} & set(email.headers)


async def test_an_address_in_a_withdrawn_domain_is_not_used(shop: ApiTenant, sendgrid: FakeSendGrid) -> None:
    await shop.allow_email_domains()
    email = await sent_email(shop, sendgrid)
    assert (email.sender[1], email.reply_to) == ("shop@shop.example", None)
