"""A person with hundreds of devices: the ones that were registered last are used, a few at a time, and nobody waits."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from domain.stored_limits import MAX_CONCURRENT_CALLS, MAX_DEVICES_PER_CHANNEL
from metrics.engine import CountedLimit
from metrics.registry import REGISTRY
from tests.engine import ApiTenant
from tests.polling import wait_until
from tests.storage.device_rows import REGISTER, device_rows

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

LIMITS = (CountedLimit.DEVICES_USED, CountedLimit.ENDPOINT_CALLS)
STORED = 900  # more than the API allows


async def register(api_tenant: ApiTenant, tokens: Sequence[str]) -> None:
    """The first token is that of the device that was registered last."""
    rows = device_rows(api_tenant.engine.container.database.encryption, api_tenant.tenant, "crowd", tokens)
    await api_tenant.engine.sql(REGISTER.format(rows=":rows"), rows=rows)


async def seconds_until_sent(api_tenant: ApiTenant) -> float:
    """Of one message of the highest priority to somebody else."""
    shown = await api_tenant.wait_until_finished(await api_tenant.send("code", "bob", priority=1))
    [delivery] = shown["deliveries"]
    return (at(delivery["sent_at"]) - at(shown["created_at"])).total_seconds()


def at(moment: str) -> datetime:
    return datetime.fromisoformat(moment)


def reached(limit: CountedLimit) -> float:
    """How often, in this process."""
    return float(REGISTRY.get_sample_value("tocsin_limits_reached_total", {"limit": limit.value}) or 0)


def most_at_once(attempts: Sequence[dict[str, Any]]) -> int:
    return max(
        sum(at(other["started_at"]) <= at(one["started_at"]) < at(other["finished_at"]) for other in attempts)
        for one in attempts
    )


async def test_hundreds_of_devices_delay_no_other_recipient(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["push"])
    await api_tenant.put_type("code", ["email"])
    await api_tenant.put_recipient("bob", email="bob@example.com")
    await api_tenant.put_recipient("crowd")
    await register(api_tenant, [f"token-{n}" for n in range(1, STORED + 1)])
    idle = max([await seconds_until_sent(api_tenant) for _ in range(3)])
    counts = [reached(limit) for limit in LIMITS]
    id = await api_tenant.send("news", "crowd")
    beside = [await seconds_until_sent(api_tenant) for _ in range(3)]
    assert max(beside) <= max(3 * idle, 2)
    shown = await api_tenant.wait_until_finished(id)
    [delivery] = shown["deliveries"]
    assert {attempt["outcome"] for attempt in delivery["attempts"]} == {"accepted"}
    tokens = {message["address"]["token"] for message in await api_tenant.list_outbox(recipient_id="crowd")}
    assert tokens == {f"token-{n}" for n in range(1, MAX_DEVICES_PER_CHANNEL + 1)}
    assert most_at_once(delivery["attempts"]) <= MAX_CONCURRENT_CALLS
    [told] = [entry for entry in shown["timeline"] if entry["kind"] == "devices_skipped"]
    assert (told["channel"], told["reason"]) == ("push", "too_many_devices")
    assert told["detail"] == {"used": MAX_DEVICES_PER_CHANNEL, "skipped": STORED - MAX_DEVICES_PER_CHANNEL}
    [limited] = [entry for entry in shown["timeline"] if entry["kind"] == "calls_limited"]
    assert limited["detail"] == {"devices": MAX_DEVICES_PER_CHANNEL, "at_once": MAX_CONCURRENT_CALLS}
    explained = await api_tenant.call("GET", f"/notifications/{id}/explain")
    assert f"at most {MAX_CONCURRENT_CALLS} at a time" in str(explained)
    assert [reached(limit) - before for limit, before in zip(LIMITS, counts, strict=True)] == [1, 1]


async def test_one_accepting_device_suffices_and_email_does_not_wait_for_the_others(api_tenant: ApiTenant) -> None:
    """Most devices stand in a back-off; the connections that their calls took are free again."""
    await api_tenant.put_type("news", ["push", "email"], give_up_after="2s")
    await api_tenant.put_recipient("crowd", email="crowd@example.com")
    await register(api_tenant, [f"token-error-{n}" for n in range(1, 100)])
    await api_tenant.put_device("crowd", "phone", "token-good")
    id = await api_tenant.send("news", "crowd")
    shown = await api_tenant.wait_until_finished(id)
    assert {delivery["channel"]: delivery["status"] for delivery in shown["deliveries"]}.keys() == {"push", "email"}
    [push] = [delivery for delivery in shown["deliveries"] if delivery["channel"] == "push"]
    accepted = [attempt for attempt in push["attempts"] if attempt["outcome"] == "accepted"]
    assert push["status"] in ("SENT", "DELIVERED", "OPENED")
    assert len(accepted) == 1
    assert len({attempt["endpoint_id"] for attempt in push["attempts"]}) == MAX_DEVICES_PER_CHANNEL
    database = api_tenant.engine.container.database
    await wait_until(lambda: database.connections_in_use <= database.connections_max // 4)
