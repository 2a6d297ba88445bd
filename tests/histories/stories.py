"""What happened to the notifications whose histories are saved here; each gives the id of one that ends by itself."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory

from tests.engine import Shop, later
from tests.polling import eventually

PHONE = "+447700900123"

Story = Callable[[Shop], Awaitable[str]]


async def delivered(shop: Shop) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    return await shop.send("news")


async def fallback_after_refusal(shop: Shop) -> str:
    await shop.type("news", ["email"], ["sms"])
    await shop.person("ada", email="ada+refuse@example.com", phone=PHONE)
    return await shop.send("news")


async def retried_then_accepted(shop: Shop) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada+flaky@example.com")
    return await shop.send("news")


async def retried_until_given_up(shop: Shop) -> str:
    await shop.type("news", ["email"], give_up_after="2s")
    await shop.person("ada", email="ada+error@example.com")
    return await shop.send("news")


async def expired_between_attempts(shop: Shop) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada+error@example.com")
    return await shop.send("news", expires_in="2s")


async def provider_failed(shop: Shop) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada+broken@example.com")
    return await shop.send("news")


async def in_doubt_at_most_once(shop: Shop) -> str:
    await shop.type("news", ["email"], delivery_guarantee="at_most_once")
    await shop.person("ada", email="ada+lost@example.com")
    return await shop.send("news")


async def failed_in_doubt(shop: Shop) -> str:
    """Since the patch `shown-ends`; the one above was recorded before."""
    return await in_doubt_at_most_once(shop)


async def resent_at_least_once(shop: Shop) -> str:
    await shop.type("news", ["email"], delivery_guarantee="at_least_once")
    await shop.person("ada", email="ada+lost@example.com")
    return await shop.send("news")


async def canceled_before_send_at(shop: Shop) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    id = await shop.send("news", send_at=later(60))
    workflow = await shop.engine.started(id)
    await eventually(workflow.fetch_history, lambda history: len(history.events) >= 5)  # its timer runs
    await shop.cancel(id)
    return id


async def canceled_between_attempts(shop: Shop) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada+error@example.com")
    id = await shop.send("news")
    await eventually(lambda: shop.shown(id), lambda shown: any(d["attempts"] for d in shown["deliveries"]))
    await shop.cancel(id)
    return id


async def canceled_in_temporal(shop: Shop) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    id = await shop.send("news", send_at=later(60))
    workflow = await shop.engine.started(id)
    await eventually(workflow.fetch_history, lambda history: len(history.events) >= 5)
    await workflow.cancel()
    return id


async def shown_as_canceled(shop: Shop) -> str:
    """Since the patch `shown-ends`; the one above was recorded before."""
    return await canceled_in_temporal(shop)


async def scheduled_then_delivered(shop: Shop) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    return await shop.send("news", send_at=later(1))


async def expired_at_the_start(shop: Shop) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    return await shop.send_expired("news")


async def fan_out_to_channels_and_devices(shop: Shop) -> str:
    await shop.type("news", ["email", "push"], ["sms"])
    await shop.person("ada", email="ada@example.com", phone=PHONE)
    await shop.device("ada", "old", "token-refuse-1")
    await shop.device("ada", "phone", "token-2")
    return await shop.send("news")


async def suppressed(shop: Shop) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    await shop.ok("PUT", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": False}})
    return await shop.send("news")


async def template_error(shop: Shop) -> str:
    await shop.type("news", ["email"], ["sms"])
    await shop.template("news", "email", "{{ 1 // 0 }}")
    await shop.person("ada", email="ada@example.com", phone=PHONE)
    return await shop.send("news")


async def found_after_a_lost_answer(shop: Shop) -> str:
    await shop.type("news", ["email"], delivery_guarantee="reconcile")
    await shop.person("ada", email="ada+lost@example.com")
    return await shop.send("news")


async def proved_absent_until_given_up(shop: Shop) -> str:
    await shop.type("news", ["email"], delivery_guarantee="reconcile", give_up_after="20s")
    await shop.person("ada", email="ada+hang@example.com")
    return await shop.send("news")


async def escalated_after_within(shop: Shop) -> str:
    await alert(shop, "ada+silent@example.com", "2s")
    return await shop.send("alert")


async def escalated_by_the_queue(shop: Shop) -> str:
    """The wait for the goal is so long that the queue ends it, and not the workflow's own timer."""
    await alert(shop, "ada+silent@example.com", "65s")
    return await shop.send("alert")


async def goal_reached_by_a_receipt(shop: Shop) -> str:
    await alert(shop, "ada@example.com", "1h")
    return await shop.send("alert")


async def goal_missed_by_a_bounce(shop: Shop) -> str:
    await alert(shop, "ada+bounce@example.com", "1h")
    return await shop.send("alert")


async def canceled_while_it_waits_for_its_goal(shop: Shop) -> str:
    await alert(shop, "ada+silent@example.com", "1h")
    id = await shop.send("alert")
    await shop.until(id, "SENT")
    workflow = await shop.engine.started(id)
    await eventually(workflow.fetch_history, waits)
    await shop.cancel(id)
    return id


async def always_beside_the_route(shop: Shop) -> str:
    await shop.template("alert", "in_app")
    await alert(shop, "ada+refuse@example.com", "1h", always=["in_app"])
    return await shop.send("alert")


async def held_then_released(shop: Shop) -> str:
    id = await held(shop)
    await shop.ok("POST", "/channels/email/resume")
    return id


async def held_until_it_expired(shop: Shop) -> str:
    return await held(shop, expires_in="3s")


async def rerouted(shop: Shop) -> str:
    """With a pool of two of which one is down: whichever met its circuit when it had just opened."""
    await shop.type("news", ["email"])
    while True:
        for number in range(20):
            await shop.person(f"person-{number}", email=f"person-{number}@example.com")
        ids = await asyncio.gather(*(shop.send("news", f"person-{number}") for number in range(20)))
        for id in ids:
            shown = await shop.finished(id, within=60)
            if "rerouted" in [entry["kind"] for entry in shown["timeline"]]:
                return id


async def alert(shop: Shop, email: str, within: str, always: Sequence[str] = ()) -> None:
    """By e-mail, and by SMS if that is not delivered in time."""
    await shop.type("alert", ["email"], ["sms"])
    steps = [{"channels": ["email"], "until": "delivered", "within": within}, {"channels": ["sms"]}]
    templates = dict.fromkeys(["email", "sms", *always], "alert")
    await shop.ok("PUT", "/notification-types/alert", {"route": steps, "templates": templates, "always": [*always]})
    await shop.person("ada", email=email, phone=PHONE)


async def held(shop: Shop, **more: Any) -> str:
    """As soon as its workflow waits for a release."""
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    await shop.ok("POST", "/channels/email/pause")
    id = await shop.send("news", **more)
    await eventually(lambda: shop.shown(id), lambda shown: "held" in [entry["kind"] for entry in shown["timeline"]])
    return id


def waits(history: WorkflowHistory) -> bool:
    return any(event.event_type == EventType.EVENT_TYPE_TIMER_STARTED for event in history.events)


STORIES: dict[str, Story] = {
    story.__name__: story
    for story in (
        delivered,
        fallback_after_refusal,
        retried_then_accepted,
        retried_until_given_up,
        expired_between_attempts,
        provider_failed,
        in_doubt_at_most_once,
        failed_in_doubt,
        resent_at_least_once,
        canceled_before_send_at,
        canceled_between_attempts,
        canceled_in_temporal,
        shown_as_canceled,
        scheduled_then_delivered,
        expired_at_the_start,
        fan_out_to_channels_and_devices,
        suppressed,
        template_error,
        found_after_a_lost_answer,
        proved_absent_until_given_up,
        escalated_after_within,
        escalated_by_the_queue,
        goal_reached_by_a_receipt,
        goal_missed_by_a_bounce,
        canceled_while_it_waits_for_its_goal,
        always_beside_the_route,
        held_then_released,
        held_until_it_expired,
    )
}

# With an engine whose e-mail goes to two providers.
POOLED: dict[str, Story] = {"rerouted": rerouted}
