"""Define the notifications whose histories are saved here. Each story returns the id of one that ends by itself."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.api_tenants import ApiTenant
from tests.engine import later
from tests.polling import eventually

PHONE = "+447700900123"

HistoryStory = Callable[[ApiTenant], Awaitable[str]]


async def delivered(api_tenant: ApiTenant) -> str:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    return await api_tenant.send("news")


async def fallback_after_refusal(api_tenant: ApiTenant) -> str:
    await api_tenant.put_type("news", ["email"], ["sms"])
    await api_tenant.put_recipient("ada", email="ada+refuse@example.com", phone=PHONE)
    return await api_tenant.send("news")


async def retried_then_accepted(api_tenant: ApiTenant) -> str:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+flaky@example.com")
    return await api_tenant.send("news")


async def retried_until_exhausted(api_tenant: ApiTenant) -> str:
    await api_tenant.put_type("news", ["email"], give_up_after="2s")
    await api_tenant.put_recipient("ada", email="ada+error@example.com")
    return await api_tenant.send("news")


async def expired_between_attempts(api_tenant: ApiTenant) -> str:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+error@example.com")
    return await api_tenant.send("news", expires_in="2s")


async def provider_failed(api_tenant: ApiTenant) -> str:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+broken@example.com")
    return await api_tenant.send("news")


async def in_doubt_at_most_once(api_tenant: ApiTenant) -> str:
    await api_tenant.put_type("news", ["email"], delivery_guarantee="at_most_once")
    await api_tenant.put_recipient("ada", email="ada+lost@example.com")
    return await api_tenant.send("news")


async def resent_at_least_once(api_tenant: ApiTenant) -> str:
    await api_tenant.put_type("news", ["email"], delivery_guarantee="at_least_once")
    await api_tenant.put_recipient("ada", email="ada+lost@example.com")
    return await api_tenant.send("news")


async def canceled_before_send_at(api_tenant: ApiTenant) -> str:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    id = await api_tenant.send("news", send_at=later(60))
    workflow = await api_tenant.engine.wait_for_start(id)
    await eventually(workflow.fetch_history, lambda history: len(history.events) >= 5)  # its timer runs
    await api_tenant.cancel(id)
    return id


async def canceled_between_attempts(api_tenant: ApiTenant) -> str:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+error@example.com")
    id = await api_tenant.send("news")
    await eventually(lambda: api_tenant.notification(id), lambda shown: any(d["attempts"] for d in shown["deliveries"]))
    await api_tenant.cancel(id)
    return id


async def canceled_in_temporal(api_tenant: ApiTenant) -> str:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    id = await api_tenant.send("news", send_at=later(60))
    workflow = await api_tenant.engine.wait_for_start(id)
    await eventually(workflow.fetch_history, lambda history: len(history.events) >= 5)
    await workflow.cancel()
    return id


async def scheduled_then_delivered(api_tenant: ApiTenant) -> str:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    return await api_tenant.send("news", send_at=later(1))


async def expired_at_the_start(api_tenant: ApiTenant) -> str:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    return await api_tenant.send_expired("news")


async def fan_out_to_channels_and_devices(api_tenant: ApiTenant) -> str:
    await api_tenant.put_type("news", ["email", "push"], ["sms"])
    await api_tenant.put_recipient("ada", email="ada@example.com", phone=PHONE)
    await api_tenant.put_device("ada", "old", "token-refuse-1")
    await api_tenant.put_device("ada", "phone", "token-2")
    return await api_tenant.send("news")


async def suppressed(api_tenant: ApiTenant) -> str:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    await api_tenant.call("PUT", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": False}})
    return await api_tenant.send("news")


async def template_error(api_tenant: ApiTenant) -> str:
    await api_tenant.put_type("news", ["email"], ["sms"])
    await api_tenant.add_template("news", "email", "{{ 1 // 0 }}")
    await api_tenant.put_recipient("ada", email="ada@example.com", phone=PHONE)
    return await api_tenant.send("news")


async def found_after_a_lost_response(api_tenant: ApiTenant) -> str:
    await api_tenant.put_type("news", ["email"], delivery_guarantee="reconcile")
    await api_tenant.put_recipient("ada", email="ada+lost@example.com")
    return await api_tenant.send("news")


async def proved_absent_until_exhausted(api_tenant: ApiTenant) -> str:
    await api_tenant.put_type("news", ["email"], delivery_guarantee="reconcile", give_up_after="20s")
    await api_tenant.put_recipient("ada", email="ada+hang@example.com")
    return await api_tenant.send("news")


async def held_then_released(api_tenant: ApiTenant) -> str:
    id = await send_held(api_tenant)
    await api_tenant.call("POST", "/channels/email/resume")
    return id


async def held_until_it_expired(api_tenant: ApiTenant) -> str:
    return await send_held(api_tenant, expires_in="3s")


async def rerouted(api_tenant: ApiTenant) -> str:
    """Return a notification that met a circuit that had just opened, in a pool of two with one provider down."""
    await api_tenant.put_type("news", ["email"])
    while True:
        for number in range(20):
            await api_tenant.put_recipient(f"person-{number}", email=f"person-{number}@example.com")
        ids = await asyncio.gather(*(api_tenant.send("news", f"person-{number}") for number in range(20)))
        for id in ids:
            shown = await api_tenant.wait_until_finished(id, within=60)
            if "rerouted" in [entry["kind"] for entry in shown["timeline"]]:
                return id


async def send_held(api_tenant: ApiTenant, **more: Any) -> str:
    """Return the notification once its workflow waits for a release."""
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    await api_tenant.call("POST", "/channels/email/pause")
    id = await api_tenant.send("news", **more)
    await eventually(
        lambda: api_tenant.notification(id), lambda shown: "held" in [entry["kind"] for entry in shown["timeline"]]
    )
    return id


STORIES: dict[str, HistoryStory] = {
    story.__name__: story
    for story in (
        delivered,
        fallback_after_refusal,
        retried_then_accepted,
        retried_until_exhausted,
        expired_between_attempts,
        provider_failed,
        in_doubt_at_most_once,
        resent_at_least_once,
        canceled_before_send_at,
        canceled_between_attempts,
        canceled_in_temporal,
        scheduled_then_delivered,
        expired_at_the_start,
        fan_out_to_channels_and_devices,
        suppressed,
        template_error,
        found_after_a_lost_response,
        proved_absent_until_exhausted,
        held_then_released,
        held_until_it_expired,
    )
}

# With an engine whose email uses two providers.
POOLED: dict[str, HistoryStory] = {"rerouted": rerouted}
