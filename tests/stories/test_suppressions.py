"""Check that a hard bounce or a complaint suppresses the next message to the same address."""

from typing import Any

import pytest

from tests.api_tenants import ApiTenant
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


async def list_suppressions(api_tenant: ApiTenant) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await api_tenant.call("GET", "/suppressions"))["items"]
    return items


async def wait_for_suppression(api_tenant: ApiTenant, id: str) -> dict[str, Any]:
    """Wait for the suppression that this notification causes, and return it."""
    items = await eventually(lambda: list_suppressions(api_tenant), bool)
    assert [suppression["notification_id"] for suppression in items] == [id]
    return items[0]


async def find_suppression_entry(api_tenant: ApiTenant, id: str) -> dict[str, Any]:
    """Return the timeline entry about the suppressed address."""
    timeline = (await api_tenant.notification(id))["timeline"]
    [entry] = [entry for entry in timeline if entry["kind"] == "suppressed_address"]
    return dict(entry)


async def test_a_hard_bounce_sends_the_next_message_by_another_channel(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"], ["sms"])
    await api_tenant.put_recipient("ada", email="ada+bounce@example.com", phone="+447700900123")
    first = await api_tenant.send("news", channels=["email"])
    await api_tenant.wait_for_status(first, "FAILED")
    suppression = await wait_for_suppression(api_tenant, first)
    stored = {name: suppression[name] for name in ("channel", "address", "reason", "source", "expires_at")}
    assert stored == {
        "channel": "email",
        "address": "ada+bounce@example.com",
        "reason": "bounced",
        "source": "sandbox",
        "expires_at": None,
    }
    entry = await find_suppression_entry(api_tenant, first)
    assert (entry["channel"], entry["reason"]) == ("email", "bounced")
    assert entry["detail"] == {"provider": "sandbox", "vendor_reason": "invalid_address"}
    second = await api_tenant.wait_for_status(await api_tenant.send("news"), "DELIVERED")
    email, sms = sorted(second["deliveries"], key=lambda delivery: delivery["step"])
    assert (email["status"], email["failure_reason"]) == ("SKIPPED", "suppressed (bounced)")
    assert sms["status"] == "DELIVERED"


async def test_a_complaint_suppresses_required_types_until_it_is_lifted(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["sms"], required=True)
    await api_tenant.put_recipient("ada", phone="+15550000011")
    first = await api_tenant.send("news")
    suppression = await wait_for_suppression(api_tenant, first)
    assert (suppression["channel"], suppression["address"], suppression["reason"]) == (
        "sms",
        "+15550000011",
        "complained",
    )
    assert (await api_tenant.notification(first))["status"] == "DELIVERED"
    notification = await api_tenant.wait_until_finished(await api_tenant.send("news"))
    assert (notification["status"], notification["failure_reason"]) == ("SUPPRESSED", "sms: suppressed (complained)")
    await api_tenant.call("DELETE", f"/suppressions/{suppression['id']}")
    await api_tenant.wait_for_status(await api_tenant.send("news"), "DELIVERED")


async def test_another_recipient_with_the_same_address_is_suppressed(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.call("POST", "/suppressions", {"channel": "email", "address": "Ada@example.com"})
    await api_tenant.put_recipient("bob", email="ada@example.com")
    notification = await api_tenant.wait_until_finished(await api_tenant.send("news", "bob"))
    assert (notification["status"], notification["failure_reason"]) == ("SUPPRESSED", "email: suppressed (manual)")
    assert await api_tenant.list_outbox(recipient_id="bob") == []
