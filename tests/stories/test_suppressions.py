"""A hard bounce or a complaint, and what becomes of the next message to the same address."""

from typing import Any

import pytest

from tests.engine import ApiTenant
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


async def listed(api_tenant: ApiTenant) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await api_tenant.call("GET", "/suppressions"))["items"]
    return items


async def suppressed(api_tenant: ApiTenant, id: str) -> dict[str, Any]:
    """The one entry of the list, as soon as this notification has made it."""
    items = await eventually(lambda: listed(api_tenant), bool)
    assert [one["notification_id"] for one in items] == [id]
    return items[0]


async def said(api_tenant: ApiTenant, id: str) -> dict[str, Any]:
    """What the timeline says of the address."""
    [entry] = [e for e in (await api_tenant.notification(id))["timeline"] if e["kind"] == "suppressed_address"]
    return dict(entry)


async def test_after_a_hard_bounce_the_next_message_takes_another_channel(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"], ["sms"])
    await api_tenant.put_recipient("ada", email="ada+bounce@example.com", phone="+447700900123")
    first = await api_tenant.send("news", channels=["email"])
    await api_tenant.wait_for_status(first, "FAILED")
    one = await suppressed(api_tenant, first)
    told = {name: one[name] for name in ("channel", "address", "reason", "source", "expires_at")}
    assert told == {
        "channel": "email",
        "address": "ada+bounce@example.com",
        "reason": "bounced",
        "source": "sandbox",
        "expires_at": None,
    }
    entry = await said(api_tenant, first)
    assert (entry["channel"], entry["reason"]) == ("email", "bounced")
    assert entry["detail"] == {"provider": "sandbox", "said": "invalid_address"}
    second = await api_tenant.wait_for_status(await api_tenant.send("news"), "DELIVERED")
    email, sms = sorted(second["deliveries"], key=lambda delivery: delivery["step"])
    assert (email["status"], email["failure_reason"]) == ("SKIPPED", "suppressed (bounced)")
    assert sms["status"] == "DELIVERED"


async def test_a_complaint_suppresses_required_types_until_it_is_lifted(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["sms"], required=True)
    await api_tenant.put_recipient("ada", phone="+15550000011")
    first = await api_tenant.send("news")
    one = await suppressed(api_tenant, first)
    assert (one["channel"], one["address"], one["reason"]) == ("sms", "+15550000011", "complained")
    assert (await api_tenant.notification(first))["status"] == "DELIVERED"
    stopped = await api_tenant.wait_until_finished(await api_tenant.send("news"))
    assert (stopped["status"], stopped["failure_reason"]) == ("SUPPRESSED", "sms: suppressed (complained)")
    await api_tenant.call("DELETE", f"/suppressions/{one['id']}")
    await api_tenant.wait_for_status(await api_tenant.send("news"), "DELIVERED")


async def test_another_recipient_with_the_same_address_is_suppressed(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.call("POST", "/suppressions", {"channel": "email", "address": "Ada@example.com"})
    await api_tenant.put_recipient("bob", email="ada@example.com")
    stopped = await api_tenant.wait_until_finished(await api_tenant.send("news", "bob"))
    assert (stopped["status"], stopped["failure_reason"]) == ("SUPPRESSED", "email: suppressed (manual)")
    assert await api_tenant.list_outbox(recipient_id="bob") == []
