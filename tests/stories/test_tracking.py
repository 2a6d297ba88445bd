"""Check the tracking of opens and clicks through an email's pixel and links."""

import re
from html import unescape
from typing import Any

import httpx2
import pytest

from tests.api_tenants import ApiTenant

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]
TARGET = "https://example.com/orders?id=1&ref=mail"
BODY = '<html><body><p>Hello {{ name }}</p><a href="https://example.com/orders?id=1&amp;ref=mail">x</a></body></html>'
TRACKING_LINK = re.compile(r'"([^"]*/t/[oc]/[^"]*)"')


async def send_email(api_tenant: ApiTenant, **tracking: bool) -> tuple[str, str]:
    """Send an email, and return the notification's id and the HTML of the message."""
    await api_tenant.add_template("mail", "email", BODY)
    tracking_rule: dict[str, Any] = {"tracking": tracking} if tracking else {}
    await api_tenant.call(
        "PUT",
        "/notification-types/mail",
        {"route": [{"channels": ["email"]}], "templates": {"email": "mail"}, **tracking_rule},
    )
    await api_tenant.put_recipient("ada", email="ada@example.com")
    id = await api_tenant.send("mail")
    await api_tenant.wait_for_status(id, "DELIVERED")
    [message] = await api_tenant.list_outbox(recipient_id="ada")
    return id, message["content"]["html"]


async def get_url(url: str) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        return await client.get(unescape(url))


async def test_a_click_redirects_and_opens_the_notification(api_tenant: ApiTenant) -> None:
    id, html = await send_email(api_tenant, clicks=True)
    [link] = TRACKING_LINK.findall(html)
    assert TARGET not in unescape(html)
    response = await get_url(link)
    assert (response.status_code, response.headers["location"]) == (302, TARGET)
    notification = await api_tenant.wait_for_status(id, "OPENED")
    [delivery] = notification["deliveries"]
    assert delivery["clicked_at"] is not None
    assert delivery["opened_at"] == delivery["clicked_at"]
    assert delivery["rendered_content"]["html"].count(TARGET.replace("&", "&amp;")) == 1
    assert "/t/" not in delivery["rendered_content"]["html"]


async def test_a_request_for_the_pixel_opens_the_notification(api_tenant: ApiTenant) -> None:
    id, html = await send_email(api_tenant, opens=True)
    [pixel] = TRACKING_LINK.findall(html)
    assert unescape(html).count(TARGET) == 1
    assert (await get_url(pixel)).status_code == 200
    [delivery] = (await api_tenant.wait_for_status(id, "OPENED"))["deliveries"]
    assert (delivery["opened_at"] is not None, delivery["clicked_at"]) == (True, None)


async def test_a_type_without_tracking_sends_the_rendered_content(api_tenant: ApiTenant) -> None:
    id, html = await send_email(api_tenant)
    [delivery] = (await api_tenant.notification(id))["deliveries"]
    assert html == delivery["rendered_content"]["html"] == BODY.replace("{{ name }}", "Ada")
    notification_type = await api_tenant.call("GET", "/notification-types/mail")
    assert "tracking" not in notification_type
