"""Check hostile templates: they are refused, or fail with a reason, and do not delay the next send."""

import asyncio
import time
from typing import Any

import pytest

from tests.api_tenants import ApiTenant

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

MAX_SECONDS = 60
TIMEOUT_REASON = "took longer than 1 s"
GROWING = "{% set ns = namespace(x='aaaa') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}"
HOSTILE = {
    "division": ("{{ 1 // n }}", "division by zero in body, line 1"),
    "endless": (
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        TIMEOUT_REASON,
    ),
    "gigabyte": ("{{ 'a' * 10**9 }}", "repetition longer than 100000 in body, line 1"),
    "growing": (GROWING, "needed more than 256 MiB in body, line 1"),
    "undefined": ("Hello {{ surname }}", "undefined variable 'surname' in body, line 1"),
    "escape": (
        "{{ ''.__class__.__mro__ }}",
        "an attribute, method or function that templates may not use in body, line 1",
    ),
}


async def send_innocent(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("innocent", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com", phone="+447700900123")
    await api_tenant.wait_for_end(await api_tenant.send("innocent"), "DELIVERED")


async def send_poisoned(api_tenant: ApiTenant, body: str, *later_steps: list[str]) -> dict[str, Any] | None:
    """Send with a hostile template and return the finished notification, or None if the template cannot be saved."""
    template = {"name": "poison", "channel": "sms", "language": "en", "body_template": body, "variables_schema": {}}
    saved = await api_tenant.http.post("/templates", json={**template, "publish": True})
    if saved.status_code == 422:
        return None
    assert saved.status_code < 300, saved.text
    for step in later_steps:
        await api_tenant.add_template("innocent", step[0])
    steps = [["sms"], *later_steps]
    names = {"sms": "poison"} | {channel: "innocent" for step in later_steps for channel in step}
    route = [{"channels": step} for step in steps]
    await api_tenant.call("PUT", "/notification-types/poison", {"route": route, "templates": names})
    return await api_tenant.wait_until_finished(
        await api_tenant.send("poison", payload={"n": 0, "name": "Ada"}), within=MAX_SECONDS
    )


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_template_fails_quickly_with_a_reason(api_tenant: ApiTenant, name: str) -> None:
    body, expected_reason = HOSTILE[name]
    await send_innocent(api_tenant)
    started = time.monotonic()
    notification = await send_poisoned(api_tenant, body)
    assert time.monotonic() - started < MAX_SECONDS
    assert notification is not None
    assert notification["status"] == "FAILED"
    # On a busy machine the limit of one second is reached before the memory limit.
    reasons = {expected_reason, TIMEOUT_REASON} if name == "growing" else {expected_reason}
    assert notification["failure_reason"] in {f"sms: template_error: {reason}" for reason in reasons}
    [delivery] = notification["deliveries"]
    assert (delivery["status"], delivery["rendered_content"], delivery["attempts"]) == ("FAILED", None, [])
    started = time.monotonic()
    await send_innocent(api_tenant)
    assert time.monotonic() - started < MAX_SECONDS
    assert {message["channel"] for message in await api_tenant.list_outbox()} == {"email"}


async def test_an_unparsable_template_cannot_be_saved(api_tenant: ApiTenant) -> None:
    assert await send_poisoned(api_tenant, "{% for a in %}") is None


async def test_after_a_template_error_the_next_step_runs(api_tenant: ApiTenant) -> None:
    await send_innocent(api_tenant)
    notification = await send_poisoned(api_tenant, HOSTILE["division"][0], ["email"])
    assert notification
    assert {d["channel"]: d["status"] for d in notification["deliveries"]}["sms"] == "FAILED"
    assert notification["status"] in ("SENT", "DELIVERED")


async def test_endless_templates_do_not_delay_other_sends(api_tenant: ApiTenant) -> None:
    await send_innocent(api_tenant)
    body, _ = HOSTILE["endless"]
    poison = await send_poisoned(api_tenant, body)
    assert poison
    poisoned_ids = [await api_tenant.send("poison", payload={"n": 0}) for _ in range(3)]
    innocent_ids = [await api_tenant.send("innocent") for _ in range(5)]
    notifications = await asyncio.gather(
        *(api_tenant.wait_until_finished(id) for id in poisoned_ids),
        *(api_tenant.wait_for_end(id, "DELIVERED") for id in innocent_ids),
    )
    assert [notification["status"] for notification in notifications] == ["FAILED"] * 3 + ["DELIVERED"] * 5
