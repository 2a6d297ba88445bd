"""The hour and the amount: what may not go out yet waits for its time, and nothing is lost or counted twice."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.engine import Shop
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


def around_now(before: int = 60, after: int = 60) -> dict[str, str]:
    """Hours that begin and end so many minutes before and after now, by the clock of UTC."""
    at = datetime.now(UTC)
    start, end = at - timedelta(minutes=before), at + timedelta(minutes=after)
    return {"start": f"{start:%H:%M}", "end": f"{end:%H:%M}"}


async def choose(shop: Shop, quiet_hours: dict[str, Any] | None, person: str = "ada") -> None:
    await shop.ok("PUT", f"/recipients/{person}/preferences", {"quiet_hours": quiet_hours})


async def waiting(shop: Shop, id: str, why: str) -> dict[str, Any]:
    return await eventually(lambda: shop.shown(id), lambda shown: shown["waits_for"] == why)


async def test_quiet_hours_hold_until_they_are_others(shop: Shop) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com", timezone="UTC")
    await choose(shop, around_now())
    id = await shop.send("news")
    held = await waiting(shop, id, "quiet_hours")
    until = datetime.fromisoformat(held["waits_until"])
    assert timedelta(minutes=58) < until - datetime.now(UTC) <= timedelta(minutes=60)
    assert held["deliveries"] == []
    await choose(shop, None)
    shown = await shop.ended(id, "DELIVERED")
    assert shown["waits_for"] is None
    assert [entry["reason"] for entry in shown["timeline"] if entry["kind"] == "waiting"] == ["quiet_hours"]


async def test_somebody_who_travels_out_of_the_quiet_hours_gets_it_at_once(shop: Shop) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com", timezone="UTC")
    await choose(shop, around_now())
    id = await shop.send("news")
    await waiting(shop, id, "quiet_hours")
    await shop.ok("PATCH", "/recipients/ada", {"timezone": "Asia/Tokyo"})
    await shop.ended(id, "DELIVERED")


async def test_who_has_no_zone_is_where_the_tenant_is(shop: Shop) -> None:
    await shop.ok("PATCH", "/settings", {"timezone": "Asia/Tokyo"})
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    await choose(shop, around_now())
    await shop.ended(await shop.send("news"), "DELIVERED")
    await shop.ok("PATCH", "/settings", {"timezone": "UTC"})
    held = await shop.send("news")
    await waiting(shop, held, "quiet_hours")
    await shop.ok("PATCH", "/settings", {"timezone": "Asia/Tokyo"})
    await shop.ended(held, "DELIVERED")


@pytest.mark.parametrize(
    ("more", "priority"),
    [({"priority": 2}, None), ({}, 1), ({"required": True}, None), ({"respects_quiet_hours": False}, None)],
    ids=["urgent type", "urgent send", "required", "does not respect them"],
)
async def test_what_quiet_hours_do_not_hold(shop: Shop, more: dict[str, Any], priority: int | None) -> None:
    await shop.type("news", ["email"], **more)
    await shop.person("ada", email="ada@example.com", timezone="UTC")
    await choose(shop, around_now())
    await shop.ended(await shop.send("news", priority=priority), "DELIVERED")


async def test_what_makes_no_noise_is_not_held(shop: Shop) -> None:
    await shop.type("note", ["in_app"])
    await shop.person("ada", email="ada@example.com", timezone="UTC")
    await choose(shop, around_now())
    shown = await shop.finished(await shop.send("note"))
    assert shown["status"] in ("SENT", "DELIVERED")


async def test_a_retry_that_comes_into_the_quiet_hours_waits_for_their_end(shop: Shop) -> None:
    """The guard asks again: the gates were passed long ago."""
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada+flaky@example.com", timezone="UTC")
    id = await shop.send("news")
    await eventually(lambda: shop.shown(id), lambda shown: shown["deliveries"] and shown["deliveries"][0]["attempts"])
    await choose(shop, around_now())
    await waiting(shop, id, "quiet_hours")
    await choose(shop, None)
    shown = await shop.ended(id, "DELIVERED")
    assert [attempt["outcome"] for attempt in shown["deliveries"][0]["attempts"]] == ["error", "error", "accepted"]


async def test_one_that_waits_for_the_hour_can_be_cancelled_and_gets_old(shop: Shop) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com", timezone="UTC")
    await choose(shop, around_now())
    id, old = await shop.send("news"), await shop.send("news", expires_in="2s")
    await waiting(shop, id, "quiet_hours")
    assert (await shop.cancel(id))["channels"] == {"email": "stopped"}
    assert (await shop.ended(id, "CANCELED"))["failure_reason"] == "canceled"
    await shop.ended(old, "EXPIRED")


async def test_somebody_who_opts_out_while_it_waits_is_left_alone(shop: Shop) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com", timezone="UTC")
    await choose(shop, around_now())
    id = await shop.send("news")
    await waiting(shop, id, "quiet_hours")
    await shop.ok("PUT", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": False}})
    await shop.ended(id, "SUPPRESSED")
    assert await shop.outbox() == []


async def test_somebody_who_opts_in_again_while_it_waits_gets_it(shop: Shop) -> None:
    await shop.type("news", ["email", "sms"])
    await shop.person("ada", email="ada@example.com", phone="+447700900123", timezone="UTC")
    opt_out = {"global_channel_opt_in": {"email": False}}
    await shop.ok("PUT", "/recipients/ada/preferences", {"quiet_hours": around_now(), **opt_out})
    id = await shop.send("news")
    await waiting(shop, id, "quiet_hours")
    await choose(shop, None)
    await shop.ended(id, "DELIVERED")
    assert sorted(message["channel"] for message in await shop.outbox()) == ["email", "sms"]


async def test_a_send_window_is_waited_for(shop: Shop) -> None:
    await shop.type("news", ["email"], send_window=around_now(-60, 120))
    await shop.type("open", ["email"], send_window=around_now())
    await shop.person("ada", email="ada@example.com", timezone="UTC")
    held = await shop.send("news")
    shown = await waiting(shop, held, "send_window")
    assert timedelta(minutes=58) < datetime.fromisoformat(shown["waits_until"]) - datetime.now(UTC)
    await shop.ended(await shop.send("open"), "DELIVERED")
    await shop.cancel(held)


async def moments(shop: Shop) -> list[tuple[datetime, str]]:
    """When each message went out, and which."""
    return sorted((datetime.fromisoformat(one["accepted_at"]), one["notification_id"]) for one in await shop.outbox())


async def test_a_throttle_lets_exactly_so_many_through_and_the_others_wait_by_priority(shop: Shop) -> None:
    """Twelve at once, three in a window; the deferred arrive in the next ones, the most urgent first."""
    await shop.type("news", ["email"], throttle={"limit": 3, "per": "15s", "on_exceed": "defer"}, priority=4)
    await shop.person("ada", email="ada@example.com")
    first = await asyncio.gather(*(shop.send("news") for _ in range(9)))
    deferred = await eventually(lambda: of(shop, first, "throttled"), lambda held: len(held) == 6)
    urgent = [await shop.send("news", priority=3) for _ in range(3)]
    through = await eventually(lambda: shop.outbox(), lambda seen: len(seen) >= 6)
    times = await moments(shop)
    assert {id for _, id in times[3:6]} == set(urgent)
    assert {id for _, id in times[:3]} == set(first) - set(deferred)
    # A window begins with its first slot, and what has one may take a moment to go out.
    assert times[3][0] - times[0][0] >= timedelta(seconds=13)
    assert len(through) <= 6
    for id in [*first, *urgent]:
        await shop.cancel(id)


async def of(shop: Shop, ids: list[str], why: str) -> list[str]:
    held = [(id, (await shop.shown(id))["waits_for"]) for id in ids]
    return [id for id, waits in held if waits == why]


async def test_what_exceeds_a_throttle_is_dropped_where_the_type_says_so(shop: Shop) -> None:
    await shop.type("news", ["email"], throttle={"limit": 3, "per": "1h"})
    await shop.person("ada", email="ada@example.com")
    ids = await asyncio.gather(*(shop.send("news") for _ in range(20)))
    shown = [await shop.ended(id, "DELIVERED", "SUPPRESSED") for id in ids]
    assert sorted(one["status"] for one in shown) == ["DELIVERED"] * 3 + ["SUPPRESSED"] * 17
    assert {one["failure_reason"] for one in shown if one["status"] == "SUPPRESSED"} == {"throttled"}
    await shop.person("bob", email="bob@example.com")
    await shop.ended(await shop.send("news", "bob"), "DELIVERED")


async def test_a_throttle_of_the_tenant_counts_all_of_its_people(shop: Shop) -> None:
    await shop.type("news", ["email"], throttle={"limit": 1, "per": "1h", "scope": "tenant"})
    for person in ("ada", "bob"):
        await shop.person(person, email=f"{person}@example.com")
    await shop.ended(await shop.send("news", "ada"), "DELIVERED")
    await shop.ended(await shop.send("news", "bob"), "SUPPRESSED")


async def test_nobody_who_wants_nothing_uses_up_a_slot(shop: Shop) -> None:
    await shop.type("news", ["email"], throttle={"limit": 1, "per": "1h"})
    await shop.person("ada", email="ada@example.com")
    await shop.ok("PUT", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": False}})
    await shop.ended(await shop.send("news"), "SUPPRESSED")
    await shop.ok("PUT", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": True}})
    await shop.ended(await shop.send("news"), "DELIVERED")


async def test_a_cap_counts_all_types_and_defers_but_for_what_is_required_or_urgent(shop: Shop) -> None:
    await shop.ok("PATCH", "/settings", {"person_cap": {"limit": 2, "per": "12s"}})
    for key, more in {"news": {}, "offers": {}, "bill": {"required": True}}.items():
        await shop.type(key, ["email"], **more)
    await shop.person("ada", email="ada@example.com")
    for kind in ("news", "offers"):
        await shop.ended(await shop.send(kind), "DELIVERED")
    over = await shop.send("news")
    await waiting(shop, over, "capped")
    await shop.ended(await shop.send("bill"), "DELIVERED")
    await shop.ended(await shop.send("offers", priority=1), "DELIVERED")
    await shop.ended(over, "DELIVERED")


async def test_one_that_waits_for_room_can_be_cancelled_and_takes_none(shop: Shop) -> None:
    await shop.type("news", ["email"], throttle={"limit": 1, "per": "10s", "on_exceed": "defer"})
    await shop.person("ada", email="ada@example.com")
    await shop.ended(await shop.send("news"), "DELIVERED")
    canceled, next_one = await shop.send("news"), await shop.send("news")
    for id in (canceled, next_one):
        await waiting(shop, id, "throttled")
    await shop.cancel(canceled)
    await shop.ended(canceled, "CANCELED")
    await shop.ended(next_one, "DELIVERED")
    assert len(await shop.outbox()) == 2


async def test_who_waits_for_room_of_their_own_keeps_nobody_from_the_room_of_all(shop: Shop) -> None:
    """Capped for an hour and first in the queue of the tenant's throttle: the others go past."""
    await shop.ok("PATCH", "/settings", {"person_cap": {"limit": 1, "per": "1h"}})
    await shop.type("news", ["email"])
    await shop.type("alert", ["email"], throttle={"limit": 1, "per": "2s", "scope": "tenant", "on_exceed": "defer"})
    for person in ("ada", "bob", "cyd", "dan"):
        await shop.person(person, email=f"{person}@example.com")
    await shop.ended(await shop.send("news", "ada"), "DELIVERED")
    await shop.ended(await shop.send("alert", "bob"), "DELIVERED")
    capped = await shop.send("alert", "ada")
    for id in [await shop.send("alert", person) for person in ("cyd", "dan")]:
        await shop.ended(id, "DELIVERED")
    await waiting(shop, capped, "capped")
    await shop.cancel(capped)


async def test_what_waits_for_room_costs_its_workflow_nothing(shop: Shop) -> None:
    """No timer, and nobody is told but those who have room: the history does not grow with the windows."""
    await shop.type("news", ["email"], throttle={"limit": 1, "per": "1s", "on_exceed": "defer"})
    await shop.person("ada", email="ada@example.com")
    ids = [await shop.send("news") for _ in range(8)]
    for id in ids:
        await shop.ended(id, "DELIVERED")
    lengths = [len((await shop.engine.history(id)).events) for id in ids]
    assert max(lengths) <= 40, lengths
