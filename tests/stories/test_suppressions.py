"""A hard bounce or a complaint, and what becomes of the next message to the same address."""

from typing import Any

import pytest

from tests.engine import Shop
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


async def listed(shop: Shop) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await shop.ok("GET", "/suppressions"))["items"]
    return items


async def suppressed(shop: Shop, id: str) -> dict[str, Any]:
    """The one entry of the list, as soon as this notification has made it."""
    items = await eventually(lambda: listed(shop), bool)
    assert [one["notification_id"] for one in items] == [id]
    return items[0]


async def said(shop: Shop, id: str) -> dict[str, Any]:
    """What the timeline says of the address."""
    [entry] = [e for e in (await shop.shown(id))["timeline"] if e["kind"] == "suppressed_address"]
    return dict(entry)


async def test_after_a_hard_bounce_the_next_message_takes_another_channel(shop: Shop) -> None:
    await shop.type("news", ["email"], ["sms"])
    await shop.person("ada", email="ada+bounce@example.com", phone="+447700900123")
    first = await shop.send("news", channels=["email"])
    await shop.until(first, "FAILED")
    one = await suppressed(shop, first)
    told = {name: one[name] for name in ("channel", "address", "reason", "source", "expires_at")}
    assert told == {
        "channel": "email",
        "address": "ada+bounce@example.com",
        "reason": "bounced",
        "source": "sandbox",
        "expires_at": None,
    }
    entry = await said(shop, first)
    assert (entry["channel"], entry["reason"]) == ("email", "bounced")
    assert entry["detail"] == {"provider": "sandbox", "said": "invalid_address"}
    second = await shop.until(await shop.send("news"), "DELIVERED")
    email, sms = sorted(second["deliveries"], key=lambda delivery: delivery["step"])
    assert (email["status"], email["failure_reason"]) == ("SKIPPED", "suppressed (bounced)")
    assert sms["status"] == "DELIVERED"


async def test_a_complaint_suppresses_also_what_is_required_until_it_is_lifted(shop: Shop) -> None:
    await shop.type("news", ["sms"], required=True)
    await shop.person("ada", phone="+15550000011")
    first = await shop.send("news")
    one = await suppressed(shop, first)
    assert (one["channel"], one["address"], one["reason"]) == ("sms", "+15550000011", "complained")
    assert (await shop.shown(first))["status"] == "DELIVERED"
    stopped = await shop.finished(await shop.send("news"))
    assert (stopped["status"], stopped["failure_reason"]) == ("SUPPRESSED", "sms: suppressed (complained)")
    await shop.ok("DELETE", f"/suppressions/{one['id']}")
    await shop.until(await shop.send("news"), "DELIVERED")


async def test_another_person_with_the_same_address_gets_nothing_either(shop: Shop) -> None:
    await shop.type("news", ["email"])
    await shop.ok("POST", "/suppressions", {"channel": "email", "address": "Ada@example.com"})
    await shop.person("bob", email="ada@example.com")
    stopped = await shop.finished(await shop.send("news", "bob"))
    assert (stopped["status"], stopped["failure_reason"]) == ("SUPPRESSED", "email: suppressed (manual)")
    assert await shop.outbox(recipient_id="bob") == []
