"""Send one email with everything that an email may have through each email vendor."""

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from domain.channels import Channel
from providers.registry import PROVIDERS
from testing.vendors.emails import VendorEmail
from testing.vendors.registry import find_vendors
from testing.vendors.smtp import MailServer
from testing.vendors.vendor import FakeVendor
from tests.api_tenants import ApiTenant, open_api_tenant
from tests.engine import running_engine

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

PDF = b"%PDF-1.7 \x00\xff"
ORDER = '<a href="https://shop.example/o/4711">4711</a>'
BODY = f'<p>{{greeting}} {{{{{{{{ name }}}}}}}}, {ORDER}</p><a href="{{{{{{{{ unsubscribe_url }}}}}}}}">Unsubscribe</a>'
GREETINGS = {"en": "Hello", "de": "Grüß dich"}
VENDORS: Mapping[str, type[FakeVendor | MailServer]] = {
    **{name: vendor for name, vendor in find_vendors().items() if Channel.EMAIL in PROVIDERS[name].channels},
    "smtp": MailServer,
}


@pytest.fixture(params=VENDORS)
async def vendor(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[str, FakeVendor | MailServer]]:
    """Run a vendor and configure its provider."""
    async with VENDORS[request.param]().running() as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv(f"TOCSIN_{request.param.upper()}_FROM", "shop@shop.example")
        yield request.param, running


@pytest.fixture
async def shop(
    vendor: tuple[str, FakeVendor | MailServer], database_url: str, tmp_path: Path
) -> AsyncIterator[ApiTenant]:
    async with (
        running_engine(database_url, tmp_path, email_providers=[vendor[0]]) as engine,
        open_api_tenant(engine) as api_tenant,
    ):
        await api_tenant.allow_email_domains("shop.example")
        await api_tenant.put_type("order", ["email"], category="ORDERS")
        for language, greeting in GREETINGS.items():
            body = BODY.format(greeting=greeting)
            await api_tenant.add_template("order", "email", body, language=language, subject_template=f"{greeting}!")
            await api_tenant.put_recipient(language, email=f"{language}@example.com", locale=language)
        yield api_tenant


async def test_one_email_with_everything_goes_through_each_vendor(
    shop: ApiTenant, vendor: tuple[str, FakeVendor | MailServer]
) -> None:
    options: dict[str, Any] = {
        "reply_to": {"email": "help@shop.example", "name": "Help"},
        "cc": ["bob@example.com"],
        "attachments": [await upload(shop)],
    }
    for language, greeting in GREETINGS.items():
        id = await shop.send("order", language, email=options)
        assert (await shop.wait_until_finished(id))["status"] == "SENT"
        email = last_email(vendor[1])
        assert (email.to, email.cc, email.subject) == ([f"{language}@example.com"], ["bob@example.com"], f"{greeting}!")
        assert email.reply_to == ("Help", "help@shop.example")
        assert email.attachments == [("invoice.pdf", "application/pdf", PDF)]
        url = email.headers["list-unsubscribe"].strip("<>")
        assert re.fullmatch(r"http://[^ ]+/unsubscribe/[\w-]{100,}", url)
        assert email.headers["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
        assert f'href="{url}"' in email.html
        assert email.text.startswith(f"{greeting} Ada, 4711 (https://shop.example/o/4711)")


async def upload(shop: ApiTenant) -> str:
    headers = {"Content-Type": "application/pdf"}
    response = await shop.http.post("/attachments", params={"name": "invoice.pdf"}, content=PDF, headers=headers)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


def last_email(vendor: FakeVendor | MailServer) -> VendorEmail:
    message = vendor.log.calls[-1].message
    assert message is not None
    assert message.email is not None
    return message.email
