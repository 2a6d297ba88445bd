"""Check recipients with hundreds of devices: the last registered ones are called, a few at a time."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from domain.stored_limits import MAX_CONCURRENT_CALLS, MAX_DEVICES_PER_CHANNEL
from metrics.engine import ReachedLimit
from metrics.registry import REGISTRY
from tests.api_tenants import ApiTenant
from tests.polling import wait_until
from tests.storage.device_rows import REGISTER, device_rows

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

LIMITS = (ReachedLimit.DEVICES_USED, ReachedLimit.ENDPOINT_CALLS)
STORED = 900  # more than the API allows


async def insert_devices(api_tenant: ApiTenant, tokens: Sequence[str]) -> None:
    """Register devices directly in the database. The first token is that of the last registered device."""
    rows = device_rows(api_tenant.engine.container.database.encryption, api_tenant.tenant, "many-devices", tokens)
    await api_tenant.engine.sql(REGISTER.format(rows=":rows"), rows=rows)


async def measure_urgent_send(api_tenant: ApiTenant) -> float:
    """Return the delay of a message of the highest priority to another recipient."""
    notification = await api_tenant.wait_until_finished(await api_tenant.send("code", "bob", priority=1))
    [delivery] = notification["deliveries"]
    return (parse_time(delivery["sent_at"]) - parse_time(notification["created_at"])).total_seconds()


def parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def count_reached(limit: ReachedLimit) -> float:
    """Return how often this process has reached the limit."""
    return float(REGISTRY.get_sample_value("tocsin_limits_reached_total", {"limit": limit.value}) or 0)


def max_concurrent_calls(attempts: Sequence[dict[str, Any]]) -> int:
    return max(
        sum(
            parse_time(other["started_at"]) <= parse_time(one["started_at"]) < parse_time(other["finished_at"])
            for other in attempts
        )
        for one in attempts
    )


async def test_hundreds_of_devices_delay_no_other_recipient(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["push"])
    await api_tenant.put_type("code", ["email"])
    await api_tenant.put_recipient("bob", email="bob@example.com")
    await api_tenant.put_recipient("many-devices")
    await insert_devices(api_tenant, [f"token-{n}" for n in range(1, STORED + 1)])
    idle_seconds = max([await measure_urgent_send(api_tenant) for _ in range(3)])
    counts = [count_reached(limit) for limit in LIMITS]
    id = await api_tenant.send("news", "many-devices")
    loaded_seconds = [await measure_urgent_send(api_tenant) for _ in range(3)]
    assert max(loaded_seconds) <= max(3 * idle_seconds, 2)
    notification = await api_tenant.wait_until_finished(id)
    [delivery] = notification["deliveries"]
    assert {attempt["outcome"] for attempt in delivery["attempts"]} == {"accepted"}
    tokens = {message["address"]["token"] for message in await api_tenant.list_outbox(recipient_id="many-devices")}
    assert tokens == {f"token-{n}" for n in range(1, MAX_DEVICES_PER_CHANNEL + 1)}
    assert max_concurrent_calls(delivery["attempts"]) <= MAX_CONCURRENT_CALLS
    [skipped] = [entry for entry in notification["timeline"] if entry["kind"] == "devices_skipped"]
    assert (skipped["channel"], skipped["reason"]) == ("push", "too_many_devices")
    assert skipped["detail"] == {"used": MAX_DEVICES_PER_CHANNEL, "skipped": STORED - MAX_DEVICES_PER_CHANNEL}
    [limited] = [entry for entry in notification["timeline"] if entry["kind"] == "calls_limited"]
    assert limited["detail"] == {"devices": MAX_DEVICES_PER_CHANNEL, "limit": MAX_CONCURRENT_CALLS}
    explanation = await api_tenant.call("GET", f"/notifications/{id}/explain")
    assert f"at most {MAX_CONCURRENT_CALLS} at a time" in str(explanation)
    assert [count_reached(limit) - before for limit, before in zip(LIMITS, counts, strict=True)] == [1, 1]


async def test_one_accepting_device_suffices_and_email_does_not_wait_for_the_others(api_tenant: ApiTenant) -> None:
    """Release the database connections of calls to devices that wait in a backoff."""
    await api_tenant.put_type("news", ["push", "email"], give_up_after="2s")
    await api_tenant.put_recipient("many-devices", email="many-devices@example.com")
    await insert_devices(api_tenant, [f"token-error-{n}" for n in range(1, 100)])
    await api_tenant.put_device("many-devices", "phone", "token-good")
    id = await api_tenant.send("news", "many-devices")
    notification = await api_tenant.wait_until_finished(id)
    assert {delivery["channel"]: delivery["status"] for delivery in notification["deliveries"]}.keys() == {
        "push",
        "email",
    }
    [push] = [delivery for delivery in notification["deliveries"] if delivery["channel"] == "push"]
    accepted = [attempt for attempt in push["attempts"] if attempt["outcome"] == "accepted"]
    assert push["status"] in ("SENT", "DELIVERED", "OPENED")
    assert len(accepted) == 1
    assert len({attempt["endpoint_id"] for attempt in push["attempts"]}) == MAX_DEVICES_PER_CHANNEL
    database = api_tenant.engine.container.database
    await wait_until(lambda: database.connections_in_use <= database.connections_max // 4)
