"""Opens and clicks of an e-mail, from the pixel and the links that its reader's program follows."""

import re
from html import unescape
from typing import Any

import httpx2
import pytest

from tests.engine import ApiTenant

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]
TARGET = "https://example.com/orders?id=1&ref=mail"
BODY = '<html><body><p>Hello {{ name }}</p><a href="https://example.com/orders?id=1&amp;ref=mail">x</a></body></html>'
OURS = re.compile(r'"([^"]*/t/[oc]/[^"]*)"')


async def html_of(api_tenant: ApiTenant, **tracking: bool) -> tuple[str, str]:
    """A notification and the HTML that went out."""
    await api_tenant.add_template("mail", "email", BODY)
    given: dict[str, Any] = {"tracking": tracking} if tracking else {}
    await api_tenant.call(
        "PUT",
        "/notification-types/mail",
        {"route": [{"channels": ["email"]}], "templates": {"email": "mail"}, **given},
    )
    await api_tenant.put_recipient("ada", email="ada@example.com")
    id = await api_tenant.send("mail")
    await api_tenant.wait_for_status(id, "DELIVERED")
    [message] = await api_tenant.list_outbox(recipient_id="ada")
    return id, message["content"]["html"]


async def follow(url: str) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as stranger:
        return await stranger.get(unescape(url))


async def test_a_click_leads_on_and_opens_the_notification(api_tenant: ApiTenant) -> None:
    id, html = await html_of(api_tenant, clicks=True)
    [link] = OURS.findall(html)
    assert TARGET not in unescape(html)
    answer = await follow(link)
    assert (answer.status_code, answer.headers["location"]) == (302, TARGET)
    shown = await api_tenant.wait_for_status(id, "OPENED")
    [delivery] = shown["deliveries"]
    assert delivery["clicked_at"] is not None
    assert delivery["opened_at"] == delivery["clicked_at"]
    assert delivery["rendered_content"]["html"].count(TARGET.replace("&", "&amp;")) == 1
    assert "/t/" not in delivery["rendered_content"]["html"]


async def test_the_pixel_opens_the_notification(api_tenant: ApiTenant) -> None:
    id, html = await html_of(api_tenant, opens=True)
    [pixel] = OURS.findall(html)
    assert unescape(html).count(TARGET) == 1
    assert (await follow(pixel)).status_code == 200
    [delivery] = (await api_tenant.wait_for_status(id, "OPENED"))["deliveries"]
    assert (delivery["opened_at"] is not None, delivery["clicked_at"]) == (True, None)


async def test_a_type_without_tracking_sends_the_rendered_content(api_tenant: ApiTenant) -> None:
    id, html = await html_of(api_tenant)
    [delivery] = (await api_tenant.notification(id))["deliveries"]
    assert html == delivery["rendered_content"]["html"] == BODY.replace("{{ name }}", "Ada")
    kind = await api_tenant.call("GET", "/notification-types/mail")
    assert "tracking" not in kind
