"""Check hostile templates: they are refused, or fail with a reason, and do not delay the next send."""

import time
from typing import Any

import pytest

from tests.api_tenants import ApiTenant

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

MAX_SECONDS = 60
TIMEOUT_REASON = "took longer than 1 s"
DIVISION = "{{ 1 // n }}"
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


async def send_innocent(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("innocent", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com", phone="+447700900123")
    await api_tenant.wait_for_end(await api_tenant.send("innocent"), "DELIVERED")


async def send_poisoned(api_tenant: ApiTenant, body: str, *later_steps: list[str]) -> dict[str, Any]:
    """Send with a hostile template and return the finished notification."""
    await api_tenant.add_template("poison", "sms", body)
    for step in later_steps:
        await api_tenant.add_template("innocent", step[0])
    steps = [["sms"], *later_steps]
    names = {"sms": "poison"} | {channel: "innocent" for step in later_steps for channel in step}
    route = [{"channels": step} for step in steps]
    await api_tenant.call("PUT", "/notification-types/poison", {"route": route, "templates": names})
    return await api_tenant.wait_until_finished(
        await api_tenant.send("poison", payload={"n": 0, "name": "Ada"}), within=MAX_SECONDS
    )


async def test_a_hostile_template_fails_quickly_with_a_reason(api_tenant: ApiTenant) -> None:
    await send_innocent(api_tenant)
    started = time.monotonic()
    notification = await send_poisoned(api_tenant, ENDLESS)
    assert time.monotonic() - started < MAX_SECONDS
    assert (notification["status"], notification["failure_reason"]) == (
        "FAILED",
        f"sms: template_error: {TIMEOUT_REASON}",
    )
    [delivery] = notification["deliveries"]
    assert (delivery["status"], delivery["rendered_content"], delivery["attempts"]) == ("FAILED", None, [])
    started = time.monotonic()
    await send_innocent(api_tenant)
    assert time.monotonic() - started < MAX_SECONDS
    assert {message["channel"] for message in await api_tenant.list_outbox()} == {"email"}


async def test_after_a_template_error_the_next_step_runs(api_tenant: ApiTenant) -> None:
    await send_innocent(api_tenant)
    notification = await send_poisoned(api_tenant, DIVISION, ["email"])
    assert notification["deliveries"][0]["failure_reason"] == "template_error: division by zero in body, line 1"
    assert {d["channel"]: d["status"] for d in notification["deliveries"]}["sms"] == "FAILED"
    assert notification["status"] in ("SENT", "DELIVERED")
