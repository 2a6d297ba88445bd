"""A step that is for more than "sent": the next one runs if it is not delivered, opened or clicked in time."""

from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType

from tests.engine import ApiTenant, Engine

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

PHONE = "+447700900123"


async def alert(api_tenant: ApiTenant, email: str, within: str, until: str = "delivered", **more: Any) -> str:
    """By e-mail, and by SMS if that does not get as far as it should."""
    await api_tenant.put_type("alert", ["email"], ["sms"])
    steps = [{"channels": ["email"], "until": until, "within": within}, {"channels": ["sms"]}]
    templates = {"email": "alert", "sms": "alert"}
    if "always" in more:
        await api_tenant.add_template("alert", "in_app")
        templates["in_app"] = "alert"
    await api_tenant.call("PUT", "/notification-types/alert", {"route": steps, "templates": templates, **more})
    await api_tenant.put_recipient("ada", email=email, phone=PHONE)
    return await api_tenant.send("alert")


def statuses(shown: dict[str, Any]) -> dict[str, str]:
    return {delivery["channel"]: delivery["status"] for delivery in shown["deliveries"]}


async def test_a_step_that_reaches_its_goal_is_the_last_one(api_tenant: ApiTenant) -> None:
    shown = await api_tenant.wait_for_end(await alert(api_tenant, "ada@example.com", "1h"), "DELIVERED")
    assert statuses(shown) == {"email": "DELIVERED"}
    assert "escalated" not in [entry["kind"] for entry in shown["timeline"]]


async def test_a_step_that_does_not_is_followed_by_the_next(api_tenant: ApiTenant) -> None:
    shown = await api_tenant.wait_for_end(await alert(api_tenant, "ada+silent@example.com", "2s"), "DELIVERED")
    assert statuses(shown) == {"email": "SENT", "sms": "DELIVERED"}
    [told] = [entry for entry in shown["timeline"] if entry["kind"] == "escalated"]
    assert told["reason"] == "goal_missed (delivered)"
    assert told["detail"] == {"step": 1, "channels": ["email"], "goal": "delivered"}


async def test_delivered_is_not_enough_where_it_should_be_opened(api_tenant: ApiTenant) -> None:
    shown = await api_tenant.wait_for_end(await alert(api_tenant, "ada@example.com", "2s", until="opened"), "DELIVERED")
    assert statuses(shown) == {"email": "DELIVERED", "sms": "SENT"} or statuses(shown)["sms"] == "DELIVERED"
    opened = await api_tenant.wait_for_end(
        await alert(api_tenant, "ada+open@example.com", "1h", until="opened"), "OPENED"
    )
    assert statuses(opened) == {"email": "OPENED"}


async def test_a_bounce_does_not_wait_for_the_time_to_pass(api_tenant: ApiTenant) -> None:
    shown = await api_tenant.wait_for_end(await alert(api_tenant, "ada+bounce@example.com", "1h"), "DELIVERED")
    assert statuses(shown) == {"email": "FAILED", "sms": "DELIVERED"}


async def test_a_refusal_does_not_either(api_tenant: ApiTenant) -> None:
    shown = await api_tenant.wait_for_end(await alert(api_tenant, "ada+refuse@example.com", "1h"), "DELIVERED")
    assert statuses(shown) == {"email": "FAILED", "sms": "DELIVERED"}


async def test_a_waiting_notification_holds_one_timer_and_wakes_once(api_tenant: ApiTenant, engine: Engine) -> None:
    id = await alert(api_tenant, "ada@example.com", "1h")
    await api_tenant.wait_for_end(id, "DELIVERED")
    events = [event.event_type for event in (await engine.history(id)).events]
    assert events.count(EventType.EVENT_TYPE_TIMER_STARTED) == 1
    assert events.count(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED) == 1


async def test_a_cancel_ends_the_wait_and_sent_messages_stay_sent(api_tenant: ApiTenant) -> None:
    id = await alert(api_tenant, "ada+silent@example.com", "1h")
    await api_tenant.wait_for_status(id, "SENT")
    answer = await api_tenant.cancel(id)
    assert answer["channels"] == {"email": "already_sent", "sms": "stopped"}
    shown = await api_tenant.wait_until_finished(id)
    assert (shown["status"], statuses(shown)) == ("SENT", {"email": "SENT"})


async def test_an_expiry_during_the_wait_leaves_the_next_step_out(api_tenant: ApiTenant) -> None:
    shown = await api_tenant.wait_until_finished(
        await alert(api_tenant, "ada+silent@example.com", "1h", expires_in="8s")
    )
    assert (shown["status"], statuses(shown)) == ("SENT", {"email": "SENT", "sms": "EXPIRED"})


async def test_always_channels_are_sent_in_addition_to_the_route(api_tenant: ApiTenant) -> None:
    id = await alert(api_tenant, "ada+silent@example.com", "2s", always=["in_app"])
    shown = await api_tenant.wait_for_end(id, "DELIVERED", "SENT", "OPENED")
    assert set(statuses(shown)) == {"in_app", "email", "sms"}
    assert statuses(shown)["sms"] in ("SENT", "DELIVERED")


async def test_an_always_channel_that_arrived_does_not_stop_the_fallback(api_tenant: ApiTenant) -> None:
    id = await alert(api_tenant, "ada+refuse@example.com", "1h", always=["in_app"])
    shown = await api_tenant.wait_for_end(id, "DELIVERED", "SENT")
    assert statuses(shown)["email"] == "FAILED"
    assert statuses(shown)["sms"] in ("SENT", "DELIVERED")


async def test_a_failing_step_after_a_sent_step_is_followed_by_the_next(api_tenant: ApiTenant) -> None:
    """The e-mail went out and was not opened in time, the number is refused: somebody still has to be told."""
    await api_tenant.put_type("alert", ["email"], ["sms"], ["in_app"])
    route = [
        {"channels": ["email"], "until": "opened", "within": "1s"},
        {"channels": ["sms"]},
        {"channels": ["in_app"]},
    ]
    templates = dict.fromkeys(("email", "sms", "in_app"), "alert")
    await api_tenant.call("PUT", "/notification-types/alert", {"route": route, "templates": templates})
    await api_tenant.put_recipient("ada", email="ada@example.com", phone="+15550000001")
    shown = await api_tenant.wait_until_finished(await api_tenant.send("alert"))
    assert list(statuses(shown)) == ["email", "sms", "in_app"]
