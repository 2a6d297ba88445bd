"""Templates that would hurt: refused when saved or answered with a reason, and the next send is none the slower."""

import asyncio
import time
from typing import Any

import pytest

from tests.engine import ApiTenant

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

SECONDS = 60
SLOW = "took longer than 1 s"
GROWING = "{% set ns = namespace(x='aaaa') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}"
HOSTILE = {
    "division": ("{{ 1 // n }}", "division by zero in body, line 1"),
    "endless": (
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        SLOW,
    ),
    "gigabyte": ("{{ 'a' * 10**9 }}", "repetition longer than 100000 in body, line 1"),
    "growing": (GROWING, "needed more than 256 MiB in body, line 1"),
    "undefined": ("Hello {{ surname }}", "undefined variable 'surname' in body, line 1"),
    "escape": (
        "{{ ''.__class__.__mro__ }}",
        "an attribute, method or function that templates may not use in body, line 1",
    ),
}


async def innocent(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("innocent", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com", phone="+447700900123")
    await api_tenant.wait_for_end(await api_tenant.send("innocent"), "DELIVERED")


async def poisoned(api_tenant: ApiTenant, body: str, *later_steps: list[str]) -> dict[str, Any] | None:
    """How a send with such a template ends; None if it cannot even be saved."""
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
        await api_tenant.send("poison", payload={"n": 0, "name": "Ada"}), within=SECONDS
    )


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_hostile_template_fails_quickly_with_a_reason(api_tenant: ApiTenant, kind: str) -> None:
    body, why = HOSTILE[kind]
    await innocent(api_tenant)
    begun = time.monotonic()
    shown = await poisoned(api_tenant, body)
    assert time.monotonic() - begun < SECONDS
    assert shown is not None
    assert shown["status"] == "FAILED"
    # On a busy machine the second is over before the memory is full.
    reasons = {why, SLOW} if kind == "growing" else {why}
    assert shown["failure_reason"] in {f"sms: template_error: {reason}" for reason in reasons}
    [delivery] = shown["deliveries"]
    assert (delivery["status"], delivery["rendered_content"], delivery["attempts"]) == ("FAILED", None, [])
    begun = time.monotonic()
    await innocent(api_tenant)
    assert time.monotonic() - begun < SECONDS
    assert {message["channel"] for message in await api_tenant.list_outbox()} == {"email"}


async def test_an_unparsable_template_cannot_be_saved(api_tenant: ApiTenant) -> None:
    assert await poisoned(api_tenant, "{% for a in %}") is None


async def test_after_a_template_error_the_next_step_runs(api_tenant: ApiTenant) -> None:
    await innocent(api_tenant)
    shown = await poisoned(api_tenant, HOSTILE["division"][0], ["email"])
    assert shown
    assert {d["channel"]: d["status"] for d in shown["deliveries"]}["sms"] == "FAILED"
    assert shown["status"] in ("SENT", "DELIVERED")


async def test_endless_templates_do_not_delay_other_sends(api_tenant: ApiTenant) -> None:
    await innocent(api_tenant)
    body, _ = HOSTILE["endless"]
    poison = await poisoned(api_tenant, body)
    assert poison
    bad = [await api_tenant.send("poison", payload={"n": 0}) for _ in range(3)]
    good = [await api_tenant.send("innocent") for _ in range(5)]
    ends = await asyncio.gather(
        *(api_tenant.wait_until_finished(id) for id in bad), *(api_tenant.wait_for_end(id, "DELIVERED") for id in good)
    )
    assert [end["status"] for end in ends] == ["FAILED"] * 3 + ["DELIVERED"] * 5
