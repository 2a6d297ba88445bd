"""Check steps with a goal: the next step runs if the message is not delivered, opened or clicked in time."""

from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType

from tests.api_tenants import ApiTenant
from tests.engine import Engine

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

PHONE = "+447700900123"


async def send_alert(api_tenant: ApiTenant, email: str, within: str, until: str = "delivered", **fields: Any) -> str:
    """Send by email, and by SMS if the email does not reach its goal."""
    await api_tenant.put_type("alert", ["email"], ["sms"])
    steps = [{"channels": ["email"], "until": until, "within": within}, {"channels": ["sms"]}]
    templates = {"email": "alert", "sms": "alert"}
    if "always" in fields:
        await api_tenant.add_template("alert", "in_app")
        templates["in_app"] = "alert"
    await api_tenant.call("PUT", "/notification-types/alert", {"route": steps, "templates": templates, **fields})
    await api_tenant.put_recipient("ada", email=email, phone=PHONE)
    return await api_tenant.send("alert")


def statuses(notification: dict[str, Any]) -> dict[str, str]:
    return {delivery["channel"]: delivery["status"] for delivery in notification["deliveries"]}


async def test_no_step_runs_after_a_step_that_reaches_its_goal(api_tenant: ApiTenant) -> None:
    notification = await api_tenant.wait_for_end(await send_alert(api_tenant, "ada@example.com", "1h"), "DELIVERED")
    assert statuses(notification) == {"email": "DELIVERED"}
    assert "escalated" not in [entry["kind"] for entry in notification["timeline"]]


async def test_a_bounce_starts_the_next_step_immediately(api_tenant: ApiTenant) -> None:
    notification = await api_tenant.wait_for_end(
        await send_alert(api_tenant, "ada+bounce@example.com", "1h"), "DELIVERED"
    )
    assert statuses(notification) == {"email": "FAILED", "sms": "DELIVERED"}


async def test_a_refusal_starts_the_next_step_immediately(api_tenant: ApiTenant) -> None:
    notification = await api_tenant.wait_for_end(
        await send_alert(api_tenant, "ada+refuse@example.com", "1h"), "DELIVERED"
    )
    assert statuses(notification) == {"email": "FAILED", "sms": "DELIVERED"}


async def test_a_waiting_notification_holds_one_timer_and_wakes_once(api_tenant: ApiTenant, engine: Engine) -> None:
    id = await send_alert(api_tenant, "ada@example.com", "1h")
    await api_tenant.wait_for_end(id, "DELIVERED")
    events = [event.event_type for event in (await engine.history(id)).events]
    assert events.count(EventType.EVENT_TYPE_TIMER_STARTED) == 1
    assert events.count(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED) == 1


async def test_a_cancel_ends_the_wait_and_sent_messages_stay_sent(api_tenant: ApiTenant) -> None:
    id = await send_alert(api_tenant, "ada+silent@example.com", "1h")
    await api_tenant.wait_for_status(id, "SENT")
    response = await api_tenant.cancel(id)
    assert response["channels"] == {"email": "already_sent", "sms": "stopped"}
    notification = await api_tenant.wait_until_finished(id)
    assert (notification["status"], statuses(notification)) == ("SENT", {"email": "SENT"})


async def test_a_notification_that_expires_during_the_wait_skips_the_next_step(api_tenant: ApiTenant) -> None:
    notification = await api_tenant.wait_until_finished(
        await send_alert(api_tenant, "ada+silent@example.com", "1h", expires_in="8s")
    )
    assert (notification["status"], statuses(notification)) == ("SENT", {"email": "SENT", "sms": "EXPIRED"})


async def test_always_channels_are_sent_in_addition_to_the_route(api_tenant: ApiTenant) -> None:
    id = await send_alert(api_tenant, "ada+silent@example.com", "2s", always=["in_app"])
    notification = await api_tenant.wait_for_end(id, "DELIVERED", "SENT", "OPENED")
    assert set(statuses(notification)) == {"in_app", "email", "sms"}
    assert statuses(notification)["sms"] in ("SENT", "DELIVERED")


async def test_a_delivered_always_channel_does_not_stop_the_fallback(api_tenant: ApiTenant) -> None:
    id = await send_alert(api_tenant, "ada+refuse@example.com", "1h", always=["in_app"])
    notification = await api_tenant.wait_for_end(id, "DELIVERED", "SENT")
    assert statuses(notification)["email"] == "FAILED"
    assert statuses(notification)["sms"] in ("SENT", "DELIVERED")


async def test_a_failing_step_after_a_sent_step_is_followed_by_the_next(api_tenant: ApiTenant) -> None:
    """Run the third step after an email that is not opened in time and an SMS to a refused number."""
    await api_tenant.put_type("alert", ["email"], ["sms"], ["in_app"])
    route = [
        {"channels": ["email"], "until": "opened", "within": "1s"},
        {"channels": ["sms"]},
        {"channels": ["in_app"]},
    ]
    templates = dict.fromkeys(("email", "sms", "in_app"), "alert")
    await api_tenant.call("PUT", "/notification-types/alert", {"route": route, "templates": templates})
    await api_tenant.put_recipient("ada", email="ada@example.com", phone="+15550000001")
    notification = await api_tenant.wait_until_finished(await api_tenant.send("alert"))
    assert list(statuses(notification)) == ["email", "sms", "in_app"]
