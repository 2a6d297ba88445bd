"""The hour and the amount: what may not go out yet waits for its time, and nothing is lost or counted twice."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.engine import ApiTenant
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


def around_now(before: int = 60, after: int = 60) -> dict[str, str]:
    """Hours that begin and end so many minutes before and after now, by the clock of UTC."""
    at = datetime.now(UTC)
    start, end = at - timedelta(minutes=before), at + timedelta(minutes=after)
    return {"start": f"{start:%H:%M}", "end": f"{end:%H:%M}"}


async def choose(api_tenant: ApiTenant, quiet_hours: dict[str, Any] | None, person: str = "ada") -> None:
    await api_tenant.call("PUT", f"/recipients/{person}/preferences", {"quiet_hours": quiet_hours})


async def waiting(api_tenant: ApiTenant, id: str, why: str) -> dict[str, Any]:
    return await eventually(lambda: api_tenant.notification(id), lambda shown: shown["waits_for"] == why)


async def test_quiet_hours_hold_until_they_are_others(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com", timezone="UTC")
    await choose(api_tenant, around_now())
    id = await api_tenant.send("news")
    held = await waiting(api_tenant, id, "quiet_hours")
    until = datetime.fromisoformat(held["waits_until"])
    assert timedelta(minutes=58) < until - datetime.now(UTC) <= timedelta(minutes=60)
    assert held["deliveries"] == []
    await choose(api_tenant, None)
    shown = await api_tenant.wait_for_end(id, "DELIVERED")
    assert shown["waits_for"] is None
    assert [entry["reason"] for entry in shown["timeline"] if entry["kind"] == "waiting"] == ["quiet_hours"]


async def test_a_recipient_who_leaves_quiet_hours_by_travel_gets_it_immediately(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com", timezone="UTC")
    await choose(api_tenant, around_now())
    id = await api_tenant.send("news")
    await waiting(api_tenant, id, "quiet_hours")
    await api_tenant.call("PATCH", "/recipients/ada", {"timezone": "Asia/Tokyo"})
    await api_tenant.wait_for_end(id, "DELIVERED")


async def test_a_recipient_without_a_zone_uses_the_tenants_zone(api_tenant: ApiTenant) -> None:
    await api_tenant.call("PATCH", "/settings", {"timezone": "Asia/Tokyo"})
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    await choose(api_tenant, around_now())
    await api_tenant.wait_for_end(await api_tenant.send("news"), "DELIVERED")
    await api_tenant.call("PATCH", "/settings", {"timezone": "UTC"})
    held = await api_tenant.send("news")
    await waiting(api_tenant, held, "quiet_hours")
    await api_tenant.call("PATCH", "/settings", {"timezone": "Asia/Tokyo"})
    await api_tenant.wait_for_end(held, "DELIVERED")


@pytest.mark.parametrize(
    ("more", "priority"),
    [({"priority": 2}, None), ({}, 1), ({"required": True}, None), ({"respects_quiet_hours": False}, None)],
    ids=["urgent type", "urgent send", "required", "does not respect them"],
)
async def test_exempt_sends_are_not_held_by_quiet_hours(
    api_tenant: ApiTenant, more: dict[str, Any], priority: int | None
) -> None:
    await api_tenant.put_type("news", ["email"], **more)
    await api_tenant.put_recipient("ada", email="ada@example.com", timezone="UTC")
    await choose(api_tenant, around_now())
    await api_tenant.wait_for_end(await api_tenant.send("news", priority=priority), "DELIVERED")


async def test_a_silent_channel_is_not_held(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("note", ["in_app"])
    await api_tenant.put_recipient("ada", email="ada@example.com", timezone="UTC")
    await choose(api_tenant, around_now())
    shown = await api_tenant.wait_until_finished(await api_tenant.send("note"))
    assert shown["status"] in ("SENT", "DELIVERED")


async def test_a_retry_that_comes_into_the_quiet_hours_waits_for_their_end(api_tenant: ApiTenant) -> None:
    """The guard asks again: the gates were passed long ago."""
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+flaky@example.com", timezone="UTC")
    id = await api_tenant.send("news")
    await eventually(
        lambda: api_tenant.notification(id), lambda shown: shown["deliveries"] and shown["deliveries"][0]["attempts"]
    )
    await choose(api_tenant, around_now())
    await waiting(api_tenant, id, "quiet_hours")
    await choose(api_tenant, None)
    shown = await api_tenant.wait_for_end(id, "DELIVERED")
    assert [attempt["outcome"] for attempt in shown["deliveries"][0]["attempts"]] == ["error", "error", "accepted"]


async def test_one_that_waits_for_the_hour_can_be_cancelled_and_gets_old(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com", timezone="UTC")
    await choose(api_tenant, around_now())
    id, old = await api_tenant.send("news"), await api_tenant.send("news", expires_in="2s")
    await waiting(api_tenant, id, "quiet_hours")
    assert (await api_tenant.cancel(id))["channels"] == {"email": "stopped"}
    assert (await api_tenant.wait_for_end(id, "CANCELED"))["failure_reason"] == "canceled"
    await api_tenant.wait_for_end(old, "EXPIRED")


async def test_an_opt_out_during_the_wait_stops_the_send(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com", timezone="UTC")
    await choose(api_tenant, around_now())
    id = await api_tenant.send("news")
    await waiting(api_tenant, id, "quiet_hours")
    await api_tenant.call("PUT", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": False}})
    await api_tenant.wait_for_end(id, "SUPPRESSED")
    assert await api_tenant.list_outbox() == []


async def test_an_opt_in_during_the_wait_allows_the_send(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email", "sms"])
    await api_tenant.put_recipient("ada", email="ada@example.com", phone="+447700900123", timezone="UTC")
    opt_out = {"global_channel_opt_in": {"email": False}}
    await api_tenant.call("PUT", "/recipients/ada/preferences", {"quiet_hours": around_now(), **opt_out})
    id = await api_tenant.send("news")
    await waiting(api_tenant, id, "quiet_hours")
    await choose(api_tenant, None)
    await api_tenant.wait_for_end(id, "DELIVERED")
    assert sorted(message["channel"] for message in await api_tenant.list_outbox()) == ["email", "sms"]


async def test_a_send_window_is_waited_for(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"], send_window=around_now(-60, 120))
    await api_tenant.put_type("open", ["email"], send_window=around_now())
    await api_tenant.put_recipient("ada", email="ada@example.com", timezone="UTC")
    held = await api_tenant.send("news")
    shown = await waiting(api_tenant, held, "send_window")
    assert timedelta(minutes=58) < datetime.fromisoformat(shown["waits_until"]) - datetime.now(UTC)
    await api_tenant.wait_for_end(await api_tenant.send("open"), "DELIVERED")
    await api_tenant.cancel(held)


async def moments(api_tenant: ApiTenant) -> list[tuple[datetime, str]]:
    """When each message went out, and which."""
    return sorted(
        (datetime.fromisoformat(one["accepted_at"]), one["notification_id"]) for one in await api_tenant.list_outbox()
    )


async def test_a_throttle_admits_its_exact_limit_and_defers_by_priority(api_tenant: ApiTenant) -> None:
    """Twelve at once, three in a window; the deferred arrive in the next ones, the most urgent first."""
    await api_tenant.put_type("news", ["email"], throttle={"limit": 3, "per": "15s", "on_exceed": "defer"}, priority=4)
    await api_tenant.put_recipient("ada", email="ada@example.com")
    first = await asyncio.gather(*(api_tenant.send("news") for _ in range(9)))
    deferred = await eventually(lambda: of(api_tenant, first, "throttled"), lambda held: len(held) == 6)
    urgent = [await api_tenant.send("news", priority=3) for _ in range(3)]
    through = await eventually(lambda: api_tenant.list_outbox(), lambda seen: len(seen) >= 6)
    times = await moments(api_tenant)
    assert {id for _, id in times[3:6]} == set(urgent)
    assert {id for _, id in times[:3]} == set(first) - set(deferred)
    # A window begins with its first slot, and what has one may take a moment to go out.
    assert times[3][0] - times[0][0] >= timedelta(seconds=13)
    assert len(through) <= 6
    for id in [*first, *urgent]:
        await api_tenant.cancel(id)


async def of(api_tenant: ApiTenant, ids: list[str], why: str) -> list[str]:
    held = [(id, (await api_tenant.notification(id))["waits_for"]) for id in ids]
    return [id for id, waits in held if waits == why]


async def test_a_send_over_a_throttle_is_dropped_if_the_type_requires_it(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"], throttle={"limit": 3, "per": "1h"})
    await api_tenant.put_recipient("ada", email="ada@example.com")
    ids = await asyncio.gather(*(api_tenant.send("news") for _ in range(20)))
    shown = [await api_tenant.wait_for_end(id, "DELIVERED", "SUPPRESSED") for id in ids]
    assert sorted(one["status"] for one in shown) == ["DELIVERED"] * 3 + ["SUPPRESSED"] * 17
    assert {one["failure_reason"] for one in shown if one["status"] == "SUPPRESSED"} == {"throttled"}
    await api_tenant.put_recipient("bob", email="bob@example.com")
    await api_tenant.wait_for_end(await api_tenant.send("news", "bob"), "DELIVERED")


async def test_a_tenant_throttle_counts_all_recipients(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"], throttle={"limit": 1, "per": "1h", "scope": "tenant"})
    for person in ("ada", "bob"):
        await api_tenant.put_recipient(person, email=f"{person}@example.com")
    await api_tenant.wait_for_end(await api_tenant.send("news", "ada"), "DELIVERED")
    await api_tenant.wait_for_end(await api_tenant.send("news", "bob"), "SUPPRESSED")


async def test_a_suppressed_send_uses_no_slot(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"], throttle={"limit": 1, "per": "1h"})
    await api_tenant.put_recipient("ada", email="ada@example.com")
    await api_tenant.call("PUT", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": False}})
    await api_tenant.wait_for_end(await api_tenant.send("news"), "SUPPRESSED")
    await api_tenant.call("PUT", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": True}})
    await api_tenant.wait_for_end(await api_tenant.send("news"), "DELIVERED")


async def test_a_frequency_cap_counts_all_types_but_required_and_urgent_ones(api_tenant: ApiTenant) -> None:
    await api_tenant.call("PATCH", "/settings", {"frequency_cap": {"limit": 2, "per": "12s"}})
    for key, more in {"news": {}, "offers": {}, "bill": {"required": True}}.items():
        await api_tenant.put_type(key, ["email"], **more)
    await api_tenant.put_recipient("ada", email="ada@example.com")
    for kind in ("news", "offers"):
        await api_tenant.wait_for_end(await api_tenant.send(kind), "DELIVERED")
    over = await api_tenant.send("news")
    await waiting(api_tenant, over, "capped")
    await api_tenant.wait_for_end(await api_tenant.send("bill"), "DELIVERED")
    await api_tenant.wait_for_end(await api_tenant.send("offers", priority=1), "DELIVERED")
    await api_tenant.wait_for_end(over, "DELIVERED")


async def test_a_send_that_waits_for_a_slot_can_be_canceled(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"], throttle={"limit": 1, "per": "10s", "on_exceed": "defer"})
    await api_tenant.put_recipient("ada", email="ada@example.com")
    await api_tenant.wait_for_end(await api_tenant.send("news"), "DELIVERED")
    canceled, next_one = await api_tenant.send("news"), await api_tenant.send("news")
    for id in (canceled, next_one):
        await waiting(api_tenant, id, "throttled")
    await api_tenant.cancel(canceled)
    await api_tenant.wait_for_end(canceled, "CANCELED")
    await api_tenant.wait_for_end(next_one, "DELIVERED")
    assert len(await api_tenant.list_outbox()) == 2


async def test_a_wait_at_a_recipients_limit_uses_no_tenant_slot(api_tenant: ApiTenant) -> None:
    """Capped for an hour and first in the queue of the tenant's throttle: the others go past."""
    await api_tenant.call("PATCH", "/settings", {"frequency_cap": {"limit": 1, "per": "1h"}})
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_type(
        "alert", ["email"], throttle={"limit": 1, "per": "2s", "scope": "tenant", "on_exceed": "defer"}
    )
    for person in ("ada", "bob", "cyd", "dan"):
        await api_tenant.put_recipient(person, email=f"{person}@example.com")
    await api_tenant.wait_for_end(await api_tenant.send("news", "ada"), "DELIVERED")
    await api_tenant.wait_for_end(await api_tenant.send("alert", "bob"), "DELIVERED")
    capped = await api_tenant.send("alert", "ada")
    for id in [await api_tenant.send("alert", person) for person in ("cyd", "dan")]:
        await api_tenant.wait_for_end(id, "DELIVERED")
    await waiting(api_tenant, capped, "capped")
    await api_tenant.cancel(capped)


async def test_a_wait_for_a_slot_adds_no_history_events(api_tenant: ApiTenant) -> None:
    """No timer, and nobody is told but those who have room: the history does not grow with the windows."""
    await api_tenant.put_type("news", ["email"], throttle={"limit": 1, "per": "1s", "on_exceed": "defer"})
    await api_tenant.put_recipient("ada", email="ada@example.com")
    ids = [await api_tenant.send("news") for _ in range(8)]
    for id in ids:
        await api_tenant.wait_for_end(id, "DELIVERED")
    lengths = [len((await api_tenant.engine.history(id)).events) for id in ids]
    assert max(lengths) <= 40, lengths
