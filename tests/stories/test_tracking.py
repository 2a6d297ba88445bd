"""Opens and clicks of an e-mail, from the pixel and the links that its reader's program follows."""

import re
from html import unescape
from typing import Any

import httpx2
import pytest

from tests.engine import Shop

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]
TARGET = "https://example.com/orders?id=1&ref=mail"
BODY = '<html><body><p>Hello {{ name }}</p><a href="https://example.com/orders?id=1&amp;ref=mail">x</a></body></html>'
OURS = re.compile(r'"([^"]*/t/[oc]/[^"]*)"')


async def html_of(shop: Shop, **tracking: bool) -> tuple[str, str]:
    """A notification and the HTML that went out."""
    await shop.template("mail", "email", BODY)
    given: dict[str, Any] = {"tracking": tracking} if tracking else {}
    await shop.ok(
        "PUT",
        "/notification-types/mail",
        {"route": [{"channels": ["email"]}], "templates": {"email": "mail"}, **given},
    )
    await shop.person("ada", email="ada@example.com")
    id = await shop.send("mail")
    await shop.until(id, "DELIVERED")
    [message] = await shop.outbox(recipient_id="ada")
    return id, message["content"]["html"]


async def follow(url: str) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as stranger:
        return await stranger.get(unescape(url))


async def test_a_click_leads_on_and_opens_the_notification(shop: Shop) -> None:
    id, html = await html_of(shop, clicks=True)
    [link] = OURS.findall(html)
    assert TARGET not in unescape(html)
    answer = await follow(link)
    assert (answer.status_code, answer.headers["location"]) == (302, TARGET)
    shown = await shop.until(id, "OPENED")
    [delivery] = shown["deliveries"]
    assert delivery["clicked_at"] is not None
    assert delivery["opened_at"] == delivery["clicked_at"]
    assert delivery["rendered_content"]["html"].count(TARGET.replace("&", "&amp;")) == 1
    assert "/t/" not in delivery["rendered_content"]["html"]


async def test_the_pixel_opens_the_notification(shop: Shop) -> None:
    id, html = await html_of(shop, opens=True)
    [pixel] = OURS.findall(html)
    assert unescape(html).count(TARGET) == 1
    assert (await follow(pixel)).status_code == 200
    [delivery] = (await shop.until(id, "OPENED"))["deliveries"]
    assert (delivery["opened_at"] is not None, delivery["clicked_at"]) == (True, None)


async def test_a_type_that_tracks_nothing_sends_what_was_rendered(shop: Shop) -> None:
    id, html = await html_of(shop)
    [delivery] = (await shop.shown(id))["deliveries"]
    assert html == delivery["rendered_content"]["html"] == BODY.replace("{{ name }}", "Ada")
    kind = await shop.ok("GET", "/notification-types/mail")
    assert "tracking" not in kind
