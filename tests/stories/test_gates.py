"""Check quiet hours, send windows, throttles and frequency caps: a send waits, and counts exactly once."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api_tenants import ApiTenant
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


def hours_around_now(before: int = 60, after: int = 60) -> dict[str, str]:
    """Return hours in UTC that start `before` minutes before now and end `after` minutes after now."""
    at = datetime.now(UTC)
    start, end = at - timedelta(minutes=before), at + timedelta(minutes=after)
    return {"start": f"{start:%H:%M}", "end": f"{end:%H:%M}"}


async def set_quiet_hours(api_tenant: ApiTenant, quiet_hours: dict[str, Any] | None, recipient_id: str = "ada") -> None:
    await api_tenant.call("PUT", f"/recipients/{recipient_id}/preferences", {"quiet_hours": quiet_hours})


async def wait_for_gate(api_tenant: ApiTenant, id: str, gate: str) -> dict[str, Any]:
    return await eventually(lambda: api_tenant.notification(id), lambda found: found["waits_for"] == gate)


async def test_a_send_is_held_until_its_quiet_hours_change(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com", timezone="UTC")
    await set_quiet_hours(api_tenant, hours_around_now())
    id = await api_tenant.send("news")
    held = await wait_for_gate(api_tenant, id, "quiet_hours")
    until = datetime.fromisoformat(held["waits_until"])
    assert timedelta(minutes=58) < until - datetime.now(UTC) <= timedelta(minutes=60)
    assert held["deliveries"] == []
    await set_quiet_hours(api_tenant, None)
    notification = await api_tenant.wait_for_end(id, "DELIVERED")
    assert notification["waits_for"] is None
    assert [entry["reason"] for entry in notification["timeline"] if entry["kind"] == "waiting"] == ["quiet_hours"]


async def test_a_time_zone_change_out_of_quiet_hours_releases_the_send(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com", timezone="UTC")
    await set_quiet_hours(api_tenant, hours_around_now())
    id = await api_tenant.send("news")
    await wait_for_gate(api_tenant, id, "quiet_hours")
    await api_tenant.call("PATCH", "/recipients/ada", {"timezone": "Asia/Tokyo"})
    await api_tenant.wait_for_end(id, "DELIVERED")


async def test_a_recipient_without_a_time_zone_uses_the_tenants_zone(api_tenant: ApiTenant) -> None:
    await api_tenant.call("PATCH", "/settings", {"timezone": "Asia/Tokyo"})
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    await set_quiet_hours(api_tenant, hours_around_now())
    await api_tenant.wait_for_end(await api_tenant.send("news"), "DELIVERED")
    await api_tenant.call("PATCH", "/settings", {"timezone": "UTC"})
    held = await api_tenant.send("news")
    await wait_for_gate(api_tenant, held, "quiet_hours")
    await api_tenant.call("PATCH", "/settings", {"timezone": "Asia/Tokyo"})
    await api_tenant.wait_for_end(held, "DELIVERED")


async def test_an_urgent_send_is_not_held_by_quiet_hours(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com", timezone="UTC")
    await set_quiet_hours(api_tenant, hours_around_now())
    await api_tenant.wait_for_end(await api_tenant.send("news", priority=1), "DELIVERED")


async def test_a_retry_within_quiet_hours_waits_for_their_end(api_tenant: ApiTenant) -> None:
    """Check the gates again before a retry, although the first attempt has passed them."""
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+flaky@example.com", timezone="UTC")
    id = await api_tenant.send("news")
    await eventually(
        lambda: api_tenant.notification(id), lambda found: found["deliveries"] and found["deliveries"][0]["attempts"]
    )
    await set_quiet_hours(api_tenant, hours_around_now())
    await wait_for_gate(api_tenant, id, "quiet_hours")
    await set_quiet_hours(api_tenant, None)
    notification = await api_tenant.wait_for_end(id, "DELIVERED")
    assert [attempt["outcome"] for attempt in notification["deliveries"][0]["attempts"]] == [
        "error",
        "error",
        "accepted",
    ]


async def test_a_send_held_by_quiet_hours_can_be_canceled_and_expires(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com", timezone="UTC")
    await set_quiet_hours(api_tenant, hours_around_now())
    id, expiring = await api_tenant.send("news"), await api_tenant.send("news", expires_in="2s")
    await wait_for_gate(api_tenant, id, "quiet_hours")
    assert (await api_tenant.cancel(id))["channels"] == {"email": "stopped"}
    assert (await api_tenant.wait_for_end(id, "CANCELED"))["failure_reason"] == "canceled"
    await api_tenant.wait_for_end(expiring, "EXPIRED")


async def test_an_opt_out_during_the_wait_stops_the_send(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com", timezone="UTC")
    await set_quiet_hours(api_tenant, hours_around_now())
    id = await api_tenant.send("news")
    await wait_for_gate(api_tenant, id, "quiet_hours")
    await api_tenant.call("PUT", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": False}})
    await api_tenant.wait_for_end(id, "SUPPRESSED")
    assert await api_tenant.list_outbox() == []


async def test_an_opt_in_during_the_wait_allows_the_send(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email", "sms"])
    await api_tenant.put_recipient("ada", email="ada@example.com", phone="+447700900123", timezone="UTC")
    opt_out = {"global_channel_opt_in": {"email": False}}
    await api_tenant.call("PUT", "/recipients/ada/preferences", {"quiet_hours": hours_around_now(), **opt_out})
    id = await api_tenant.send("news")
    await wait_for_gate(api_tenant, id, "quiet_hours")
    await set_quiet_hours(api_tenant, None)
    await api_tenant.wait_for_end(id, "DELIVERED")
    assert sorted(message["channel"] for message in await api_tenant.list_outbox()) == ["email", "sms"]


async def test_a_send_waits_for_its_send_window(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"], send_window=hours_around_now(-60, 120))
    await api_tenant.put_type("open", ["email"], send_window=hours_around_now())
    await api_tenant.put_recipient("ada", email="ada@example.com", timezone="UTC")
    held = await api_tenant.send("news")
    notification = await wait_for_gate(api_tenant, held, "send_window")
    assert timedelta(minutes=58) < datetime.fromisoformat(notification["waits_until"]) - datetime.now(UTC)
    await api_tenant.wait_for_end(await api_tenant.send("open"), "DELIVERED")
    await api_tenant.cancel(held)


async def list_send_times(api_tenant: ApiTenant) -> list[tuple[datetime, str]]:
    """Return the times at which messages were accepted, in order, each with its notification's id."""
    return sorted(
        (datetime.fromisoformat(one["accepted_at"]), one["notification_id"]) for one in await api_tenant.list_outbox()
    )


async def test_a_throttle_admits_its_exact_limit_and_defers_by_priority(api_tenant: ApiTenant) -> None:
    """Send twelve with three slots per window: the deferred ones get the next windows, the most urgent first."""
    await api_tenant.put_type("news", ["email"], throttle={"limit": 3, "per": "15s", "on_exceed": "defer"}, priority=4)
    await api_tenant.put_recipient("ada", email="ada@example.com")
    first = await asyncio.gather(*(api_tenant.send("news") for _ in range(9)))
    deferred = await eventually(lambda: filter_by_gate(api_tenant, first, "throttled"), lambda ids: len(ids) == 6)
    urgent = [await api_tenant.send("news", priority=3) for _ in range(3)]
    messages = await eventually(api_tenant.list_outbox, lambda found: len(found) >= 6)
    times = await list_send_times(api_tenant)
    assert {id for _, id in times[3:6]} == set(urgent)
    assert {id for _, id in times[:3]} == set(first) - set(deferred)
    # A window begins with its first slot, and a message may leave a moment after it gets its slot.
    assert times[3][0] - times[0][0] >= timedelta(seconds=13)
    assert len(messages) <= 6
    for id in [*first, *urgent]:
        await api_tenant.cancel(id)


async def filter_by_gate(api_tenant: ApiTenant, ids: list[str], gate: str) -> list[str]:
    """Return the ids of the notifications that wait for this gate."""
    gates = [(id, (await api_tenant.notification(id))["waits_for"]) for id in ids]
    return [id for id, waits_for in gates if waits_for == gate]


async def test_a_send_over_a_throttle_is_dropped_by_default(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"], throttle={"limit": 3, "per": "1h"})
    await api_tenant.put_recipient("ada", email="ada@example.com")
    ids = await asyncio.gather(*(api_tenant.send("news") for _ in range(20)))
    notifications = [await api_tenant.wait_for_end(id, "DELIVERED", "SUPPRESSED") for id in ids]
    assert sorted(one["status"] for one in notifications) == ["DELIVERED"] * 3 + ["SUPPRESSED"] * 17
    assert {one["failure_reason"] for one in notifications if one["status"] == "SUPPRESSED"} == {"throttled"}
    await api_tenant.put_recipient("bob", email="bob@example.com")
    await api_tenant.wait_for_end(await api_tenant.send("news", "bob"), "DELIVERED")


async def test_a_suppressed_send_uses_no_throttle_slot(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"], throttle={"limit": 1, "per": "1h"})
    await api_tenant.put_recipient("ada", email="ada@example.com")
    await api_tenant.call("PUT", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": False}})
    await api_tenant.wait_for_end(await api_tenant.send("news"), "SUPPRESSED")
    await api_tenant.call("PUT", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": True}})
    await api_tenant.wait_for_end(await api_tenant.send("news"), "DELIVERED")


async def test_a_send_that_waits_for_a_slot_can_be_canceled(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"], throttle={"limit": 1, "per": "10s", "on_exceed": "defer"})
    await api_tenant.put_recipient("ada", email="ada@example.com")
    await api_tenant.wait_for_end(await api_tenant.send("news"), "DELIVERED")
    canceled_id, next_id = await api_tenant.send("news"), await api_tenant.send("news")
    for id in (canceled_id, next_id):
        await wait_for_gate(api_tenant, id, "throttled")
    await api_tenant.cancel(canceled_id)
    await api_tenant.wait_for_end(canceled_id, "CANCELED")
    await api_tenant.wait_for_end(next_id, "DELIVERED")
    assert len(await api_tenant.list_outbox()) == 2


async def test_a_frequency_capped_send_uses_no_slot_of_the_tenants_throttle(api_tenant: ApiTenant) -> None:
    """Let later sends pass a send that is capped for an hour and is first in the queue of the tenant's throttle."""
    await api_tenant.call("PATCH", "/settings", {"frequency_cap": {"limit": 1, "per": "1h"}})
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_type(
        "alert", ["email"], throttle={"limit": 1, "per": "2s", "scope": "tenant", "on_exceed": "defer"}
    )
    for recipient_id in ("ada", "bob", "cyd", "dan"):
        await api_tenant.put_recipient(recipient_id, email=f"{recipient_id}@example.com")
    await api_tenant.wait_for_end(await api_tenant.send("news", "ada"), "DELIVERED")
    await api_tenant.wait_for_end(await api_tenant.send("alert", "bob"), "DELIVERED")
    capped_id = await api_tenant.send("alert", "ada")
    for id in [await api_tenant.send("alert", recipient_id) for recipient_id in ("cyd", "dan")]:
        await api_tenant.wait_for_end(id, "DELIVERED")
    await wait_for_gate(api_tenant, capped_id, "frequency_capped")
    await api_tenant.cancel(capped_id)


async def test_a_wait_for_a_slot_adds_no_history_events(api_tenant: ApiTenant) -> None:
    """Start no timer and signal only workflows that get a slot: the history does not grow with the windows."""
    await api_tenant.put_type("news", ["email"], throttle={"limit": 1, "per": "1s", "on_exceed": "defer"})
    await api_tenant.put_recipient("ada", email="ada@example.com")
    ids = [await api_tenant.send("news") for _ in range(8)]
    for id in ids:
        await api_tenant.wait_for_end(id, "DELIVERED")
    lengths = [len((await api_tenant.engine.history(id)).events) for id in ids]
    assert max(lengths) <= 40, lengths
